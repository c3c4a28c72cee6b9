package actuator

import (
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// The decider says in times of its own clock which VMs are replaced, whatever they were made from. A VM that this host makes
// afterwards is none of them, also where this host's clock is an hour off; else it would be replaced again and again.
func TestRefreshOfAHostWithAWrongClock(t *testing.T) {
	began := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for _, ahead := range []time.Duration{0, time.Second, time.Hour, -time.Hour} {
		g := group{spec: webSpec(func(*bus.Group) {})}
		for i := range 6 {
			sent := began.Add(time.Duration(i) * time.Second)
			d := bus.Decision{
				Group: "web", Term: 1, Seq: uint64(i + 1), Time: sent, ExpiresAt: sent.Add(5 * time.Second),
				Refresh: &bus.Refresh{Phase: bus.RefreshRunning, Before: &began},
			}
			if err := g.newest.Take(d, sent.Add(ahead)); err != nil {
				t.Fatal(err)
			}
		}
		build := g.build()
		for made, want := range map[time.Duration]bool{-time.Minute: true, time.Minute: false} {
			m := bus.Made{Created: began.Add(ahead + made)}
			if got := build.Outdated(m); got != want {
				t.Errorf("%s ahead, made %s after: outdated %t, want %t", ahead, made, got, want)
			}
		}
		if until := began.Add(time.Minute); g.here(until).Sub(until.Add(ahead)).Abs() > bus.TolerableSkew {
			t.Errorf("%s ahead: %s is %s here", ahead, until, g.here(until))
		}
	}
}

// What this host's collector measures counts again soon after the clock was set back.
func TestLoadAfterAClockThatWasSetBack(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	l := load{}
	sample := func(at time.Time, percent float64) bus.Sample {
		return bus.Sample{Group: "web", HostID: "here", Time: at, VMs: []bus.VM{{UUID: "1", CPUPercent: &percent}}}
	}
	l.take(sample(now, 10), "here", now)
	for i := 1; i <= 12; i++ {
		later := now.Add(time.Duration(i) * time.Second)
		l.take(sample(later.Add(-time.Hour), 90), "here", later)
	}
	if got := l.cpu("web", now.Add(12*time.Second)); got["1"] != 90 {
		t.Errorf("the CPU is %v, want 90", got)
	}
}
