package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/await"
)

// launchCmd is the command launch.
type launchCmd struct {
	g   *globals
	bus busFlags
	asking
	waiting
	query bus.Query
}

func launchCommand(g *globals) *cobra.Command {
	c := &launchCmd{g: g}
	cmd := &cobra.Command{
		Use:   "launch GROUP",
		Short: "Launch so many more VMs of a group, on a host of your choice",
		Long: long(`
Launch so many more VMs of a group, on a host of your choice or on the best ones, and print the name and the host of each. It
is all of them or none: where one cannot be, such as beyond max or on a host without room, it says why. With --wait they
serve when it ends, or it says what has failed. The group's policy goes on from there, and may want fewer again; ` +
			"`vmscaler scale`" + `
holds a number. A VM that comes from the warm pool keeps its name, and is printed without.`),
		Example: "  vmscaler launch web\n  vmscaler launch web --count 2 --host kvm2 --wait --reason 'the launch'",
		Args:    exactArgs(1),
		RunE:    checked(c.validate, c.run),
	}
	cmd.Flags().IntVar(&c.query.Count, "count", 1, "how many")
	cmd.Flags().StringVar(&c.query.Host, "host", "", "the name or id of the host (default: the best ones)")
	c.addReason(cmd)
	c.addWait(cmd, waitAtMost)
	c.bus.connect(cmd)
	return cmd
}

func (c *launchCmd) validate(args []string) error {
	if c.query.Count < 1 || c.query.Count > bus.MaxLaunch {
		return usageError{fmt.Errorf("--count: found %d, want 1 to %d", c.query.Count, bus.MaxLaunch)}
	}
	if err := c.check(); err != nil {
		return err
	}
	c.query.Group = args[0]
	return checkGroup(c.query.Group)
}

// run asks the decider that leads, and prints what is to come; with --wait until it serves, or has failed.
func (c *launchCmd) run(cmd *cobra.Command) error {
	c.sign(&c.query)
	conn, err := c.g.joinAs(cmd, c.bus, bus.RoleOperator)
	if err != nil {
		return err
	}
	defer conn.Close()
	events := make(chan bus.Event, 1024)
	if c.on {
		if err := client.SubscribeNewest(conn, bus.EventsOf(c.query.Group), events); err != nil {
			return err
		}
	}
	answer, err := ask[bus.Launch](cmd.Context(), conn, bus.VerbLaunch, c.query)
	if err != nil {
		return err
	}
	var goals []await.Condition
	for _, vm := range answer.VMs {
		if vm.VM != "" {
			goals = append(goals, await.Phase{VM: vm.VM, Phase: bus.PhaseReady})
		}
		fmt.Fprintf(cmd.OutOrStdout(), "group %s: %s on %s\n", answer.Group, orFromPool(vm.VM), vm.Host)
	}
	if len(goals) < len(answer.VMs) {
		goals = append(goals, await.Ready{VMs: answer.Desired, OrMore: true})
	}
	err = c.until(cmd, conn, c.query.Group, goals...)
	if failed := launchFailures(answer, events); err != nil && failed != "" {
		err = fmt.Errorf("%w; %s", err, failed)
	}
	return err
}

func orFromPool(name string) string {
	if name == "" {
		return "a VM, which may come from the warm pool,"
	}
	return name
}

// launchFailures are why VMs that were launched do not serve, as the events say that have come since; "" where none says so.
func launchFailures(l bus.Launch, events <-chan bus.Event) string {
	newest := map[string]string{}
	for len(events) > 0 {
		e := <-events
		asked := slices.ContainsFunc(l.VMs, func(vm bus.Launched) bool { return vm.VM == e.VM })
		if asked && e.Event == bus.EventFailed {
			newest[e.VM] = strings.TrimSuffix(fmt.Sprintf("%s: %s: %s", e.VM, e.Sentence, e.Error), ": ")
		}
	}
	var all []string
	for _, vm := range l.VMs {
		if why := newest[vm.VM]; why != "" {
			all = append(all, why)
		}
	}
	return strings.Join(all, "; ")
}
