package main

import (
	"context"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/web"
	"github.com/vmscaler/vmscaler/decider/simulate"
)

// replayer replays a group's past for what is served over HTTP, by its own policy, by its shadows, and beside what it did: as
// `vmscaler simulate --history`, with one run at a time, as stages may share the process.
func replayer(groups func() []bus.Group) func(context.Context, string, []bus.Demand, time.Duration) (web.Replay, error) {
	return func(ctx context.Context, group string, minutes []bus.Demand, boot time.Duration) (web.Replay, error) {
		all := groups()
		i := slices.IndexFunc(all, func(g bus.Group) bool { return g.Name == group })
		if i < 0 {
			return web.Replay{}, bus.Refuse(bus.RefusedUnknown, "the config of this process has no group %s", group)
		}
		trace, gaps, err := simulate.History(group, minutes)
		if err != nil {
			return web.Replay{}, bus.Refuse(bus.RefusedState, "%s", err)
		}
		spec := all[i]
		params := simulate.Reference()
		params.Own, params.Start = &spec, minutes[0].Time
		params.Min, params.Max = max(1, spec.Min), spec.Max // what wakes a group is not in its load
		plan := simulate.Plan{
			Traces: []simulate.Trace{trace}, Policies: []string{"recorded", "own"}, Boots: []time.Duration{boot}, Seeds: 1,
			Params: params, AtOnce: 1,
		}
		for _, kind := range spec.Policy.Shadow {
			plan.Policies = append(plan.Policies, simulate.OwnAs(kind))
		}
		results, err := simulate.Compare(ctx, plan)
		if err != nil {
			return web.Replay{}, err
		}
		replay := web.Replay{
			Group: group, From: minutes[0].Time, Minutes: int(trace.Length().Round(time.Minute).Minutes()),
			UnknownPercent: 100 * gaps.Unknown, SaturatedPercent: 100 * gaps.Saturated,
		}
		for _, r := range results {
			m := r.Metrics
			replay.Policies = append(replay.Policies, web.Replayed{
				Policy: r.Policy, VMHours: m.VMHours, ActionsPerHour: m.Actions, LostPercent: m.LostPercent, HighPercent: m.HighPercent,
				Cost: m.Cost,
			})
		}
		return replay, nil
	}
}
