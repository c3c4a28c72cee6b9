package check

import (
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

var t0 = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// A VM fails a check after so many failures in a row, and is well again after so many successes; what is unknown changes nothing.
func TestFold(t *testing.T) {
	plain := bus.Check{Timeout: time.Second, Interval: 5 * time.Second, Failures: 3, Successes: 2}
	graced := plain
	graced.Grace = 20 * time.Second
	long := Service{Ready: t0.Add(-time.Hour), BootTime: time.Minute}
	fresh := Service{Ready: t0, BootTime: time.Minute}
	restarted := long
	restarted.Restart = t0.Add(2 * time.Second)
	before := long
	before.Restart = t0.Add(-time.Minute)
	for _, tt := range []struct {
		name    string
		check   bus.Check
		service Service
		results string // one each five seconds: + well, - failing, ? unknown
		want    string // the verdict after each
		since   time.Duration
	}{
		{"well from the first", plain, long, "+++", "+++", 0},
		{"nothing known", plain, long, "???", "???", 0},
		{"fails", plain, long, "---", "??-", 0},
		{"well, then fails", plain, long, "+---", "+++-", 5 * time.Second},
		{"failures that are not in a row", plain, long, "+--+--+--+", "++++++++++", 0},
		{"unknown is neither", plain, long, "+-?-?-", "+++++-", 5 * time.Second},
		{"unknown does not mend", plain, long, "---?", "??--", 0},
		{"one success is not enough", plain, long, "---+-+", "??----", 0},
		{"two successes in a row", plain, long, "---++", "??--+", 20 * time.Second},
		{"unknown between two successes", plain, long, "---+?+", "??---+", 25 * time.Second},
		{"fails again", plain, long, "---++---", "??--+++-", 25 * time.Second},
		{"in the grace", graced, fresh, "----", "????", 0},
		{"after the grace", graced, fresh, "-------", "??????-", 0},
		{"ready by a clock that was wrong", graced, Service{Ready: t0.Add(time.Hour)}, "---", "??-", 0},
		{"well in the grace", graced, fresh, "+------", "++++++-", 5 * time.Second},
		{"its guest restarts", plain, restarted, "------------", "????????????", 0},
		{"its guest restarts for longer than a boot", plain, restarted, "-------------", "????????????-", 0},
		{"its guest restarts, and is back", plain, restarted, "----+---", "????+++-", 25 * time.Second},
		{"its guest restarted long before", plain, before, "---", "??-", 0},
	} {
		var track Track
		verdicts := ""
		for i, r := range tt.results {
			at := t0.Add(time.Duration(i) * 5 * time.Second)
			track = track.Fold(tt.check, tt.service, Result{at, map[rune]Outcome{'+': Well, '-': Failing, '?': Unknown}[r], "why"})
			verdicts += map[Outcome]string{Well: "+", Failing: "-", Unknown: "?"}[track.Verdict]
		}
		if verdicts != tt.want {
			t.Errorf("%s: verdicts %s, want %s", tt.name, verdicts, tt.want)
		}
		if track.Verdict != Unknown && !track.Since.Equal(t0.Add(tt.since)) {
			t.Errorf("%s: since %s, want %s", tt.name, track.Since.Sub(t0), tt.since)
		}
	}
}

// A VM is suspect from its first failure to its next success, whatever counts.
func TestSuspect(t *testing.T) {
	c := bus.Check{Failures: 3, Successes: 3, Grace: time.Hour}
	var track Track
	for _, step := range []struct {
		outcome Outcome
		want    bool
	}{{Unknown, false}, {Well, false}, {Failing, true}, {Unknown, true}, {Well, false}} {
		track = track.Fold(c, Service{Ready: t0}, Result{At: t0, Outcome: step.outcome})
		if track.Suspect() != step.want {
			t.Errorf("after %v: suspect %v", step.outcome, track.Suspect())
		}
	}
}

// A failure is common when more than half of the VMs share it, and more than one.
func TestCommon(t *testing.T) {
	for _, tt := range []struct {
		suspects, serving int
		want              bool
	}{
		{0, 0, false},
		{0, 3, false},
		{1, 1, false},
		{1, 2, false},
		{2, 2, true},
		{1, 3, false},
		{2, 3, true},
		{2, 4, false},
		{3, 4, true},
	} {
		if got := Common(tt.suspects, tt.serving); got != tt.want {
			t.Errorf("%d of %d: %v", tt.suspects, tt.serving, got)
		}
	}
}
