package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/membership"
)

// agentCmd is the command agent.
type agentCmd struct {
	g    *globals
	bus  busFlags
	otlp otlpFlag
}

func agentCommand(g *globals) *cobra.Command {
	c := &agentCmd{g: g}
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Run what a host of a fleet needs: collector and actuator, on a bus of another process",
		Long: `Run what a host of a fleet needs: collector and actuator in one process, with one key that speaks for this host
alone.
It joins the bus that "vmscaler host join" has made this host a member of, the one that --nats-url names, or else the one of this
machine, with the keys of that. It may be started before the bus, waits for it and for libvirt, and goes on by itself when they
come back. All hosts must read the same groups.`,
		Example: "  vmscaler agent\n  vmscaler agent -c /etc/vmscaler/vmscaler.yaml --state-dir /var/lib/vmscaler",
		Args:    exactArgs(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	c.bus.add(cmd, "bus-listen")
	c.otlp.add(cmd)
	return cmd
}

func (c *agentCmd) run(cmd *cobra.Command) error {
	traces, err := c.otlp.target()
	if err != nil {
		return err
	}
	cfg, err := c.g.busConfig(cmd, c.bus)
	if err == nil {
		err = asMember(&cfg)
	}
	if err != nil {
		return err
	}
	return c.g.run(cmd.Context(), cfg, runOptions{
		command: "vmscaler agent", stages: []string{app.StageCollector, app.StageActuator}, read: c.g.reader(c.bus, asMember),
		overlay: asMember, agent: true, otlp: traces,
	})
}

// asMember puts over the config where the bus is that this host has joined, unless a bus is named. What the file says of a server
// of this host's own is of no use to an agent: it may be the file of the host with the bus.
func asMember(cfg *config.Config) error {
	if cfg.BusURL != "" {
		return nil
	}
	m, joined, err := membership.Load(stateDir(*cfg))
	if err != nil {
		return fmt.Errorf("membership: %w", err)
	}
	if !joined {
		return nil
	}
	to := m.Remote(stateDir(*cfg))
	cfg.BusListen, cfg.BusURL, cfg.BusNkey, cfg.BusCA = "", to.URL, to.Nkey, to.CA
	cfg.BusCreds, cfg.BusCert, cfg.BusKey, cfg.BusCluster = "", "", "", config.BusCluster{}
	return nil
}

// agentRemote is how the stages of an agent reach the bus: with its one key, for its own host alone. Without a key of its own
// it is on the bus's machine, and has those of its stages.
func agentRemote(cfg config.Config, id bus.HostID) func(role string) client.Remote {
	of := remote(cfg)
	if cfg.BusNkey == "" && cfg.BusCreds == "" {
		return of
	}
	return func(string) client.Remote {
		r := of(string(bus.RoleAgent))
		r.Host = id
		return r
	}
}
