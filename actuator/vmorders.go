package actuator

import (
	"context"
	"errors"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// Note is an order to write into a VM's metadata. Nothing is done by it before it is there, so that a restart goes on with it.
type Note struct {
	VM    vm.VM
	Order bus.VMOrder
}

// order is what is wanted of a VM, and whether its metadata does not have it yet.
func (s Situation) order(v vm.VM) (order *bus.VMOrder, pending bool) {
	o, is := s.Orders[v.UUID]
	switch {
	case !is, o.Same(v.Order):
		return v.Order, false
	case o.Is(bus.VMExitStandby) && v.Meta.Phase.Serves(), // done, and taken back, since the sample that the decision is of
		o.Is(bus.VMAttach): // which is noted with what makes it a VM
		return v.Order, false
	}
	return &o, true
}

// setAside sorts in a VM that is to be given away, that is to stand by, or that does, and reports whether it is one: it counts in
// nothing, and is left alone in whatever state it is.
func (p *parts) setAside(s Situation, v vm.VM, order *bus.VMOrder, pending bool) bool {
	var to *[]vm.VM
	if order.Is(bus.VMAttach) && v.Meta.Phase.Pending() && v.Off() { // it is given back, and not removed as a boot that failed
		if s.Work[noteKey(v.UUID)] == Idle && s.Work[v.UUID] == Idle {
			p.note = append(p.note, Note{v, vm.GiveBack(*order, s.Now)})
		}
		return true
	}
	leaving := v.Meta.Phase.Leaving() || v.Meta.Phase == bus.PhaseFailed
	switch {
	case order.Is(bus.VMDetach):
		to = &p.detach
	case v.Meta.Phase.StandsBy() && order.Leaves():
		return false
	case v.Meta.Phase.StandsBy() && order.Is(bus.VMExitStandby):
		p.live = append(p.live, v)
		if !pending && s.Work[v.UUID] == Idle {
			p.back = append(p.back, v)
		}
		return true
	case v.Meta.Phase.StandsBy():
		p.suspended = append(p.suspended, v)
		return true
	case order.Is(bus.VMStandby) && !leaving:
		to = &p.standBy
	default:
		return false
	}
	switch work := s.Work[v.UUID]; {
	case order.Is(bus.VMDetach) && v.State == bus.StateSaved: // once it runs: what is in its saved memory says whose it was
	case work == BringingUp, work == Reimaging:
		p.booting++ // until that is over
	case work == Draining:
		p.keep = append(p.keep, vm.Removal{VM: v, Kind: vm.ScaleIn, Reason: order.Sentence()})
	case work == Idle && !pending:
		*to = append(*to, v)
	}
	return true
}

// leave sorts in a VM that is to go, and counts in nothing any more.
func (p *parts) leave(s Situation, v vm.VM, order bus.VMOrder, pending bool) {
	work := s.Work[v.UUID]
	if work == BringingUp || work == Reimaging {
		p.booting++
	}
	r := &vm.Removal{VM: v, Kind: vm.Ordered, Reason: removalReason(order), Graceful: v.Serves()}
	switch {
	case v.Meta.Phase == bus.PhaseRetained, v.Meta.Phase.StandsBy():
		r.Graceful = v.State == bus.StateRunning
	case v.Meta.Phase.Leaving(), v.Meta.Phase == bus.PhaseFailed: // its removal has begun
		r, _ = nextStep(v)
	}
	switch {
	case pending:
	case work == Idle:
		p.remove = append(p.remove, *r)
	case work == BringingUp:
		p.cancel = append(p.cancel, *r)
	}
}

// removalReason is why a VM goes that a person wants gone or replaced.
func removalReason(o bus.VMOrder) string {
	how := "removed"
	switch o.Verb {
	case bus.VMReplace:
		how = "replaced, as ordered"
	case bus.VMDrain:
		how = "drained"
	case bus.VMRemove, bus.VMUnhealthy:
	case bus.VMStandby, bus.VMExitStandby, bus.VMDetach, bus.VMAttach: // which remove nothing
	}
	return how + " " + o.Attribution()
}

// noteKey is what the worker that notes an order is known by, as it works beside others.
func noteKey(uuid string) string { return "order:" + uuid }

// note writes what is wanted of VMs into their metadata.
func (a *Actuator) note(ctx context.Context, h vm.Manager, g *group, plan Actions) {
	decision := g.newest.Decision.ID
	for _, n := range plan.Note {
		a.work(ctx, worker{name: n.VM.Name, group: g.spec.Name, marks: true}, noteKey(n.VM.UUID), func(ctx context.Context) error {
			done, err := h.SetOrder(ctx, n.VM, n.Order)
			if done && err == nil && n.Order.Verb != "" {
				h.Tell(bus.Event{
					Group: g.spec.Name, VM: n.VM.Name, Event: bus.EventOrdered, DecisionID: decision,
					Sentence: n.Order.Sentence(), By: n.Order.By, Reason: n.Order.Reason, Cause: n.Order.Cause,
				})
			}
			return err
		})
	}
}

// deletionKey is what the worker that notes the deletion protection is known by, as it works beside others.
func deletionKey(uuid string) string { return "deletion:" + uuid }

// unnoted are the VMs whose metadata says something else of the deletion protection than their group's config does.
func (a *Actuator) unnoted(g *group, owned []vm.VM) (all []vm.VM) {
	for _, v := range owned {
		if v.Deletion != g.spec.DeletionProtection && !v.Meta.Phase.Leaving() && a.workers[deletionKey(v.UUID)] == nil {
			all = append(all, v)
		}
	}
	return all
}

// noteDeletion writes the group's deletion protection into its VMs' metadata, where it holds without a config as well.
func (a *Actuator) noteDeletion(ctx context.Context, h vm.Manager, g *group, owned []vm.VM) {
	for _, v := range a.unnoted(g, owned) {
		a.work(ctx, worker{name: v.Name, group: g.spec.Name, marks: true}, deletionKey(v.UUID), func(ctx context.Context) error {
			return h.SetDeletion(ctx, v, g.spec.DeletionProtection)
		})
	}
}

// setAside starts what takes VMs out of service or gives them away, and what has them serve again.
func (a *Actuator) setAside(ctx context.Context, h vm.Manager, g *group, plan Actions) {
	decision, spec := g.newest.Decision.ID, g.spec
	for _, v := range plan.StandBy {
		a.work(ctx, worker{name: v.Name, group: spec.Name, aside: true}, v.UUID, func(ctx context.Context) error {
			return h.StandBy(ctx, spec, v, decision)
		})
	}
	for _, v := range plan.Detach {
		a.work(ctx, worker{name: v.Name, group: spec.Name, aside: true}, v.UUID, func(ctx context.Context) error {
			return h.Detach(ctx, spec, v, decision)
		})
	}
	for _, v := range plan.Return {
		a.work(ctx, worker{name: v.Name, group: spec.Name, up: true}, v.UUID, func(ctx context.Context) error {
			return h.Return(ctx, spec, v, decision)
		})
	}
}

// asideAgain is the time between two tries to take a VM out of service, or to give it away.
const asideAgain = 5 * time.Second

// setAsideEnded takes the result of a worker of setAside.
func (a *Actuator) setAsideEnded(w *worker, r result) {
	delete(a.seen, r.uuid) // not gone by itself
	if r.err != nil && !errors.Is(r.err, context.Canceled) && !errors.Is(r.err, errScaleIn) {
		a.retryAt[r.uuid] = a.cfg.Now().Add(asideAgain)
		if errors.Is(r.err, vm.ErrCannotWait) {
			a.tell(a.groups[w.group].couldNotWait(w, r.err, a.cfg.Now()))
			return
		}
		a.log.Warn().Err(r.err).Str("group", w.group).Str("vm", w.name).Msg("what is wanted of it could not be done; it is tried again")
	}
}

// attachKey is what the worker is known by that takes a domain in, whose UUID is not known before.
func attachKey(name string) string { return "attach:" + name }

// attachments are the domains of a decision that are to be taken in here now, each once. Where it is not known until when one may
// be by this host's clock, it is not.
func (a *Actuator) attachments(g *group, now time.Time) (all []bus.Attachment) {
	for _, one := range g.newest.Decision.Attach {
		until, known := g.newest.Decision.Shares[a.hostID].Here(one.Until)
		if one.HostID == a.hostID && known && now.Before(until) && !g.attached[one.VM].Equal(one.At) {
			all = append(all, one)
		}
	}
	return all
}

// attach starts what takes domains in that are a person's. Whatever comes of it is said once.
func (a *Actuator) attach(ctx context.Context, h vm.Manager, g *group, all []bus.Attachment) {
	decision, spec := g.newest.Decision.ID, g.spec
	for _, one := range all {
		if a.working(one.VM) {
			continue
		}
		g.attached[one.VM] = one.At
		w := worker{name: one.VM, group: spec.Name, marks: true, attaches: true}
		a.work(ctx, w, attachKey(one.VM), func(ctx context.Context) error {
			e := bus.Event{
				Group: spec.Name, VM: one.VM, Event: bus.EventAttached, DecisionID: decision, By: one.By, Reason: one.Reason,
				Sentence: "it is a VM of the group now, and serves once it is ready",
			}
			if err := h.Attach(ctx, spec, one); err != nil {
				e.Event, e.Sentence, e.Error = bus.EventRefused, "it is not attached, and left as it is", vm.ErrorText(err)
			}
			h.Tell(e)
			return nil
		})
	}
}
