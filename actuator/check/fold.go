package check

import (
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Outcome is what one try has shown.
type Outcome int

// The outcomes of a try.
const (
	Unknown Outcome = iota // it could not be made, as when libvirt is busy: neither well nor failing
	Well
	Failing
)

// Result is one try of a check.
type Result struct {
	At      time.Time // when it was over
	Outcome Outcome
	Why     string // what showed it, as one harmless line
}

// Service is how long a VM has been in service, as far as that counts for its checks.
type Service struct {
	Ready    time.Time // when it became ready
	Restart  time.Time // when its guest last restarted without ending; zero: it did not
	BootTime time.Duration
}

// Track is how a VM is by one of its checks. Its zero value is a VM of which nothing is known.
type Track struct {
	Verdict Outcome
	Since   time.Time // of the verdict
	Why     string    // the last result that was not unknown

	Fails  int       // in a row, up to the last result that was not unknown
	Passes int       // the same
	First  time.Time // the first of the failures in a row
}

// Fold is a track with one more result. A result that is unknown changes nothing. A VM counts as failing after Failures in a
// row, of which those in the grace after it became ready do not count, and as well again after Successes in a row. A guest that
// has restarted has the time of a boot from its first failure on.
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
		// A moment that is still to come was noted by a clock that was wrong.
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

// Suspect reports whether the last result that was not unknown is a failure, whether it counts yet or not.
func (t Track) Suspect() bool { return !t.First.IsZero() }

// Common reports whether a check fails for a reason that VMs share: more than half of those that serve, and more than one, have
// failed it lately. Then replacing one of them would fix nothing.
func Common(suspects, serving int) bool { return suspects > 1 && 2*suspects > serving }
