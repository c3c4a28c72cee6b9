package decider

import (
	"maps"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Of max 6, what hosts have or may have begun is nobody else's until their leases have run out and a sample would show it.
func TestLease(t *testing.T) {
	type hosts = map[bus.HostID]int
	const stale = 5 * time.Second
	for _, tt := range []struct {
		name   string
		hosts  []HostObservation
		before hosts         // leases
		next   hosts         // what decisions since then have said
		ago    time.Duration // since when
		shares map[bus.HostID]bus.Share
		want   hosts // most
		lease  hosts // afterwards
	}{
		{
			"each has what it is to have, and room to replace one",
			[]HostObservation{place("a", 1, 0, 0), place("b", 2, 0, 0)},
			hosts{},
			nil, 0,
			map[bus.HostID]bus.Share{"a": {VMs: 1}, "b": {VMs: 2}},
			hosts{"a": 2, "b": 3},
			hosts{"a": 2, "b": 3},
		},
		{
			"what another may have begun is not to be had",
			[]HostObservation{place("a", 1, 0, 0), place("b", 2, 0, 0)},
			hosts{"a": 3, "b": 2},
			nil, 0,
			map[bus.HostID]bus.Share{"a": {VMs: 1}, "b": {VMs: 5}},
			hosts{"a": 1, "b": 3},
			hosts{"a": 3, "b": 3},
		},
		{
			"nor while it may still",
			[]HostObservation{place("a", 1, 0, 0), place("b", 2, 0, 0)},
			hosts{"a": 3, "b": 3},
			hosts{"a": 1},
			stale + leaseSlack,
			map[bus.HostID]bus.Share{"a": {VMs: 1}, "b": {VMs: 5}},
			hosts{"a": 1, "b": 3},
			hosts{"a": 3, "b": 3},
		},
		{
			"it is once that has run out",
			[]HostObservation{place("a", 1, 0, 0), place("b", 2, 0, 0)},
			hosts{"a": 3, "b": 3},
			hosts{"a": 2},
			stale + leaseSlack + 1,
			map[bus.HostID]bus.Share{"a": {VMs: 1}, "b": {VMs: 5}},
			hosts{"a": 1, "b": 3},
			hosts{"a": 2, "b": 3},
		},
		{
			"of a silent one it never does",
			[]HostObservation{changed(place("a", 1, 0, 0), func(h *HostObservation) { h.Trouble = Silent }), place("b", 2, 0, 0)},
			hosts{"a": 3, "b": 3},
			hosts{"a": 1},
			time.Hour,
			map[bus.HostID]bus.Share{"a": {VMs: 1}, "b": {VMs: 5}},
			hosts{"a": 1, "b": 3},
			hosts{"a": 3, "b": 3},
		},
		{
			"what others replace is to be had",
			[]HostObservation{
				changed(place("a", 0, 0, 0), func(h *HostObservation) { h.Trouble, h.State = Silent, bus.HostLost }),
				place("b", 2, 0, 0),
			},
			hosts{"a": 3, "b": 3},
			nil, 0,
			map[bus.HostID]bus.Share{"a": {}, "b": {VMs: 5}},
			hosts{"a": 0, "b": 6},
			hosts{"a": 3, "b": 6},
		},
		{
			"also from the host that comes first, of which VMs are seen to be replaced",
			[]HostObservation{
				changed(place("a", 0, 0, 0), func(h *HostObservation) {
					h.Trouble, h.State, h.Gone = Silent, bus.HostLost, place("a", 3, 0, 0).VMs
				}),
				place("b", 2, 0, 0),
			},
			hosts{"a": 3, "b": 3},
			nil, 0,
			map[bus.HostID]bus.Share{"a": {VMs: 3}, "b": {VMs: 5}},
			hosts{"a": 0, "b": 6},
			hosts{"a": 3, "b": 6},
		},
		{
			"VMs that serve come before the warm pool of another host",
			[]HostObservation{place("a", 2, 0, 0), place("b", 2, 0, 0)},
			hosts{},
			nil, 0,
			map[bus.HostID]bus.Share{"a": {VMs: 2, Warm: 2}, "b": {VMs: 4}},
			hosts{"a": 2, "b": 4},
			hosts{"a": 2, "b": 4},
		},
		{
			"those that may go leave their places",
			[]HostObservation{place("a", 3, 0, 0), place("b", 3, 0, 0)},
			hosts{"a": 3, "b": 3},
			nil, time.Second,
			map[bus.HostID]bus.Share{"a": {VMs: 2, Release: 1}, "b": {VMs: 3}},
			hosts{"a": 2, "b": 3},
			hosts{"a": 3, "b": 3},
		},
		{
			"beyond max none has room to replace one",
			[]HostObservation{place("a", 4, 0, 0), place("b", 3, 0, 0)},
			hosts{"a": 5, "b": 3},
			nil, 0,
			map[bus.HostID]bus.Share{"a": {VMs: 4}, "b": {VMs: 3}},
			hosts{"a": 4, "b": 3},
			hosts{"a": 5, "b": 3},
		},
		{
			"one host's actuator sees to max itself",
			[]HostObservation{place("a", 1, 0, 0)},
			hosts{},
			nil, 0,
			map[bus.HostID]bus.Share{"a": {VMs: 1}},
			hosts{"a": -1},
			hosts{"a": 6},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := Standings{}
			for id, n := range tt.before {
				st[id] = Standing{Lease: n, LeaseNext: tt.next[id], LeaseAt: t0}
			}
			now := t0.Add(tt.ago)
			s := situation{spec: spec(bounds(1, 6)), now: now, state: State{Standings: st}, seen: Observation{Hosts: tt.hosts}}
			for i := range tt.hosts {
				tt.hosts[i].Owned = len(tt.hosts[i].VMs)
			}
			s.obs = Observation{Hosts: tt.hosts, Stale: stale}
			s.spec.Repair.AtOnce = 1
			d := bus.Decision{Shares: tt.shares}
			s.lease(&d, st)
			for id, want := range tt.want {
				got := -1
				if most := d.Shares[id].Most; most != nil {
					got = *most
				}
				if got != want || st[id].Lease != tt.lease[id] {
					t.Errorf("host %s may have %d, and its lease is %d, want %d and %d", id, got, st[id].Lease, want, tt.lease[id])
				}
			}
		})
	}
}

