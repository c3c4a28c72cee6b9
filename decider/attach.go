package decider

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

const (
	// attachWithin is how long an actuator has to take a domain in: it looks at its disks, which takes no longer than libvirt does.
	attachWithin = 30 * time.Second
	// attachHeld is for how long after that the domain has its place in max, for a sample that comes late.
	attachHeld = 30 * time.Second
)

// Attachments are the domains that were asked for and do not count yet. Each has its place in max.
type Attachments []bus.Attachment

// pending are those that may still come, or are there; see [Arrived].
func (a Attachments) pending(obs Observation, now time.Time) (left Attachments) {
	for _, one := range a {
		if now.Before(one.Until.Add(attachHeld)) || obs.has(one) {
			left = append(left, one)
		}
	}
	return left
}

// coming are those that no sample shows yet.
func (a Attachments) coming(obs Observation) (left Attachments) {
	for _, one := range a {
		if !obs.has(one) {
			left = append(left, one)
		}
	}
	return left
}

// withArrived is the state of a group that begins with what another decider wanted, and with the domains that have come since.
func (st State) withArrived(obs Observation, most int) State {
	coming := st.Attach.coming(obs)
	desired := *st.PreviousDesired
	for _, a := range st.Attach {
		if obs.has(a) && !a.KeepSize {
			desired = min(desired+1, max(desired, most))
		}
	}
	if n := st.Controls.Desired; n != nil && *n < desired && desired > *st.PreviousDesired {
		st.Controls.Desired = &desired // as in State.grown
	}
	st.Attach, st.PreviousDesired = coming, &desired
	return st
}

// has reports whether a host shows a domain as a VM of the group. No other VM there can have its name.
func (o Observation) has(a bus.Attachment) bool {
	for _, h := range o.Hosts {
		if h.ID == a.HostID && slices.ContainsFunc(h.VMs, func(vm bus.VM) bool { return vm.Name == a.VM }) {
			return true
		}
	}
	return false
}

// Arrived is what becomes of a group of which a domain is a VM now that was to be attached: it wants one VM more, unless its size
// was to be kept. It reports whether there is one.
func Arrived(spec bus.Group, st State, obs Observation, newest bus.Decision, now time.Time) (bus.Decision, State, bool) {
	i := slices.IndexFunc(st.Attach, obs.has)
	if i < 0 || !st.HasSample {
		return newest, st, false
	}
	s := look(spec, st, obs, now)
	arrived, next := st.Attach[i], st
	next.Attach = slices.Delete(slices.Clone(st.Attach), i, i+1)
	if arrived.KeepSize || st.Desired >= s.spec.Max {
		return newest, next, true
	}
	next = next.grown(s.spec.Policy.Limits, bus.Saying{By: arrived.By, Reason: arrived.Reason, Since: now})
	d := newest
	d.Direction, d.Current, d.Desired = bus.Out, st.Desired, next.Desired
	d.Rule, d.Guard, d.Controls = bus.RuleAttached, "", shown(spec, next.Controls)
	d.Sentence = fmt.Sprintf("one VM more: %s, %s", arrived.VM, arrived.Order().Sentence())
	look(spec, next, obs, now).share(&d, &next)
	return d, next, true
}

// attached lets the domains count that have become VMs of a group.
func (d *Decider) attached(ctx context.Context, g *group, obs Observation, now time.Time) {
	for g.decision != nil && g.decision.Term == d.term {
		decision, next, is := Arrived(g.inForce, g.state, obs, *g.decision, now)
		if !is {
			return
		}
		if err := d.keepOrder(ctx, g, next, now); err != nil { // the next evaluation keeps it
			d.log.Warn().Err(err).Str("group", g.spec.Name).Msg("that a domain was attached is not kept yet")
		}
		g.state = next
		d.publish(g, decision, now)
		d.log.Info().Str("group", g.spec.Name).Str("decision_id", g.decision.ID).Msg(decision.Sentence)
	}
}

// Attach is what becomes of a request to attach a domain: the verdict, and where that is to do something the decision that tells
// the domain's host, and the group's state.
func Attach(
	spec bus.Group, st State, obs Observation, newest bus.Decision, a bus.Attachment, now time.Time,
) (bus.Verdict, bus.Decision, State) {
	next := st
	next.Attach = slices.DeleteFunc(
		slices.Clone(st.Attach),
		func(b bus.Attachment) bool { return b.VM == a.VM && b.HostID == a.HostID },
	)
	s := look(spec, next, obs, now) // as if it had not been asked for before
	host := s.obs.host(a.HostID)
	refuse := func(why bus.Refusal, format string, args ...any) (bus.Verdict, bus.Decision, State) {
		return bus.Verdict{Outcome: bus.OutcomeRefused, Refusal: why, Sentence: fmt.Sprintf(format, args...)}, newest, st
	}
	if host == nil || !st.HasSample {
		return refuse(bus.RefusalNoData, "what there is of the group is not known yet")
	}
	if host.Unclocked {
		return refuse(bus.RefusalNoData, "it is not known yet how far the clock of its host is off; ask again in a moment")
	}
	number, _ := bus.VMNumber(spec.Name, a.VM)
	for id, numbers := range st.Numbers {
		if id != a.HostID && slices.Contains(numbers, number) {
			return refuse(bus.RefusalTaken, "another host may give this name to a new VM: `virsh domrename` gives it another number")
		}
	}
	facts := bus.VMFacts{Foreign: true, Attended: host.Trouble != Silent && host.Trouble != Unattended}
	verdict := bus.VMAttach.Judge(facts, s.groupFacts(), a.KeepSize)
	switch {
	case verdict.Outcome != bus.OutcomeBegun:
		return verdict, newest, st
	case len(next.Attach) >= bus.MaxAttach:
		return refuse(bus.RefusalBusy, "%d domains are being attached already; ask again in a minute", bus.MaxAttach)
	}
	next.Attach = append(next.Attach, a)
	d := newest
	d.Direction, d.Current, d.Desired = bus.Hold, st.Desired, st.Desired
	look(spec, next, obs, now).share(&d, &next)
	return verdict, d, next
}

