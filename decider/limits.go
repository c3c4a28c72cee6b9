package decider

import (
	"math"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
)

// change is one of desired: to is what is wanted, or what the limits before have left of it.
type change struct {
	from, to int
	limits   LimitState // with what is wanted now
}

func (c change) out() bool { return c.to > c.from }

// limit is one way to hold a group back. It may let a change through, in part or not at all; it never turns one round.
type limit struct {
	guard bus.Guard
	// crossing reports whether it holds a threshold that is crossed, before that counts as a recommendation.
	crossing func(situation, crossing) bool
	// change is what it lets through of what policies want and, where that is nothing, for how long at least.
	change func(situation, change) (to int, left time.Duration)
	named  bool // also where it lets a part through
	// override is what it makes of any change, whatever the rule. holds reports whether it is in the way.
	override func(situation, change) (to int, holds bool)
}

// limits are all guards, in the order in which they are looked at.
var limits = []limit{
	{
		guard: bus.GuardAtMax, named: true,
		crossing: func(s situation, x crossing) bool {
			return x.rule == bus.RuleAboveUpper && s.state.Desired >= s.spec.Max
		},
		change: func(s situation, c change) (int, time.Duration) { return min(c.to, s.spec.Max), 0 },
	},
	{
		guard: bus.GuardAtMin, named: true,
		crossing: func(s situation, x crossing) bool {
			return x.rule == bus.RuleBelowLower && s.state.Desired <= s.floor()
		},
		change: func(s situation, c change) (int, time.Duration) { return max(c.to, s.floor()), 0 },
	},
	{guard: bus.GuardUnknownCPU, crossing: unknownCPU, change: unknownIn},
	{guard: bus.GuardComing, crossing: capacityComing},
	{guard: bus.GuardBreaches, crossing: func(_ situation, x crossing) bool { return x.breaches.shown < x.breaches.needed }},
	{guard: bus.GuardTolerance, change: tolerance},
	{guard: bus.GuardStabilize, change: stabilize},
	{guard: bus.GuardProjection, change: projection},
	{guard: bus.GuardRate, change: rate},
	{guard: bus.GuardCooldown, change: cooldown},
	{guard: bus.GuardHost, override: incomplete},
	{guard: bus.GuardPaused, override: paused},
}

// Limits are all guards, in the order in which a decision looks at them.
func Limits() []bus.Guard {
	var guards []bus.Guard
	for _, l := range limits {
		guards = append(guards, l.guard)
	}
	return guards
}

// outcome is what the limits have made of a recommendation.
type outcome struct {
	recommendation
	allows    int
	limitedBy bus.Guard
	wait      time.Duration // that is left of the cooldown, or of the window of the guard
	limits    LimitState    // with what is wanted now
}

// applyLimits lets a recommendation through, in part or not at all.
func applyLimits(s situation, r recommendation) outcome {
	o := outcome{recommendation: r, allows: r.wants, limitedBy: r.facts.crossing.guard, limits: s.state.Limits}
	if !r.limited {
		return o
	}
	from, within := s.state.Desired, s.wanted(r.wants)
	if beyond := r.rule == bus.RuleAboveUpper || r.rule == bus.RuleBelowLower; within != from || beyond {
		o.wait = s.cooldown(within > from || r.rule == bus.RuleAboveUpper)
	}
	o.limits = o.limits.want(s.spec.Policy.Limits, within, s.now)
	c := change{from: from, to: r.wants, limits: o.limits}
	for _, l := range limits {
		if l.change == nil || c.to == from {
			continue
		}
		to, left := l.change(s, c)
		if to == from || to != c.to && l.named {
			o.limitedBy = l.guard
		}
		if to == from && left > 0 {
			o.wait = left
		}
		c.to = to
	}
	o.allows = c.to
	return o
}

// override lays over the outcome what holds whatever the rule is.
func override(s situation, o outcome) verdict {
	v := verdict{outcome: o, desired: o.allows, guard: o.limitedBy}
	for _, l := range limits {
		if l.override == nil {
			continue
		}
		to, holds := l.override(s, change{from: o.current, to: v.desired})
		if !holds {
			continue
		}
		v.desired, v.guard = to, l.guard
		v.held, v.paused = v.held || l.guard == bus.GuardHost, v.paused || l.guard == bus.GuardPaused
	}
	return v
}

