package actuator

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// reload hands groups over and waits until they hold.
func (s *stage) reload(groups ...bus.Group) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 60*time.Second)
	defer cancel()
	if err := s.own.Reload(ctx, bus.Reload{Groups: groups}); err != nil {
		s.t.Fatal(err)
	}
}

// A reload by itself makes and removes nothing: only decisions by the new spec do, within its bounds.
func TestReloadOfASpec(t *testing.T) {
	b := newHost(t)
	small := webSpec(func(g *bus.Group) { g.Min, g.Max = 1, 1 })
	large := webSpec(func(g *bus.Group) { g.Min, g.Max = 1, 3 })
	s := startStage(t, b, small, dialTest)
	s.want(9, "1 VM", b.ready(1))

	s.reload(large)
	s.ignores(9, b.ready(1)) // by the spec of before
	s.spec = large
	s.want(9, "3 VMs", b.ready(3))

	s.reload(small)
	s.ignores(1, b.ready(3))
	s.spec = small
	s.want(1, "1 VM again", b.ready(1))
}

// ignores sends a decision that changes nothing, by the time that a report tells why.
func (s *stage) ignores(desired int, holds func() bool) {
	s.t.Helper()
	s.want(desired, "a report of it", func() bool {
		for {
			select {
			case err := <-s.reports:
				var troubles bus.Troubles
				if errors.As(err, &troubles) && slices.ContainsFunc(troubles.Problems(), func(p bus.Problem) bool {
					return p.Code == bus.ProblemConfigMismatch
				}) {
					return true
				}
			default:
				return false
			}
		}
	})
	if !holds() {
		s.t.Error("VMs came or went by a reload")
	}
}

// The VMs of a group that leaves stay, in the middle of whatever was done about them, and are taken over when it comes back.
func TestReloadLetsGoOfAGroup(t *testing.T) {
	b := newHost(t)
	web := webSpec(func(g *bus.Group) { g.Min, g.Max, g.Drain = 0, 3, time.Hour })
	other := webSpec(func(g *bus.Group) { g.Name, g.Min = "db", 0 })
	b.settle(web, 2)
	s := startStage(t, b, web, dialTest, func(c *Config) { c.Groups = append(c.Groups, other) })
	s.want(1, "web-2 drains", func() bool {
		return slices.ContainsFunc(b.inventory().Owned, func(v vm.VM) bool { return v.Meta.Phase == bus.PhaseDraining })
	})

	s.reload(other)
	if !b.ready(2)() {
		t.Errorf("found %+v, want two VMs that serve", b.inventory().Owned)
	}
	s.spec = other // whose decisions it takes
	s.want(1, "a VM of db", func() bool { return len(b.inventory().Group("db")) == 1 })
	if n := len(b.inventory().Group("web")); n != 2 {
		t.Errorf("%d VMs of web are left, want 2", n)
	}

	slow := webSpec(func(g *bus.Group) { g.Min, g.Max, g.ReadyAfter = 0, 3, time.Hour })
	s.reload(slow, other)
	s.spec = slow
	s.want(3, "a launch", func() bool {
		return slices.ContainsFunc(b.inventory().Group("web"), func(v vm.VM) bool {
			return v.Meta.Phase == bus.PhaseLaunching && v.State == bus.StateRunning
		})
	})
	adopted := map[string]bool{}
	for len(adopted) < 2 {
		e := s.event(bus.EventAdopted)
		adopted[e.VM] = true
	}
	s.reload(other)
	if n := len(b.inventory().Group("web")); n != 3 {
		t.Errorf("%d VMs of web are left, want 3", n)
	}
	s.stop()
	for {
		select {
		case e := <-s.events:
			if e.Event == bus.EventDied || e.Event == bus.EventRemoved || e.Event == bus.EventFailed {
				t.Errorf("event %+v: nothing was to happen to a VM", e)
			}
		default:
			return
		}
	}
}

// What brakes a group brakes it again when it comes back: no series of reloads gets round the budget, the breaker, or the order
// of decisions.
func TestReloadKeepsTheBrakes(t *testing.T) {
	web, other := webSpec(), webSpec(func(g *bus.Group) { g.Name = "db" })
	a, err := New(Config{
		Groups: []bus.Group{web, other}, Now: func() time.Time { return t0 }, Identify: here,
		Dial: func(context.Context) (*libvirt.Connect, error) { return nil, errors.New("no") },
	}, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	g := a.groups["web"]
	g.removals, g.failures, g.stopped = []time.Time{t0}, 5, true
	if _, err := a.take(bus.Decision{
		V: bus.Version, Group: "web", HasSample: true, ID: "old", Term: 10, Seq: 5, Time: t0, ExpiresAt: t0.Add(time.Second),
		SpecHash: web.Hash(), Shares: map[bus.HostID]bus.Share{"here": {VMs: 2}}, Desired: 2,
	}); err != nil {
		t.Fatal(err)
	}
	hold := func(groups ...bus.Group) {
		done := false
		a.reload(client.Handed{Reload: bus.Reload{Groups: groups}, Done: func() { done = true }})
		if !done {
			t.Fatal("nothing was under way, and the groups do not hold")
		}
	}
	hold(other)
	if a.groups["web"] != nil {
		t.Fatal("web is still there")
	}
	changed := webSpec(func(g *bus.Group) { g.Max = 9 })
	hold(changed, other)
	now := a.groups["web"]
	if len(now.removals) != 1 || now.failures != 5 || !now.stopped || now.newest.Decision.ID != "old" || !now.mismatch {
		t.Errorf("found %+v", now)
	}
	if now.spec.Max != 9 || now.hash != changed.Hash() {
		t.Errorf("spec %+v", now.spec)
	}
}
