package decider

import (
	"math"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// LimitState is what the limits remember.
type LimitState struct {
	Wanted  []Mark `json:"wanted,omitempty"`  // of the longer stabilization window; what repeats the one before is not kept
	Changes []Mark `json:"changes,omitempty"` // of the rate window
}

// Mark is a number of VMs at a time.
type Mark struct {
	At time.Time `json:"at"`
	N  int       `json:"n"`
}

// marks is how many are kept at most; then the older half goes, as if its window had ended.
const marks = 1000

func window(l bus.Limits, out bool) time.Duration {
	if out {
		return l.StabilizeOut
	}
	return l.StabilizeIn
}

// want is the state with what is wanted now, as far as a window needs it.
func (s LimitState) want(l bus.Limits, want int, now time.Time) LimitState {
	longest := max(l.StabilizeOut, l.StabilizeIn)
	if longest == 0 {
		s.Wanted = nil
		return s
	}
	if n := len(s.Wanted); n >= 2 && s.Wanted[n-1].N == want &&
		s.Wanted[n-2].N == want { // the first and the last of a row are enough
		s.Wanted = slices.Clone(s.Wanted)
		s.Wanted[n-1].At = now
	} else {
		s.Wanted = append(slices.Clip(s.Wanted), Mark{now, want})
	}
	s.Wanted = young(s.Wanted, longest, now)
	return s
}

// stabilized is what of a recommendation has been wanted for its whole window: the least above desired, the most below it. left
// is the time until another one can be.
// https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#stabilization-window
func (s LimitState) stabilized(l bus.Limits, desired, want int, now time.Time) (steady int, left time.Duration) {
	steady = want
	width := window(l, want > desired)
	for _, m := range s.Wanted {
		switch age := now.Sub(m.At); {
		case age < 0 || age >= width:
		case want > desired:
			steady = max(min(steady, m.N), desired)
		default:
			steady = min(max(steady, m.N), desired)
		}
	}
	for _, m := range s.Wanted {
		if age := now.Sub(m.At); m.N == steady && age < width {
			left = width - age // of the youngest
		}
	}
	return steady, left
}

// allowance is how many VMs may still come, or go, in the rate window, and how long it takes until one more may.
func (s LimitState) allowance(l bus.Limits, out bool, now time.Time) (n int, left time.Duration) {
	most := l.RateIn
	if out {
		most = l.RateOut
	}
	if most == 0 {
		return math.MaxInt32, 0
	}
	for _, m := range s.Changes { // the oldest that counts ends first
		if m.N > 0 == out && now.Sub(m.At) < l.RateWindow {
			left = l.RateWindow - now.Sub(m.At)
			break
		}
	}
	return max(0, most-s.within(l, out, now)), left
}

// within is how many VMs came, or went, in the rate window.
func (s LimitState) within(l bus.Limits, out bool, now time.Time) (n int) {
	for _, m := range s.Changes {
		if age := now.Sub(m.At); m.N > 0 == out && age >= 0 && age < l.RateWindow {
			n += max(m.N, -m.N)
		}
	}
	return n
}

// changed is the state once so many VMs came, or went, whatever the rule.
func (s LimitState) changed(l bus.Limits, n int, now time.Time) LimitState {
	if l.RateOut == 0 && l.RateIn == 0 {
		s.Changes = nil
		return s
	}
	s.Changes = young(s.Changes, l.RateWindow, now)
	if n != 0 {
		s.Changes = append(slices.Clip(s.Changes), Mark{now, n})
	}
	return s
}

// young are the marks of a window. One of the future is from before a clock was set back.
func young(all []Mark, window time.Duration, now time.Time) []Mark {
	old := 0
	for old < len(all) && (now.Sub(all[old].At) >= window || now.Before(all[old].At)) {
		old++
	}
	if len(all)-old > marks {
		old = len(all) - marks/2
	}
	return all[old:]
}
