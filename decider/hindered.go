package decider

import (
	"cmp"
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
)

// standsAfter is for how long something may hinder a group before that is a problem: what only passes by, such as a VM's first
// reading or the next VM of a refresh, is over by then.
const standsAfter = time.Minute

// hindrance is what keeps a group from following its load, or its spec, now.
type hindrance struct {
	code bus.ProblemCode
	// key is what the hindrance is about: as long as it stays the same, nothing has moved.
	key      string
	text     string
	patience time.Duration // for which it may last until that is a problem
	vm       string        // the one that it is about, "" is the whole group
}

// hindered is since when each hindrance of a group lasts.
type hindered map[bus.ProblemCode]lasting

type lasting struct {
	hindrance
	since time.Time
}

// next is what hinders a group after another evaluation.
func (h hindered) next(now []hindrance, at time.Time) hindered {
	next := hindered{}
	for _, n := range now {
		l := lasting{n, at}
		if before, was := h[n.code]; was && before.key == n.key {
			l.since = before.since
		}
		next[n.code] = l
	}
	return next
}

// troubles are the hindrances that have lasted for too long.
func (h hindered) troubles(group string, now time.Time) (all bus.Troubles) {
	codes := []bus.ProblemCode{bus.ProblemNoMetric, bus.ProblemUnknownCPU, bus.ProblemStandby, bus.ProblemRefreshWaits}
	for _, code := range codes {
		if l, is := h[code]; is && now.Sub(l.since) >= l.patience {
			all.Add(code, cmp.Or(l.vm, group), fmt.Sprintf("group %s: for %s %s", group, seconds(now.Sub(l.since)), l.text))
		}
	}
	return all
}

// hindrances are what keeps a group from following its load, or its spec, by what was seen and decided. What a person has
// said, as by a pause, is none.
func (g *group) hindrances(d bus.Decision, obs Observation, stale time.Duration, now time.Time) (all []hindrance) {
	p, patience := g.inForce.Policy, max(standsAfter, 2*stale)
	for _, name := range policy.Follows(p) {
		if h, is := noMetric(name, p, obs, patience, now); is {
			all = append(all, h)
			break // one at a time is enough to look into
		}
	}
	if h, is := g.noSignal(d, obs, patience, now); is && len(all) == 0 {
		all = append(all, h)
	}
	if in := d.Inputs; in.Unknown > 0 {
		all = append(all, hindrance{
			bus.ProblemUnknownCPU, "",
			fmt.Sprintf("the CPU of %d of %s in service is not known: no VM is scaled in", in.Unknown, plural(in.Ready)), patience, "",
		})
	}
	if h, is := g.standsBy(d, obs, patience); is {
		all = append(all, h)
	}
	if h, is := g.refreshWaits(d, obs, patience, now); is {
		all = append(all, h)
	}
	return all
}

// standsBy is a VM that stands by and so leaves no room in max for another that is wanted. One that an actuator was told to make
// it reports itself, sooner; where max leaves none to be told of, only the decider knows.
func (g *group) standsBy(d bus.Decision, obs Observation, patience time.Duration) (hindrance, bool) {
	owned, kept, name := 0, 0, ""
	for _, h := range obs.Hosts {
		owned, kept = owned+len(h.VMs), kept+h.kept()
		for _, vm := range h.VMs {
			if vm.Phase.StandsBy() && name == "" {
				name = vm.Name
			}
		}
	}
	text := fmt.Sprintf("it has %s of %d, as %s stands by and counts toward max %d: `vmscaler resume %s` lets it serve again",
		plural(kept), d.Desired, name, d.Inputs.Max, name)
	return hindrance{bus.ProblemStandby, name, text, patience, name}, name != "" && kept < d.Desired && owned >= d.Inputs.Max
}

// noMetric is a metric that a group follows and that is not known. A query of Prometheus that fails is a problem of its own.
func noMetric(name string, p bus.Policy, obs Observation, patience time.Duration, now time.Time) (hindrance, bool) {
	m, heard := obs.Metrics[name]
	_, why := obs.metric(name, p, now)
	if !heard { // then the next one may be as far away as one may be old
		patience = max(patience, p.MetricMaxAge)
	}
	fails := name == bus.PrometheusMetric && heard && m.Value == nil
	return hindrance{bus.ProblemNoMetric, name, why + ": no VM is scaled in, nor out by it", patience, ""}, why != "" && !fails
}

// noSignal is a signal of the VMs themselves, or an expression of some, that a group follows and that is not known.
func (g *group) noSignal(d bus.Decision, obs Observation, patience time.Duration, now time.Time) (hindrance, bool) {
	p := g.inForce.Policy
	if !p.Has(bus.PolicyTarget) || p.Signal.OfGroup() || p.Signal == bus.SignalCPU || d.Inputs.Ready == 0 || d.Inputs.Unknown > 0 {
		return hindrance{}, false
	}
	s := look(g.inForce, g.state, obs, now)
	r := s.reading()
	r.CPUPercent = d.Inputs.AveragePercent
	value, why := policy.Signal(p, r)
	if detail := obs.whyNoLoad(); detail != "" && p.FollowsLoad() {
		why += " (" + detail + ")"
	}
	if p.FollowsRates() && r.Rates.NetworkRx == nil && g.inForce.Unmetered() {
		why += " (user-mode networking has no counters)"
	}
	return hindrance{bus.ProblemNoMetric, string(p.Signal), why + ": no VM is scaled in, nor out by it", patience, ""}, value == nil
}

// refreshWaits is a refresh in which no VM moves: none is being replaced, or the one that is has taken longer than its group's
// time-outs allow.
func (g *group) refreshWaits(d bus.Decision, obs Observation, patience time.Duration, now time.Time) (hindrance, bool) {
	r := d.Refresh
	if r == nil || !r.Phase.Replaces() || d.Controls.IsPaused(bus.ScopeRepair) || d.Controls.DryRun {
		return hindrance{}, false
	}
	s := look(g.inForce, g.state, obs, now)
	f := s.refreshFacts(r.Build(s.spec))
	if !f.complete { // which is a problem of its own
		return hindrance{}, false
	}
	if f.retiring > 0 || d.Inputs.Launching > 0 || f.kept < d.Desired {
		spec := g.inForce
		patience += spec.BootTimeout + spec.Hooks.Launch.Timeout() + spec.Drain + spec.Hooks.Remove.Timeout() + spec.ShutdownTimeout
	}
	return hindrance{
		bus.ProblemRefreshWaits, fmt.Sprint(r.ID, r.Phase, f.updated, f.staying, f.retiring, f.standing, r.Failures),
		"its refresh replaces no VM: " + r.Sentence, patience, "",
	}, true
}

// unled is what is wrong with a group where another decider leads: it decides by another config, or not at all.
func (g *group) unled(leader string, began, now time.Time, patience time.Duration) (all bus.Troubles) {
	heard := g.heardAt
	if heard.IsZero() {
		heard = began
	}
	without := now.Sub(heard)
	switch {
	case without < patience:
	case !g.othersAt.IsZero() && now.Sub(g.othersAt) < patience:
		all.Add(bus.ProblemConfigMismatch, g.spec.Name, fmt.Sprintf(
			"group %s: the decider that leads, %s, reads another config of it than this one", g.spec.Name, leader))
	default:
		all.Add(bus.ProblemNotEvaluated, g.spec.Name, fmt.Sprintf(
			"group %s: %s leads, and has decided nothing about it for %s: it has no such group in its config, or does not get on",
			g.spec.Name, leader, seconds(without)))
	}
	return all
}
