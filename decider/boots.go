package decider

import (
	"time"
)

// clocksDiffer bounds how far hosts' clocks may be apart without one of them being taken for wrong.
const clocksDiffer = time.Minute

// BootTimes measures how long a group's VMs take from their creation to the end of their boot. A launch hook's time is none of
// it, nor is a life in service that a drain interrupted.
type BootTimes struct {
	Mean time.Duration `json:"mean_ns"` // exponential, a new one counts for a fifth; 0 is not known yet
	Last time.Time     `json:"last"`    // when the newest of those counted had booted
}

// Add counts the VMs that have become ready since. One whose actuator does not say when it had booted counts for nothing.
func (b *BootTimes) Add(obs Observation) {
	last := b.Last
	for _, h := range obs.Hosts {
		if h.Trouble != Silent && b.Last.Sub(h.Time) > clocksDiffer { // by a clock that was wrong: none would be newer for as long
			b.Last, last = h.Time, h.Time
		}
		for _, vm := range h.VMs {
			if !vm.Phase.Serves() || vm.BootedAt == nil || !vm.BootedAt.After(b.Last) || vm.BootedAt.After(h.Time) {
				continue
			}
			took := vm.BootedAt.Sub(vm.Created)
			if took <= 0 {
				continue
			}
			b.Mean = smoothed(b.Mean, took)
			if vm.BootedAt.After(last) {
				last = *vm.BootedAt
			}
		}
	}
	b.Last = last
}
