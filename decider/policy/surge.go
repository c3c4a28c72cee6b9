package policy

import (
	"fmt"
	"math"
	"time"
)

const (
	fullUntil  = 90. // percent, below which the load is known again; noise takes a full VM's reading below FullPercent now and then
	firstAfter = 2 * time.Second
	allAfter   = 3 * time.Second
	overAfter  = 2 * time.Second
	firstSurge = 1.5 // how many times the ready VMs are asked for at first: it may be one VM's short work
)

// Asks is how much a surge asks for.
type Asks int

// What it asks for, one after the other.
const (
	AsksNothing Asks = iota
	AsksFirst        // for firstSurge times the ready VMs
	AsksAll
)

// Surge is what is done while the VMs are saturated: at full use the load is hidden, and may be any number of times as much.
type Surge struct {
	Asks  Asks          `json:"asks"`
	Ended bool          `json:"ended"` // since the last reading
	Seen  time.Time     `json:"seen"`  // the last evaluation
	Full  time.Duration `json:"full"`  // for how long the VMs have been saturated
	Under time.Duration `json:"under"` // for how long they have not been
}

// Alarm implements Alarmer: a saturated group does not wait for the next reading.
func (p *Predictive) Alarm(r Reading) (w Recommendation, now bool) {
	if r.CPUPercent == nil || r.Ready == 0 {
		return w, false
	}
	if !p.Surge.see(r) {
		return w, false
	}
	want, why := p.Surge.want(r, p.Tuning.Surge)
	return Recommendation{Desired: want, Reason: why}, want > r.Desired
}

// see takes one evaluation, and reports whether more is asked for than before it.
func (s *Surge) see(r Reading) (more bool) {
	since := min(max(r.Now.Sub(s.Seen), 0), PredictiveInterval) // which the reading is the mean of
	if s.Seen.IsZero() {
		since = time.Second
	}
	s.Seen, s.Full, s.Under = r.Now, s.Full+since, s.Under+since
	if *r.CPUPercent < FullPercent {
		s.Full = 0
	}
	if *r.CPUPercent >= fullUntil {
		s.Under = 0
	}
	before := s.Asks
	switch {
	case s.Full >= allAfter:
		s.Asks = AsksAll
	case s.Full >= firstAfter:
		s.Asks = max(s.Asks, AsksFirst)
	case s.Asks > AsksNothing && s.Under >= overAfter:
		s.Asks, s.Ended = AsksNothing, true
	}
	return s.Asks > before
}

// want is the number of VMs that a saturated group wants, 0 of one that is not. It is a multiple of the ready ones, which cannot
// grow while others boot.
func (s *Surge) want(r Reading, times float64) (want int, why string) {
	switch s.Asks {
	case AsksNothing:
		return 0, ""
	case AsksFirst:
		times = min(times, firstSurge)
	case AsksAll:
	}
	return int(math.Ceil(float64(r.Ready) * times / fullUse)),
		fmt.Sprintf("saturated at %.0f %%: the load is hidden, so %.1f times the ready VMs", *r.CPUPercent, times/fullUse)
}

// load is the work of the ready VMs, in VMs.
func (r Reading) load() float64 {
	if r.Load != nil {
		return *r.Load
	}
	return *r.CPUPercent / 100 * float64(r.Ready)
}
