package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/dashboard"
)

// dashboardCmd is the command dashboard.
type dashboardCmd struct {
	g     *globals
	bus   busFlags
	plain bool
}

func dashboardCommand(g *globals) *cobra.Command {
	c := &dashboardCmd{g: g}
	cmd := &cobra.Command{
		Use:   "dashboard",
		Short: "Show what a running vmscaler does",
		Long: "Show what a running vmscaler does, from another terminal. It only listens: any number may be open. 'q' or Ctrl-C " +
			"ends it.",
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	c.bus.add(cmd, "bus-listen")
	cmd.Flags().BoolVar(&c.plain, "no-dashboard", false, "print one plain line per event and per change")
	return cmd
}

func (c *dashboardCmd) run(cmd *cobra.Command) error {
	log := zerolog.Nop() // the terminal is the dashboard's; it shows a lost connection itself
	conn, url, err := c.g.joinWhenThere(cmd, c.bus, log)
	if err != nil {
		return err
	}
	defer conn.Close()
	plain := c.plain || dashboard.WantsPlain(os.Stdout, os.Getenv)
	if !plain {
		release, err := dashboard.StartWatchdog(os.Stdout)
		if err != nil {
			return err
		}
		defer release()
	}
	ctx, quit := context.WithCancel(cmd.Context())
	defer quit()
	d, err := dashboard.New(dashboard.Config{
		Out: os.Stdout, In: os.Stdin, Plain: plain,
		Style: dashboard.StyleFromEnv(os.Getenv), Title: "vmscaler", Footer: "bus " + url, Quit: quit,
	}, conn, log)
	if err != nil {
		return err
	}
	return d.Run(ctx)
}

// joinWhenThere joins the running vmscaler, for which it waits and says so.
func (g *globals) joinWhenThere(cmd *cobra.Command, busF busFlags, log zerolog.Logger) (*client.Conn, string, error) {
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	for said := ""; ; {
		r, err := g.find(cmd, busF)
		if err == nil {
			var conn *client.Conn
			if conn, err = r.join(cmd.Context(), bus.RoleDashboard, log); err == nil {
				return conn, r.url, nil
			}
		}
		var none *notRunningError
		if !errors.As(err, &none) {
			return nil, "", err
		}
		if err.Error() != said {
			said = err.Error()
			fmt.Fprintf(cmd.ErrOrStderr(), "waiting: %s\n", asCalled(said))
		}
		select {
		case <-cmd.Context().Done():
			return nil, "", cmd.Context().Err()
		case <-again.C:
		}
	}
}

// watchdogCommand is the process that dashboard.StartWatchdog starts.
func watchdogCommand() *cobra.Command {
	return &cobra.Command{
		Use:    dashboard.WatchdogArg,
		Hidden: true,
		Args:   exactArgs(0),
		RunE:   func(*cobra.Command, []string) error { return dashboard.RunWatchdog(os.Stdin, os.Stdout) },
	}
}
