package decider

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// refresh is what becomes of a group's refresh in this evaluation. The spec's own changes begin one, unless they have been
// tried already.
func (s situation) refresh(v verdict) *bus.Refresh {
	was := begun(s.state.Refresh, s.now)
	if was == nil && !s.obs.noted() {
		return nil
	}
	f := s.refreshFacts(was.Build(s.spec))
	switch changed := was == nil || was.Machine != s.spec.MachineHash(); {
	case !v.hasSample || v.rule == bus.RuleMismatch:
		return was
	case f.complete && s.due(f):
		next := newRefresh(s.spec, &bus.RefreshOrder{}, "config", f, s.now)
		if why := f.forbidden(*next); why != "" {
			return entering(*next, bus.RefreshFailed, why+"; what is old serves on", s.now)
		}
		return next
	case changed && was.Active():
		return entering(*was, bus.RefreshCanceled, "the group's spec has changed again", s.now)
	case changed:
		return nil // what became of another spec is over
	case !was.Active():
		return was
	}
	next := stepRefresh(*was, s.spec, f, v.desired, s.now)
	return &next
}

// due reports whether the spec's changes begin a refresh by themselves, once nothing is missing of the hosts.
func (s situation) due(f refreshFacts) bool {
	was := s.state.Refresh
	changed := was == nil || was.Machine != s.spec.MachineHash()
	return changed && s.spec.Refresh.Start == bus.RefreshAuto && f.staying > 0 && !s.state.Controls.IsPaused(bus.ScopeRepair)
}

// newRefresh begins a refresh by a group's spec and what an order says beyond it.
func newRefresh(spec bus.Group, o *bus.RefreshOrder, by string, f refreshFacts, now time.Time) *bus.Refresh {
	p := spec.Refresh
	r := bus.Refresh{
		ID: fmt.Sprintf("%s-refresh-%d", spec.Name, now.UnixMilli()), Phase: bus.RefreshRunning, Strategy: p.Strategy,
		MinimalAction: p.MinimalAction, MostDisruptive: p.MostDisruptive,
		Machine: spec.MachineHash(), From: f.from, Total: f.kept + f.retiring,
		Updated: f.updated, Outdated: f.staying + f.retiring,
		MaxSurge:          p.MaxSurge,
		MinHealthyPercent: p.MinHealthyPercent, Checkpoints: slices.Clone(p.Checkpoints),
		Canary: p.Canary, CanaryPercent: p.CanaryPercent,
		CheckpointDelayMS: p.CheckpointDelay.Milliseconds(), BakeMS: p.Bake.Milliseconds(),
		By: by, Started: now.UTC(), Since: now.UTC(),
	}
	if r.MaxSurge == bus.FromMaintenance {
		r.MaxSurge = spec.Maintenance.Surge(r.Total)
	}
	if r.MinHealthyPercent == bus.FromMaintenance {
		r.MinHealthyPercent = spec.Maintenance.MinHealthyPercent
	}
	if o.Strategy != "" {
		r.Strategy = o.Strategy
	}
	if o.MinimalAction != "" {
		r.MinimalAction = o.MinimalAction
	}
	if o.MostDisruptive != "" {
		r.MostDisruptive = o.MostDisruptive
	}
	if o.All {
		r.Before = new(now.UTC())
	}
	for _, set := range []struct {
		to   *int
		from *int
	}{{&r.MaxSurge, o.MaxSurge}, {&r.MinHealthyPercent, o.MinHealthyPercent}} {
		if set.from != nil {
			*set.to = *set.from
		}
	}
	if o.Checkpoints != nil {
		r.Checkpoints = slices.Clone(o.Checkpoints)
	}
	if o.Canary != nil {
		r.Canary, r.CanaryPercent = *o.Canary, 0
	}
	if o.CanaryPercent != nil {
		r.Canary, r.CanaryPercent = 0, *o.CanaryPercent
	}
	if o.CheckpointDelayMS != nil {
		r.CheckpointDelayMS = *o.CheckpointDelayMS
	}
	if o.BakeMS != nil {
		r.BakeMS = *o.BakeMS
	}
	number(&r, r.Total)
	return &r
}

// entering is a refresh that enters a phase now, with why.
func entering(r bus.Refresh, phase bus.RefreshPhase, why string, now time.Time) *bus.Refresh {
	r.Phase, r.Sentence, r.Since = phase, why, now.UTC()
	return &r
}

