package actuator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// worker brings one VM up or removes it.
type worker struct {
	name, group string
	up          bool
	since       time.Time // when it began, or ended to wait for a hook over the bus
	cancel      context.CancelCauseFunc
	pooled      bool      // of one that brings up: it makes a VM for the warm pool
	former      bool      // of one that brings up: it makes a VM from the template before a refresh
	handed      bool      // of one that brings up: the VM was in the warm pool
	reimages    bool      // of one that brings up: it gives new disks first
	restarts    bool      // with reimages: it restarts the VM with the disks that it has instead
	marks       bool      // it only notes something of the VM
	attaches    bool      // it makes a domain one of the group's VMs
	aside       bool      // it takes the VM out of service, or gives it away
	drain       *vm.Drain // of what can be called off: a removal, or with reimages
}

// work is what the worker does.
func (w *worker) work() Work {
	switch {
	case w.marks:
		return Marking
	case w.aside:
		return SettingAside
	case w.reimages:
		return Reimaging
	case w.up:
		return BringingUp
	case w.drain.Open():
		return Draining
	}
	return Removing
}

type result struct {
	uuid string
	err  error
}

// errScaleIn cancels a launch that is not wanted any more.
var errScaleIn = errors.New("not wanted any more")

// act plans for every group and starts the workers. It reports whether it needs another look at once: launches wait for one
// that has measured the room for them.
func (a *Actuator) act(ctx context.Context, h vm.Manager, slots int, l snapshot) (again bool) {
	inv, room := l.inventory, a.hostRoom(l.vcpus)
	a.launches = false
	gone := a.gone
	a.gone = nil
	for _, g := range a.groups {
		if g.leaves {
			continue
		}
		s := a.situation(g, slots, inv)
		s.Replaced, s.Saver = l.replaced[g.spec.Template], l.saver
		g.desired, g.most = s.Desired, s.Spec.Max
		g.settle(s)
		plan := Plan(s)
		g.suspended, g.retained = plan.Suspended, plan.Retained
		g.standing = g.standing.next(s, plan, a.cfg.Now())
		a.traced(g, plan.idle() && !s.Backoff)
		if g.spec.DryRun || g.newest.Decision.Controls.DryRun {
			g.removalsHeld, g.standing = false, standing{}
			a.reportDryRun(g, plan) // and nothing else: this is the one place from which anything is done
			continue
		}
		g.dryRun = ""
		a.tellIsolation(g, s.Isolated, plan)
		a.farewell(ctx, h, g, gone)
		a.countRemovals(g, plan)
		again = !a.fitIn(g, &plan, l.measured, &room) || again
		a.askVictims(ctx, g, plan.Ask)
		a.remove(ctx, h, g, plan)
		a.mark(ctx, h, g, plan)
		a.note(ctx, h, g, plan)
		a.noteDeletion(ctx, h, g, s.Owned)
		a.setAside(ctx, h, g, plan)
		a.attach(ctx, h, g, plan.Attach)
		a.launch(ctx, h, g, plan, inv)
		a.warm(ctx, h, g, plan)
	}
	return again
}

// farewell runs the removal's command, where it is one that is waited for, for VMs that are gone by nobody's plan.
func (a *Actuator) farewell(ctx context.Context, h vm.Manager, g *group, gone []vm.VM) {
	hooks, id := g.hooked(g.spec).Hooks.Remove, g.newest.Decision.ID
	if !hooks.RunsCommand() {
		return
	}
	for _, v := range gone {
		if v.Meta.Group != g.spec.Name {
			continue
		}
		a.work(ctx, worker{name: v.Name, group: g.spec.Name}, v.UUID, func(ctx context.Context) error {
			_ = h.Farewell(ctx, hooks, v, id) // what went wrong is in the log, and nobody waits for it
			return nil
		})
	}
}

// remove starts the plan's removals, and calls off what it keeps and cancels.
func (a *Actuator) remove(ctx context.Context, h vm.Manager, g *group, plan Actions) {
	for _, r := range plan.Keep {
		if w := a.workers[r.VM.UUID]; w.drain.CallOff() {
			w.cancel(vm.CalledOff{Why: r.Reason})
		}
	}
	for _, r := range plan.Cancel {
		a.workers[r.VM.UUID].cancel(errScaleIn)
	}
	id, spec := g.newest.Decision.ID, g.hooked(g.spec)
	for _, r := range plan.Remove {
		_, r.Again = a.retries[r.VM.UUID]
		if r.Kind == vm.Died && !r.Again {
			a.tell(bus.Event{Group: g.spec.Name, VM: r.VM.Name, Event: bus.EventDied, Sentence: r.Reason + "; it is replaced"})
		}
		w := worker{name: r.VM.Name, group: g.spec.Name}
		if r.Graceful && drains(r) {
			w.drain = &vm.Drain{}
		}
		a.work(ctx, w, r.VM.UUID, func(ctx context.Context) error {
			return h.Remove(ctx, r, spec, w.drain, id)
		})
	}
}

