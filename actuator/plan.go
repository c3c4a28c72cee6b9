package actuator

import (
	"fmt"
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
	Idle       Work = iota // nothing
	BringingUp             // it is launched, or waited for until it is ready
	Removing               // its removal is done, whatever comes
	Draining               // its removal can still be called off
	Resting                // its removal failed, and is not tried again for now
)

// Situation is what Plan looks at, for one group on one host.
type Situation struct {
	Spec    bus.Group
	Desired int     // Unknown, or already within the group's max
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
	// Creating has the names that a worker is about to define.
	Creating  []string
	Taken     map[string]bool // names that a new VM cannot have: every domain's, and what has files in the pool
	BootSlots int             // how many VMs may boot at the same time
	Backoff   bool            // creating failed lately: create nothing for now
	Trial     bool            // creating failed often: create one at a time
	// Unheard reports that no decision was heard since the start, so that what a person has paused is not known, or that another
	// actuator acts on this libvirt.
	Unheard  bool
	Controls bus.Controls
	Removed  int // VMs that served and were scaled in within the removal window
}

// Actions is what to do next, each item by a worker of its own.
type Actions struct {
	Create []string // names
	Await  []vm.VM  // running, but not yet known to be ready
	Remove []vm.Removal
	Cancel []vm.Removal // as Remove, but a worker that brings the VM up must be stopped first
	Keep   []vm.Removal // removals that are called off, with why
	Kept   int          // surplus VMs that stay as the budget for removals is used up
	// Suspended are VMs that a person has suspended, where others that are desired have no room in max beside them.
	Suspended []vm.VM
}

// Plan compares desired with what there is. It never has more than Spec.Max VMs owned, whatever their state;
// a VM that someone suspended is left alone and is no capacity, and a protected one is not scaled in. With all scopes paused, or
// before the first decision, it only waits for what boots already.
func Plan(s Situation) Actions {
	var a Actions
	var live []vm.VM // will serve, or do so already
	var draining, sick, suspended []vm.VM
	booting := len(s.Creating)
	for _, v := range s.Owned {
		switch s.Work[v.UUID] {
		case BringingUp:
			booting++
			if v.State.Suspended() {
				suspended = append(suspended, v)
			} else {
				live = append(live, v)
			}
			continue
		case Draining:
			draining = append(draining, v)
			continue
		case Removing, Resting:
			continue
		case Idle:
		}
		switch r, await := judge(v); {
		case r != nil && r.Kind == vm.Died && s.Controls.IsPaused(bus.ScopeRepair):
			live = append(live, v)
		case s.Sick[v.UUID] != "" && len(sick) < s.Spec.Repair.AtOnce && !s.Controls.IsPaused(bus.ScopeRepair):
			sick = append(sick, v)
		case r != nil:
			a.Remove = append(a.Remove, *r)
		case v.State.Suspended() && !await: // a person's, until that lets it go on
			suspended = append(suspended, v)
		default:
			live = append(live, v)
			if await {
				a.Await = append(a.Await, v)
				booting++
			}
		}
	}
	if s.Unheard || !slices.ContainsFunc(bus.Scopes(), func(scope bus.Scope) bool { return !s.Controls.IsPaused(scope) }) {
		return Actions{Await: a.Await}
	}
	if s.Desired == Unknown {
		return a
	}

	choice := live // a VM whose removal is called off now is not chosen again at once
	for _, v := range draining {
		if why := callOff(s, live, v); why != "" {
			a.Keep = append(a.Keep, vm.Removal{VM: v, Kind: vm.ScaleIn, Reason: why})
			live = append(live, v)
		}
	}
	room := s.Spec.Max - len(s.Owned) - len(s.Creating)
	a.Remove = append(a.Remove, replaceable(s, live, sick, room, booting)...)

	if surplus := len(live) + len(s.Creating) - s.Desired; surplus > 0 {
		if !s.ScaleIn {
			return a
		}
		surplus -= len(s.Creating) // they go before those that serve, as soon as they are defined
		for _, v := range victims(s, choice) {
			r := vm.Removal{VM: v, Kind: vm.ScaleIn, Reason: "scaling in", Graceful: v.Serves()}
			if surplus--; surplus < 0 {
				break
			}
			if r.Graceful {
				if s.Removed++; s.Removed > s.Spec.Brakes.Removals {
					a.Kept++
					continue
				}
			}
			if s.Work[v.UUID] != Idle {
				a.Cancel = append(a.Cancel, r)
			} else {
				a.Remove = append(a.Remove, r)
				a.Await = slices.DeleteFunc(a.Await, func(w vm.VM) bool { return w.UUID == v.UUID })
			}
		}
		return a
	}
	missing := s.Desired - len(live) - len(s.Creating)
	if missing > max(room, 0) {
		a.Suspended = suspended
	}
	if s.Backoff {
		return a
	}
	slots := s.BootSlots - booting
	if s.Trial {
		slots = min(slots, 1-booting)
	}
	a.Create = names(s, min(missing, room, slots))
	return a
}

