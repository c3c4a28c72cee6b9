package decider

import (
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Boots measures how long a group's VMs take from their creation to ready.
type Boots struct {
	Mean time.Duration `json:"mean_ns"` // exponential, a new one counts for a fifth; 0 is not known yet
	Last time.Time     `json:"last"`    // when the newest of those counted became ready
}

// Add counts the VMs that have become ready since.
func (b *Boots) Add(obs Observation) {
	last := b.Last
	for _, h := range obs.Hosts {
		for _, vm := range h.VMs {
			took := vm.PhaseSince.Sub(vm.Created)
			if vm.Phase != bus.PhaseReady || !vm.PhaseSince.After(b.Last) || took <= 0 {
				continue
			}
			if b.Mean == 0 {
				b.Mean = took
			}
			b.Mean += (took - b.Mean) / 5
			if vm.PhaseSince.After(last) {
				last = vm.PhaseSince
			}
		}
	}
	b.Last = last
}
