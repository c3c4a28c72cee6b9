package main

import (
	"context"
	"errors"
	"os"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/hypervisor"
	"github.com/vmscaler/vmscaler/dashboard"
)

func dashboardCommand(g *globals) *cobra.Command {
	var busF busFlags
	var plain bool
	cmd := &cobra.Command{
		Use:   "dashboard",
		Short: "Show what a running vmscaler does",
		Long:  "Show what a running vmscaler does, from another terminal. It only listens: any number may be open. 'q' or Ctrl-C ends it.",
		Args:  exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := g.busConfig(cmd, busF)
			if err != nil {
				return err
			}
			find := g.findBus(cfg)
			to := find(app.StageDashboard)
			// The terminal is the dashboard's; it shows a lost connection itself.
			log := zerolog.Nop()
			conn, err := app.JoinNow(app.StageDashboard, to, log)
			var need *app.NeedCredentialsError
			if err != nil && !errors.As(err, &need) { // it may come
				conn, err = bus.Dial(to, app.StageDashboard, log)
			}
			if err != nil {
				return err
			}
			defer conn.Close()
			plain := plain || dashboard.WantsPlain(os.Stdout, os.Getenv)
			if !plain {
				release, err := dashboard.Guard(os.Stdout)
				if err != nil {
					return err
				}
				defer release()
			}
			ctx, quit := context.WithCancel(cmd.Context())
			defer quit()
			d, err := dashboard.New(dashboard.Config{
				Out: os.Stdout, In: os.Stdin, Plain: plain,
				Style: dashboard.StyleFromEnv(os.Getenv), Title: "vmscaler", Footer: "bus " + to.URL, Quit: quit,
			}, conn, log)
			if err != nil {
				return err
			}
			return d.Run(ctx)
		},
	}
	busF.add(cmd, "bus-listen")
	cmd.Flags().BoolVar(&plain, "no-dashboard", false, "print one plain line per event and per change")
	return cmd
}

// findBus is how to reach the bus: the one that flags, environment or file name to join, else that of the process that
// acts on this machine's libvirt, else the one that runs on the state folder, else the one that the config says.
func (g *globals) findBus(cfg config.Config) func(role string) bus.Remote {
	if cfg.BusURL == "" {
		cfg.BusURL = g.runningBus(cfg)
	}
	return remote(cfg)
}

// runningBus is the address of the bus that runs on this machine, "" if none is found.
func (g *globals) runningBus(cfg config.Config) string {
	uris := []string{hypervisor.SystemURI, hypervisor.SessionURI}
	if c, named := (hypervisor.Sources{Flag: g.uri, File: cfg.LibvirtURI, Getenv: os.Getenv}).Named(); named {
		uris = []string{c.URI}
	}
	if h, found := actuator.FindHolder(uris...); found && h.BusURL != "" {
		return h.BusURL
	}
	if h, found := bus.FindState(stateDir(cfg)); found {
		return h.URL
	}
	return ""
}

// guardCommand is the process that dashboard.Guard starts.
func guardCommand() *cobra.Command {
	return &cobra.Command{
		Use:    dashboard.GuardArg,
		Hidden: true,
		Args:   exactArgs(0),
		RunE:   func(*cobra.Command, []string) error { return dashboard.RunGuard(os.Stdin, os.Stdout) },
	}
}