func (o Observation) host(id bus.HostID) *HostObservation {
	for i := range o.Hosts {
		if o.Hosts[i].ID == id {
			return &o.Hosts[i]
		}
	}
	return nil
}

// attach answers a request to attach a domain. Its name says the group, and what the actuators say of names that are taken the
// host.
func (d *Decider) attach(ctx context.Context, r client.Request) error {
	now, q := d.cfg.Now(), r.Query
	name, _, _ := strings.Cut(q.VM, "\n")
	i := strings.LastIndexByte(name, '-')
	g := d.groups[name[:max(i, 0)]]
	switch {
	case g == nil || q.Group != "" && g.spec.Name != q.Group:
		return r.RefuseAs(bus.RefusalUnknownVM, "the domain %s is not called as a VM of a group (%s): want GROUP-NUMBER; "+
			"`virsh domrename` gives it another name", bus.Clip(q.VM, bus.MaxName), bus.List(d.names()))
	case !d.leads(ctx, g, now):
		return d.notLed(r, g)
	case g.decision == nil || g.decision.Term != d.term:
		return r.RefuseAs(bus.RefusalNoData, "what there is of group %s is not known yet", g.spec.Name)
	}
	number, is := bus.VMNumber(g.spec.Name, name)
	if !is {
		return r.RefuseAs(bus.RefusalUnknownVM, "%s: want %s-NUMBER, with a number from 1 on", name, g.spec.Name)
	}
	obs := d.peek(g, now)
	for _, h := range obs.Hosts {
		if i := slices.IndexFunc(h.VMs, func(vm bus.VM) bool { return vm.Name == name }); i >= 0 {
			return d.attachOurs(r, g, h, h.VMs[i])
		}
	}
	host, why, text := obs.offering(number, q.Host)
	if host == nil {
		return r.RefuseAs(why, "%s: %s", name, text)
	}
	a := bus.Attachment{
		VM: name, HostID: host.ID, By: q.By, Reason: q.Reason, At: now.UTC(), Until: now.Add(attachWithin).UTC(), KeepSize: q.KeepSize,
	}
	verdict, decision, next := Attach(g.inForce, g.state, obs, *g.decision, a, now)
	if verdict.Outcome != bus.OutcomeBegun {
		return r.RefuseAs(verdict.Refusal, "%s: %s", name, verdict.Sentence)
	}
	if err := d.keepOrder(ctx, g, next, now); err != nil {
		return r.Refuse("%s", notKept(err))
	}
	g.state = next
	d.publish(g, decision, now)
	d.log.Info().Str("group", g.spec.Name).Str("vm", name).Str("decision_id", g.decision.ID).Msg(a.Order().Sentence())
	return r.Answer(bus.VMAnswer{
		V: bus.Version, Group: g.spec.Name, VM: name, Host: host.Name, Verb: bus.VMAttach, Outcome: verdict.Outcome,
		Sentence: verdict.Sentence,
	})
}

// attachOurs answers a request to attach what is a VM of the group already.
func (d *Decider) attachOurs(r client.Request, g *group, h HostObservation, vm bus.VM) error {
	if order, is := g.state.Orders[vm.UUID]; is {
		vm.Order = &order // which no sample shows yet
	}
	verdict := bus.VMAttach.Judge(factsOf(vm, h), bus.GroupFacts{}, r.Query.KeepSize)
	if verdict.Outcome == bus.OutcomeRefused {
		return r.RefuseAs(verdict.Refusal, "%s: %s", vm.Name, verdict.Sentence)
	}
	return r.Answer(bus.VMAnswer{
		V: bus.Version, Group: g.spec.Name, VM: vm.Name, UUID: vm.UUID, Host: h.Name, Verb: bus.VMAttach, Outcome: verdict.Outcome,
		Sentence: verdict.Sentence,
	})
}

// offering is the host that has a domain with a number's name which is not ours; where several have one, that of the name or ID.
func (o Observation) offering(number int, host string) (found *HostObservation, why bus.Refusal, text string) {
	var names []string
	for i := range o.Hosts {
		h := &o.Hosts[i]
		if slices.Contains(h.Taken, number) && (host == "" || h.Name == host || string(h.ID) == host) {
			found, names = h, append(names, h.Name)
		}
	}
	switch {
	case len(names) == 0 && host != "":
		return nil, bus.RefusalUnknownVM, fmt.Sprintf("no domain of this name is on host %s", bus.Clip(host, bus.MaxName))
	case len(names) == 0:
		return nil, bus.RefusalUnknownVM, "no host has a domain of this name"
	case len(names) > 1:
		return nil, bus.RefusalAmbiguous, "several hosts have a domain of this name: say which with --host, of " + bus.List(names)
	}
	return found, "", ""
}
