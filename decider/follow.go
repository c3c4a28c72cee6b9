package decider

import (
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
)

// Memory is what a policy remembers, and what it has not been shown yet. Only the group's own policy is set.
type Memory struct {
	Predictive *policy.Predictive `json:"predictive,omitempty"`
	Target     *policy.Target     `json:"target,omitempty"`
	// Sum and Count are of the averages since the policy was asked last, at Asked; Wish is what it said.
	Sum   float64   `json:"sum"`
	Count int       `json:"count"`
	Asked time.Time `json:"asked"`
	Wish  bus.Wish  `json:"wish"`
}

// targetPeriod is that of target tracking: 3 readings above the target scale out, 15 below in.
const targetPeriod = 10 * time.Second

// of is the policy of a spec. It is new where the memory is of another one.
func (m *Memory) of(p bus.Policy) policy.Policy {
	switch p.Type {
	case bus.PolicyTarget:
		if m.Target == nil || m.Target.Percent != p.TargetPercent {
			*m = Memory{Target: &policy.Target{
				Percent: p.TargetPercent, Period: targetPeriod, PeriodsOut: 3, PeriodsIn: 15, Warmup: 5 * targetPeriod,
			}}
		}
		return m.Target
	case bus.PolicyPredictive, bus.PolicyThreshold:
	}
	tuning := policy.Setting(p.Setting).Tuning()
	if m.Predictive == nil {
		*m = Memory{Predictive: policy.NewPredictive(tuning)}
	}
	m.Predictive.Tuning = tuning // what was learned of the load is true with each
	return m.Predictive
}

// follow asks the group's policy, once each of its intervals, and lets the guards judge what it wants.
func follow(spec bus.Group, st *State, d *bus.Decision, c counts, now time.Time) {
	if st.Policy == nil {
		st.Policy = &Memory{}
	}
	m := st.Policy
	p := m.of(spec.Policy)
	// An unknown CPU counts as no load, and forbids scaling in below.
	m.Sum, m.Count = m.Sum+c.sum/float64(c.ready), m.Count+1
	d.Rule = bus.RulePolicy
	if since := now.Sub(m.Asked); since >= 0 && since < p.Interval()-spec.Policy.Interval/2 {
		wish := m.Wish
		d.Wish, d.Sentence = &wish, wish.Sentence
		return
	}
	cpu := m.Sum / float64(m.Count)
	w := p.Wish(policy.Reading{
		Now: now, CPUPercent: &cpu, Ready: c.ready + c.warming, Coming: c.launching + c.pending, Boot: st.Boots.Mean,
		Desired: st.Desired, Min: spec.Min, Max: spec.Max,
	})
	m.Sum, m.Count, m.Asked = 0, 0, now
	m.Wish = bus.Wish{Policy: spec.Policy.Type, Desired: w.Desired, Sentence: w.Sentence}
	wish := m.Wish
	d.Wish, d.Sentence = &wish, w.Sentence
	guard(spec, st, d, c, now)
}

// guard lets a wish through, or says what holds it back.
func guard(spec bus.Group, st *State, d *bus.Decision, c counts, now time.Time) {
	want := min(max(d.Wish.Desired, spec.Min), spec.Max)
	hold := func(g bus.Guard, format string, args ...any) {
		d.Guard, d.Sentence = g, fmt.Sprintf(format, args...)+": "+d.Wish.Sentence
	}
	switch {
	case d.Wish.Desired > spec.Max:
		d.Guard, d.Sentence = bus.GuardAtMax, fmt.Sprintf("max %d of %d wanted: %s", spec.Max, d.Wish.Desired, d.Wish.Sentence)
	case d.Wish.Desired < spec.Min:
		d.Guard = bus.GuardAtMin
	}
	switch {
	case want > st.Desired:
		left := remaining(st.LastOut, spec.Policy.CooldownOut, now)
		if d.Inputs.CooldownMS = left.Milliseconds(); left > 0 {
			hold(bus.GuardCooldown, "cooling down %s", seconds(left))
			return
		}
		d.Desired = want
		d.Sentence = "scaling out: " + d.Sentence
	case want < st.Desired:
		left := remaining(st.LastChange, spec.Policy.CooldownIn, now)
		d.Inputs.CooldownMS = left.Milliseconds()
		switch {
		case c.ready > c.readings:
			hold(bus.GuardUnknownCPU, "holding, as the CPU of %s is unknown", plural(c.ready-c.readings))
			return
		case left > 0:
			hold(bus.GuardCooldown, "cooling down %s", seconds(left))
			return
		}
		d.Desired = want
		d.Sentence = "scaling in: " + d.Sentence
	}
}
