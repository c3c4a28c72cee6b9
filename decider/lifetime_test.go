package decider

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vmscaler/vmscaler/bus"
)

// living is a group whose VMs may live for so long.
func living(lifetime time.Duration) bus.Group {
	return spec(bounds(1, 9), warmup(0), func(g *bus.Group) { g.MaxLifetime, g.Template = lifetime, "web-1" })
}

// oldest is how old the oldest VM is that is not on its way out.
func (f *rollout) oldest() (age time.Duration) {
	for _, vm := range f.all() {
		age = max(age, f.now.Sub(vm.Created))
	}
	return age
}

// VMs that were made together are replaced one after another, with the replacement first, on whichever host has the room.
func TestMaxLifetime(t *testing.T) {
	for _, ids := range [][]bus.HostID{{"a"}, {"a", "bb"}} {
		f := newRollout(living(time.Minute), 5, ids...)
		for range 59 {
			if f.step(); f.made != 5 {
				t.Fatalf("made %d before any was too old", f.made)
			}
		}
		for range 300 {
			f.step()
			// The five that were made together take their turns, each for as long as a boot and some steps.
			if age := f.oldest(); age > time.Minute+5*8*time.Second {
				t.Fatalf("one is %s old: %+v", age, f.all())
			}
		}
		if f.least < 5 || f.most > 6 || f.made < 20 {
			t.Errorf("%d served at the least, %d were owned at the most, and %d were made", f.least, f.most, f.made)
		}
		if f.d.Refresh != nil {
			t.Errorf("a refresh began: %+v", f.d.Refresh)
		}
	}
}

func TestMaxLifetimeWaits(t *testing.T) {
	for name, change := range map[string]func(*rollout){
		"there is none":       func(f *rollout) { f.spec.MaxLifetime = 0 },
		"repair is paused":    func(f *rollout) { f.state.Controls.Paused = []bus.Scope{bus.ScopeRepair} },
		"all are protected":   func(f *rollout) { f.protect() },
		"the group is at max": func(f *rollout) { f.spec.Max = 3 },
		"a refresh goes on, and is paused": func(f *rollout) {
			f.spec.Template = "web-2"
			f.state.Refresh = &bus.Refresh{
				ID: "r", Phase: bus.RefreshPaused, Strategy: bus.RefreshReplace, Machine: f.spec.MachineHash(), Started: t0, Since: t0,
			}
		},
	} {
		f := newRollout(living(time.Minute), 3, "a")
		change(f)
		for range 200 {
			f.step()
		}
		if f.made != 3 {
			t.Errorf("%s: made %d more", name, f.made-3)
		}
		overdue := map[bool]int{true: 0, false: 3}[name == "there is none"]
		if n := f.d.Inputs.Overdue; n != overdue {
			t.Errorf("%s: %d overdue, want %d", name, n, overdue)
		}
		text := lifetimeTrouble(f.spec, f.d)
		const says = "3 VMs older than max_lifetime 1m0s, and none is replaced, as the group is at max 3"
		if stuck := strings.Contains(text, says); stuck !=
			(name == "the group is at max") {
			t.Errorf("%s: trouble %q", name, text)
		}
	}
}

func (f *rollout) protect() {
	for _, vms := range f.vms {
		for i := range vms {
			vms[i].Protected = true
		}
	}
}

// Terminate and launch: at max, old ones go first where one may be missing.
func TestMaxLifetimeAtMax(t *testing.T) {
	f := newRollout(living(time.Minute), 4, "a")
	f.spec.Max, f.spec.Maintenance = 4, bus.Maintenance{MinHealthyPercent: 75, MaxHealthyPercent: 100}
	for range 300 {
		f.step()
	}
	if f.least != 3 || f.most > 4 || f.made < 12 {
		t.Errorf("%d served at the least, %d were owned at the most, and %d were made", f.least, f.most, f.made)
	}
}

// A host that is to give one up gives the one that is too old.
func TestTooOldLeavesFirst(t *testing.T) {
	young, old := ready(1), ready(1)
	young.Created, old.Created = t0.Add(-time.Minute), t0.Add(-2*time.Hour)
	old.UUID = "old"
	s := spec(bounds(1, 5), func(g *bus.Group) { g.MaxLifetime = time.Hour; g.ScaleIn = []bus.ScaleIn{bus.ScaleInNewest} })
	obs := Observation{Fresh: 2, Hosts: []HostObservation{
		{ID: "a", Name: "a", Time: t0, VMs: []bus.VM{young}}, {ID: "b", Name: "b", Time: t0, VMs: []bus.VM{old}},
	}}
	st := State{HasSample: true, Desired: 2, Hosts: []bus.HostID{"a", "b"}, Controls: bus.Controls{Desired: new(1)}}
	d, _ := Decide(s, st, obs, t0)
	if d.Desired != 1 || d.Shares["b"].VMs != 0 || d.Shares["a"].VMs != 1 {
		t.Errorf("desired %d, shares %+v", d.Desired, d.Shares)
	}
}

// Whatever the maintenance and the load: max and what must be healthy hold, and in the end none is older than its turn takes.
func TestMaxLifetimeInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := living(time.Duration(rapid.IntRange(30, 120).Draw(t, "lifetime")) * time.Second)
		g.Max = rapid.IntRange(2, 7).Draw(t, "max")
		g.Maintenance = bus.Maintenance{
			MinHealthyPercent: rapid.SampledFrom([]int{0, 50, 90, 100}).Draw(t, "healthy"),
			MaxHealthyPercent: rapid.SampledFrom([]int{100, 110, 150, 200}).Draw(t, "beyond"),
		}
		desired := rapid.IntRange(1, g.Max).Draw(t, "desired")
		f := newRollout(
			g,
			desired,
			slices.Concat([]bus.HostID{"a"}, rapid.SampledFrom([][]bus.HostID{nil, {"bb"}}).Draw(t, "hosts"))...)
		f.boot = rapid.IntRange(1, 4).Draw(t, "boot")
		surge, spare := g.Maintenance.Leeway(desired, g.Max)
		for range 400 {
			f.step()
			if f.most > g.Max || f.least < desired-spare {
				t.Fatalf("%d owned of max %d, %d served of %d, of which %d may be missing", f.most, g.Max, f.least, desired, spare)
			}
		}
		if turns := time.Duration(desired*(f.boot+6)) * time.Second; surge+spare > 0 && f.oldest() > g.MaxLifetime+turns {
			t.Fatalf("one is %s old: %+v", f.oldest(), f.all())
		}
		if surge+spare == 0 && f.made != desired {
			t.Fatalf("%d were made, and none may be replaced", f.made)
		}
	})
}
