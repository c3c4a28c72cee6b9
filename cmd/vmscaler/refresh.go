package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/await"
	"github.com/vmscaler/vmscaler/dashboard"
)

// refreshCmd replaces a group's outdated VMs.
type refreshCmd struct {
	g   *globals
	bus busFlags
	asking
	waiting
	pause, resume, cancel, back, all, dry bool
	strategy, minimal, most               string
	surge, healthy                        int
	checkpoints, canary                   string
	delay, bake                           time.Duration
}

func refreshCommand(g *globals) *cobra.Command {
	c := refreshCmd{g: g}
	cmd := &cobra.Command{
		Use:   "refresh GROUP",
		Short: "Replace the VMs of a group that were made from something else than its config says now",
		Long: long(`
Replace the VMs of a group that are outdated: made from another template, or of another size, than its config says now. A new
VM serves before an old one goes, as far as max and --max-surge allow; load comes first. With --minimal-action restart, VMs whose
disks are what the config says, as after a change of memory, vcpus, nics or tags, are restarted with them; --dry-run says which,
and why. It fails when new VMs do, and goes back to the template before. By default a change of the config begins it by itself
(refresh.start: auto); what is not said here is as in the config.`),
		Example: "  vmscaler refresh web --dry-run\n  vmscaler refresh web --checkpoints 10%,50% --bake 5m --wait\n" +
			"  vmscaler refresh web --canary 2\n" +
			"  vmscaler refresh web --all --minimal-action restart\n" +
			"  vmscaler refresh web --cancel",
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.check(); err != nil {
				return err
			}
			o, err := c.order(cmd)
			if err != nil {
				return usageError{err}
			}
			return c.run(cmd, args[0], o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&c.all, "all", false, "also the VMs that are up to date")
	f.StringVar(&c.strategy, "strategy", "", "replace: another VM takes its place; reimage: it gets new disks, and stays what it is")
	f.StringVar(&c.minimal, "minimal-action", "",
		"restart: a VM restarts with its disks where that is enough; replace: --strategy for all")
	f.StringVar(&c.most, "most-disruptive", "", "restart: refuse a refresh in which one needs more than that; replace: allow it")
	f.IntVar(&c.surge, "max-surge", 1, "VMs beyond desired that may be there meanwhile, within max")
	f.IntVar(&c.healthy, "min-healthy", 100, "percent of desired that serve all the time; less lets old VMs go first")
	f.StringVar(&c.checkpoints, "checkpoints", "", "percentages of the group after which it waits, such as 10%,50%")
	f.StringVar(&c.canary, "canary", "0",
		"VMs that are replaced first, or percent of desired such as 20%; then it waits until --resume or --return")
	f.DurationVar(&c.delay, "checkpoint-delay", 0, "for how long it waits there")
	f.DurationVar(&c.bake, "bake", 0, "for how long it goes on watching when all are new")
	f.BoolVar(&c.dry, "dry-run", false, "say what would be replaced, and begin nothing")
	f.BoolVar(&c.pause, "pause", false, "begin no further replacement until --resume")
	f.BoolVar(&c.resume, "resume", false, "go on, also past a checkpoint or a canary")
	f.BoolVar(&c.cancel, "cancel", false, "end it: new VMs that serve stay, and old ones serve on")
	f.BoolVar(&c.back, "return", false, "go back to the template before")
	for _, other := range []string{"pause", "resume", "cancel", "return"} {
		for _, flag := range []string{
			"all", "strategy", "minimal-action", "most-disruptive", "max-surge", "min-healthy", "checkpoints", "canary",
			"checkpoint-delay", "bake", "dry-run",
		} {
			cmd.MarkFlagsMutuallyExclusive(other, flag)
		}
	}
	c.bus.connect(cmd)
	c.addReason(cmd)
	c.addWait(cmd, 0)
	return cmd
}

// order is what the flags want.
func (c *refreshCmd) order(cmd *cobra.Command) (*bus.RefreshOrder, error) {
	chosen := 0
	for _, set := range []bool{c.pause, c.resume, c.cancel, c.back} {
		if set {
			chosen++
		}
	}
	if chosen > 1 {
		return nil, errors.New("found several of --pause, --resume, --cancel and --return, want one at most")
	}
	o := bus.RefreshOrder{
		Action: bus.RefreshBegin, Strategy: bus.RefreshStrategy(c.strategy), All: c.all, DryRun: c.dry,
		MinimalAction: bus.UpdateAction(c.minimal), MostDisruptive: bus.UpdateAction(c.most),
	}
	for action, set := range map[bus.RefreshAction]bool{
		bus.RefreshHold: c.pause, bus.RefreshGoOn: c.resume, bus.RefreshCancel: c.cancel, bus.RefreshReturn: c.back,
	} {
		if set {
			o.Action = action
		}
	}
	for name, d := range map[string]time.Duration{"checkpoint-delay": c.delay, "bake": c.bake} {
		if d < 0 || d > bus.LongestRefreshWait {
			return nil, fmt.Errorf("--%s: found %s, want 0s to %gh", name, d, bus.LongestRefreshWait.Hours())
		}
	}
	changed := cmd.Flags().Changed
	if changed("max-surge") {
		o.MaxSurge = &c.surge
	}
	if changed("min-healthy") {
		o.MinHealthyPercent = &c.healthy
	}
	if changed("canary") {
		vms, percent, err := bus.ParseCanary(c.canary)
		switch {
		case err != nil:
			return nil, fmt.Errorf("--canary: %w", err)
		case percent > 0:
			o.CanaryPercent = &percent
		default:
			o.Canary = &vms
		}
	}
	if changed("checkpoint-delay") {
		o.CheckpointDelayMS = new(c.delay.Milliseconds())
	}
	if changed("bake") {
		o.BakeMS = new(c.bake.Milliseconds())
	}
	if c.checkpoints != "" {
		for _, text := range strings.Split(c.checkpoints, ",") {
			percent, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(text), "%"))
			if err != nil {
				return nil, fmt.Errorf("--checkpoints: found %q, want percentages with commas between, such as 10%%,50%%", text)
			}
			o.Checkpoints = append(o.Checkpoints, percent)
		}
	}
	o.AddCanary()
	return &o, o.Check()
}

func (c *refreshCmd) run(cmd *cobra.Command, group string, o *bus.RefreshOrder) error {
	if err := checkGroup(group); err != nil {
		return err
	}
	conn, err := c.g.joinAs(cmd, c.bus, bus.RoleOperator)
	if err != nil {
		return err
	}
	defer conn.Close()
	q := bus.Query{Group: group, Refresh: o}
	c.sign(&q)
	r, err := ask[bus.Refresh](cmd.Context(), conn, bus.VerbRefresh, q)
	if err != nil {
		return err
	}
	if o.DryRun {
		fmt.Fprintf(cmd.OutOrStdout(), "group %s: a refresh %s\n", group, r.Sentence)
		return nil
	}
	fmt.Fprintf(cmd.OutOrStdout(), "group %s: %s\n", group, dashboard.RefreshText(r, time.Local))
	ends := map[bus.RefreshAction]bus.RefreshPhase{
		bus.RefreshReturn: bus.RefreshFailed, bus.RefreshCancel: bus.RefreshCanceled,
	}
	return c.until(cmd, conn, group, await.Refresh{ID: r.ID, Started: r.Started, Ends: ends[o.Action]})
}
