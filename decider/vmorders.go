package decider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// Orders are what was asked for VMs and their metadata does not have yet, by UUID. From the moment at which one is among them it
// holds: desired, the shares and what counts go by it. A decision carries them to the actuators, which write them where a sample
// shows them; then they are not pending any more.
type Orders map[string]bus.VMOrder

func (o Orders) has(uuid string) bool {
	_, is := o[uuid]
	return is
}

// pending are the orders that no sample shows yet, of VMs that are there.
func (o Orders) pending(obs Observation) Orders {
	if len(o) == 0 {
		return nil
	}
	there, shown := map[string]bool{}, map[string]bool{}
	for _, h := range obs.Hosts {
		for _, vm := range h.VMs {
			there[vm.UUID] = true
			if order, is := o[vm.UUID]; is && order.Same(vm.Order) {
				shown[vm.UUID] = true
			}
		}
	}
	known := len(obs.Hosts) > 0 && obs.Awaited == nil // else a VM that is not seen need not be gone
	left := maps.Clone(o)
	maps.DeleteFunc(left, func(uuid string, _ bus.VMOrder) bool { return shown[uuid] || known && !there[uuid] })
	if len(left) == 0 {
		return nil
	}
	return left
}

// ordered is the observation as it is once the pending orders are in the VMs' metadata. A VM that serves and is to be replaced is
// one that retires, unless replacing is paused.
func (o Observation) ordered(pending Orders, replaces bool) Observation {
	hosts := slices.Clone(o.Hosts)
	for i, h := range hosts {
		wanted := func(vm bus.VM) bool { return vm.Order != nil || pending.has(vm.UUID) }
		if h.State == bus.HostLost || !slices.ContainsFunc(h.VMs, wanted) {
			continue // as of most hosts: nothing changes
		}
		hosts[i].VMs, hosts[i].counts = slices.Clone(h.VMs), hostCounts{}
		for j := range hosts[i].VMs {
			vm := &hosts[i].VMs[j]
			if pending.has(vm.UUID) {
				vm.Order = new(pending[vm.UUID])
			}
			vm.Phase, vm.PhaseSince, vm.State = phaseOf(*vm)
			vm.Retiring = vm.Retiring || replaces && vm.Order.Is(bus.VMReplace) && vm.Phase.Serves()
		}
	}
	o.Hosts = hosts
	return o
}

// phaseOf is the phase of a VM, since when, and its state, once it stands by as is wanted, or is on its way to serve again, for
// which it is woken.
func phaseOf(vm bus.VM) (bus.Phase, time.Time, bus.State) {
	switch {
	case vm.Order.Is(bus.VMStandby) && vm.Phase.Serves():
		return bus.PhaseStandby, vm.Order.At, vm.State
	case vm.Order.Is(bus.VMExitStandby) && vm.Phase.StandsBy():
		return bus.PhaseLaunching, vm.Order.At, bus.StateRunning
	}
	return vm.Phase, vm.PhaseSince, vm.State
}

