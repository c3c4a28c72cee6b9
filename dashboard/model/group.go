package model

import (
	"cmp"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Group is what is known of a group.
type Group struct {
	name     string
	heard    time.Time
	newest   bus.Newest
	decision *bus.Decision // nil: none yet
	decided  time.Time     // when it was received
	hosts    map[bus.HostID]*Host
	past     []Point
}

// Name is the group's name.
func (g *Group) Name() string { return g.name }

// Decision is the newest decision; known is false where none has come yet.
func (g *Group) Decision() (d bus.Decision, known bool) {
	if g.decision == nil {
		return bus.Decision{}, false
	}
	return *g.decision, true
}

// DecisionAge is for how long the newest decision is known, and whether it still holds.
func (g *Group) DecisionAge(now time.Time) (age time.Duration, holds bool) {
	if g.decision == nil {
		return 0, false
	}
	age = now.Sub(g.decided)
	return age, age <= max(StaleAfter, g.decision.ExpiresAt.Sub(g.decision.Time))
}

// interval is the longest time between two samples of one of its hosts, or until its decision expires.
func (g *Group) interval() (longest time.Duration) {
	if g.decision != nil {
		longest = g.decision.ExpiresAt.Sub(g.decision.Time)
	}
	for _, h := range g.hosts {
		longest = max(longest, h.interval())
	}
	return longest
}

// Hosts are those that have VMs of the group, or had, by name.
func (g *Group) Hosts() []*Host {
	hosts := make([]*Host, 0, len(g.hosts))
	for _, h := range g.hosts {
		hosts = append(hosts, h)
	}
	slices.SortFunc(hosts, func(a, b *Host) int {
		return cmp.Or(CompareNames(a.sample.Host, b.sample.Host), cmp.Compare(a.sample.HostID, b.sample.HostID))
	})
	return hosts
}

// ClockAhead is how far a host's clock is ahead of the decider's, less than 0 where it is behind; false while that is not known.
// The clock of who listens does not matter.
func (g *Group) ClockAhead(h *Host) (time.Duration, bool) {
	host, known := h.clock.Skew()
	decider, knows := g.newest.Skew()
	return decider - host, known && knows
}

// VMs is how many there are in the last samples.
func (g *Group) VMs() int {
	n := 0
	for _, h := range g.hosts {
		n += len(h.sample.VMs)
	}
	return n
}

// Average is the mean CPU of the ready VMs: the decider's where there is a decision, and that of the samples otherwise.
// Nil is unknown.
func (g *Group) Average(now time.Time) *float64 {
	if g.decision != nil {
		if _, holds := g.DecisionAge(now); !holds {
			return nil
		}
		return g.decision.Inputs.AveragePercent
	}
	var sum float64
	n := 0
	for _, h := range g.hosts {
		if h.Stale(now) {
			continue
		}
		for _, vm := range h.sample.VMs {
			if vm.Phase.Serves() && vm.CPUPercent != nil {
				sum += *vm.CPUPercent
				n++
			}
		}
	}
	if n == 0 {
		return nil
	}
	mean := sum / float64(n)
	return &mean
}

// Thresholds are what the policies in force compare the average CPU with: lower and upper, or a target, or nothing.
func (g *Group) Thresholds() []float64 {
	d := g.decision
	switch {
	case d == nil:
		return nil
	case d.Inputs.TargetPercent > 0:
		return []float64{d.Inputs.TargetPercent}
	case d.Inputs.UpperPercent <= 0:
		return nil
	}
	for _, w := range d.Recommendations { // a group without any has thresholds alone
		if w.Policy == bus.PolicyThreshold || w.Policy == bus.PolicyStep {
			return []float64{d.Inputs.LowerPercent, d.Inputs.UpperPercent}
		}
	}
	if len(d.Recommendations) > 0 {
		return nil
	}
	return []float64{d.Inputs.LowerPercent, d.Inputs.UpperPercent}
}

// Upper is from where on the CPU counts as busy; 0 where it is not known.
func (g *Group) Upper() float64 {
	at := g.Thresholds()
	switch {
	case len(at) > 0:
		return at[len(at)-1]
	case g.decision == nil:
		return 0
	}
	return g.decision.Inputs.UpperPercent
}

// Counts are how many VMs of a group stand where.
type Counts struct {
	Ready, Launching int
	Warm             int // of the warm pool, or on their way there
	Other            int // on the way out, failed or set aside
}

// Counts are of the VMs in the last samples.
func (g *Group) Counts() (c Counts) {
	for _, h := range g.hosts {
		for _, vm := range h.sample.VMs {
			switch {
			case vm.Phase.Serves() && vm.State == bus.StateRunning:
				c.Ready++
			case vm.Phase.Pending():
				c.Launching++
			case vm.Phase.Pooled():
				c.Warm++
			default:
				c.Other++
			}
		}
	}
	return c
}
