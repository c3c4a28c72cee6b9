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

// errPromoted cancels the launch of a VM for the warm pool that is to serve at once.
var errPromoted = errors.New("it is to serve at once")

// pool are a group's VMs of the warm pool on this host, by what can be done with them.
type pool struct {
	waiting []vm.VM // can be handed over, the oldest first
	coming  []vm.VM // on their way there, each with a worker, and none that is being saved, which nothing can hurry
	there   int     // those that wait or are on their way there
	stops   int     // of there, those that wait, or are to wait, shut down
	moving  int     // those that are on their way there, or leave it
	park    []vm.VM // run, and are to wait again
	hand    []vm.VM // of live, those whose way to service was cut off
}

// add counts another VM that is there.
func (p *pool) add(stops bool) {
	p.there++
	if stops {
		p.stops++
	}
}

// drop is the opposite, of a VM.
func (p *pool) drop(s Situation, v vm.VM) {
	p.there--
	if s.stops(v) {
		p.stops--
	}
}

// lacks is how the next VM of the warm pool is to wait.
func (s Situation) lacks(p pool) bus.WarmState {
	pool := s.Spec.WarmPool
	if pool.TwoKinds() && p.there-p.stops >= s.Warm-s.WarmStopped {
		return bus.WarmStopped
	}
	return pool.State
}

// stops reports whether a VM of the warm pool waits, or is to wait, shut down.
func (s Situation) stops(v vm.VM) bool { return s.Spec.WarmPool.StateOf(v.Meta) == bus.WarmStopped }

// surplus reports whether the pool has too many VMs that wait as v does; where all wait alike, it is for others to say.
func (p pool) surplus(s Situation, v vm.VM) bool {
	switch {
	case !s.Spec.WarmPool.TwoKinds():
		return true
	case s.stops(v):
		return p.stops > s.WarmStopped
	}
	return p.there-p.stops > s.Warm-s.WarmStopped
}

// ofPool sorts in a VM that is of the warm pool, or on its way from there to service, and reports whether it is one.
func (p *parts) ofPool(s Situation, v vm.VM) bool {
	work := s.Work[v.UUID]
	if v.BeingHanded() && !v.Off() && !v.IOError && (work == Idle || work == BringingUp) {
		p.booting++
		p.live = append(p.live, v)
		if work == Idle {
			p.pool.hand = append(p.pool.hand, v)
		}
		return true
	}
	if !v.Meta.Phase.Pooled() {
		return false
	}
	switch work {
	case Removing, Draining, Resting:
		p.pool.moving++
	case BringingUp, Reimaging:
		p.pool.add(s.stops(v))
		p.pool.moving++
		if v.State != bus.StatePaused || v.Meta.Saver == "" { // else its memory is being saved
			p.booting++
			p.pool.coming = append(p.pool.coming, v)
		}
	case SettingAside, Marking:
		p.pool.add(s.stops(v))
		p.pool.moving++
	case Idle:
		p.idleOfPool(s, v)
	}
	return true
}

// idleOfPool sorts in a VM of the warm pool with which no worker is busy.
func (p *parts) idleOfPool(s Situation, v vm.VM) {
	switch why := s.unfitForPool(v); {
	case why != "":
		p.pool.moving++
		p.remove = append(p.remove, vm.Removal{VM: v, Kind: vm.Unneeded, Reason: why})
	case v.Meta.Phase == bus.PhasePreparing:
		p.booting++
		p.pool.add(s.stops(v))
		p.pool.moving++
		p.pool.coming = append(p.pool.coming, v)
		p.await = append(p.await, v)
	case v.State == bus.StateRunning:
		p.pool.add(s.stops(v))
		p.pool.moving++
		p.pool.park = append(p.pool.park, v)
	case v.Off(), v.State == bus.StatePaused, v.State == bus.StateSaved:
		p.pool.add(s.stops(v))
		p.pool.waiting = append(p.pool.waiting, v)
	default: // it shuts down, or its state is not known: a moment later it is
		p.pool.add(s.stops(v))
		p.pool.moving++
	}
}

// unfitForPool is why a VM of the warm pool cannot be handed over; "": it can, or is on its way.
func (s Situation) unfitForPool(v vm.VM) string {
	switch {
	case s.Build.Outdated(v.Meta.Made()):
		return s.Build.Why(v.Meta.Made())
	case v.Meta.Created.Before(s.Replaced):
		return "its template was replaced since"
	case v.Meta.Phase == bus.PhasePreparing && v.Off():
		return "its way to the warm pool was interrupted"
	case v.IOError:
		return "it is paused on an I/O error"
	case v.Meta.Phase != bus.PhaseWarm:
		return ""
	case s.otherKind(v):
		return fmt.Sprintf("it is %s, and its warm pool has other VMs", v.State)
	}
	return v.SavedElsewhere(s.Saver)
}