// What changes with each decision is not written each time; the next decider takes each lease to hold from when it begins, and
// the newest decision's where that is newer.
func TestLeaseIsKept(t *testing.T) {
	before := State{HasSample: true, Desired: 3, Standings: Standings{"a": {Lease: 3, LeaseNext: 1, LeaseAt: t0}, "b": {Lease: 1}}}
	after := before
	after.Standings = Standings{"a": {Lease: 3, LeaseNext: 2, LeaseAt: t0.Add(time.Second)}, "b": {Lease: 1, LeaseAt: t0}}
	if newCheckpoint(after, t0).worthSaving(newCheckpoint(before, t0)) {
		t.Error("it is written although nothing has changed for the next decider")
	}
	after.Standings = Standings{"a": {Lease: 4}, "b": {Lease: 1}}
	if !newCheckpoint(after, t0).worthSaving(newCheckpoint(before, t0)) {
		t.Error("another lease is not written")
	}
	heard := &bus.Decision{
		HasSample: true, Desired: 3, Time: t0.Add(2 * time.Second),
		Shares: map[bus.HostID]bus.Share{"a": {Most: new(2)}, "b": {Most: new(4)}, "c": {Most: new(1)}},
	}
	now := t0.Add(3 * time.Second)
	got := recall(newCheckpoint(before, t0), heard, bus.Controls{}, now).Standings
	want := Standings{"a": {Lease: 3, LeaseAt: now}, "b": {Lease: 4, LeaseAt: now}}
	if !maps.Equal(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// Of a group in which nothing changes nothing is written.
func TestNothingIsKeptAnewWhileNothingChanges(t *testing.T) {
	for _, hosts := range []int{1, 3} {
		f := newSite(t, hosts, 2)
		for range 30 {
			f.step()
		}
		before := newCheckpoint(f.g.state, f.now)
		for range 3 {
			f.step()
			if newCheckpoint(f.g.state, f.now).worthSaving(before) {
				t.Fatalf("%d hosts: %+v, was %+v", hosts, f.g.state, before)
			}
		}
	}
}
