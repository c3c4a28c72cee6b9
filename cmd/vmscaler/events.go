package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
	"github.com/vmscaler/vmscaler/dashboard"
)

// eventsCmd is the command events.
type eventsCmd struct {
	g      *globals
	bus    busFlags
	group  string // "": all
	since  *since
	follow bool
	output printer.Output
}

func eventsCommand(g *globals) *cobra.Command {
	c := &eventsCmd{g: g, since: newSince("24h")}
	cmd := &cobra.Command{
		Use:   "events [GROUP]",
		Short: "Print what happened: lifecycle events, and decisions that changed something",
		Long: long(`
Print what happened: lifecycle events, and decisions that changed something, the oldest first. The bus keeps them for seven
days, within 64 MiB. With -f it goes on with what happens from now on, until Ctrl-C.`),
		Example: "  vmscaler events --since 1h\n  vmscaler events --since \"2026-11-24 03:10\"\n  vmscaler events web -f -o json",
		Args:    argsBetween(0, 1),
		RunE:    checked(c.validate, c.run),
	}
	c.bus.connect(cmd)
	cmd.Flags().Var(c.since, "since", "from when: a time, or how long ago, such as 90s, 2h or 1d")
	addWatch(cmd, &c.follow, "go on with what happens from now on")
	cmd.Flags().BoolVarP(&c.follow, "follow", "f", false, "the same as --watch")
	c.output.Add(cmd.Flags(), printer.Values())
	return cmd
}

func (c *eventsCmd) validate(args []string) error {
	if len(args) == 0 {
		return nil
	}
	c.group = args[0]
	return checkGroup(c.group)
}

func (c *eventsCmd) run(cmd *cobra.Command) error {
	conn, err := c.g.joinAs(cmd, c.bus, bus.RoleOperator) // who may read the history
	if err != nil {
		return err
	}
	defer conn.Close()
	if c.group != "" {
		if err := knownGroup(cmd.Context(), conn, c.group); err != nil {
			return err
		}
	}
	query := client.HistoryQuery{Group: c.group, Since: c.since.at, Follow: c.follow}
	return printHistory(cmd.Context(), conn, query, &c.output, cmd.OutOrStdout())
}

// knownGroup refuses a group that neither the decider nor the history knows.
func knownGroup(ctx context.Context, conn *client.Conn, group string) error {
	_, err := ask[bus.Status](ctx, conn, bus.VerbStatus, bus.Query{Group: group})
	var refused *bus.RefusedError
	if !errors.As(err, &refused) {
		return nil // it is there, or nobody can tell
	}
	known := false
	if err := client.ReadHistory(ctx, conn, client.HistoryQuery{Group: group},
		func(client.HistoryEntry) error { known = true; return nil }); err != nil || known {
		return nil //nolint:nilerr // what reads it next says so
	}
	return err
}

func printHistory(ctx context.Context, conn *client.Conn, q client.HistoryQuery, output *printer.Output, out io.Writer) error {
	unread, first := 0, ""
	q.Skipped = func(subject string, _ error) {
		if unread++; unread == 1 {
			first = subject
		}
	}
	defer func() {
		if unread > 0 {
			fmt.Fprintf(os.Stderr, "%d entries of the history cannot be read, the first is of %q\n", unread, first)
		}
	}()
	err := client.ReadHistory(ctx, conn, q, func(r client.HistoryEntry) error {
		if !output.ForPeople() {
			return printer.Line(out, output, r)
		}
		var line string
		if r.Event != nil {
			line = dashboard.EventLine(*r.Event, time.Local)
		} else {
			line = dashboard.DecisionLine(*r.Decision, time.Local)
		}
		_, err := fmt.Fprintln(out, line)
		return err
	})
	switch {
	case errors.Is(err, client.ErrNoHistory):
		return fmt.Errorf("%w: its NATS server has no JetStream, or no actuator has run on it yet", err)
	case q.Follow && ctx.Err() != nil:
		return nil // Ctrl-C is how it ends
	}
	return err
}