// otherKind reports whether a VM does not wait as those of the warm pool do. One whose memory a person has saved goes on from
// there in any.
func (s Situation) otherKind(v vm.VM) bool {
	pool := s.Spec.WarmPool
	kind, oneKind := pool.StateOf(v.Meta), !pool.TwoKinds()
	switch {
	case v.State == bus.StateCrashed, v.State == bus.StateAsleep, v.Meta.Stops && oneKind && pool.State != bus.WarmStopped:
		return true
	case v.State == bus.StateSaved:
		return kind != bus.WarmSaved && v.Meta.Saver != ""
	case v.State == bus.StatePaused:
		return kind != bus.WarmPaused
	}
	return v.Off() && kind != bus.WarmStopped
}

// grow has so many more VMs serve: those of the warm pool, and then new ones, as far as there is room in max.
func (a *Actions) grow(s Situation, p *parts, missing, room int) {
	missing = a.handOver(s, p, missing)
	if missing > max(room, 0) {
		a.Suspended, a.Retained = p.suspended, p.retained
	}
	slots := freeSlots(s, p.booting)
	a.Create = names(s, min(missing, room, slots))
	a.Former = s.former(p.live, a.Create, missing)
	if a.Missing = missing - len(a.Create); a.Missing > 0 {
		a.Hold = s.hold(len(a.Create), room, slots)
	}
	a.fill(s, *p, room, slots)
}

// reuses reports whether a VM that is scaled in may return to the warm pool: its group says so, and it is what a new one would
// be.
func (s Situation) reuses(v vm.VM) bool {
	pool := s.Spec.WarmPool
	return pool.Reuse && !s.Restless && s.Sick[v.UUID] == "" && !s.Build.Outdated(v.Meta.Made()) &&
		!v.Meta.Created.Before(s.Replaced) && s.tooOldForPool(v) == ""
}

// handOver has up to so many VMs of the warm pool serve: those that are paused before those that are saved and these before those
// that boot, and those that wait before those on their way there; one that does not run yet is left to come that far first. It
// returns how many are still to be made.
func (a *Actions) handOver(s Situation, p *parts, missing int) (left int) {
	slices.SortStableFunc(p.pool.waiting, func(v, w vm.VM) int { return farFromService(v) - farFromService(w) })
	var rest []vm.VM
	for _, v := range p.pool.waiting {
		if missing == 0 || v.Off() && p.booting >= s.BootSlots {
			rest = append(rest, v)
			continue
		}
		if v.Off() {
			p.booting++
		}
		p.pool.drop(s, v)
		missing--
		a.HandOver = append(a.HandOver, v)
	}
	p.pool.waiting = rest
	for _, v := range p.pool.coming[:min(missing, len(p.pool.coming))] {
		missing--
		switch {
		case v.State != bus.StateRunning:
		case s.Work[v.UUID] == Idle:
			a.HandOver = append(a.HandOver, v)
			a.Await = slices.DeleteFunc(a.Await, func(w vm.VM) bool { return w.UUID == v.UUID })
		default:
			a.Promote = append(a.Promote, v)
		}
	}
	return missing
}

// farFromService is a number that is higher the longer a VM that waits takes until it serves.
func farFromService(v vm.VM) int {
	switch {
	case v.Off():
		return 2
	case v.State == bus.StateSaved:
		return 1
	}
	return 0
}

// newInPool is for how long a VM in the warm pool is not one too many: the decision may be of a sample from before.
const newInPool = 10 * time.Second

// fill has the warm pool be as large as its host's share, one VM at a time: what is too many goes, the oldest first, and so does
// one that is too old. Another is made only while nothing else is, and while those that were made could wait.
func (a *Actions) fill(s Situation, p parts, room, slots int) {
	surplus := p.pool.there + len(s.Preparing) - s.Warm - a.Missing // which are handed over, once they have a slot
	excess := surplus
	for _, v := range p.pool.waiting {
		if excess <= 0 || s.Now.Sub(v.Meta.Since) < newInPool || !p.pool.surplus(s, v) {
			continue
		}
		excess--
		p.pool.drop(s, v)
		a.Remove = append(a.Remove, vm.Removal{VM: v, Kind: vm.Unneeded, Reason: "its warm pool has too many VMs"})
	}
	busy := len(a.Create)+len(a.HandOver)+len(a.Promote)+len(s.Creating)+len(s.Preparing)+p.pool.moving > 0
	if surplus > 0 || busy || a.Missing > 0 || s.Backoff || s.Trial || s.Restless || s.Controls.IsPaused(bus.ScopeOut) {
		return
	}
	if len(p.pool.waiting) > 0 {
		if why := s.tooOldForPool(p.pool.waiting[0]); why != "" {
			a.Remove = append(a.Remove, vm.Removal{VM: p.pool.waiting[0], Kind: vm.Unneeded, Reason: why})
			return
		}
	}
	switch {
	case surplus < 0 && room > 0 && slots > 0:
		a.Prepare, a.PrepareAs = names(s, 1), s.lacks(p.pool)
	case surplus == 0:
		a.exchange(s, p.pool)
	}
}