// callOff says why a removal that can still be called off is not to be done, "" if it is.
func callOff(s Situation, live []vm.VM, v vm.VM) string {
	switch {
	case len(live)+len(s.Creating) < s.Desired:
		return "it is needed again"
	case v.Protected:
		return "it is protected now"
	case s.busy(v) && s.idle(live) > len(live)+len(s.Creating)-s.Desired:
		return fmt.Sprintf("it is busy, at %.0f %%, and others are not", s.CPU[v.UUID])
	}
	return ""
}

// replaceable are the sick VMs to remove: those whose replacement serves, and where max leaves no room for one first,
// as many as may be in replacement at once, unless none is launched for now.
func replaceable(s Situation, live, sick []vm.VM, room, booting int) (removals []vm.Removal) {
	serving := 0
	for _, v := range live {
		if v.Serves() {
			serving++
		}
	}
	for _, v := range sick {
		if serving >= s.Desired || room <= 0 && !s.Backoff && booting < s.Spec.Repair.AtOnce {
			removals = append(removals, vm.Removal{VM: v, Kind: vm.Sick, Reason: s.Sick[v.UUID], Graceful: true})
			booting++
		}
	}
	return removals
}

// judge says what a VM that no worker is busy with needs: its removal, to be waited for until it is ready, or
// nothing.
func judge(v vm.VM) (r *vm.Removal, await bool) {
	off := v.Off()
	switch v.Meta.Phase {
	case bus.PhaseDraining:
		return &vm.Removal{
			VM:       v,
			Kind:     vm.Interrupted,
			Reason:   "its removal had begun",
			Graceful: !off && v.State != bus.StateSaved,
		}, false
	case bus.PhaseStopping, bus.PhaseFailed:
		return &vm.Removal{VM: v, Kind: vm.Interrupted, Reason: "its removal had begun"}, false
	case bus.PhaseCreating:
		return &vm.Removal{VM: v, Kind: vm.Interrupted, Reason: "its creation was interrupted"}, false
	case bus.PhaseLaunching:
		switch {
		case off:
			return &vm.Removal{VM: v, Kind: vm.Interrupted, Reason: "its launch was interrupted"}, false
		case v.State.Suspended() && !v.IOError:
			return nil, false
		}
		return nil, true
	case bus.PhaseReady:
		if off {
			return &vm.Removal{VM: v, Kind: vm.Died, Reason: fmt.Sprintf("it is %s", v.State)}, false
		}
	}
	return nil, false
}

// names are those of the next n VMs, by the numbers that this host has; fewer where the others are taken here.
func names(s Situation, n int) []string {
	var free []string
	for _, number := range s.Numbers {
		if len(free) >= n {
			break
		}
		if name := bus.VMName(s.Spec.Name, number); !s.Taken[name] && !slices.Contains(s.Creating, name) {
			free = append(free, name)
		}
	}
	return free
}
