package main

import (
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/dashboard/metrics"
)

// metricsListen is where the figures are served without --listen.
const metricsListen = "127.0.0.1:9464"

// metricsCmd is the command metrics.
type metricsCmd struct {
	g      *globals
	bus    busFlags
	listen string
	perVM  bool
}

func metricsCommand(g *globals) *cobra.Command {
	c := &metricsCmd{g: g}
	cmd := &cobra.Command{
		Use:   "metrics",
		Short: "Serve what a running vmscaler does to Prometheus",
		Long: long(`
Serve what a running vmscaler does to Prometheus: groups, VMs, decisions, launches, hosts and stages, at /metrics. It is a
process of its own, which only listens on the bus, so any number may run, on any host that reaches it. /healthz says whether
it is connected, and /readyz whether each group has a fresh sample and a decision that holds. docs/metrics.md has the list.`),
		Example: "  vmscaler metrics\n  vmscaler metrics --listen 127.0.0.1:9100 --per-vm=false",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := c.validate(); err != nil {
				return err
			}
			return c.run(cmd)
		},
	}
	c.bus.add(cmd, "bus-listen")
	cmd.Flags().StringVar(&c.listen, "listen", metricsListen, "address to serve on")
	cmd.Flags().BoolVar(&c.perVM, "per-vm", true, "also serve each VM's figures, three series a VM")
	return cmd
}

func (c *metricsCmd) validate() error {
	if _, _, err := net.SplitHostPort(c.listen); err != nil {
		return usageError{fmt.Errorf("--listen: found %q, want an address such as %s", c.listen, metricsListen)}
	}
	return nil
}

func (c *metricsCmd) run(cmd *cobra.Command) error {
	log, err := c.g.logger(cmd.ErrOrStderr(), false)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	if a, is := listener.Addr().(*net.TCPAddr); is && !a.IP.IsLoopback() {
		log.Warn().Msgf("whoever reaches %s can read the names and the load of all groups and VMs", a)
	}
	conn, url, err := c.g.joinWhenThere(cmd, c.bus, log)
	if err != nil {
		_ = listener.Close()
		return err
	}
	defer conn.Close()
	log.Info().Str("bus", url).Msgf("serving http://%s/metrics", listener.Addr())
	return metrics.NewServer(conn, metrics.NewExporter(c.perVM, time.Now), log).Run(cmd.Context(), listener)
}
