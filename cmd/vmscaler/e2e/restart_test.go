package e2e

import (
	"maps"
	"slices"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// uuids are the group's VMs by name.
func (w *world) uuids() map[string]string {
	w.t.Helper()
	all := map[string]string{}
	for _, vm := range w.vms() {
		all[vm.Name] = vm.UUID
	}
	return all
}

// TestRestartAdopts: VMs outlive the program, and the next start takes them over and goes on with as many.
func TestRestartAdopts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("min: 2"))
	p.untilReady(2)
	before := w.uuids()
	p.stop()

	// With min 1 only the two VMs themselves say that desired is 2.
	p = w.start(w.config("policy: {cooldown_in: 1h}"))
	p.until("the group starts with what it owns", func() bool { return p.decision.HasSample })
	if p.decision.Desired != 2 {
		t.Errorf("desired %d after the restart, want the 2 that are there", p.decision.Desired)
	}
	p.until("the first idle evaluation holds", func() bool { return p.decision.Rule == bus.RuleBelowLower })
	if after := w.uuids(); !maps.Equal(before, after) {
		t.Errorf("VMs after the restart %v, want the same as before: %v", after, before)
	}
	if p.had(bus.EventCreating) || p.had(bus.EventDraining) {
		t.Errorf("the restart made or removed VMs: %+v", p.all)
	}
	p.stop()
}

// TestKilledWithoutWarning: after kill -9 the next start takes over as well.
func TestKilledWithoutWarning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config("min: 1")
	p := w.start(config)
	p.untilEvent("", bus.EventStarted) // in the middle of its boot
	before := w.uuids()
	p.kill()
	p = w.start(config)
	p.untilReady(1)
	if after := w.uuids(); !maps.Equal(before, after) {
		t.Errorf("VMs after kill -9 and restart %v, want the one that was booting: %v", after, before)
	}
	p.stop()
}

// TestInterruptedInEveryPhase: Ctrl-C in any phase of a VM's life leaves nothing that the next start does not take
// up and bring to an end.
func TestInterruptedInEveryPhase(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	grow, shrink := w.config("min: 2"), w.config("min: 1\nmax: 1")
	for _, step := range []struct {
		phase  bus.EventType
		config string // which brings the phase about
	}{
		{bus.EventCreating, grow},
		{bus.EventStarted, grow},
		{bus.EventReady, grow},
		{bus.EventDraining, shrink},
		{bus.EventStopping, shrink},
		{bus.EventRemoved, shrink},
	} {
		p := w.start(step.config)
		p.untilEvent("", step.phase)
		p.stop()
		t.Logf("interrupted at %s: %v", step.phase, slices.Sorted(maps.Keys(w.uuids())))
		// The same config again must come to rest, with each VM's one file.
		p = w.start(step.config)
		want := 2
		if step.config == shrink {
			want = 1
		}
		p.untilReady(want)
		if files := w.files(); len(files) != want {
			t.Errorf("after an interruption at %s and a restart: %d VMs but the files %v", step.phase, want, files)
		}
		p.stop()
		if step.config == shrink { // two again, for the next phase
			p = w.start(grow)
			p.untilReady(2)
			p.stop()
		} else if step.phase != bus.EventReady { // none again
			w.must("down", w.group, "--yes")
		}
	}
}
