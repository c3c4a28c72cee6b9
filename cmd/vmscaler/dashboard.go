package main

import (
	"context"
	"os"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard"
)

func dashboardCommand(g *globals) *cobra.Command {
	var url string
	var plain bool
	cmd := &cobra.Command{
		Use:   "dashboard",
		Short: "Show what a running vmscaler does",
		Long:  "Show what a running vmscaler does, from another terminal. It only listens: any number may be open. 'q' or Ctrl-C ends it.",
		Args:  exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := g.loadConfig(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if url == "" {
				if url = cfg.BusURL; url == "" {
					url = "nats://" + cfg.BusListen
				}
			}
			// The terminal is the dashboard's; it shows a lost connection itself.
			log := zerolog.Nop()
			conn, err := bus.Dial(url, "dashboard", log)
			if err != nil {
				return err
			}
			defer conn.Close()
			ctx, quit := context.WithCancel(cmd.Context())
			defer quit()
			d, err := dashboard.New(dashboard.Config{
				Out: os.Stdout, In: os.Stdin, Plain: plain || dashboard.WantsPlain(os.Stdout, os.Getenv),
				Style: dashboard.StyleFromEnv(os.Getenv), Title: "vmscaler", Footer: "bus " + url, Quit: quit,
			}, conn, log)
			if err != nil {
				return err
			}
			return d.Run(ctx)
		},
	}
	cmd.Flags().StringVar(&url, "nats-url", "", "NATS server of the running vmscaler (default: from the config, nats://"+bus.DefaultListen+")")
	cmd.Flags().BoolVar(&plain, "no-dashboard", false, "print one plain line per event and per change")
	return cmd
}