// exchange lets one VM go of a pool that is large enough, and has too many that are paused, or shut down, and too few of the
// others.
func (a *Actions) exchange(s Situation, p pool) {
	for _, v := range p.waiting {
		if s.Spec.WarmPool.TwoKinds() && p.surplus(s, v) && s.Now.Sub(v.Meta.Since) >= newInPool {
			a.Remove = append(a.Remove, vm.Removal{
				VM: v, Kind: vm.Unneeded, Reason: fmt.Sprintf("it is %s, and its warm pool has too many of these", v.State),
			})
			return
		}
	}
}

// tooOldForPool is why a VM is not to wait any longer; "": it may.
func (s Situation) tooOldForPool(v vm.VM) string {
	switch most := s.Spec.WarmPool.MaxAge; {
	case most > 0 && v.Meta.Created.Before(s.Now.Add(-most)):
		return fmt.Sprintf("it is older than warm_pool.max_age %s", most)
	case v.Meta.Created.Before(s.Expired): // it would be replaced as soon as it serves
		return fmt.Sprintf("it is older than max_lifetime %s", s.Spec.MaxLifetime)
	}
	return ""
}

// admitPool cuts what a plan starts for the warm pool down to what the host has room for. Nobody waits for it, so only health
// says where that is short which VMs take once they wait.
func (a *Actuator) admitPool(g *group, plan *Actions, r *room) {
	fit, _ := admit(a.cfg.Limits, *r, g.spec, len(plan.Prepare))
	if g.saveShort = ""; fit > 0 && plan.PrepareAs == bus.WarmSaved {
		if g.saveShort = saveShort(a.cfg.Limits, *r, g.spec); g.saveShort != "" {
			fit = 0
		}
	}
	plan.Prepare = plan.Prepare[:fit]
	r.take(fit*g.spec.VCPUs, fit*g.spec.OrdinaryMemoryMiB())
}

// takesMemory reports whether a VM that waits has no memory of its host, and takes it again.
func takesMemory(v vm.VM) bool { return v.Off() || v.State == bus.StateSaved }

// booting are the VMs of a plan's handovers that take memory again.
func booting(vms []vm.VM) (n int) {
	for _, v := range vms {
		if takesMemory(v) {
			n++
		}
	}
	return n
}

// keepFitting leaves out so many of the VMs that take memory again, as the host has no room for them.
func keepFitting(vms []vm.VM, without int) []vm.VM {
	return slices.DeleteFunc(slices.Clone(vms), func(v vm.VM) bool {
		if without > 0 && takesMemory(v) {
			without--
			return true
		}
		return false
	})
}

// warm starts what a plan does about the warm pool.
func (a *Actuator) warm(ctx context.Context, h vm.Manager, g *group, plan Actions) {
	id, own := g.newest.Decision.ID, g.hooked(g.spec)
	spec := g.newest.Decision.Refresh.InForce(own)
	for _, v := range plan.Promote {
		a.workers[v.UUID].cancel(errPromoted)
	}
	for _, v := range plan.HandOver {
		a.work(ctx, worker{name: v.Name, group: g.spec.Name, up: true, handed: true}, v.UUID, func(ctx context.Context) error {
			return h.HandOver(ctx, own, v, id)
		})
	}
	for _, v := range plan.Park {
		a.work(ctx, worker{name: v.Name, group: g.spec.Name, aside: true}, v.UUID, func(ctx context.Context) error {
			return h.Park(ctx, own, v, id)
		})
	}
	spec.WarmPool.State, spec.WarmPool.Stopped = plan.PrepareAs, bus.WarmSize{}
	for _, name := range plan.Prepare {
		uuid := vm.NewUUID()
		a.work(ctx, worker{name: name, group: g.spec.Name, up: true, pooled: true}, uuid, func(ctx context.Context) error {
			return h.Prepare(ctx, spec, name, uuid, id)
		})
	}
}

// handAgain is the time between two tries to hand a VM over.
const handAgain = 5 * time.Second

// handedOver takes the result of a worker that hands a VM over. One that fails is replaced by another, and says nothing of how
// launches of its group go.
func (a *Actuator) handedOver(w *worker, r result) {
	if r.err == nil || errors.Is(r.err, errScaleIn) || errors.Is(r.err, context.Canceled) || vm.IsCalledOff(r.err) {
		return
	}
	delete(a.seen, r.uuid)
	a.retryAt[r.uuid] = a.cfg.Now().Add(handAgain)
	a.tell(bus.Event{
		Group: w.group, VM: w.name, Event: bus.EventFailed, Error: vm.ErrorText(r.err), Console: vm.ConsoleOf(r.err),
		Sentence: "it was of the warm pool, and does not serve: another takes its place",
	})
}
