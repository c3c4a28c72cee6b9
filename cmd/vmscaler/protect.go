package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// protectCmd is the command protect.
type protectCmd struct {
	g *globals
	asking
	off bool
}

func protectCommand(g *globals) *cobra.Command {
	c := &protectCmd{g: g}
	cmd := &cobra.Command{
		Use:   "protect VM",
		Short: "Keep a VM from being chosen for scaling in, until it is taken back with --off",
		Long: long(`
Keep a VM from being chosen for scaling in, until it is taken back with --off. The mark is in the domain's metadata, so it
outlives vmscaler, and this works straight on libvirt, with no config and no bus. Who has set it or taken it back, and why,
is noted there, too, and a vmscaler that runs publishes it as the event "ordered". A VM that drains, for scaling in or
a refresh, serves again; once it is off it is too late, and refused. A VM that dies is replaced all the
same, and ` + "`vmscaler down`" + ` removes it.`),
		Example: "  vmscaler protect web-1 --reason 'I debug it'\n  vmscaler protect web-1 --off",
		Args:    exactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return c.run(cmd, args[0]) },
	}
	addContext(cmd)
	c.addReason(cmd)
	cmd.Flags().BoolVar(&c.off, "off", false, "it may be chosen again")
	return cmd
}

func (c *protectCmd) run(cmd *cobra.Command, name string) error {
	hv, one, err := c.g.findVM(cmd, name)
	if err != nil {
		return err
	}
	defer hv.close()
	err = vm.Protect(hv.conn, one, bus.Protection{On: !c.off, By: whoAsks(), Reason: string(c.reason)})
	switch {
	case errors.Is(err, vm.ErrTooLate):
		return refused("%s", err)
	case err != nil:
		return err
	case c.off:
		fmt.Fprintf(cmd.OutOrStdout(), "%s: not protected any more\n", name)
	default:
		fmt.Fprintf(cmd.OutOrStdout(), "%s: protected%s\n", name, inSpiteOf(one))
	}
	return nil
}

// inSpiteOf is what a VM that was protected may still go by, "" where nothing is under way.
func inSpiteOf(one vm.VM) string {
	switch {
	case one.Order.Leaves():
		return "; it goes all the same, as was asked for " + bus.Attribution(one.Order.By, one.Order.Reason)
	case one.Meta.Phase == bus.PhaseDraining:
		return "; it is draining, and stays if its guest is not being shut down yet"
	}
	return ""
}

// notOneVM refuses a group where one of its VMs is wanted.
func notOneVM(group string, vms []vm.VM) error {
	names := make([]string, len(vms))
	for i := range vms {
		names[i] = vms[i].Name
	}
	return usageError{fmt.Errorf("VM: found the group %s, want one of its VMs: %s", group, strings.Join(names, ", "))}
}
