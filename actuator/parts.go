package actuator

import (
	"fmt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// parts are a group's VMs by what can be done with them.
type parts struct {
	live      []vm.VM      // will serve, or do so already
	reimage   []vm.VM      // those of live that were cut off while they were given new disks
	await     []vm.VM      // those of live that boot, and no worker waits for
	draining  []vm.VM      // their removal can still be called off
	retiring  []vm.VM      // they serve until others have taken their places
	marking   int          // of live, those that may be retiring in a moment
	reimaging int          // are being given new disks
	leaving   int          // retiring ones that are on their way out
	sick      []vm.VM      // as many as may be in replacement at once
	suspended []vm.VM      // by a person, or standing by: no capacity, and left alone
	retained  []vm.VM      // their remove hook was abandoned: left alone until a person removes them
	standBy   []vm.VM      // to take out of service
	back      []vm.VM      // those of live that stand by
	detach    []vm.VM      // to give away
	keep      []vm.Removal // what is to be called off, of VMs that are to stand by or to be given away, or that are protected now
	remove    []vm.Removal // what is of no use any more, whatever is desired
	cancel    []vm.Removal // launches of VMs that are to go
	pool      pool
	note      []Note
	booting   int // take a boot slot, with those that are being created
}

// part looks at each VM by itself, without what is desired.
func part(s Situation) parts {
	p := parts{booting: len(s.Creating) + len(s.Preparing)}
	for _, v := range s.Owned {
		order, pending := s.order(v)
		// New disks come with a new definition, in which what was noted is not.
		if pending && s.Work[noteKey(v.UUID)] == Idle && s.Work[v.UUID] != Reimaging && !v.Reimaging() {
			p.note = append(p.note, Note{v, *order})
		}
		if p.setAside(s, v, order, pending) {
			continue
		}
		if order.Leaves() {
			p.leave(s, v, *order, pending)
			continue
		}
		if p.ofPool(s, v) {
			continue
		}
		if v.Meta.Phase == bus.PhaseRetained {
			p.retained = append(p.retained, v)
			continue
		}
		if v.Order.Joins() && !pending && v.Meta.Phase.Serves() && s.Work[noteKey(v.UUID)] == Idle {
			p.note = append(p.note, Note{VM: v}) // it is as was wanted
		}
		if v.Reimaging() || s.Work[v.UUID] == Reimaging { // which its metadata does not say at once
			p.reimaging++
		}
		if !p.atWork(s, v) {
			p.atRest(s, v)
		}
	}
	return p
}

// atWork takes a VM that something is being done to, and reports whether it is one.
func (p *parts) atWork(s Situation, v vm.VM) bool {
	switch s.Work[v.UUID] {
	case BringingUp, Reimaging:
		p.booting++
		if v.State.Suspended() {
			p.suspended = append(p.suspended, v)
		} else {
			p.live = append(p.live, v)
		}
		if v.Protected && v.Reimaging() && v.Meta.Phase == bus.PhaseDraining && v.State == bus.StateRunning {
			p.keep = append(p.keep, vm.Removal{VM: v, Kind: vm.Reimaged, Reason: "it is protected now"})
		}
		return true
	case Draining, Removing, Resting:
		switch {
		case v.Order.Is(bus.VMReplace), v.Retiring() && !v.Protected:
			p.leaving++ // and is not called off, as others have taken its place
		case s.Work[v.UUID] == Draining:
			p.draining = append(p.draining, v)
		}
		return true
	case Marking:
		p.marking++
		p.live = append(p.live, v)
		return true
	case SettingAside: // it was wanted, and is not any more
		p.live = append(p.live, v)
		return true
	case Idle:
	}
	return false
}

// atRest takes a VM that nothing is being done to.
func (p *parts) atRest(s Situation, v vm.VM) {
	repairs := !s.Controls.IsPaused(bus.ScopeRepair)
	switch r, await := nextStep(v); {
	case v.Reimaging() && !await && v.Meta.Phase != bus.PhaseFailed && !v.State.Suspended():
		p.live = append(p.live, v)
		p.reimage = append(p.reimage, v)
	case r == nil && s.retiring(v):
		p.retiring = append(p.retiring, v)
	case r != nil && r.Kind == vm.Died && !repairs:
		p.live = append(p.live, v)
	case s.Sick[v.UUID] != "" && len(p.sick) < s.Spec.Repair.AtOnce && repairs:
		p.sick = append(p.sick, v)
	case r != nil:
		p.remove = append(p.remove, *r)
	case v.State.Suspended() && !await: // a person's, until that lets it go on
		p.suspended = append(p.suspended, v)
	default:
		p.live = append(p.live, v)
		if await {
			p.await = append(p.await, v)
			p.booting++
		}
	}
}

// nextStep is what a VM that no worker is busy with needs: its removal, to be waited for until it is ready, or
// nothing.
func nextStep(v vm.VM) (r *vm.Removal, await bool) {
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
	case bus.PhaseRetained: // it waits for a person
	case bus.PhaseStandby: // see parts.setAside
	case bus.PhasePreparing, bus.PhaseWarm: // see parts.ofPool
	}
	return nil, false
}
