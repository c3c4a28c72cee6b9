package actuator

import (
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// Unknown is the desired number of VMs while there is no valid decision: what was begun is ended, and nothing new
// is created or removed for being surplus.
const Unknown = -1

// Work is what a worker does about a VM.
type Work int

// What is being done about a VM.
const (
	Idle         Work = iota // nothing
	BringingUp               // it is launched, or waited for until it is ready
	Removing                 // its removal is done, whatever comes
	Draining                 // its removal can still be called off
	Resting                  // its removal failed, and is not tried again for now
	Reimaging                // it is given new disks, and brought up with them; or it is restarted with its own
	Marking                  // it is noted whether the VM is retiring
	SettingAside             // it is taken out of service, or given away, and runs on; or it is to wait in the warm pool again
)

// Situation is what Plan looks at, for one group on one host.
type Situation struct {
	Spec    bus.Group
	Now     time.Time
	Desired int     // Unknown, or already within the group's max
	Most    *int    // how many VMs the host may own by the decision, whatever their state; nil: as many as max
	ScaleIn bool    // the decision is one to scale in; else no VM is removed for being one too many
	Owned   []vm.VM // every owned domain of the group
	// Numbers are those that new VMs may have in their names, the first to be used first.
	Numbers []int
	// Work is what is being done about VMs, by UUID.
	Work map[string]Work
	// Sick has the VMs that run and do not serve, by UUID, with why.
	Sick map[string]string
	// CPU is the use in percent of VMs, by UUID; what is not in it is unknown.
	CPU map[string]float64
	// Replaced is when the group's template was last replaced by another of its name; zero: unknown.
	Replaced time.Time
	// Warm is how many VMs the host's warm pool is to have, and WarmStopped how many of these shut down, where it has both kinds.
	Warm, WarmStopped int
	// Saver is what goes on from saved memory here, see [vm.Manager.Saver]; "": it is not known, or nothing waits so.
	Saver string
	// Creating has the names that a worker is about to define, Preparing those for the warm pool.
	Creating  []string
	Former    int // of Creating, those that are made from the template before a refresh
	Preparing []string
	Kept      map[string]bool // names for which disks are kept here: a new VM of the group gets one of them first
	Vacated   []string        // names of VMs that are gone, the last one last: of those in Kept, the newest is taken first
	Taken     map[string]bool // names that a new VM cannot have: every domain's, and what has files in the pool
	BootSlots int             // how many VMs may boot at the same time
	Backoff   bool            // creating failed lately: create nothing for now
	Trial     bool            // creating failed often: create one at a time
	Restless  bool            // VMs of the warm pool could not wait there lately: none is made for it for now
	// Unheard reports that no decision was heard since the start, so that what a person has paused is not known, or that another
	// actuator acts on this libvirt.
	Unheard bool
	// Isolated reports that no decider was heard for as long as the group's isolate_after.
	Isolated bool
	Controls bus.Controls
	Build    bus.Build
	Refresh  RefreshShare
	// Expired is before when VMs were made that are older than the group's max_lifetime; zero: it has none.
	Expired time.Time
	// Attach has the domains that this host's actuator is to take in now; of Attaching a worker looks at the disks.
	Attach    []bus.Attachment
	Attaching int
	// Orders are those for VMs, by UUID, also those that their metadata does not have yet.
	Orders  map[string]bus.VMOrder
	Removed int // VMs that served and were scaled in within the removal window
	Choice  *Choice
}

// Actions is what to do next, each item by a worker of its own.
type Actions struct {
	Create []string // names
	Former []string // those of Create that are made from the template before, as a refresh keeps a canary
	Await  []vm.VM  // running, but not yet known to be ready
	Remove []vm.Removal
	Cancel []vm.Removal // as Remove, but a worker that brings the VM up must be stopped first
	Keep   []vm.Removal // removals that are called off, with why
	// Retire has the VMs that are to serve only until others have taken their places, and Unretire those that are to stay after all.
	Retire   []vm.VM
	Unretire []vm.VM
	Note     []Note // what is wanted of VMs, to be noted in their metadata
	// StandBy has the VMs to take out of service, Return those that stood by and are to serve again, Detach those to give away.
	StandBy, Return, Detach []vm.VM
	Attach                  []bus.Attachment
	// Prepare has the names of VMs to be made for the warm pool, HandOver its VMs that are to serve, Park those that are to wait
	// again, Promote those that boot for it, whose workers must be stopped first.
	Prepare                 []string
	PrepareAs               bus.WarmState // how those of Prepare are to wait
	HandOver, Park, Promote []vm.VM
	Reimage                 []vm.VM   // to be given new disks, or cut off while that was done
	Restart                 []vm.VM   // to be restarted with their own disks, or cut off while that was done
	Kept                    int       // surplus VMs that stay as the budget for removals is used up
	Ask                     *Question // what a listener is to say, or has said, about scaling in; nil: nothing
	// Missing is how many VMs of desired are neither there, on their way, nor in Create, and Hold why; 0 and "" where none is.
	Missing int
	Hold    Hold
	// Suspended are VMs that a person has suspended, or that stand by, where others that are desired have no room in max beside
	// them.
	Suspended []vm.VM
	Retained  []vm.VM // the same of VMs that are retained
}

// Hold is why fewer VMs are made than are missing.
type Hold string

// The holds. Of several that apply the first counts.
const (
	HoldMax     Hold = "max"     // those that are owned, whatever their state, leave no room in max
	HoldLease   Hold = "lease"   // other hosts have, or may make, what is left of max
	HoldBackoff Hold = "backoff" // launches are put off after failures
	HoldTrial   Hold = "trial"   // after failures in a row one VM is launched at a time
	HoldSlots   Hold = "slots"   // as many VMs boot as may at the same time
	HoldNumbers Hold = "numbers" // the decision has no further number for a name, or what is not ours has it here
)

// hold is why none of the VMs that are missing is made beside what is created already, with so much room in max and so many
// free boot slots.
func (s Situation) hold(created, room, slots int) Hold {
	switch {
	case created >= room && s.Most != nil && *s.Most < s.Spec.Max:
		return HoldLease
	case created >= room:
		return HoldMax
	case s.Backoff:
		return HoldBackoff
	case created >= slots && s.Trial:
		return HoldTrial
	case created >= slots:
		return HoldSlots
	}
	return HoldNumbers
}

// room is how many VMs more the host may own.
func (s Situation) room() int {
	most := s.Spec.Max
	if s.Most != nil {
		most = min(most, *s.Most)
	}
	return most - len(s.Owned) - len(s.Creating) - len(s.Preparing) - s.Attaching
}

// Plan compares desired with what there is. It never has more than Spec.Max VMs owned, or Most, whatever their state;
// a VM that someone suspended is left alone and is no capacity, and a protected one is not scaled in. With out, in and repair
// paused, or before the first decision, it only waits for what boots already. On a host that is isolated all goes that may serve.
func Plan(s Situation) Actions {
	if s.Isolated {
		return isolate(s)
	}
	p := part(s)
	switch {
	case s.Unheard:
		return Actions{Await: p.await}
	case s.rests():
		return Actions{Await: p.await, Note: p.note}
	}
	a := Actions{
		Await: p.await, Remove: p.remove, Cancel: p.cancel, Note: p.note, Keep: p.keep,
		StandBy: p.standBy, Return: p.back, Detach: p.detach, Park: p.pool.park, HandOver: p.pool.hand,
	}
	if s.Desired == Unknown {
		return a
	}
	a.refresh(s, &p)
	choice := p.live // a VM whose removal is called off now is not chosen again at once
	for _, v := range p.draining {
		if why := callOff(s, p.live, v); why != "" {
			a.Keep = append(a.Keep, vm.Removal{VM: v, Kind: vm.ScaleIn, Reason: why})
			p.live = append(p.live, v)
		}
	}
	room := s.room()
	a.Attach = s.Attach[:min(len(s.Attach), max(room, 0))]
	room -= len(a.Attach)
	a.Remove = append(a.Remove, replaceable(s, p, room+len(p.pool.waiting))...)

	switch missing := s.Desired - len(p.live) - len(s.Creating); {
	case missing >= 0:
		a.grow(s, &p, max(0, missing-s.vacating(p, a.Retire)), room)
	case s.ScaleIn:
		a.scaleIn(s, choice, -missing, p.pool)
		a.fill(s, p, 0, 0)
	default:
		a.fill(s, p, 0, 0)
	}
	return a
}

// rests reports whether no VM is made or removed: that is paused, or no decision was heard yet.
func (s Situation) rests() bool {
	return s.Unheard || s.Controls.Frozen()
}

// scaleIn removes VMs of choice that are surplus, as far as the budget for removals goes. VMs that are being created go before
// those that serve, as soon as they are defined. For one that is joining nobody goes before it serves: it may never do so. As
// many as the warm pool lacks return to it.
func (a *Actions) scaleIn(s Situation, choice []vm.VM, surplus int, p pool) {
	surplus -= len(s.Creating)
	for _, v := range choice {
		if joining(v) {
			surplus--
		}
	}
	served := s.Removed
	var going []vm.VM
	going, a.Ask = victims(s, choice, surplus)
	for _, v := range going {
		if surplus--; surplus < 0 {
			return
		}
		r := vm.Removal{VM: v, Kind: vm.ScaleIn, Reason: "scaling in", Graceful: v.Serves()}
		if r.Graceful {
			if served++; served > s.Spec.Brakes.Removals {
				a.Kept++
				continue
			}
		}
		if r.Graceful && p.there+len(s.Preparing) < s.Warm && s.reuses(v) {
			r.Reuse, r.Reason = true, "scaling in, and back to the warm pool"
			r.Stops = s.lacks(p) == bus.WarmStopped
			p.add(r.Stops)
		}
		if s.Work[v.UUID] != Idle {
			a.Cancel = append(a.Cancel, r)
			continue
		}
		a.Remove = append(a.Remove, r)
		same := func(w vm.VM) bool { return w.UUID == v.UUID }
		a.Await, a.Reimage = slices.DeleteFunc(a.Await, same), slices.DeleteFunc(a.Reimage, same)
		a.Restart = slices.DeleteFunc(a.Restart, same)
		a.HandOver = slices.DeleteFunc(a.HandOver, same)
	}
}

// replaceable are the sick VMs to remove: those whose replacement serves, and where max, or the group's maintenance, leaves no
// room for one first, as many as may be in replacement at once, unless none is launched for now.
func replaceable(s Situation, p parts, room int) (removals []vm.Removal) {
	if s.Spec.Maintenance.Surge(s.Desired) == 0 {
		room = 0 // none may be there beside it
	}
	serving, booting := 0, p.booting
	for _, v := range p.live {
		if v.Serves() {
			serving++
		}
	}
	for _, v := range p.sick {
		if serving >= s.Desired || room <= 0 && !s.Backoff && booting < s.Spec.Repair.AtOnce {
			removals = append(removals, vm.Removal{VM: v, Kind: vm.Sick, Reason: s.Sick[v.UUID], Graceful: true})
			booting++
		}
	}
	return removals
}

// vacating is how many VMs are on their way out, those of retire among them, whose disks others are to have: none is made in the
// place of one before that is gone.
func (s Situation) vacating(p parts, retire []vm.VM) int {
	if !s.Spec.Stateful() {
		return 0
	}
	leaving := map[string]bool{}
	leave := func(v vm.VM) {
		order, _ := s.order(v)
		if shrinks := order.Is(bus.VMRemove) && order.Shrinks; !shrinks && !v.Meta.Sheds { // else nobody takes its place
			leaving[v.UUID] = true
		}
	}
	for _, r := range slices.Concat(p.remove, p.cancel) {
		leave(r.VM)
	}
	for _, v := range slices.Concat(p.retiring, p.sick, retire) {
		leave(v)
	}
	for _, v := range s.Owned {
		if work := s.Work[v.UUID]; work == Draining || work == Removing || work == Resting {
			leave(v)
		}
	}
	return len(leaving)
}

// names are those of the next n VMs, by the numbers that this host has, first those for which disks are kept, of these the
// one whose VM went last; fewer where the others are taken here.
func names(s Situation, n int) []string {
	var kept, free []string
	for _, number := range s.Numbers {
		name := bus.VMName(s.Spec.Name, number)
		switch {
		case s.Taken[name], slices.Contains(s.Creating, name), slices.Contains(s.Preparing, name):
		case s.Spec.Stateful() && s.Kept[name]:
			kept = append(kept, name)
		default:
			free = append(free, name)
		}
	}
	slices.SortStableFunc(kept, func(a, b string) int { return slices.Index(s.Vacated, b) - slices.Index(s.Vacated, a) })
	free = append(kept, free...)
	return free[:min(max(n, 0), len(free))]
}