// drains reports whether a graceful removal gives the VM the time of its group's drain.
func drains(r vm.Removal) bool {
	switch {
	case r.VM.Order.Leaves():
		return r.VM.Order.Is(bus.VMDrain)
	case r.Kind == vm.Ordered:
		return true
	}
	return r.Kind == vm.ScaleIn || r.Kind == vm.Outdated || r.Kind == vm.Isolated || r.VM.Meta.Phase == bus.PhaseDraining
}

// launch starts the plan's launches, and waits for VMs that boot already.
func (a *Actuator) launch(ctx context.Context, h vm.Manager, g *group, plan Actions, inv vm.Inventory) {
	id, own := g.newest.Decision.ID, g.hooked(g.spec)
	spec := g.newest.Decision.Refresh.InForce(own)
	for _, v := range plan.Await {
		a.work(ctx, worker{name: v.Name, group: g.spec.Name, up: true}, v.UUID, func(ctx context.Context) error {
			return h.AwaitReady(ctx, own, v, id)
		})
	}
	for _, v := range plan.Reimage {
		w := worker{name: v.Name, group: g.spec.Name, up: true, reimages: true, drain: &vm.Drain{}}
		a.work(ctx, w, v.UUID, func(ctx context.Context) error { return h.Reimage(ctx, spec, v, w.drain, id) })
	}
	for _, v := range plan.Restart {
		w := worker{name: v.Name, group: g.spec.Name, up: true, reimages: true, restarts: true, drain: &vm.Drain{}}
		a.work(ctx, w, v.UUID, func(ctx context.Context) error { return h.Restart(ctx, spec, v, w.drain, id) })
	}
	for _, name := range plan.Create {
		a.tellTaken(g.spec.Name, name, inv)
		uuid, of, former := vm.NewUUID(), spec, slices.Contains(plan.Former, name)
		if former {
			of = g.newest.Decision.Refresh.Former(own)
		}
		a.work(ctx, worker{name: name, group: g.spec.Name, up: true, former: former}, uuid, func(ctx context.Context) error {
			return h.Launch(ctx, of, name, uuid, id)
		})
	}
}

func (a *Actuator) situation(g *group, slots int, inv vm.Inventory) Situation {
	now := a.cfg.Now()
	spec := inForce(g.spec, g.newest.Decision)
	build, unsure := g.build(a.hostID)
	s := Situation{
		Spec: spec, Now: now, Desired: Unknown, Owned: inv.Group(g.spec.Name), Work: map[string]Work{},
		Taken: inv.Taken, Kept: inv.Kept, Vacated: g.vacated,
		BootSlots: slots, Backoff: now.Before(g.retryAt), Trial: g.open(), Unheard: !g.newest.Taken() || a.rival() != nil,
		Controls: g.newest.Decision.Controls, Build: build, Removed: g.removed(now),
		Expired: expired(spec, now), Choice: g.asker.current(now), CPU: a.load.cpu(g.spec.Name, now),
		Orders: g.newest.Decision.Orders, Restless: now.Before(g.restless.until),
	}
	s.Isolated = a.isolated(g) && a.rival() == nil
	s.Sick = a.sick(g, s.Owned)
	s.Backoff, s.Trial = now.Before(g.retryAt), g.open() // which a sick VM may have changed
	if g.newest.Holds(now) && !g.mismatch {
		s.Follow(g.newest.Decision, a.hostID)
		s.ScaleIn = s.ScaleIn && !g.newest.Doubtful
		s.Attach, s.Refresh.Unsure = a.attachments(g, now), unsure
	}
	for uuid, until := range a.retryAt {
		if now.Before(until) {
			s.Work[uuid] = Resting
		}
	}
	defined := map[string]bool{}
	for _, vm := range s.Owned {
		defined[vm.UUID] = true
	}
	for uuid, w := range a.workers {
		switch {
		case w.attaches:
			if w.group == g.spec.Name {
				s.Attaching++
			}
		case w.up && !defined[uuid]:
			switch {
			case w.group != g.spec.Name:
			case w.pooled:
				s.Preparing = append(s.Preparing, w.name)
			default:
				s.Creating = append(s.Creating, w.name)
				if w.former {
					s.Former++
				}
			}
			s.Taken[w.name] = true
		default:
			s.Work[uuid] = w.work()
		}
		if w.up && w.group != g.spec.Name {
			s.BootSlots--
		}
	}
	return s
}

