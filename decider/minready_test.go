package decider

import (
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// A VM goes only once the one that came in its place has served for min_ready.
func TestMinReady(t *testing.T) {
	for _, tt := range []struct {
		minReady, served time.Duration
		want             int // how many may go
	}{
		{0, 0, 1},
		{10 * time.Second, 0, 0},
		{10 * time.Second, 9 * time.Second, 0},
		{10 * time.Second, 10 * time.Second, 1},
		{10 * time.Second, -time.Second, 0}, // by another host's clock
		{10 * time.Second, -time.Hour, 1},   // by a clock that was set back
	} {
		g := spec(bounds(1, 9))
		g.MinReady = tt.minReady
		came := serving(3, "")
		came.PhaseSince = t0.Add(-tt.served)
		old, other := serving(1, "replace"), serving(2, "")
		old.PhaseSince, other.PhaseSince = t0.Add(-time.Hour), t0.Add(-time.Hour)
		d, _ := Decide(g, State{HasSample: true, Desired: 2}, only(old, other, came), t0)
		if got := d.Shares["kvm1"].Release; got != tt.want {
			t.Errorf("min_ready %s, served for %s: %d may go, want %d", tt.minReady, tt.served, got, tt.want)
		}
		if serve := d.Shares["kvm1"].Serving; (serve == nil) != (tt.want == 0) || serve != nil && *serve != 2 {
			t.Errorf("min_ready %s, served for %s: %v serve then", tt.minReady, tt.served, serve)
		}
	}
}

// Whether a VM serves, and for a while: what a refresh counts by, and what a host is told. Only that its host is silent makes a
// difference: the host itself is told as if it were heard.
func TestServes(t *testing.T) {
	of := func(change func(*bus.VM)) bus.VM {
		vm := bus.VM{Phase: bus.PhaseReady, State: bus.StateRunning, PhaseSince: t0.Add(-time.Minute)}
		change(&vm)
		return vm
	}
	young := t0.Add(-59 * time.Second)
	for _, tt := range []struct {
		name  string
		vm    bus.VM
		serve bool
	}{
		{"ready for long enough", of(func(*bus.VM) {}), true},
		{"not yet", of(func(vm *bus.VM) { vm.PhaseSince = young }), false},
		{"retiring", of(func(vm *bus.VM) { vm.Retiring = true }), true},
		{"retiring, whenever it came", of(func(vm *bus.VM) { vm.Retiring, vm.PhaseSince = true, young }), true},
		{"protected", of(func(vm *bus.VM) { vm.Protected = true }), true},
		{"launching", of(func(vm *bus.VM) { vm.Phase = bus.PhaseLaunching }), false},
		{"draining", of(func(vm *bus.VM) { vm.Phase = bus.PhaseDraining }), false},
		{"standing by", of(func(vm *bus.VM) { vm.Phase = bus.PhaseStandby }), false},
		{"suspended", of(func(vm *bus.VM) { vm.State = bus.StatePaused }), false},
		{"off", of(func(vm *bus.VM) { vm.State = bus.StateShutoff }), false},
		{"reimaging", of(func(vm *bus.VM) { vm.Reimaging = true }), false},
		{"to be removed", of(func(vm *bus.VM) { vm.Order = &bus.VMOrder{Verb: bus.VMRemove} }), false},
		{"to be replaced", of(func(vm *bus.VM) { vm.Order = &bus.VMOrder{Verb: bus.VMReplace} }), true},
	} {
		for trouble, counts := range map[Trouble]bool{"": tt.serve, Silent: false} {
			obs := Observation{Fresh: 1, Hosts: []HostObservation{{ID: "kvm1", VMs: []bus.VM{tt.vm}, Trouble: trouble}}}
			s := situation{spec: spec(func(g *bus.Group) { g.MinReady = time.Minute }), obs: obs, now: t0}
			if got := s.serves(&tt.vm); got != tt.serve {
				t.Errorf("%s: serves %t, want %t", tt.name, got, tt.serve)
			}
			if f := s.refreshFacts(bus.Build{}); (f.serving+f.standing == 1) != counts {
				t.Errorf("%s, %q: %d serve and %d stand, want one %t", tt.name, trouble, f.serving, f.standing, counts)
			}
		}
	}
}
