package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
	"github.com/vmscaler/vmscaler/dashboard"
)

// statusCmd is the command status.
type statusCmd struct {
	g      *globals
	bus    busFlags
	group  string // "": all
	output printer.Output
	watch  bool
}

func statusCommand(g *globals) *cobra.Command {
	c := &statusCmd{g: g}
	cmd := &cobra.Command{
		Use:   "status [GROUP]",
		Short: "Print what the groups have at this moment and what is done about it",
		Long: long(`
Print what the groups, or one of them, have at this moment and what is done about it: VMs, average CPU, what is paused and by
whom, and how the stages are. The decider answers. On the bus's machine it needs no credentials; from elsewhere those of
the role tap do.`),
		Example: "  vmscaler status\n  vmscaler status web -o json\n  vmscaler status web --watch",
		Args:    argsBetween(0, 1),
		RunE:    checked(c.validate, c.run),
	}
	c.bus.connect(cmd)
	c.output.Add(cmd.Flags(), printer.Lists())
	addWatch(cmd, &c.watch, "go on with each event, and each decision that changes something")
	return cmd
}

func (c *statusCmd) validate(args []string) error {
	if c.watch && c.output.Format() == printer.Name {
		return usageError{errors.New("--watch: found it with -o name, want another format")}
	}
	if len(args) == 0 {
		return nil
	}
	c.group = args[0]
	return checkGroup(c.group)
}

func (c *statusCmd) run(cmd *cobra.Command) error {
	conn, err := c.g.joinAs(cmd, c.bus, bus.RoleTap)
	if err != nil {
		return err
	}
	defer conn.Close()
	var w *watcher
	if c.watch { // before it asks, so that it misses nothing
		if w, err = watch(conn, c.group, true); err != nil {
			return err
		}
	}
	status, err := ask[bus.Status](cmd.Context(), conn, bus.VerbStatus, bus.Query{Group: c.group})
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if !c.watch || c.output.ForPeople() {
		if err := c.print(out, status); err != nil || !c.watch {
			return err
		}
		fmt.Fprintln(out)
	}
	w.out, w.output = out, &c.output
	return w.run(cmd.Context(), func(d bus.Decision, line string) error {
		return w.entry(client.HistoryEntry{Decision: &d}, line)
	})
}

func (c *statusCmd) print(out io.Writer, status bus.Status) error {
	switch f := c.output.Format(); f {
	case printer.JSON, printer.YAML:
		return printer.Value(out, &c.output, status)
	case printer.Name:
		return printer.List[bus.GroupStatus]{
			Rows: status.Groups, Name: func(g bus.GroupStatus) string { return g.Group },
		}.Print(out, &c.output)
	case printer.Table, printer.Wide:
		lines := dashboard.StatusLines(status, time.Local, f == printer.Wide)
		if _, err := fmt.Fprintln(out, asCalled(strings.Join(lines, "\n"))); err != nil {
			return fmt.Errorf("print the status: %w", err)
		}
	}
	return nil
}
