package actuator

import (
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// The decider says in times of its own clock which VMs are replaced, whatever they were made from, and until when a domain may be
// attached, and how far this host's clock is off. What this host makes is none of those VMs, also where its clock is an hour off,
// whichever decision is late, and from the first one on; else it would be replaced again and again.
func TestMomentsOfTheDeciderByAWrongClock(t *testing.T) {
	const here = bus.HostID("kvm1")
	began := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		ahead      time.Duration
		known      bool
		old, young bool // whether VMs are outdated that were made a minute before, and after
		attaches   bool
	}{
		{0, true, true, false, true},
		{time.Hour, true, true, false, true},
		{-time.Hour, true, true, false, true},
		{0, false, false, false, false},
		{time.Hour, false, false, false, false},
		{-time.Hour, false, false, false, false},
	} {
		g := group{spec: webSpec(func(*bus.Group) {}), attached: map[string]time.Time{}}
		a := Actuator{hostID: here}
		for i, late := range []time.Duration{0, 0, 0, 0, 3 * time.Second, 0} { // a restarted actuator has the first
			sent := began.Add(time.Duration(i) * 4 * time.Second)
			d := bus.Decision{
				Group: "web", Term: 1, Seq: uint64(i + 1), Time: sent, ExpiresAt: sent.Add(5 * time.Second),
				Refresh: &bus.Refresh{Phase: bus.RefreshRunning, Before: &began}, Shares: map[bus.HostID]bus.Share{here: {}},
				Attach: []bus.Attachment{{VM: "web-9", HostID: here, At: began, Until: sent.Add(10 * time.Second)}},
			}
			if tt.known {
				d.Shares[here] = bus.Share{ClockBehindMS: new(-tt.ahead.Milliseconds())}
			}
			now := sent.Add(tt.ahead + late)
			if err := g.newest.Take(d, now); err != nil {
				t.Fatal(err)
			}
			build, unsure := g.build(here)
			for made, want := range map[time.Duration]bool{-time.Minute: tt.old, time.Minute: tt.young} {
				m := bus.Made{Created: began.Add(tt.ahead + made)}
				if got := build.Outdated(m); got != want || unsure == tt.known {
					t.Errorf("%+v, decision %d, made %s after: outdated %t, want %t; unsure %t", tt, i, made, got, want, unsure)
				}
			}
			if got := len(a.attachments(&g, now)) == 1; got != tt.attaches {
				t.Errorf("%+v, decision %d: attaches %t", tt, i, got)
			}
			if late := now.Add(10 * time.Second); len(a.attachments(&g, late)) > 0 {
				t.Errorf("%+v, decision %d: it is attached too late", tt, i)
			}
		}
	}
}

// While it is not known which VMs are outdated, those that retire go on doing so: none is taken back, and none goes.
func TestRetiringVMsStayWhileTheClockIsNotKnown(t *testing.T) {
	for _, unsure := range []bool{true, false} {
		v := vmOf(1, bus.PhaseReady, bus.StateRunning)
		v.Meta.Retiring = t0
		s := Situation{
			Spec: webSpec(func(*bus.Group) {}), Now: t0.Add(time.Hour), Desired: 1, Owned: []vm.VM{v}, Work: map[string]Work{},
			BootSlots: 2, Refresh: RefreshShare{Active: true, Unsure: unsure},
		}
		if a := Plan(s); len(a.Unretire) > 0 != !unsure || len(a.Remove) > 0 {
			t.Errorf("unsure %t: %+v", unsure, a)
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
