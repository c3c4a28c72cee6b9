package decider

import (
	"cmp"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// How long a VM that waits in a warm pool is taken to need until one was measured.
const (
	resumesWithin  = time.Second
	restoresWithin = 3 * time.Second // from its saved memory
)

// Handovers measures how long VMs of a group's warm pool take until they serve, their launch hook included.
type Handovers struct {
	// Exponential means, a new one counts for a fifth; 0 is not known yet.
	Paused  time.Duration      `json:"paused_ns,omitempty"`
	Saved   time.Duration      `json:"saved_ns,omitempty"`   // of those that waited with their memory in a file
	Stopped time.Duration      `json:"stopped_ns,omitempty"` // of those that waited shut down
	waiting map[string]waiting // by UUID
}

// waiting is a VM that was not seen to serve yet.
type waiting struct {
	since  time.Time     // when it was handed over, or was last seen to wait
	state  bus.State     // in which it waited
	behind time.Duration // its host's clock, as it was told then
}

// Add takes what an evaluation looks at. One that was handed over between two samples counts from the first of them. Only times
// of the host's own clock are compared.
func (h *Handovers) Add(obs Observation) {
	var next map[string]waiting
	note := func(uuid string, w waiting) {
		if next == nil {
			next = map[string]waiting{}
		}
		next[uuid] = w
	}
	for _, host := range obs.Hosts {
		for i := range host.VMs {
			vm := &host.VMs[i]
			was, known := h.waiting[vm.UUID]
			known = known && was.behind == host.Behind // else times of two clocks would be compared
			switch {
			case vm.Phase == bus.PhaseWarm && host.Trouble != Silent:
				note(vm.UUID, waiting{host.Time, vm.State, host.Behind})
			case known && host.Trouble == Silent:
				note(vm.UUID, was)
			case known && handed(vm):
				note(vm.UUID, waiting{vm.PhaseSince, was.state, host.Behind})
			case known && vm.Phase.Serves():
				h.took(vm.PhaseSince.Sub(was.since), was.state)
			}
		}
	}
	h.waiting = next // the state before this one has the other
}

func (h *Handovers) took(d time.Duration, waited bus.State) {
	mean := &h.Paused
	switch {
	case waited.Off():
		mean = &h.Stopped
	case waited == bus.StateSaved:
		mean = &h.Saved
	}
	if d > 0 { // else a clock was set back
		*mean = smoothed(*mean, d)
	}
}

// smoothed is a mean with one more: a new one counts for a fifth; 0 is none yet.
func smoothed(mean, took time.Duration) time.Duration {
	if mean == 0 {
		return took
	}
	return mean + (took-mean)/5
}

// expected is how long the next handover from a group's pool takes, of which boot is how long its VMs boot; 0: it has none, or
// nothing is known.
func (h *Handovers) expected(pool bus.WarmPool, boot time.Duration) time.Duration {
	if !pool.On() {
		return 0
	}
	switch pool.State {
	case bus.WarmStopped:
		return cmp.Or(h.Stopped, boot)
	case bus.WarmSaved:
		return cmp.Or(h.Saved, restoresWithin)
	case bus.WarmPaused:
		return cmp.Or(h.Paused, resumesWithin)
	}
	return 0 // a state newer than this program: nothing is known
}

// atHand counts the VMs that wait in the warm pool and may be handed over now, of a pool of two kinds those that are not off: of
// them that is known which will be first, and that they do not boot.
func (s situation) atHand() (n int) {
	pool := s.spec.WarmPool
	for _, h := range s.obs.Hosts {
		waiting := 0
		for i := range h.VMs {
			vm := &h.VMs[i]
			waiting += one(inPool(vm) && vm.Phase == bus.PhaseWarm && (!pool.TwoKinds() || !vm.State.Off()))
		}
		n += min(waiting, h.handsOver(pool))
	}
	return max(0, n-s.counts.pending) // which take theirs
}
