package check

import (
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Outcome is the outcome of one try.
type Outcome int

// The outcomes of a try.
const (
	Unknown Outcome = iota // the try could not be made, as libvirt was busy: neither passed nor failed
	Well
	Failing
)

// Result is the result of one try.
type Result struct {
	At      time.Time // when it was over
	Outcome Outcome
	Why     string // the reason, as one harmless line
}

// Service is when a VM came into service, from which its grace counts.
type Service struct {
	Ready    time.Time // when it became ready
	Restart  time.Time // when its guest last restarted without ending; zero: it did not
	BootTime time.Duration
}

// Track is a VM's state by one check. Its zero value is that of a VM that has not been tried yet.
type Track struct {
	Verdict Outcome
	Since   time.Time // of the verdict
	Why     string    // the last result that was not unknown

	Fails  int       // in a row, up to the last result that was not unknown
	Passes int       // the same
	First  time.Time // the first of the failures in a row
}

// Fold returns the track after one more result. An unknown result changes nothing. A VM fails after Failures in a row, where
// those within the grace after it became ready do not count, and is healthy again after Successes in a row. A guest that has
// restarted is granted a boot's time from its first failure on.
func (t Track) Fold(c bus.Check, s Service, r Result) Track {
	switch r.Outcome {
	case Unknown:
		return t
	case Well:
		t.Fails, t.First = 0, time.Time{}
		t.Passes++
		if t.Verdict != Well && (t.Verdict == Unknown || t.Passes >= c.Successes) {
			t.Verdict, t.Since = Well, r.At
		}
	case Failing:
		t.Passes = 0
		if t.First.IsZero() {
			t.First = r.At
		}
		// A time in the future was noted by a clock that was wrong.
		if r.At.Sub(s.Ready) >= c.Grace || s.Ready.After(r.At) {
			t.Fails++
		}
		restarting := !s.Restart.IsZero() && s.Restart.After(t.First.Add(-c.Timeout-c.Interval)) && r.At.Sub(t.First) < s.BootTime
		if t.Verdict != Failing && t.Fails >= c.Failures && !restarting {
			t.Verdict, t.Since = Failing, t.First
		}
	}
	t.Why = r.Why
	return t
}

// Suspect reports whether the last known result is a failure, even if it does not count yet.
func (t Track) Suspect() bool { return !t.First.IsZero() }

// Common reports whether VMs share the cause of a failing check: more than one VM, and more than half of those in service, have
// failed it lately. Replacing one of them would fix nothing then.
func Common(suspects, serving int) bool { return suspects > 1 && 2*suspects > serving }
