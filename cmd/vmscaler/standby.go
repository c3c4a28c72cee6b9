package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
)

func standbyCommand(g *globals) *cobra.Command {
	c := &standbyCmd{vmVerb: vmVerb{g: g, verb: bus.VMStandby}}
	cmd := c.command(&cobra.Command{
		Short: "Take one VM out of service for a while: it runs on, or rests suspended or stopped",
		Long: long(`
Take one VM out of service, and leave it running, or with --suspend paused, or with --stop shut down: its remove hook runs,
so that a load balancer sends it nothing more, and from then on it counts neither in the average nor as capacity; it is not
scaled in, not repaired and not refreshed, whatever state it comes to be in. It counts toward the group's max, as it is still the
group's. Another VM takes its place, if max has room for it; with --keep-size=false none does, and the group wants one VM
less.
` + "`vmscaler resume VM`" + ` has it serve again.`),
		Example: "  vmscaler standby web-2 --reason 'looking at its memory'\n  vmscaler standby web-2 --keep-size=false\n" +
			"  vmscaler standby web-2 --stop",
	})
	cmd.Flags().BoolVar(&c.query.KeepSize, "keep-size", true, "another takes its place")
	cmd.Flags().BoolVar(&c.suspend, "suspend", false, "suspend it then: it keeps its memory, and does nothing")
	cmd.Flags().BoolVar(&c.stop, "stop", false, "shut its guest down then: it takes disks alone")
	cmd.MarkFlagsMutuallyExclusive("suspend", "stop")
	cmd.RunE = checked(c.validate, c.run)
	return cmd
}

// standbyCmd is the command standby.
type standbyCmd struct {
	vmVerb
	suspend, stop bool
}

func (c *standbyCmd) validate(args []string) error {
	switch {
	case c.suspend:
		c.query.Rest = bus.RestSuspend
	case c.stop:
		c.query.Rest = bus.RestStop
	}
	return c.vmVerb.validate(args)
}

func detachCommand(g *globals) *cobra.Command {
	c := &vmVerb{g: g, verb: bus.VMDetach}
	cmd := c.command(&cobra.Command{
		Short: "Give one VM away as it is: it becomes a domain of yours, with its disks",
		Long: long(`
Give one VM away as it is: its remove hook runs, and then nothing of vmscaler's is in its metadata, and no record that its
disks might be deleted. Nothing else of it changes: it runs on, its disks still need the template, and its name is avoided
by the group's new VMs. The group wants one VM less from now on; with --keep-size another takes its place.`),
		Example: "  vmscaler detach web-2\n  vmscaler detach web-2 --keep-size --reason 'to be looked at'",
	})
	cmd.Flags().BoolVar(&c.query.KeepSize, "keep-size", false, "another takes its place")
	return cmd
}

// resumeCmd is the command resume: of what is paused of a group, or of a VM that stands by.
type resumeCmd struct {
	scopesCmd
	vm vmVerb
}

func resumeCommand(g *globals) *cobra.Command {
	c := &resumeCmd{scopesCmd{control{g: g, verb: bus.VerbResume}}, vmVerb{g: g, verb: bus.VMExitStandby}}
	cmd := &cobra.Command{
		Short: "Take back what was paused of a group, or have a VM serve again that stands by",
		Long: long(`
Take back what was paused of a group; without a scope all of it. Or have a VM serve again that stands by: one that is suspended
or off is woken; it must be ready, pass the group's checks, and be let go on by its launch hook, as one that was just launched.
The group wants one VM more from then on, as far as its max lets it; with --keep-size it keeps its size, and another VM may go
for it.`),
		Example: "  vmscaler resume web\n  vmscaler resume web repair\n  vmscaler resume web-2",
	}
	cmd.Use = "resume GROUP|VM [" + strings.Join(scopeNames(), "|") + "]..."
	cmd.Args = scopesArgs
	cmd.Flags().BoolVar(&c.vm.query.KeepSize, "keep-size", false, "of a VM: the group keeps its size")
	cmd.Flags().StringVar(&c.vm.query.Group, "group", "", "of a VM: its group (default: whichever has a VM of that name)")
	c.vm.addWait(cmd, waitAtMost)
	cmd = c.command(cmd, c.validate)
	cmd.RunE = checked(c.validate, c.run)
	return cmd
}

func (c *resumeCmd) validate(args []string) error {
	if !isVM(args[0]) {
		switch {
		case c.vm.query.KeepSize:
			return usageError{errors.New("--keep-size: found it with a group, want it with a VM")}
		case c.vm.query.Group != "":
			return usageError{errors.New("--group: found it with a group, want it with a VM")}
		case c.vm.on:
			return usageError{errors.New("--wait: found it with a group, want it with a VM")}
		}
		return c.scopesCmd.validate(args)
	}
	if len(args) > 1 {
		return usageError{errors.New("scope: found one with a VM, want it with a group")}
	}
	return c.vm.validate(args)
}

func (c *resumeCmd) run(cmd *cobra.Command) error {
	if c.vm.query.VM == "" {
		return c.scopesCmd.run(cmd)
	}
	c.vm.bus, c.vm.asking = c.bus, c.asking
	return c.vm.run(cmd)
}

// isVM reports whether a name is that of a VM: no group's name ends in a number.
func isVM(name string) bool {
	i := strings.LastIndexByte(name, '-')
	if i < 0 {
		return false
	}
	_, is := bus.VMNumber(name[:i], name)
	return is
}
