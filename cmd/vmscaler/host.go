package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
)

func hostCommand(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "host",
		Short: "List the hosts that the groups' VMs run on, or count one that is gone no more",
		Args:  unknownCommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(hostListCommand(g), hostRemoveCommand(g))
	return cmd
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
still sends samples is refused: stop its collector first. A host that comes back after all brings its VMs with it.

HOST is its name or its id; of several hosts of one name it is the silent one.`),
		Example: "  vmscaler host remove kvm2",
		Args:    exactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd, args[0]) },
	}
	c.bus.connect(cmd)
	c.addReason(cmd)
	return cmd
}

func (c *hostRemoveCmd) run(cmd *cobra.Command, name string) error {
	q := bus.Query{Host: name}
	c.sign(&q)
	if _, err := askAs[bus.Status](c.g, cmd, c.bus, bus.RoleOperator, bus.VerbForget, q); err != nil {
		return err
	}
	fmt.Fprintf(cmd.OutOrStdout(), "host %s is forgotten\n", name)
	return nil
}
