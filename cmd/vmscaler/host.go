package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/nearest"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
)

func hostCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "host",
		Short: "List the hosts that the groups' VMs run on, let one join, take new VMs or all away from one, or count one no more",
		Args:  unknownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(hostListCommand(g), hostShowCommand(g), hostAddCommand(g), hostJoinCommand(g), hostRemoveCommand(g))
	for _, action := range bus.HostActions() {
		cmd.AddCommand(hostOrderCommand(g, action))
	}
	return cmd
}

// hostOrderCmd is one of the commands host cordon, host drain and host uncordon.
type hostOrderCmd struct {
	g      *globals
	bus    busFlags
	action bus.HostAction
	asking
}

func hostOrderCommand(g *globals, action bus.HostAction) *cobra.Command {
	c := &hostOrderCmd{g: g, action: action}
	texts := map[bus.HostAction][2]string{
		bus.HostCordon: {"Have no new VM made on a host", `
Have no new VM of any group made on a host. Its VMs serve on; one that dies there is replaced on another host. That lasts,
also over changes of the decider, until host uncordon.`},
		bus.HostDrain: {"Have others take the places of a host's VMs, on other hosts", `
Have no new VM made on a host, and others take the places of its VMs on the other hosts: as many at a time as each group's
maintenance lets be replaced, the new ones first, with hooks and drain as always. VMs that a person has set aside stay.
"vmscaler host list" says "drained" once none is left. That lasts, also over changes of the decider, until host uncordon.`},
		bus.HostUncordon: {"Let a host have new VMs again", `
Let a host have new VMs again. VMs that are being replaced already, as it was being drained, are replaced all the same.`},
	}
	cmd := &cobra.Command{
		Use:     string(action) + " HOST",
		Short:   texts[action][0],
		Long:    long(texts[action][1] + "\n\nHOST is its name or its id."),
		Example: "  vmscaler host " + string(action) + " kvm2",
		Args:    exactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd, args[0]) },
	}
	c.bus.connect(cmd)
	c.addReason(cmd)
	return cmd
}

func (c *hostOrderCmd) run(cmd *cobra.Command, name string) error {
	q := bus.Query{Host: name, HostAction: c.action}
	c.sign(&q)
	status, err := askAs[bus.Status](c.g, cmd, c.bus, bus.RoleOperator, bus.VerbHost, q)
	if err != nil {
		return err
	}
	for _, h := range listHosts(status).Rows {
		if h.Name == name || string(h.ID) == name {
			fmt.Fprintf(cmd.OutOrStdout(), "host %s is %s\n", h.Name, h.State)
		}
	}
	return nil
}

// hostShowCmd is the command host show.
type hostShowCmd struct {
	g      *globals
	bus    busFlags
	output printer.Output
}

func hostShowCommand(g *globals) *cobra.Command {
	c := &hostShowCmd{g: g}
	cmd := &cobra.Command{
		Use:     "show HOST",
		Short:   "Show one host: where it stands with each group, since when and why, its room, its clock, and its templates",
		Example: "  vmscaler host show kvm2\n  vmscaler host show kvm2 -o json",
		Args:    exactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd, args[0]) },
	}
	c.bus.connect(cmd)
	c.output.Add(cmd.Flags(), printer.Lists())
	return cmd
}