// tellTaken publishes, once, which lower numbers a new VM's name skips because something foreign has them.
func (a *Actuator) tellTaken(group, name string, inv vm.Inventory) {
	ours := map[string]bool{}
	for _, vm := range inv.Owned {
		ours[vm.Name] = true
	}
	for i := 1; ; i++ {
		n := fmt.Sprintf("%s-%d", group, i)
		if n == name {
			return
		}
		_, aside := a.groups[group].needed[n] // which was said
		if inv.Taken[n] && !ours[n] && !aside && !a.reportedNames[n] && !a.working(n) {
			a.reportedNames[n] = true
			a.tell(bus.Event{
				Group: group, VM: n, Event: bus.EventTakenName,
				Sentence: "a domain or file that is not ours has this name: left alone, and the name is avoided",
			})
		}
	}
}

func (a *Actuator) working(name string) bool {
	for _, w := range a.workers {
		if w.name == name {
			return true
		}
	}
	return false
}

// work starts a worker.
func (a *Actuator) work(ctx context.Context, w worker, uuid string, do func(context.Context) error) {
	ctx, cancel := context.WithCancelCause(ctx)
	w.cancel, w.since = cancel, a.cfg.Now()
	a.workers[uuid] = &w
	done := a.done
	ctx, ended := a.beginTrace(ctx, w)
	go func() {
		err := do(ctx)
		ended(err)
		done <- result{uuid, err}
	}()
}

// ended takes a worker's result.
func (a *Actuator) ended(r result) {
	w := a.workers[r.uuid]
	delete(a.workers, r.uuid)
	w.cancel(nil)
	if w.marks {
		if r.err != nil && !errors.Is(r.err, context.Canceled) && !errors.Is(r.err, errScaleIn) {
			a.log.Warn().Err(r.err).Str("group", w.group).Str("vm", w.name).Msg("what is to become of it could not be noted")
		}
		return
	}
	a.sweeper.ended[r.uuid] = true
	g := a.groups[w.group]
	switch {
	case w.aside:
		a.setAsideEnded(w, r)
	case w.handed:
		a.handedOver(w, r)
	case errors.Is(r.err, errPromoted):
	case errors.Is(r.err, vm.ErrCannotWait) && w.up:
		delete(a.seen, r.uuid)
		g.launched()
		a.tell(g.couldNotWait(w, r.err, a.cfg.Now()))
		a.sweeper.failed[r.uuid] = true
	case r.err == nil && w.up:
		g.launched()
		if w.pooled {
			g.restless = restless{}
		}
	case r.err == nil:
		delete(a.retryAt, r.uuid)
		delete(a.retries, r.uuid)
		delete(a.seen, r.uuid) // gone by our own doing
		g.vacate(w.name)
	case errors.Is(r.err, errScaleIn), errors.Is(r.err, context.Canceled), vm.IsCalledOff(r.err):
	case w.up && g.keptIsNeeded(w, r.err, a.cfg.Now()):
		delete(a.seen, r.uuid)
		a.tell(keptNeeded(w, r.err))
	case w.up:
		delete(a.seen, r.uuid)
		for _, e := range g.failed(w, r.err, a.cfg.Now()) {
			a.tell(e)
			a.sweeper.failed[r.uuid] = true
		}
	default:
		a.couldNotRemove(r.uuid, w, r.err)
	}
}

// vacate notes that a VM is gone, so that the one in its place is the next that takes a disk that is kept.
func (g *group) vacate(name string) {
	if g == nil || !g.spec.Stateful() {
		return
	}
	const most = 1000 // that are remembered
	g.vacated = append(slices.DeleteFunc(g.vacated, func(other string) bool { return other == name }), name)
	g.vacated = g.vacated[max(0, len(g.vacated)-most):]
}

// stopWorkers waits for the workers, whose context has ended, and reports whether all of them left.
func (a *Actuator) stopWorkers() bool {
	deadline := time.NewTimer(stopDeadline)
	defer deadline.Stop()
	for len(a.workers) > 0 {
		select {
		case r := <-a.done:
			a.ended(r)
		case <-deadline.C:
			clear(a.workers)
			return false
		}
	}
	return true
}
