package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/decider/simulate"
)

// replay makes a plan of a group's recorded past.
func (c *simulateCmd) replay(cmd *cobra.Command) error {
	group, since := c.history, c.since.at
	if err := bus.CheckGroupName(group); err != nil {
		return usageError{fmt.Errorf("--history: %w", err)}
	}
	if ago := time.Since(since); ago < time.Minute {
		return usageError{fmt.Errorf("--since: found %s ago, want at least 1m", ago.Round(time.Second))}
	}
	if err := c.configured(cmd); err != nil {
		return err
	}
	conn, err := c.g.joinAs(cmd, c.bus, bus.RoleOperator)
	if err != nil {
		return err
	}
	defer conn.Close()
	var minutes []bus.Demand
	err = client.ReadDemand(cmd.Context(), conn, group, since, func(m bus.Demand) error {
		minutes = append(minutes, m)
		return nil
	})
	if errors.Is(err, client.ErrNoHistory) {
		return fmt.Errorf("%w: its NATS server has no JetStream, or no actuator has run on it yet", err)
	} else if err != nil {
		return err
	}
	trace, gaps, err := simulate.History(group, minutes)
	if err != nil {
		return err
	}
	c.plan.Traces, c.plan.Params.Start = []simulate.Trace{trace}, minutes[0].Time
	if !cmd.Flags().Changed("boot") {
		ctx, cancel := context.WithTimeout(cmd.Context(), answerWithin)
		defer cancel()
		d, err := client.Ask[bus.Decision](ctx, conn, bus.VerbExplain, bus.Query{Group: group})
		if err == nil && d.Inputs.BootMS >= 1000 {
			c.plan.Boots = []time.Duration{(time.Duration(d.Inputs.BootMS) * time.Millisecond).Round(time.Second)}
		}
	}
	c.describe(cmd.ErrOrStderr(), trace, minutes[0].Time, gaps)
	return nil
}

// configured takes what the config has of the group that is replayed.
func (c *simulateCmd) configured(cmd *cobra.Command) error {
	cfg, err := c.g.loadConfig(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	i := slices.IndexFunc(cfg.Groups, func(spec bus.Group) bool { return spec.Name == c.history })
	if i < 0 {
		return fmt.Errorf("--history: %w", noGroup("the config", c.history, groupNames(cfg.Groups)))
	}
	world := &c.plan.Params
	world.Own = &cfg.Groups[i]
	if (cmd.Flags().Changed("min") || cmd.Flags().Changed("max")) && len(world.Own.Schedule) > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "%s: its own policy has min and max of its schedule where that sets them, not those of the "+
			"command line\n",
			c.history)
	}
	if !cmd.Flags().Changed("min") {
		world.Min = max(1, cfg.Groups[i].Min) // what wakes a group is not in its load
	}
	if !cmd.Flags().Changed("max") {
		world.Max = cfg.Groups[i].Max
	}
	if world.Min > world.Max {
		return usageError{fmt.Errorf("--min and --max: found %d and %d, want min at most max", world.Min, world.Max)}
	}
	return nil
}

// describe reports what is replayed, and how much of it is known.
func (c *simulateCmd) describe(stderr io.Writer, trace simulate.Trace, from time.Time, gaps simulate.Gaps) {
	group := c.history
	fmt.Fprintf(stderr, "%s: %s from %s, boot %s, min %d, max %d\n", group, trace.Length(), from.Local().Format(time.DateTime),
		c.plan.Boots[0], c.plan.Params.Min, c.plan.Params.Max)
	if own := c.plan.Params.Own; own != nil && own.Min == 0 {
		fmt.Fprintf(stderr, "%s: its min is 0; here it has one VM at least, as what wakes a group is not in its load\n", group)
	}
	if gaps.Unknown > 0.01 {
		fmt.Fprintf(stderr, "%s: nothing is known of %.0f %% of that time; the load before it stands there\n", group, 100*gaps.Unknown)
	}
	if gaps.Saturated > 0.01 {
		fmt.Fprintf(stderr, "%s: in %.0f %% of that time its VMs were full, so that more may have been asked than this replays\n",
			group, 100*gaps.Saturated)
	}
}