// stepRefresh is a refresh after one look at its group.
func stepRefresh(r bus.Refresh, spec bus.Group, f refreshFacts, desired int, now time.Time) bus.Refresh {
	r.Updated, r.Outdated = f.updated, f.staying+f.retiring
	number(&r, desired)
	// One that keeps a canary is not over by itself, also while the group is so small that all of it is new.
	over := done(f, desired) && !r.KeepsShare(spec)
	if r.Phase == bus.RefreshPaused && !over {
		r.Sentence = progressOf(r)
		return r
	}
	if r.Phase == bus.RefreshReturning || r.Phase == bus.RefreshPaused && r.Returned {
		if over {
			return *entering(r, bus.RefreshFailed, "the group is back at template "+r.From, now)
		}
		r.Sentence = fmt.Sprintf("going back to template %s: %s", r.From, progressOf(r))
		return r
	}
	r.Failures += f.failures
	r.Alarms = alarms(r.Alarms, spec.Refresh, f.average)
	if why := failing(r, spec, f); why != "" {
		return failRefresh(r, spec, why, now)
	}
	if f.clocks != "" {
		r.Sentence = progressOf(r) + "; waits, as it is not known yet how far the clocks of these hosts are off: " + f.clocks
	}
	if !f.complete {
		return r
	}
	enter := func(phase bus.RefreshPhase) {
		if r.Phase != phase {
			r.Phase, r.Since = phase, now.UTC()
		}
	}
	waited, canary := now.Sub(r.Since), r.CanaryOf(desired)
	waits := canary > 0 || r.KeepsShare(spec)
	switch {
	case r.Phase == bus.RefreshCheckpoint && waited < time.Duration(r.CheckpointDelayMS)*time.Millisecond:
	case over && r.Phase == bus.RefreshBaking && waited >= time.Duration(r.BakeMS)*time.Millisecond,
		over && r.BakeMS == 0:
		enter(bus.RefreshDone)
	case over:
		enter(bus.RefreshBaking)
	case waits && f.retiring == 0 && (f.updated >= max(1, canary) || r.Phase == bus.RefreshCanary && f.fresh() >= canary):
		enter(bus.RefreshCanary)
	case len(r.Checkpoints) > 0 && f.updated >= upTo(r, desired) && f.retiring == 0:
		r.Checkpoints = r.Checkpoints[1:]
		enter(bus.RefreshCheckpoint)
	default:
		enter(bus.RefreshRunning)
	}
	r.Sentence = sentenceOf(r, f, spec, desired)
	return r
}

// done reports whether all VMs of a group that is complete are up to date.
func done(f refreshFacts, desired int) bool {
	return f.complete && f.staying == 0 && f.retiring == 0 && f.updated >= desired
}

// alarms counts evaluations in a row above the alarm's CPU; one without a reading says nothing.
func alarms(before int, p bus.RefreshSpec, average *float64) int {
	switch {
	case p.AlarmPercent == 0:
		return 0
	case average == nil:
		return before
	case *average > float64(p.AlarmPercent):
		return before + 1
	}
	return 0
}

// failing is why a refresh has failed, "" if it has not.
func failing(r bus.Refresh, spec bus.Group, f refreshFacts) string {
	switch p := spec.Refresh; {
	case r.Failures > p.MaxFailures:
		return fmt.Sprintf("%s failed, and at most %d may (refresh.max_failures)", bus.Count(r.Failures, "launch"), p.MaxFailures)
	case p.AlarmPercent > 0 && r.Alarms >= spec.Policy.BreachesOut:
		return fmt.Sprintf("the average CPU is above the alarm's %d %% (refresh.alarm)", p.AlarmPercent)
	}
	return f.forbidden(r)
}

// failRefresh ends a refresh, or has it go back to the template before.
func failRefresh(r bus.Refresh, spec bus.Group, why string, now time.Time) bus.Refresh {
	if spec.Refresh.Return && r.From != "" {
		r.Returned = true
		return *entering(r, bus.RefreshReturning, why+"; going back to template "+r.From, now)
	}
	return *entering(r, bus.RefreshFailed, why+"; what is new stays, and what is old serves on", now)
}

// upTo is how many VMs of the group are new when a refresh waits. On the way back it waits nowhere.
func upTo(r bus.Refresh, desired int) int {
	most := math.MaxInt
	if r.Returned {
		return most
	}
	if len(r.Checkpoints) > 0 {
		most = (r.Total*r.Checkpoints[0] + 99) / 100
	}
	if canary := r.CanaryOf(desired); canary > 0 {
		most = min(most, canary)
	}
	return most
}

func progressOf(r bus.Refresh) string {
	return fmt.Sprintf("%d of %d VMs are up to date", r.Updated, r.Updated+r.Outdated)
}

func sentenceOf(r bus.Refresh, f refreshFacts, spec bus.Group, desired int) string {
	text := progressOf(r)
	switch r.Phase {
	case bus.RefreshCheckpoint:
		until := r.Since.Add(time.Duration(r.CheckpointDelayMS) * time.Millisecond)
		return text + "; at a checkpoint until " + until.UTC().Format(time.RFC3339)
	case bus.RefreshCanary:
		text += "; a canary: --resume lets the others follow, --return takes it back"
		switch {
		case r.From == "":
			text += "; what the group grows by is new as well, as more than the template has changed"
		case spec.WarmPool.On():
			text += "; what the group grows by is new as well, as it has a warm pool"
		}
		return text
	case bus.RefreshBaking:
		until := r.Since.Add(time.Duration(r.BakeMS) * time.Millisecond)
		return text + "; watched until " + until.UTC().Format(time.RFC3339)
	case bus.RefreshRunning:
		var waits []string
		surge, spare := leeway(r, f.inPlace(r), spec.Max, desired)
		if surge+spare == 0 {
			waits = append(
				waits,
				fmt.Sprintf("waits, as the group is at max %d and none of its VMs may be missing: raise max, or lower "+
					"min_healthy", spec.Max),
			)
		}
		if missing := desired - f.kept - f.retiring; missing > 0 {
			waits = append(waits, fmt.Sprintf("waits, as the group lacks %s of %d", bus.Count(missing, "VM"), desired))
		}
		if n := f.growing(spare); n > 0 {
			waits = append(waits, "waits, as the group grows by "+bus.Count(n, "VM"))
		}
		if f.held > 0 {
			waits = append(waits, "waits for "+bus.Count(f.held, "protected VM"))
		}
		return strings.Join(append([]string{text}, waits...), "; ")
	case bus.RefreshPaused, bus.RefreshReturning, bus.RefreshDone, bus.RefreshFailed, bus.RefreshCanceled:
	}
	return text
}