func (c *hostShowCmd) run(cmd *cobra.Command, name string) error {
	status, err := askAs[bus.Status](c.g, cmd, c.bus, bus.RoleTap, bus.VerbStatus, bus.Query{})
	if err != nil {
		return err
	}
	list := listHosts(status)
	var names []string
	for _, h := range list.Rows {
		names = append(names, h.Name)
	}
	list.Rows = slices.DeleteFunc(list.Rows, func(h hostStatus) bool { return h.Name != name && string(h.ID) != name })
	if len(list.Rows) == 0 {
		return unknown("there is no host %q; there are: %s%s", name, bus.List(names), nearest.Hint(name, names))
	}
	if err := list.Print(cmd.OutOrStdout(), &c.output); err != nil || !c.output.ForPeople() {
		return err
	}
	for _, h := range list.Rows {
		if h.ClusterID != "" || h.Term != 0 {
			fmt.Fprintf(cmd.OutOrStdout(), "cluster %s; acts by term %d\n", cmp.Or(h.ClusterID, "not named yet"), h.Term)
		}
		fmt.Fprintf(cmd.OutOrStdout(), "clock: %s, against the decider's\n", h.clock())
		for _, group := range slices.Sorted(maps.Keys(h.Standings)) {
			s := h.Standings[group]
			fmt.Fprintf(cmd.OutOrStdout(), "group %s: %s since %s: %s\n", group, s.State, s.Since.Local().Format(time.DateTime), s.Reason)
		}
		for _, t := range h.Templates {
			fmt.Fprintln(cmd.OutOrStdout(), bus.Line(t.Sentence()))
		}
	}
	return nil
}

// hostRemoveCmd is the command host remove.
type hostRemoveCmd struct {
	g   *globals
	bus busFlags
	asking
}

func hostRemoveCommand(g *globals) *cobra.Command {
	c := &hostRemoveCmd{g: g}
	cmd := &cobra.Command{
		Use:   "remove HOST",
		Short: "Count the VMs of a host that is gone no more",
		Long: long(`
Count the VMs of a host no more that is gone for good, and let the other hosts have them. A host whose collector falls silent
keeps its VMs in the count, as they may well run, and no VM is scaled in meanwhile; ` + "`vmscaler health`" + ` names it. One that
still sends samples is refused: stop its collector first. A host that comes back after all brings its VMs with it, unless it had
joined by "vmscaler host join": its key is worth nothing any more, if the command runs on the bus's machine.

HOST is its name, the one by which it has joined, or its id; of several hosts of one name it is the silent one.`),
		Example: "  vmscaler host remove kvm2",
		Args:    exactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd, args[0]) },
	}
	c.bus.connect(cmd)
	c.addReason(cmd)
	return cmd
}

func (c *hostRemoveCmd) run(cmd *cobra.Command, name string) error {
	r, err := c.g.find(cmd, c.bus)
	if err != nil {
		return err
	}
	agent, joined := agentOf(r.stateDir, name)
	q := bus.Query{Host: name}
	if joined { // its libvirt's host may have another name than the one it has joined by
		q.Host = string(agent.HostID)
	}
	c.sign(&q)
	_, err = askAs[bus.Status](c.g, cmd, c.bus, bus.RoleOperator, bus.VerbForget, q)
	var refused *bus.RefusedError
	if neverSeen := errors.As(err, &refused) && refused.Code == bus.RefusedUnknown; err != nil && (!neverSeen || !joined) {
		return err
	}
	if !joined {
		fmt.Fprintf(cmd.OutOrStdout(), "host %s is forgotten\n", name)
		return nil
	}
	if _, err := server.RemoveAgent(r.stateDir, agent.Name); err != nil {
		return fmt.Errorf("take the right of host %s away: %w", name, err)
	}
	fmt.Fprintf(cmd.OutOrStdout(), "host %s is forgotten, and its key is worth nothing any more\n", name)
	return nil
}

// agentOf is the agent of a name or of a host's id, where the bus is one of this machine whose state folder this user may read.
func agentOf(stateDir, name string) (server.Agent, bool) {
	if _, runs := server.FindState(stateDir); !runs {
		return server.Agent{}, false
	}
	agents, _ := server.Agents(stateDir) // what cannot be read has no right to take away
	i := slices.IndexFunc(agents, func(a server.Agent) bool { return a.Name == name || string(a.HostID) == name })
	if i < 0 {
		return server.Agent{}, false
	}
	return agents[i], true
}
