package actuator

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// VM is an owned domain as libvirt shows it.
type VM struct {
	Name  string
	UUID  string
	Meta  bus.Metadata
	State bus.State
	// IOError says that QEMU paused it, as it could not read or write its disk.
	IOError bool
	// Protected VMs are never chosen for scaling in.
	Protected bool
}

// off reports whether a VM does not run and will not by itself.
func (vm VM) off() bool { return vm.State == bus.StateShutoff || vm.State == bus.StateCrashed }

// serves reports whether a VM does its work.
func (vm VM) serves() bool {
	return vm.Meta.Phase == bus.PhaseReady && !vm.off() && !vm.State.Suspended()
}

const scalingIn = "scaling in" // the reason of a removal for being one too many

// Unknown is the desired number of VMs while there is no valid decision: what was begun is ended, and nothing new
// is created or removed for being surplus.
const Unknown = -1

// Situation is what Plan looks at, for one group on one host.
type Situation struct {
	Spec    bus.Group
	Desired int  // Unknown, or already within the group's max
	ScaleIn bool // the decision is one to scale in; else no VM is removed for being one too many
	Owned   []VM // every owned domain of the group
	// Numbers are those that new VMs may have in their names, the first to be used first.
	Numbers []int
	// Working has the UUIDs that a worker is busy with: true while it brings the VM up, false while it removes it.
	Working map[string]bool
	// Draining has the UUIDs of those, of the VMs that a worker removes, whose removal can still be called off.
	Draining map[string]bool
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

// Removal is a VM to remove, and why.
type Removal struct {
	VM       VM
	Reason   string
	Died     bool // it should have been running
	Graceful bool // ask the guest to shut down first
	Again    bool // it was tried before, and what is done was published then
}

// Actions is what to do next, each item by a worker of its own.
type Actions struct {
	Create []string // names
	Await  []VM     // running, but not yet known to be ready
	Remove []Removal
	Cancel []Removal // as Remove, but a worker that brings the VM up must be stopped first
	Keep   []Removal // removals that are called off, with why
	Kept   int       // surplus VMs that stay as the budget for removals is used up
}

// Plan compares desired with what there is. It never has more than Spec.Max VMs owned, whatever their state;
// a VM that someone suspended is left alone and is no capacity, and a protected one is not scaled in. With all scopes paused, or before
// the first decision, it only waits for what boots already.
func Plan(s Situation) Actions {
	var a Actions
	var live []VM // will serve, or do so already
	var draining, sick []VM
	booting := len(s.Creating)
	for _, vm := range s.Owned {
		if up, busy := s.Working[vm.UUID]; busy {
			switch {
			case up:
				booting++
				if !vm.State.Suspended() {
					live = append(live, vm)
				}
			case s.Draining[vm.UUID]:
				draining = append(draining, vm)
			}
			continue
		}
		switch r, await := judge(vm); {
		case r != nil && r.Died && s.Controls.Has(bus.ScopeRepair):
			live = append(live, vm)
		case s.Sick[vm.UUID] != "" && len(sick) < s.Spec.Repair.AtOnce && !s.Controls.Has(bus.ScopeRepair):
			sick = append(sick, vm)
		case r != nil:
			a.Remove = append(a.Remove, *r)
		case vm.State.Suspended() && !await: // a person's, until that lets it go on
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

	choice := live // a VM whose removal is called off now is not chosen again at once
	for _, vm := range draining {
		if why := callOff(s, live, vm); why != "" {
			a.Keep = append(a.Keep, Removal{VM: vm, Reason: why})
			live = append(live, vm)
		}
	}
	room := s.Spec.Max - len(s.Owned) - len(s.Creating)
	a.Remove = append(a.Remove, replaceable(s, live, sick, room, booting)...)

	if surplus := len(live) + len(s.Creating) - s.Desired; surplus > 0 {
		if !s.ScaleIn {
			return a
		}
		for _, vm := range victims(s, choice) {
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
	slots := s.BootSlots - booting
	if s.Trial {
		slots = min(slots, 1-booting)
	}
	a.Create = names(s, min(missing, room, slots))
	return a
}

// callOff says why a removal that can still be called off is not to be done, "" if it is.
func callOff(s Situation, live []VM, vm VM) string {
	switch {
	case len(live)+len(s.Creating) < s.Desired:
		return "it is needed again"
	case vm.Protected:
		return "it is protected now"
	case s.busy(vm) && s.idle(live) > len(live)+len(s.Creating)-s.Desired:
		return fmt.Sprintf("it is busy, at %.0f %%, and others are not", s.CPU[vm.UUID])
	}
	return ""
}

// idle counts the VMs that could go in place of a busy one.
func (s Situation) idle(live []VM) (n int) {
	for _, vm := range live {
		if vm.serves() && !vm.Protected && !s.busy(vm) {
			n++
		}
	}
	return n
}

// busy says whether a VM alone is above the threshold from which its group would grow.
func (s Situation) busy(vm VM) bool {
	cpu, known := s.CPU[vm.UUID]
	return known && cpu > s.Spec.Policy.UpperPercent
}

// replaceable are the sick VMs to remove: those whose replacement serves, and where max leaves no room for one first,
// as many as may be in replacement at once, unless none is launched for now.
func replaceable(s Situation, live, sick []VM, room, booting int) (removals []Removal) {
	serving := 0
	for _, vm := range live {
		if vm.serves() {
			serving++
		}
	}
	for _, vm := range sick {
		if serving >= s.Desired || room <= 0 && !s.Backoff && booting < s.Spec.Repair.AtOnce {
			removals = append(removals, Removal{VM: vm, Reason: s.Sick[vm.UUID], Graceful: true})
			booting++
		}
	}
	return removals
}

// judge says what a VM that no worker is busy with needs: its removal, to be waited for until it is ready, or
// nothing.
func judge(vm VM) (r *Removal, await bool) {
	off := vm.off()
	switch vm.Meta.Phase {
	case bus.PhaseDraining:
		return &Removal{VM: vm, Reason: "its removal had begun", Graceful: !off && vm.State != bus.StateSaved}, false
	case bus.PhaseStopping, bus.PhaseFailed:
		return &Removal{VM: vm, Reason: "its removal had begun"}, false
	case bus.PhaseCreating:
		return &Removal{VM: vm, Reason: "its creation was interrupted"}, false
	case bus.PhaseLaunching:
		switch {
		case off:
			return &Removal{VM: vm, Reason: "its launch was interrupted"}, false
		case vm.State.Suspended() && !vm.IOError:
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
		case !vm.serves(), s.Sick[vm.UUID] != "":
			return 0
		case s.busy(vm):
			return 3
		case s.Spec.ScaleIn == bus.ScaleInOutdated && s.outdated(vm):
			return 1
		}
		return 2
	}
	slices.SortStableFunc(may, func(a, b VM) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		if rank(a) == 0 {
			return newestFirst(a, b)
		}
		switch s.Spec.ScaleIn {
		case bus.ScaleInLeastBusy:
			return cmp.Or(s.compareCPU(a, b), newestFirst(a, b))
		case bus.ScaleInOldest, bus.ScaleInOutdated:
			return newestFirst(b, a)
		case bus.ScaleInNewest:
		}
		return newestFirst(a, b)
	})
	return may
}

// outdated says whether a VM was made from another template than a new one would be.
func (s Situation) outdated(vm VM) bool {
	return vm.Meta.Template != s.Spec.Template || vm.Meta.Created.Before(s.Replaced)
}

// compareCPU puts the VM that does less first; one that is unknown counts as busy.
func (s Situation) compareCPU(a, b VM) int {
	use := func(vm VM) float64 {
		if cpu, known := s.CPU[vm.UUID]; known {
			return cpu
		}
		return math.Inf(1)
	}
	return cmp.Compare(use(a), use(b))
}

func newestFirst(a, b VM) int {
	if d := b.Meta.Created.Compare(a.Meta.Created); d != 0 {
		return d
	}
	return strings.Compare(b.Name, a.Name)
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

// inForce is a spec with the min, max and upper that a decision was made with. Max is never above what the file, its
// schedule and a person allow.
func inForce(spec bus.Group, d bus.Decision) bus.Group {
	if in := d.Inputs; d.Known && in.Min >= 1 && in.Min <= in.Max {
		spec.Max = min(in.Max, spec.Ceiling(d.Controls))
		spec.Min = min(in.Min, spec.Max)
		spec.Policy.UpperPercent = in.UpperPercent
	}
	return spec
}

// clampShare is the number of VMs that a decision wants on a host. Whatever it says, min and max of the spec hold:
// both for a group on one host, max for a share of a group on several.
func clampShare(spec bus.Group, d bus.Decision, host bus.HostID) int {
	share, ok := d.Shares[host]
	switch {
	case !d.Known, !ok:
		return Unknown
	case len(d.Shares) == 1:
		return min(max(share.VMs, spec.Min), spec.Max)
	}
	return min(max(share.VMs, 0), spec.Max)
}