// unknownCPU holds what is only due to readings that are missing: they count as no load when the group would grow, and as full
// use when it would shrink.
func unknownCPU(s situation, x crossing) bool {
	if x.rule == bus.RuleBelowLower {
		return leastKnown(s, s.state.Desired-1) >= s.state.Desired
	}
	return x.projected <= s.spec.Policy.UpperPercent && s.counts.coming() == 0
}

func unknownIn(s situation, c change) (int, time.Duration) {
	if c.out() {
		return c.to, 0
	}
	return min(leastKnown(s, c.to), c.from), 0
}

// leastKnown is how far a group may shrink on the way to a number of VMs: what stays must be able to do the work with the CPU
// that is not known at full use, below the limit. Where most of it is not known the group stays.
func leastKnown(s situation, to int) int {
	n := s.counts
	switch {
	case n.unknown() == 0:
		return to
	case !n.mostly():
		return s.state.Desired
	}
	work := n.atMost() / float64(n.ready) * float64(n.ready+n.warming)
	return max(to, vmsFor(work, s.spec.Policy, s.state.Desired))
}

// capacityComing holds while the VMs on their way are enough for the load.
func capacityComing(s situation, x crossing) bool {
	return x.rule == bus.RuleAboveUpper && x.projected <= s.spec.Policy.UpperPercent
}

func tolerance(s situation, c change) (int, time.Duration) {
	if math.Abs(float64(c.to-c.from)) <= s.spec.Policy.Limits.TolerancePercent/100*float64(c.from) {
		return c.from, 0
	}
	return c.to, 0
}

func stabilize(s situation, c change) (int, time.Duration) {
	return c.limits.stabilized(s.spec.Policy.Limits, c.from, c.to, s.now)
}

// projection leaves as many VMs as can do the present work below the limit, so that a scale-in does not lead to a scale-out at
// once. Work is also what waits for a core of the host: where that is saturated a VM under full load uses little, and one VM
// fewer would not be idle. A policy that forecasts the load has looked itself.
// https://learn.microsoft.com/azure/azure-monitor/autoscale/autoscale-understanding-settings
func projection(s situation, c change) (int, time.Duration) {
	n := s.counts
	if c.out() || n.readings == 0 || policy.Forecasts(s.spec.Policy) {
		return c.to, 0
	}
	work := max(n.sum, n.wanted) / float64(n.readings) * float64(n.ready+n.warming)
	return max(c.to, vmsFor(work, s.spec.Policy, c.from)), 0
}

func rate(s situation, c change) (int, time.Duration) {
	most, left := c.limits.allowance(s.spec.Policy.Limits, c.out(), s.now)
	return min(max(c.to, c.from-most), c.from+most), left
}

func cooldown(s situation, c change) (int, time.Duration) {
	if left := s.cooldown(c.out()); left > 0 {
		return c.from, left
	}
	return c.to, 0
}

// cooldown is what is left of it.
func (s situation) cooldown(out bool) time.Duration {
	if out {
		return remaining(s.state.LastOut, s.spec.Policy.CooldownOut, s.now)
	}
	return remaining(s.state.LastChange, s.spec.Policy.CooldownIn, s.now)
}

func remaining(since time.Time, cooldown time.Duration, now time.Time) time.Duration {
	if since.IsZero() {
		return 0
	}
	return max(0, cooldown-now.Sub(since))
}

// incomplete holds scaling in while something is missing of the hosts. max holds all the same.
func incomplete(s situation, c change) (int, bool) {
	stays := min(c.from, s.spec.Max)
	if !s.state.HasSample && s.state.PreviousDesired != nil {
		stays = c.to // what another decider wanted is no change: what is there beyond it is not wanted
	}
	return stays, c.to < c.from && s.incomplete != ""
}

// paused holds a direction that a person has paused.
func paused(s situation, c change) (int, bool) {
	stays := s.within(c.from)
	is := c.to > c.from && s.state.Controls.IsPaused(bus.ScopeOut) || c.to < c.from && s.state.Controls.IsPaused(bus.ScopeIn)
	return stays, is && stays != c.to
}

// vmsFor is how many VMs can do a work, in percent of one, below the limit; at most that many, however low the limit is.
func vmsFor(work float64, p bus.Policy, most int) int {
	limit := busiest(p)
	if limit <= 0 {
		return most
	}
	return int(min(math.Ceil(work/limit-1e-9), float64(most)))
}

// busiest is the average CPU that a scale-in may lead to, in percent.
func busiest(p bus.Policy) float64 {
	if policy.TargetsCPU(p) {
		return max(p.UpperPercent, p.TargetPercent)
	}
	return p.UpperPercent
}
