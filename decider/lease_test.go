package decider

import (
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
			[]HostObservation{place("a", 1, 0, 0), place("b", 2, 0, 0)}, hosts{}, nil, 0,
			map[bus.HostID]bus.Share{"a": {VMs: 1}, "b": {VMs: 2}}, hosts{"a": 2, "b": 3}, hosts{"a": 2, "b": 3},
		},
		{
			"what another may have begun is not to be had",
			[]HostObservation{place("a", 1, 0, 0), place("b", 2, 0, 0)}, hosts{"a": 3, "b": 2}, nil, 0,
			map[bus.HostID]bus.Share{"a": {VMs: 1}, "b": {VMs: 5}}, hosts{"a": 1, "b": 3}, hosts{"a": 3, "b": 3},
		},
		{
			"nor while it may still",
			[]HostObservation{place("a", 1, 0, 0), place("b", 2, 0, 0)}, hosts{"a": 3, "b": 3}, hosts{"a": 1}, stale + leaseSlack,
			map[bus.HostID]bus.Share{"a": {VMs: 1}, "b": {VMs: 5}}, hosts{"a": 1, "b": 3}, hosts{"a": 3, "b": 3},
		},
		{
			"it is once that has run out",
			[]HostObservation{place("a", 1, 0, 0), place("b", 2, 0, 0)}, hosts{"a": 3, "b": 3}, hosts{"a": 2},
			stale + leaseSlack + 1,
			map[bus.HostID]bus.Share{"a": {VMs: 1}, "b": {VMs: 5}}, hosts{"a": 1, "b": 3}, hosts{"a": 2, "b": 3},
		},
		{
			"of a silent one it never does",
			[]HostObservation{changed(place("a", 1, 0, 0), func(h *HostObservation) { h.Trouble = Silent }), place("b", 2, 0, 0)},
			hosts{"a": 3, "b": 3}, hosts{"a": 1}, time.Hour,
			map[bus.HostID]bus.Share{"a": {VMs: 1}, "b": {VMs: 5}}, hosts{"a": 1, "b": 3}, hosts{"a": 3, "b": 3},
		},
		{
			"what others replace is to be had",
			[]HostObservation{
				changed(place("a", 0, 0, 0), func(h *HostObservation) { h.Trouble, h.State = Silent, bus.HostLost }),
				place("b", 2, 0, 0),
			},
			hosts{"a": 3, "b": 3}, nil, 0,
			map[bus.HostID]bus.Share{"a": {}, "b": {VMs: 5}}, hosts{"a": 0, "b": 6}, hosts{"a": 3, "b": 6},
		},
		{
			"also from the host that comes first, of which VMs are seen to be replaced",
			[]HostObservation{
				changed(place("a", 0, 0, 0), func(h *HostObservation) {
					h.Trouble, h.State, h.Gone = Silent, bus.HostLost, place("a", 3, 0, 0).VMs
				}),
				place("b", 2, 0, 0),
			},
			hosts{"a": 3, "b": 3}, nil, 0,
			map[bus.HostID]bus.Share{"a": {VMs: 3}, "b": {VMs: 5}}, hosts{"a": 0, "b": 6}, hosts{"a": 3, "b": 6},
		},
		{
			"VMs that serve come before the warm pool of another host",
			[]HostObservation{place("a", 2, 0, 0), place("b", 2, 0, 0)}, hosts{}, nil, 0,
			map[bus.HostID]bus.Share{"a": {VMs: 2, Warm: 2}, "b": {VMs: 4}}, hosts{"a": 2, "b": 4}, hosts{"a": 2, "b": 4},
		},
		{
			"those that may go leave their places",
			[]HostObservation{place("a", 3, 0, 0), place("b", 3, 0, 0)}, hosts{"a": 3, "b": 3}, nil, time.Second,
			map[bus.HostID]bus.Share{"a": {VMs: 2, Release: 1}, "b": {VMs: 3}}, hosts{"a": 2, "b": 3}, hosts{"a": 3, "b": 3},
		},
		{
			"beyond max none has room to replace one",
			[]HostObservation{place("a", 4, 0, 0), place("b", 3, 0, 0)}, hosts{"a": 5, "b": 3}, nil, 0,
			map[bus.HostID]bus.Share{"a": {VMs: 4}, "b": {VMs: 3}}, hosts{"a": 4, "b": 3}, hosts{"a": 5, "b": 3},
		},
		{
			"one host's actuator sees to max itself",
			[]HostObservation{place("a", 1, 0, 0)}, hosts{}, nil, 0,
			map[bus.HostID]bus.Share{"a": {VMs: 1}}, hosts{"a": -1}, hosts{"a": 6},
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
