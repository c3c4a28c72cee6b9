package actuator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

func TestNewRefuses(t *testing.T) {
	dial := func(context.Context) (*libvirt.Connect, error) { return nil, errors.New("no") }
	for name, cfg := range map[string]Config{
		"no groups":   {Dial: dial, Identify: here},
		"no dial":     {Groups: []bus.Group{webSpec()}, Identify: here},
		"no identity": {Groups: []bus.Group{webSpec()}, Dial: dial},
		"an order of a later version": {
			Groups: []bus.Group{webSpec(func(g *bus.Group) { g.ScaleIn = []bus.ScaleIn{"no-such-order"} })}, Dial: dial,
			Identify: here,
		},
	} {
		if _, err := New(cfg, nil, zerolog.Nop()); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestTake(t *testing.T) {
	spec := webSpec()
	decision := func(change func(*bus.Decision)) bus.Decision {
		d := bus.Decision{
			V: bus.Version, Group: "web", Desired: 2, HasSample: true, Shares: map[bus.HostID]bus.Share{"here": {VMs: 2}}, ID: "new",
			Term: 10, Seq: 5,
			Time: t0, ExpiresAt: t0.Add(5 * time.Second), SpecHash: spec.Hash(),
		}
		change(&d)
		return d
	}
	for _, tt := range []struct {
		name        string
		d           bus.Decision
		kept, wakes bool
		mismatch    bool
	}{
		{"newer", decision(func(d *bus.Decision) { d.Seq = 6 }), true, false, false},
		{"newer, by a clock that was set back", decision(func(d *bus.Decision) {
			d.Seq, d.Time, d.ExpiresAt = 6, t0.Add(-time.Hour), t0.Add(5*time.Second-time.Hour)
		}), true, false, false},
		{"newer, another number", decision(func(d *bus.Decision) { d.Seq, d.Desired = 6, 3 }), true, true, false},
		{
			"newer, something is paused", decision(func(d *bus.Decision) { d.Seq, d.Controls.Paused = 6, []bus.Scope{bus.ScopeIn} }),
			true, true, false,
		},
		{"newer, a dry run", decision(func(d *bus.Decision) { d.Seq, d.Controls.DryRun = 6, true }), true, true, false},
		{"the same again", decision(func(*bus.Decision) {}), false, false, false},
		{"older", decision(func(d *bus.Decision) { d.Seq, d.Desired = 4, 3 }), false, false, false},
		{"a higher term, older number", decision(func(d *bus.Decision) { d.Term, d.Seq = 11, 1 }), true, false, false},
		{"a lower term, newer number", decision(func(d *bus.Decision) { d.Term, d.Seq = 9, 6 }), false, false, false},
		{"expired", decision(func(d *bus.Decision) { d.Seq, d.ExpiresAt = 6, t0.Add(-time.Second) }), false, false, false},
		{"expires now", decision(func(d *bus.Decision) { d.Seq, d.ExpiresAt = 6, t0 }), false, false, false},
		{"another config", decision(func(d *bus.Decision) { d.Seq, d.SpecHash = 6, "other" }), false, false, true},
		{"another group", decision(func(d *bus.Decision) { d.Group, d.Seq = "db", 6 }), false, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a, err := New(Config{
				Groups: []bus.Group{spec}, Now: func() time.Time { return t0 },
				Dial: func(context.Context) (*libvirt.Connect, error) { return nil, errors.New("no") }, Identify: here,
			}, nil, zerolog.Nop())
			if err != nil {
				t.Fatal(err)
			}
			a.hostID, a.host = "here", "here"
			if wakes, err := a.take(decision(func(d *bus.Decision) { d.ID = "old" })); !wakes {
				t.Fatalf("the first one is refused: %v", err)
			}
			wakes, why := a.take(tt.d)
			kept := a.groups["web"].newest.Decision.ID == "new"
			if kept != tt.kept || wakes != tt.wakes {
				t.Errorf("kept %v, wakes %v; want %v, %v", kept, wakes, tt.kept, tt.wakes)
			}
			if dropped := !tt.kept && !tt.mismatch && tt.d.Group == "web"; (why != nil) != dropped {
				t.Errorf("dropped because %v, want that: %v", why, dropped)
			}
			if err := a.problem(); (err != nil) != tt.mismatch {
				t.Errorf("mismatch: %v", err)
			}
		})
	}
}

// A decider that sees other hosts only, as after a change of this one's name, must not go unnoticed.
func TestNoShareIsReported(t *testing.T) {
	spec := webSpec()
	a := &Actuator{
		hostID: "here",
		host:   "here",
		cfg:    Config{Now: func() time.Time { return t0 }},
		groups: map[string]*group{"web": {spec: spec, hash: spec.Hash()}},

		contacts: newContacts("", func() time.Duration { return 0 }, zerolog.Nop()),
	}
	if err := a.problem(); err != nil {
		t.Errorf("before any decision: %v", err)
	}
	_, _ = a.take(bus.Decision{
		Group:     "web",
		HasSample: true,
		Shares:    map[bus.HostID]bus.Share{"there": {VMs: 3}},
		Seq:       1,
		Time:      t0,
		ExpiresAt: t0.Add(time.Second),
		SpecHash:  spec.Hash(),
	})
	if err := a.problem(); err == nil || !strings.Contains(err.Error(), "here") {
		t.Errorf("got %v, want the host named", err)
	}
}

// A decision is acted on only while it is valid and of the same config.
func TestSituationWithoutAValidDecision(t *testing.T) {
	spec := webSpec()
	now := t0
	a, err := New(Config{
		Groups: []bus.Group{spec}, Now: func() time.Time { return now },
		Dial: func(context.Context) (*libvirt.Connect, error) { return nil, errors.New("no") }, Identify: here,
	}, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	a.hostID, a.host = "here", "here"
	desired := func() int { return a.situation(a.groups["web"], 2, vm.Inventory{Taken: map[string]bool{}}).Desired }
	if got := desired(); got != Unknown {
		t.Errorf("before any decision: %d", got)
	}
	d := bus.Decision{
		Group:     "web",
		HasSample: true,
		Shares:    map[bus.HostID]bus.Share{"here": {VMs: 3}},
		Seq:       1,
		Time:      t0,
		ExpiresAt: t0.Add(5 * time.Second),
		SpecHash:  spec.Hash(),
	}
	_, _ = a.take(d)
	if got := desired(); got != 3 {
		t.Errorf("valid: %d", got)
	}
	other := d
	other.SpecHash, other.Seq = "other", 2
	_, _ = a.take(other)
	if got := desired(); got != Unknown {
		t.Errorf("another config: %d", got)
	}
	d.Seq = 3
	_, _ = a.take(d)
	if got := desired(); got != 3 {
		t.Errorf("the same config again: %d", got)
	}
	now = d.ExpiresAt
	if got := desired(); got != Unknown {
		t.Errorf("expired: %d", got)
	}
}

func TestBackoff(t *testing.T) {
	for n, want := range map[int]time.Duration{
		1: time.Second, 2: 2 * time.Second, 3: 4 * time.Second, 6: 32 * time.Second, 7: time.Minute, 8: time.Minute, 1000: time.Minute,
	} {
		if got := backoff(n); got != want {
			t.Errorf("after %d failures %s, want %s", n, got, want)
		}
	}
}

// Of two actuators on one libvirt, wherever they run, the one that was there first acts; the other does nothing, and names it.
func TestSecondActuatorDoesNothing(t *testing.T) {
	spec := webSpec()
	now := t0
	newActuator := func(instance string, since time.Time) *Actuator {
		a, err := New(Config{
			Groups: []bus.Group{spec}, Now: func() time.Time { return now }, Instance: instance, Since: since, Identify: here,
			Dial: func(context.Context) (*libvirt.Connect, error) { return nil, errors.New("no") },
		}, nil, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		a.hostID, a.host = "here", "here"
		_, _ = a.take(bus.Decision{
			Group: "web", ID: "x", HasSample: true, Shares: map[bus.HostID]bus.Share{"here": {VMs: 2, Numbers: []int{1, 2}}}, Seq: 1,
			Time: now, ExpiresAt: now.Add(time.Minute), SpecHash: spec.Hash(),
		})
		return a
	}
	health := func(instance string, since time.Time, id bus.HostID) bus.Health {
		return bus.Health{Stage: "actuator", Instance: instance, Since: since, Acts: &bus.Acts{HostID: id}}
	}
	makes := func(a *Actuator) int {
		return len(Plan(a.situation(a.groups["web"], 4, vm.Inventory{Taken: map[string]bool{}})).Create)
	}

	first, second := newActuator("kvm-1", t0.Add(-time.Hour)), newActuator("clone-2", t0)
	first.meet(health("clone-2", t0, "here"))
	second.meet(health("kvm-1", t0.Add(-time.Hour), "here"))
	second.meet(health("clone-2", t0, "here")) // its own
	if n := makes(first); n != 2 || first.problem() != nil {
		t.Errorf("the first makes %d VMs: %v", n, first.problem())
	}
	if n, err := makes(second), second.problem(); n != 0 || err == nil || !strings.Contains(err.Error(), "kvm-1") {
		t.Errorf("the second makes %d VMs: %v", n, err)
	}
	elsewhere := health("kvm-1", t0, "there") // an agent of another host that calls itself so
	elsewhere.HostID = "there"
	second.meet(elsewhere)
	if n := makes(second); n != 0 {
		t.Errorf("where another host's agent has the first's name, the second makes %d VMs", n)
	}
	now = now.Add(rivalAge + 1)
	if n := makes(second); n != 2 {
		t.Errorf("after the first has ended the second makes %d VMs", n)
	}
	for i := range maxRivals {
		second.meet(health(fmt.Sprint(i), t0.Add(-time.Hour), "there"))
	}
	if n := makes(second); n != 2 {
		t.Errorf("beside those of another host it makes %d VMs", n)
	}
	second.meet(health("kvm-1", t0.Add(-time.Hour), "here"))
	if n := makes(second); n != 0 {
		t.Errorf("after many of another host, beside one of its own, it makes %d VMs", n)
	}
}
