package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/dashboard/web"
)

// webCmd is the command web.
type webCmd struct {
	g    *globals
	bus  busFlags
	http httpFlags
}

func webCommand(g *globals) *cobra.Command {
	c := &webCmd{g: g}
	cmd := &cobra.Command{
		Use:   "web",
		Short: "Serve what a running vmscaler does over HTTP: metrics for Prometheus, and health checks",
		Long: long(`
Serve what a running vmscaler does over HTTP, as ` + "`vmscaler run`" + ` does by itself: metrics of groups, VMs, decisions,
launches, hosts and stages for Prometheus at /metrics. It is a process of its own, which only listens on the bus, so any number
may run, on any host that reaches it. /healthz says whether it is connected, and /readyz whether each group has a fresh sample
and a decision that holds.`),
		Example: "  vmscaler web\n  vmscaler web --http 127.0.0.1:9100 --metrics-per-vm=false",
		Args:    exactArgs(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	c.bus.add(cmd, "bus-listen")
	c.http.add(cmd)
	return cmd
}

// settings are what the file, the environment and the flags say of HTTP.
func (c *webCmd) settings(cmd *cobra.Command) (config.Config, error) {
	cfg, _, err := c.g.addressConfig(cmd.ErrOrStderr())
	if err != nil {
		return cfg, err
	}
	if err := c.http.apply(&cfg); err != nil {
		return cfg, err
	}
	if cfg.HTTPListen == config.HTTPOff {
		return cfg, usageError{errors.New("--http: found off, want an address: it is all that this command does")}
	}
	return cfg, nil
}

func (c *webCmd) run(cmd *cobra.Command) error {
	cfg, err := c.settings(cmd)
	if err != nil {
		return err
	}
	log, err := c.g.logger(cmd.ErrOrStderr(), false)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", cfg.HTTPListen)
	if err != nil {
		return fmt.Errorf("--http: %w", err)
	}
	warnOfListener(log, listener.Addr())
	fmt.Fprintf(cmd.ErrOrStderr(), "serving http://%s/metrics\n", listener.Addr())
	s := newWeb(c.http, log)
	ctx, cancel := context.WithCancel(cmd.Context())
	defer cancel()
	served := make(chan error, 1)
	go func() {
		served <- s.Serve(ctx, listener)
		cancel() // there is nothing left to do
	}()
	err = c.follow(ctx, cmd, s, log)
	cancel()
	return errors.Join(err, <-served)
}

// follow hears the bus that there is, for which it waits.
func (c *webCmd) follow(ctx context.Context, cmd *cobra.Command, s *web.Server, log zerolog.Logger) error {
	cmd.SetContext(ctx)
	conn, r, err := c.g.joinWhenThere(cmd, c.bus, log)
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	}
	defer conn.Close()
	log.Info().Msgf("bus: %s", r.url)
	return s.Follow(ctx, web.Bus{Watch: conn})
}

func newWeb(h httpFlags, log zerolog.Logger) *web.Server {
	return web.New(web.Config{PerVM: h.perVM, Now: time.Now, Log: log})
}

// warnOfListener says who can read what is served.
func warnOfListener(log zerolog.Logger, at net.Addr) {
	if a, is := at.(*net.TCPAddr); is && !a.IP.IsLoopback() {
		log.Warn().Msgf("whoever reaches %s can read the names and the load of all groups and VMs", a)
	}
}
