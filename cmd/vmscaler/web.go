package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/dashboard/web"
	"github.com/vmscaler/vmscaler/decider/explain"
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
		Short: "Serve a running vmscaler over HTTP: a page, its API, metrics for Prometheus, and health checks",
		Long: long(`
Serve a running vmscaler over HTTP, as ` + "`vmscaler run`" + ` does by itself: a page for browsers at /, the API at
/api/v1, metrics for Prometheus at /metrics, which VMs serve at /sd/GROUP, /healthz, which says whether it is connected, and
/readyz, which says whether each group has a fresh sample and a decision that holds. It is a process of its own, so any
number may run, on any host that reaches the bus. What changes something takes a token, and an operator's credentials for
the bus. Beyond loopback, and where not everybody may watch the bus, reading takes a token, too.`),
		Example: "  vmscaler web\n  vmscaler web --http 127.0.0.1:9100 --metrics-per-vm=false",
		Args:    unknownCommand,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	c.bus.connect(cmd)
	c.http.add(cmd)
	c.http.addMetrics(cmd)
	cmd.AddCommand(webTokenCommand(g))
	return cmd
}

// settings are what the file, the environment and the flags say of HTTP.
func (c *webCmd) settings(cmd *cobra.Command) (config.Config, error) {
	cfg, _, err := c.g.addressConfig(cmd.ErrOrStderr())
	if err != nil {
		return cfg, err
	}
	if _, err := c.bus.apply(&cfg); err != nil {
		return cfg, err
	}
	if _, err := c.http.apply(&cfg); err != nil {
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
	warnOfListener(cmd.ErrOrStderr(), cfg, listener.Addr())
	fmt.Fprintf(cmd.ErrOrStderr(), "serving %s/\n", site(cfg, listener.Addr()))
	s := newWeb(c.http, cfg, log, func() []bus.Group { return cfg.Groups }, nil)
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
	conn, r, err := c.g.joinWhenThere(cmd, c.bus, log) //nolint:contextcheck // it is the command's
	switch {
	case ctx.Err() != nil:
		return nil
	case err != nil:
		return err
	}
	defer conn.Close()
	log.Info().Msgf("bus: %s", r.url)
	b := web.Bus{Watch: conn}
	if operator, err := r.join(ctx, bus.RoleOperator, log); err == nil {
		defer operator.Close()
		b.Operator = operator
	} else {
		b.ReadOnly = err.Error()
		log.Info().Err(err).Msg("read-only: what changes something is refused")
	}
	return s.Follow(ctx, b)
}

// newWeb is a server that has no bus yet, with a state folder's tokens; groups are those of the config that hold, templates those
// of the libvirt that this process reaches, nil of one that reaches none.
func newWeb(
	h httpFlags, cfg config.Config, log zerolog.Logger, groups func() []bus.Group,
	templates func(context.Context) ([]web.TemplateState, error),
) *web.Server {
	return web.New(web.Config{
		PerVM: h.perVM, Now: time.Now, Log: log, Tokens: web.Tokens{Dir: web.TokensDir(stateDir(cfg))},
		Closed: cfg.BusTaps == config.No, Cert: cfg.HTTPCert, Key: cfg.HTTPKey,
		Templates: templates, Replay: replayer(groups),
		Explain: func(d *bus.Decision, events []bus.Event) any {
			return explain.New(d, explain.Held(d, events), time.Local)
		},
	})
}
