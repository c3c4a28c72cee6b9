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
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
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
		Long: long(`
Show what a running vmscaler does, from another terminal. Any number may be open. With the credentials of an operator it can
pause and scale a group and protect a VM, after a question; without them it only listens. '?' shows the keys, 'q' or Ctrl-C
ends it.`),
		Example: "  vmscaler dashboard\n  vmscaler dashboard --no-dashboard",
		Args:    exactArgs(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	c.bus.connect(cmd)
	cmd.Flags().BoolVar(&c.plain, "no-dashboard", false, "print one plain line per event and per change")
	return cmd
}

func (c *dashboardCmd) run(cmd *cobra.Command) error {
	log := zerolog.Nop() // the terminal is the dashboard's; it shows a lost connection itself
	conn, r, err := c.g.joinWhenThere(cmd, c.bus, log)
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
	shows := dashboard.Config{
		Out: os.Stdout, In: os.Stdin, Plain: plain, Explain: explainLines,
		Style: dashboard.StyleFromEnv(os.Getenv), Title: "vmscaler", Footer: "bus " + r.url, Quit: quit,
	}
	if !plain {
		shows.Operator, shows.ReadOnly = newDashboardOperator(&dashboardOperator{
			libvirt: func() (*globals, error) { return c.g.forContext(cmd) }, uri: r.cfg.LibvirtURI,
			join: func() (*client.Conn, error) {
				return app.JoinNow(string(bus.RoleOperator), r.remote(bus.RoleOperator), log)
			},
		})
	}
	d, err := dashboard.New(shows, conn, log)
	if err != nil {
		return err
	}
	return d.Run(ctx)
}

// joinWhenThere joins the running vmscaler, for which it waits and says so.
func (g *globals) joinWhenThere(cmd *cobra.Command, busF busFlags, log zerolog.Logger) (*client.Conn, running, error) {
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	for said := ""; ; {
		r, err := g.find(cmd, busF)
		if err == nil {
			var conn *client.Conn
			if conn, err = r.join(cmd.Context(), bus.RoleDashboard, log); err == nil {
				return conn, r, nil
			}
		}
		var none *notRunningError
		if !errors.As(err, &none) {
			return nil, running{}, err
		}
		if err.Error() != said {
			said = err.Error()
			fmt.Fprintf(cmd.ErrOrStderr(), "waiting: %s\n", asCalled(said))
		}
		select {
		case <-cmd.Context().Done():
			return nil, running{}, cmd.Context().Err()
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
