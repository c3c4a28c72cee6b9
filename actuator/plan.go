package actuator

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vmscaler/vmscaler/bus"
)

// VM is an owned domain as libvirt shows it.
type VM struct {
	Name  string
	UUID  string
	Meta  bus.Metadata
	State bus.State
	// Protected VMs are never chosen for scaling in.
	Protected bool
}

// serves says whether a VM does its work, or could as soon as the person who suspended it lets it.
func (vm VM) serves() bool {
	return vm.Meta.Phase == bus.PhaseReady && vm.State != bus.StateShutoff && vm.State != bus.StateCrashed
}

const scalingIn = "scaling in" // the reason of a removal for being one too many

// Unknown is the desired number of VMs while there is no valid decision: what was begun is ended, and nothing new
// is created or removed for being surplus.
const Unknown = -1

// Situation is what Plan looks at, for one group on one host.
type Situation struct {
	Spec    bus.Group
	Desired int  // Unknown, or already within the group's max
	Owned   []VM // every owned domain of the group
	// Working has the UUIDs that a worker is busy with: true while it brings the VM up, false while it removes it.
	Working map[string]bool
	// Creating has the names that a worker is about to define.
	Creating  []string
	Taken     map[string]bool // names that a new VM cannot have: every domain's, and what has files in the pool
	BootSlots int             // how many VMs may boot at the same time
	Backoff   bool            // creating failed lately: create nothing for now
	Trial     bool            // creating failed often: create one at a time
	// Unheard says that no decision was heard since the start. What a person has paused is not known then.
	Unheard  bool
	Controls bus.Controls
	Removed  int // VMs that served and were scaled in within the removal window
}

// Removal is a VM to remove, and why.
type Removal struct {
	VM       VM
	Reason   string
	Died     bool     // it should have been running
	Graceful bool     // ask the guest to shut down first
	Hook     bus.Hook // before that; Plan leaves it to its caller
}

// Actions is what to do next, each item by a worker of its own.
type Actions struct {
	Create []string // names
	Await  []VM     // running, but not yet known to be ready
	Remove []Removal
	Cancel []Removal // as Remove, but a worker that brings the VM up must be stopped first
	Kept   int       // surplus VMs that stay as the budget for removals is used up
}

// Plan compares desired with what there is. It never has more than Spec.Max VMs owned, whatever their state;
// a VM that someone suspended is left alone, and a protected one is not scaled in. With all scopes paused, or before
// the first decision, it only waits for what boots already.
func Plan(s Situation) Actions {
	var a Actions
	var live []VM // will serve, or do so already
	booting := len(s.Creating)
	for _, vm := range s.Owned {
		if up, busy := s.Working[vm.UUID]; busy {
			if up {
				live = append(live, vm)
				booting++
			}
			continue
		}
		switch r, await := judge(vm); {
		case r != nil && r.Died && s.Controls.Has(bus.ScopeRepair):
			live = append(live, vm)
		case r != nil:
			a.Remove = append(a.Remove, *r)
		default:
			live = append(live, vm)
			if await {
				a.Await = append(a.Await, vm)
				booting++
			}
		}
	}
	if s.Unheard || !slices.ContainsFunc(bus.Scopes(), func(scope bus.Scope) bool { return !s.Controls.Has(scope) }) {
		return Actions{Await: a.Await}
	}
	if s.Desired == Unknown {
		return a
	}

	if surplus := len(live) + len(s.Creating) - s.Desired; surplus > 0 {
		for _, vm := range victims(s, live) {
			r := Removal{VM: vm, Reason: scalingIn, Graceful: vm.serves()}
			if surplus--; surplus < 0 {
				break
			}
			if r.Graceful {
				if s.Removed++; s.Removed > s.Spec.Brakes.Removals {
					a.Kept++
					continue
				}
			}
			if _, busy := s.Working[vm.UUID]; busy {
				a.Cancel = append(a.Cancel, r)
			} else {
				a.Remove = append(a.Remove, r)
				a.Await = slices.DeleteFunc(a.Await, func(w VM) bool { return w.UUID == vm.UUID })
			}
		}
		return a
	}
	if s.Backoff {
		return a
	}
	missing := s.Desired - len(live) - len(s.Creating)
	room := s.Spec.Max - len(s.Owned) - len(s.Creating)
	slots := s.BootSlots - booting
	if s.Trial {
		slots = min(slots, 1-booting)
	}
	a.Create = names(s, min(missing, room, slots))
	return a
}

// judge says what a VM that no worker is busy with needs: its removal, to be waited for until it is ready, or
// nothing.
func judge(vm VM) (r *Removal, await bool) {
	off := vm.State == bus.StateShutoff || vm.State == bus.StateCrashed
	switch vm.Meta.Phase {
	case bus.PhaseDraining:
		return &Removal{VM: vm, Reason: "its removal had begun", Graceful: !off}, false
	case bus.PhaseStopping, bus.PhaseFailed:
		return &Removal{VM: vm, Reason: "its removal had begun"}, false
	case bus.PhaseCreating:
		return &Removal{VM: vm, Reason: "its creation was interrupted"}, false
	case bus.PhaseLaunching:
		switch {
		case off:
			return &Removal{VM: vm, Reason: "its launch was interrupted"}, false
		case vm.State == bus.StatePaused:
			return nil, false
		}
		return nil, true
	case bus.PhaseReady:
		if off {
			return &Removal{VM: vm, Reason: fmt.Sprintf("it is %s", vm.State), Died: true}, false
		}
	}
	return nil, false
}

// victims are the VMs that may be scaled in, the first to go first: those that do not serve yet, and then by the
// group's order.
func victims(s Situation, live []VM) []VM {
	if s.Controls.Has(bus.ScopeIn) {
		return nil
	}
	var may []VM
	for _, vm := range live {
		if !vm.Protected {
			may = append(may, vm)
		}
	}
	rank := func(vm VM) int {
		switch {
		case !vm.serves():
			return 0
		case s.Spec.ScaleIn == bus.ScaleInOutdated && vm.Meta.Template != s.Spec.Template:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(may, func(a, b VM) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		if rank(a) > 0 && s.Spec.ScaleIn != bus.ScaleInNewest {
			return newestFirst(b, a)
		}
		return newestFirst(a, b)
	})
	return may
}

func newestFirst(a, b VM) int {
	if d := b.Meta.Created.Compare(a.Meta.Created); d != 0 {
		return d
	}
	return strings.Compare(b.Name, a.Name)
}

// names are the next n free ones: <group>-<smallest free number>.
func names(s Situation, n int) []string {
	var free []string
	for i := 1; len(free) < n; i++ {
		name := fmt.Sprintf("%s-%d", s.Spec.Name, i)
		if !s.Taken[name] && !slices.Contains(s.Creating, name) {
			free = append(free, name)
		}
	}
	return free
}

// clampShare is the number of VMs that a decision wants on a host. Whatever it says, min and max of the spec hold:
// both for a group on one host, max for a share of a group on several.
func clampShare(spec bus.Group, d bus.Decision, host string) int {
	share, ok := d.Hosts[host]
	switch {
	case !d.Known, !ok:
		return Unknown
	case len(d.Hosts) == 1:
		return min(max(share, spec.Min), spec.Max)
	}
	return min(max(share, 0), spec.Max)
}
