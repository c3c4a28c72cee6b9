package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/schedule"
)

// scheduleAddCmd is the command schedule add.
type scheduleAddCmd struct {
	control
	cmd                *cobra.Command
	action             bus.ScheduledAction
	least, most, wants int
}

func scheduleAddCommand(g *globals) *cobra.Command {
	c := &scheduleAddCmd{control: control{g: g, verb: bus.VerbSchedule}}
	c.cmd = &cobra.Command{
		Use:   "add GROUP NAME",
		Short: "Add an action to the schedule of a running group, or change one that was added",
		Long: long(`
Add an action to the schedule of a running group, beside those of its config and checked like them; one that was added under the
same name is replaced. It sets what of --min, --max and --desired is given at each moment of --at. Without --from it counts from
now on, so that nothing changes until it is due. It lasts until ` +
			"`vmscaler schedule rm`" + `, also when vmscaler is started
again or reads another config.`),
		Example: "  vmscaler schedule add web morning --at '0 8 * * MON-FRI' --zone Europe/Berlin --min 3\n" +
			"  vmscaler schedule add web launch --at 2026-12-24T18:00 --min 5 --desired 5 --reason 'the launch'",
		Args: exactArgs(2),
	}
	f := c.cmd.Flags()
	f.StringVar(&c.action.At, "at", "", "when: minute, hour, day of the month, month and day of the week; or as 2026-12-24T18:00")
	f.StringVar(&c.action.Zone, "zone", "UTC", "the time zone of --at, --from and --until")
	f.StringVar(&c.action.From, "from", "", "from when on it counts, such as 2026-12-01")
	f.StringVar(&c.action.Until, "until", "", "until when it counts, such as 2026-12-24")
	f.IntVar(&c.least, "min", 0, "the min that holds from then on")
	f.IntVar(&c.most, "max", 0, "the max that holds from then on")
	f.IntVar(&c.wants, "desired", 0, "the number of VMs that the group wants then")
	return c.command(c.cmd, c.validate)
}

func (c *scheduleAddCmd) validate(args []string) error {
	for name, to := range map[string]struct {
		n     **int
		given *int
	}{"min": {&c.action.Min, &c.least}, "max": {&c.action.Max, &c.most}, "desired": {&c.action.Desired, &c.wants}} {
		if c.cmd.Flags().Changed(name) {
			*to.n = to.given
		}
	}
	if err := bus.CheckActionName(args[1]); err != nil {
		return usageError{err}
	}
	if _, err := schedule.Added(c.action, time.Now()); err != nil {
		return usageError{err}
	}
	c.query.Group, c.query.Schedule = args[0], &bus.ScheduleOrder{Put: map[string]bus.ScheduledAction{args[1]: c.action}}
	return checkGroup(args[0])
}

// scheduleRmCmd is the command schedule rm.
type scheduleRmCmd struct{ control }

func scheduleRmCommand(g *globals) *cobra.Command {
	c := &scheduleRmCmd{control{g: g, verb: bus.VerbSchedule}}
	return c.command(&cobra.Command{
		Use:   "rm GROUP NAME...",
		Short: "Remove actions that were added to the schedule of a running group",
		Long: long(`
Remove actions that were added to the schedule of a running group. The min and max that they have set hold no more; those
that the rest of the schedule has set do. Actions of the config are removed there.`),
		Example: "  vmscaler schedule rm web morning",
		Args:    argsBetween(2, -1),
	}, c.validate)
}

func (c *scheduleRmCmd) validate(args []string) error {
	for _, name := range args[1:] {
		if err := bus.CheckActionName(name); err != nil {
			return usageError{err}
		}
	}
	c.query.Group, c.query.Schedule = args[0], &bus.ScheduleOrder{Remove: args[1:]}
	return checkGroup(args[0])
}
