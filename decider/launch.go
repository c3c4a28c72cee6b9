package decider

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// Launch is what becomes of a request for so many more VMs, on a host by its name or id or, with "", on the best ones: the
// answer, the decision that says so, with newest as what holds, and the group's state. It is all of them or an error, which says
// why not. What the policies want goes on from there.
func Launch(
	spec bus.Group, st State, obs Observation, newest bus.Decision, q bus.Query, now time.Time,
) (bus.Launch, bus.Decision, State, error) {
	s := look(spec, st, obs, now)
	count := max(q.Count, 1)
	refuse := func(code bus.RefusalCode, format string, args ...any) (bus.Launch, bus.Decision, State, error) {
		return bus.Launch{}, newest, st, bus.Refuse(code, format, args...)
	}
	controls := shown(spec, st.Controls)
	switch {
	case !st.HasSample || s.obs.Awaited != nil:
		return refuse(bus.RefusedState, "what there is of group %s is not known yet", spec.Name)
	case count > bus.MaxLaunch:
		return refuse(bus.RefusedMalformed, "count: found %d, want 1 to %d", count, bus.MaxLaunch)
	case controls.DryRun:
		return refuse(bus.RefusedState, "group %s is in a dry run: nothing is made", spec.Name)
	case controls.IsPaused(bus.ScopeOut):
		return refuse(bus.RefusedState, "scaling out of group %s is paused", spec.Name)
	case st.Desired+count > s.spec.Max:
		return refuse(bus.RefusedState, "group %s wants %d VMs, and with %d more it would have more than its max, %d",
			spec.Name, st.Desired, count, s.spec.Max)
	}
	next, why := s.launchOn(st, q.Host, count)
	if why != nil {
		return bus.Launch{}, newest, st, why
	}
	by := bus.Saying{By: q.By, Reason: q.Reason, Since: now}
	for range count {
		next = next.grown(s.spec.Policy.Limits, by)
	}
	d := newest
	d.Direction, d.Current, d.Desired = bus.Out, st.Desired, next.Desired
	d.Rule, d.Guard, d.Controls = bus.RuleLaunched, "", shown(spec, next.Controls)
	d.Sentence = fmt.Sprintf("%s more: launched; %s", plural(count), bus.Attribution(q.By, q.Reason))
	look(spec, next, obs, now).share(&d, &next)
	a := bus.Launch{
		V: bus.Version, Group: spec.Name, Desired: d.Desired, Sentence: d.Sentence,
		VMs: s.launched(newest.Shares, d.Shares, count),
	}
	if len(a.VMs) < count {
		return refuse(bus.RefusedState, "no host can have %s more of group %s now: their VMs that go, or hosts that are silent, "+
			"have their places in max; ask again in a moment", plural(count), spec.Name)
	}
	return a, d, next, nil
}

// launchOn is the state in which a host is to make so many VMs first; with "" each may. The error says why it, or any, cannot.
func (s situation) launchOn(st State, name string, count int) (State, error) {
	st.Standings = maps.Clone(s.state.Standings)
	all := candidatesOf(s.spec, s.obs)
	var names, whys []string
	for _, c := range all {
		names = append(names, c.Name)
		switch {
		case c.why == "" && c.vms+c.begun()+count > mostOnHost(s.spec):
			c.why = fmt.Sprintf("it has %s, and per_host_max is %d", plural(c.vms+c.begun()), s.spec.PerHostMax)
		case c.why == "" && name == "":
			return st, nil
		}
		if name == "" {
			whys = append(whys, c.Name+": "+c.why)
		}
		if c.Name != name && string(c.ID) != name {
			continue
		}
		if c.why != "" {
			return st, bus.Refuse(bus.RefusedState, "host %s cannot have %s more of group %s: %s",
				c.Name, plural(count), s.spec.Name, c.why)
		}
		standing := st.Standings[c.ID] // which it may have begun to make: split lets it
		standing.Told, standing.ToldAt = max(standing.Told, c.kept()+c.gone()+c.retiring())+count, s.now
		st.Standings[c.ID] = standing
		return st, nil
	}
	if name != "" {
		return st, bus.Refuse(bus.RefusedUnknown, "host: found %q, want one that can have VMs of group %s: %s", name, s.spec.Name,
			bus.List(names))
	}
	return st, bus.Refuse(bus.RefusedState, "no host can have %s more of group %s: %s", plural(count), s.spec.Name, bus.List(whys))
}

// launched are the VMs that the hosts are to make beyond those that they were told to make before, so many at most.
func (s situation) launched(before, after map[bus.HostID]bus.Share, count int) (vms []bus.Launched) {
	for _, h := range s.obs.Hosts {
		here := h.kept() + h.gone()
		told := max(0, before[h.ID].VMs-here)
		for i := told; i < after[h.ID].VMs-here && len(vms) < count; i++ {
			vm := bus.Launched{Host: h.Name}
			numbers := after[h.ID].Numbers
			if s.spec.Stateful() { // those of its VMs come first
				numbers = numbers[len(h.ownNumbers(s.spec.Name, numbers)):]
			}
			if h.pooled() == 0 && i < len(numbers) {
				vm.VM = bus.VMName(s.spec.Name, numbers[i])
			}
			vms = append(vms, vm)
		}
	}
	return vms
}

// launch answers a request for more VMs.
func (d *Decider) launch(ctx context.Context, r client.Request, g *group) error {
	now := d.cfg.Now()
	if !d.leads(ctx, g, now) {
		return d.notLed(r, g)
	}
	if g.decision == nil || g.decision.Term != d.term {
		return r.Refuse("what there is of group %s is not known yet", g.spec.Name)
	}
	answer, decision, next, err := Launch(g.inForce, g.state, d.peek(g, now), *g.decision, r.Query, now)
	if err != nil {
		return r.Refuse("%s", err)
	}
	if err := d.keepOrder(ctx, g, next, now); err != nil {
		return r.Refuse("%s", notKept(err))
	}
	g.state = next
	d.publish(g, decision, now) // at once, as the next evaluation may be an hour away
	d.log.Info().Str("group", g.spec.Name).Str("decision_id", g.decision.ID).Msg(decision.Sentence)
	return r.Answer(&answer)
}