// orders are all orders for VMs, those that are pending before others.
func (o Observation) orders(pending Orders) map[string]bus.VMOrder {
	all := map[string]bus.VMOrder{}
	for _, first := range []bool{true, false} {
		for _, h := range o.Hosts {
			for _, vm := range h.VMs {
				if _, is := pending[vm.UUID]; is == first && vm.Order != nil && !setAsideFor(vm) && len(all) < bus.MaxOrders {
					order := *vm.Order
					order.VM = vm.Name
					all[vm.UUID] = order
				}
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// setAsideFor reports whether a VM is retained in spite of what was wanted of it.
func setAsideFor(vm bus.VM) bool { return vm.Phase == bus.PhaseRetained && !vm.Order.Leaves() }

// VMRequest is what is asked for one VM of a group.
type VMRequest struct {
	UUID     string
	Order    bus.VMOrder
	KeepSize bool // see [bus.Query]
}

// OrderVM is what becomes of a request for a VM: the verdict, and where that is to do something the decision that says so, with
// what the group wants from now on, and the group's state. newest is the decision that holds, which the other is made from.
func OrderVM(
	spec bus.Group, st State, obs Observation, newest bus.Decision, r VMRequest, now time.Time,
) (bus.Verdict, bus.Decision, State) {
	s := look(spec, st, obs, now)
	vm, host := s.obs.find(r.UUID)
	if vm == nil || !st.HasSample {
		return bus.Verdict{Outcome: bus.OutcomeRefused, Refusal: bus.RefusalNoData, Sentence: "what there is of it is not known yet"},
			newest, st
	}
	verdict := r.Order.Verb.Judge(factsOf(*vm, *host), s.groupFacts(), r.KeepSize)
	switch verdict.Outcome {
	case bus.OutcomeRefused, bus.OutcomeNoOp:
		return verdict, newest, st
	case bus.OutcomeBegun, bus.OutcomeQueued:
	}
	if len(newest.Orders) >= bus.MaxOrders {
		return bus.Verdict{
			Outcome: bus.OutcomeRefused, Refusal: bus.RefusalBusy,
			Sentence: fmt.Sprintf("%d of the group's VMs are ordered about already; ask again once some are gone", bus.MaxOrders),
		}, newest, st
	}
	r.Order.Shrinks = verdict.Shrinks && r.Order.Verb == bus.VMRemove
	next := st.withOrder(r.UUID, r.Order)
	d := newest
	d.Direction, d.Current = bus.Hold, st.Desired
	by := bus.Saying{By: r.Order.By, Reason: r.Order.Reason, Since: now}
	if verdict.Shrinks {
		next = next.shrunk(s.spec.Policy.Limits, by)
		d.Direction, d.Rule, d.Guard = bus.In, bus.RuleRemoved, ""
		d.Sentence = fmt.Sprintf("one VM less: %s, %s", vm.Name, r.Order.Sentence())
	}
	if verdict.Grows {
		next = next.grown(s.spec.Policy.Limits, by)
		d.Direction, d.Rule, d.Guard = bus.Out, bus.RuleReturned, ""
		d.Sentence = fmt.Sprintf("one VM more: %s, %s", vm.Name, r.Order.Sentence())
	}
	d.Desired, d.Controls = next.Desired, shown(spec, next.Controls)
	look(spec, next, obs, now).share(&d, &next)
	return verdict, d, next
}

// find is a VM, and its host.
func (o Observation) find(uuid string) (*bus.VM, *HostObservation) {
	for i := range o.Hosts {
		for j := range o.Hosts[i].VMs {
			if vm := &o.Hosts[i].VMs[j]; vm.UUID == uuid {
				return vm, &o.Hosts[i]
			}
		}
	}
	return nil, nil
}

// factsOf are what of a VM a request depends on.
func factsOf(vm bus.VM, h HostObservation) bus.VMFacts {
	facts := bus.VMFacts{
		Phase: vm.Phase, State: vm.State, Retiring: vm.Retiring, Reimaging: vm.Reimaging, Protected: vm.Protected,
		Attended: h.Trouble != Silent && h.Trouble != Unattended,
	}
	if vm.Order != nil {
		facts.Order = vm.Order.Verb
	}
	return facts
}

func (s situation) groupFacts() bus.GroupFacts {
	surge, _ := s.spec.Maintenance.Leeway(s.state.Desired, s.spec.Max)
	return bus.GroupFacts{
		Surge:    surge,
		Stateful: s.spec.Stateful(),
		Controls: shown(s.spec, s.state.Controls), Desired: s.state.Desired, Min: s.spec.Min, Max: s.spec.Max, Owned: s.counts.owned,
		Coming:   s.counts.pending,
		Complete: s.incomplete == "" && s.obs.Awaited == nil,
	}
}

// withOrder is the state with a pending order.
func (st State) withOrder(uuid string, order bus.VMOrder) State {
	st.Orders = maps.Clone(st.Orders)
	if st.Orders == nil {
		st.Orders = Orders{}
	}
	st.Orders[uuid] = order
	return st
}

// shrunk is the state of a group that wants one VM less, also where a person has said how many.
func (st State) shrunk(l bus.Limits, by bus.Saying) State {
	st.Policy = st.Policy.following(st.Desired, st.Desired-1)
	st.Desired--
	st.LastChange = by.Since
	st.BreachesOut, st.BreachesIn = 0, 0
	st.Limits = st.Limits.changed(l, -1, by.Since)
	if n := st.Controls.Desired; n != nil && *n > st.Desired {
		st.Controls = rescaled(st.Controls, st.Desired, by)
	}
	return st
}

// grown is the state of a group that wants one VM more, also where a person has said how many.
func (st State) grown(l bus.Limits, by bus.Saying) State {
	st.Policy = st.Policy.following(st.Desired, st.Desired+1)
	st.Desired++
	st.LastOut, st.LastChange = by.Since, by.Since
	st.BreachesOut, st.BreachesIn = 0, 0
	st.Limits = st.Limits.changed(l, 1, by.Since)
	if n := st.Controls.Desired; n != nil && *n < st.Desired {
		st.Controls = rescaled(st.Controls, st.Desired, by)
	}
	return st
}

// rescaled are the controls of a group that was scaled by hand, once what was asked for one of its VMs has changed that number.
func rescaled(was bus.Controls, n int, by bus.Saying) bus.Controls {
	is := was
	is.Desired, is.By, is.Reason, is.Since = &n, by.By, by.Reason, &by.Since
	is.Said = said(was, is, by)
	return is
}

// following are the policies of a group whose size a person has changed: those that were content with it before are so now. Else
// what one wanted some seconds ago would undo the change.
func (p PolicyStates) following(was, is int) PolicyStates {
	all := maps.Clone(p)
	for t, state := range all {
		if state != nil && state.Recommendation.Desired == was {
			moved := *state
			moved.Recommendation.Desired = is
			all[t] = &moved
		}
	}
	return all
}

// found is a VM that a request names.
type found struct {
	group *group
	host  string
	vm    bus.VM
}

// findVM are the VMs of a name or UUID, in a group or, where none is named, in any; names are those of all.
func (d *Decider) findVM(q bus.Query, now time.Time) (all []found, names []string) {
	for _, name := range d.names() {
		g := d.groups[name]
		if q.Group != "" && q.Group != name {
			continue
		}
		for _, h := range d.peek(g, now).Hosts {
			for _, vm := range h.VMs {
				names = append(names, vm.Name)
				if vm.Name == q.VM || vm.UUID == q.VM {
					all = append(all, found{g, h.Name, vm})
				}
			}
		}
	}
	return all, names
}

// peek is what there is of a group, between two evaluations.
func (d *Decider) peek(g *group, now time.Time) Observation {
	obs := g.window.look(now, staleAfter(g.inForce.Policy.Interval, d.cfg.Tick))
	obs.Awaited = g.awaited(obs, now)
	obs.Settling = g.settling(now)
	d.attend(&obs, g, now)
	return obs
}

// orderVM answers a request for one VM.
func (d *Decider) orderVM(ctx context.Context, r client.Request) error {
	now, q := d.cfg.Now(), r.Query
	if !d.leading() {
		r.Ignore() // the one that leads answers
		return nil
	}
	if q.VM == "" {
		return r.Refuse("%s", bus.Refuse(bus.RefusedMalformed, `which VM? Ask with {"vm": "NAME"}`))
	}
	if bus.VMVerb(r.Verb) == bus.VMAttach {
		return d.attach(ctx, r)
	}
	all, names := d.findVM(q, now)
	switch {
	case len(all) == 0 && len(names) == 0:
		return r.RefuseAs(bus.RefusalUnknownVM, "there is no VM %q, and no other", q.VM)
	case len(all) == 0:
		return r.RefuseAs(bus.RefusalUnknownVM, "there is no VM %q; there are: %s", q.VM, bus.List(names))
	case len(all) > 1:
		var uuids []string
		for _, f := range all {
			uuids = append(uuids, fmt.Sprintf("%s on %s", f.vm.UUID, f.host))
		}
		return r.RefuseAs(bus.RefusalAmbiguous, "several VMs are called %s: name one by its UUID: %s", q.VM, bus.List(uuids))
	}
	g, vm := all[0].group, all[0].vm
	if !d.leads(ctx, g, now) {
		return d.notLed(r, g)
	}
	if g.decision == nil || g.decision.Term != d.term {
		return r.RefuseAs(bus.RefusalNoData, "what there is of group %s is not known yet", g.spec.Name)
	}
	order := bus.VMOrder{Verb: bus.VMVerb(r.Verb), By: q.By, Reason: q.Reason, At: now.UTC(), Rest: q.Rest}
	verdict, decision, next := OrderVM(g.inForce, g.state, d.peek(g, now), *g.decision, VMRequest{vm.UUID, order, q.KeepSize}, now)
	switch verdict.Outcome {
	case bus.OutcomeRefused:
		return r.RefuseAs(verdict.Refusal, "%s: %s", vm.Name, verdict.Sentence)
	case bus.OutcomeBegun, bus.OutcomeQueued:
		if err := d.keepOrder(ctx, g, next, now); err != nil {
			return r.Refuse("%s", notKept(err))
		}
		g.state = next
		d.publish(g, decision, now) // at once, as the next evaluation may be an hour away
		d.log.Info().Str("group", g.spec.Name).Str("vm", vm.Name).Str("decision_id", g.decision.ID).Msg(order.Sentence())
	case bus.OutcomeNoOp:
	}
	return r.Answer(bus.VMAnswer{
		V: bus.Version, Group: g.spec.Name, VM: vm.Name, UUID: vm.UUID, Host: all[0].host, Verb: order.Verb, Outcome: verdict.Outcome,
		Sentence: verdict.Sentence,
	})
}

// keepOrder keeps the state of a group with another order, for the decider that leads next.
func (d *Decider) keepOrder(ctx context.Context, g *group, next State, now time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if next.Controls.Desired != g.state.Controls.Desired {
		if err := d.conn.Save(ctx, controlsKey(g), next.Controls); err != nil && !errors.Is(err, client.ErrNoStore) {
			return err
		}
	}
	g.saved = newCheckpoint(next, now)
	if err := d.conn.Save(ctx, checkpointKey(g), g.saved); err != nil && !errors.Is(err, client.ErrNoStore) {
		return err
	}
	return nil
}
