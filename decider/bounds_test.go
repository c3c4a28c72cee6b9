package decider

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// Hosts that somebody made up are not kept beyond a bound; those that were there before go on.
func TestInventedHosts(t *testing.T) {
	t.Parallel()
	var w Window
	refused := 0
	for i := range 10 * bus.MaxHosts {
		s := bus.Sample{Group: "web", HostID: bus.HostID(fmt.Sprintf("invented%d", i)), Time: t0}
		if err := w.Add(s, t0); err != nil && strings.Contains(err.Error(), "at most") {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if want := 9 * bus.MaxHosts; refused != want || len(w.hosts) != bus.MaxHosts {
		t.Errorf("%d are refused and %d kept, want %d and %d", refused, len(w.hosts), want, bus.MaxHosts)
	}
	if err := w.Add(bus.Sample{Group: "web", HostID: "invented1", Time: t0.Add(time.Second)}, t0.Add(time.Second)); err != nil {
		t.Errorf("one that is known: %v", err)
	}
	if d := w.Take(t0, time.Minute); len(d.Hosts) != bus.MaxHosts {
		t.Errorf("%d hosts are decided on", len(d.Hosts))
	}
}

// Readings of VMs that somebody made up are not kept until the next evaluation, which may be an hour away.
func TestInventedVMs(t *testing.T) {
	t.Parallel()
	var w Window
	for tick := range 10 {
		s := bus.Sample{Group: "web", HostID: "kvm1", Time: t0.Add(time.Duration(tick) * time.Second)}
		for i := range bus.MaxVMs {
			s.VMs = append(s.VMs, bus.VM{UUID: fmt.Sprintf("%d-%d", tick, i), CPUPercent: new(50.0)})
		}
		if err := w.Add(s, s.Time); err != nil {
			t.Fatal(err)
		}
		if n := len(w.hosts["kvm1"].cpu); n > 3*bus.MaxVMs {
			t.Fatalf("readings of %d VMs are kept", n)
		}
	}
}

func TestInventedStages(t *testing.T) {
	t.Parallel()
	b := startHarness(t, spec())
	d, err := New(Config{Groups: []bus.Group{spec()}, Now: b.clock}, b.own, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	d.stages = map[string]bus.Health{}
	for i := range 10 * bus.MaxStages {
		d.record(bus.Health{Stage: "collector", Instance: fmt.Sprintf("invented-%d", i)})
	}
	if len(d.stages) != bus.MaxStages {
		t.Errorf("%d stages are kept, want %d", len(d.stages), bus.MaxStages)
	}
	b.advance(2 * silentAfter)
	d.record(bus.Health{Stage: "collector", Instance: "honest-1"})
	if len(d.stages) != 1 {
		t.Errorf("%d stages are kept once they are silent, want 1", len(d.stages))
	}
}

// A decision that nobody would take is not just lost.
func TestDecisionThatCannotBeSent(t *testing.T) {
	t.Parallel()
	b := startHarness(t, spec())
	var reported error
	d, err := New(
		Config{Groups: []bus.Group{spec()}, Now: b.clock, Report: func(err error) { reported = err }},
		b.own,
		zerolog.Nop(),
	)
	if err != nil {
		t.Fatal(err)
	}
	d.leadership, d.term = client.NewLeadership(), 7
	g := &group{spec: spec(), inForce: spec()}
	d.groups, d.leaderlessSince = map[string]*group{"web": g}, b.clock()
	good := bus.Decision{
		V:         bus.Version,
		Group:     "web",
		Direction: bus.Hold,
		Shares:    map[bus.HostID]bus.Share{},
		Controls:  bus.Controls{Paused: []bus.Scope{}},
	}
	bad := good
	bad.Shares = map[bus.HostID]bus.Share{}
	for i := range bus.MaxHosts + 1 {
		bad.Shares[bus.HostID(fmt.Sprint("kvm", i))] = bus.Share{VMs: 1}
	}
	d.publish(g, bad, b.clock())
	if reported == nil || !strings.Contains(reported.Error(), "group web") || !strings.Contains(reported.Error(), "shares") {
		t.Errorf("reported %v, want the group and what is wrong", reported)
	}
	d.publish(g, good, b.clock())
	if d.report(b.clock()); reported != nil {
		t.Errorf("reported %v after one that could be sent", reported)
	}
}
