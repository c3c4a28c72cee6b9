package simulate

import (
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// stepPool moves the VMs of the warm pool to a second: those that have booted wait.
func (f *Fleet) stepPool(second int) {
	for i := len(f.pool) - 1; i >= 0; i-- {
		switch v := &f.pool[i]; {
		case v.Phase != bus.PhasePreparing || v.ready > second:
		case v.fails:
			f.pool = slices.Delete(f.pool, i, i+1)
		default:
			v.Phase, v.PhaseSince, v.State = bus.PhaseWarm, f.params.at(second), bus.StatePaused
			v.BootedAt = new(v.PhaseSince)
		}
	}
}

// handOver has the oldest VM of the warm pool serve, and reports whether there is one.
func (f *Fleet) handOver() bool {
	if len(f.pool) == 0 {
		return false
	}
	i := max(0, slices.IndexFunc(f.pool, func(v vm) bool { return v.Phase == bus.PhaseWarm }))
	v := f.pool[i]
	f.pool = slices.Delete(f.pool, i, i+1)
	if v.Phase == bus.PhaseWarm {
		v.ready = f.second + max(1, int(f.params.Handover.Round(time.Second)/time.Second))
	}
	v.Phase, v.PhaseSince, v.State, v.Handed = bus.PhaseLaunching, f.params.at(f.second), bus.StateRunning, true
	f.vms = append(f.vms, v)
	return true
}

// fill has the warm pool be as large as was decided last, and returns how many VMs were made and removed. As in a group, what is
// too many goes at once, and one at a time is made, while nothing else boots.
func (f *Fleet) fill() (changes int) {
	for len(f.pool) > f.warm {
		f.pool = slices.Delete(f.pool, 0, 1)
		f.deleted = append(f.deleted, f.second+int(f.params.Delete/time.Second))
		changes++
	}
	boots := func(v vm) bool { return v.Phase == bus.PhasePreparing || v.Phase == bus.PhaseLaunching }
	if len(f.pool) == f.warm || slices.ContainsFunc(f.pool, boots) || slices.ContainsFunc(f.vms, boots) {
		return changes
	}
	v := f.made()
	v.Phase = bus.PhasePreparing
	f.pool = append(f.pool, v)
	return changes + 1
}

// owned are all VMs, those that boot, wait or go included.
func (f *Fleet) owned() int { return len(f.vms) + len(f.pool) + len(f.deleted) }
