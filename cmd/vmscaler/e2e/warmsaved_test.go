package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// TestSavedWarmPool: the VM that waits is off, with its memory in a file, and goes on from there to serve. What was noted of it
// meanwhile holds; what a person starts is saved again.
func TestSavedWarmPool(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("min: 1\nmax: 2\npolicy: {lower: 0, upper: 99}\nwarm_pool: {size: 1, state: saved, reuse: true}"))
	one := p.untilSaved("")
	dom := w.domain(one.Name)
	if err := dom.Create(); err != nil { // by a person
		t.Fatal(err)
	}
	if e := p.untilEvent(one.Name, bus.EventWarmed); !strings.Contains(e.Sentence, "again") {
		t.Errorf("event %+v", e)
	}
	if again := p.untilSaved(""); again.UUID != one.UUID {
		t.Errorf("%s waits, want %s", again.Name, one.Name)
	}
	w.must("protect", one.Name)
	seen := len(p.all)
	w.must("scale", w.group, "2", "--nats-url", p.url)
	e := p.untilEvent(one.Name, bus.EventReady)
	t.Logf("from the pool to ready: %d ms", e.ElapsedMS)
	if !strings.Contains(e.Sentence, "its guest agent answers, and its clock is set") {
		t.Errorf("event %+v", e)
	}
	if got := events(p.all[seen:]); !slices.Contains(got, one.Name+" handover") || slices.Contains(got, one.Name+" creating") {
		t.Errorf("until it was ready there were %v", got)
	}
	p.untilReady(2)
	i := slices.IndexFunc(w.vms(), func(v vm.VM) bool { return v.UUID == one.UUID })
	if i < 0 {
		t.Fatal("it is another one")
	}
	if v := w.vms()[i]; !v.Protected || v.Meta.Saver != "" || !v.Meta.Handed.IsZero() {
		t.Errorf("it is %+v", v)
	}
	if saved, err := dom.HasManagedSaveImage(0); saved || err != nil {
		t.Errorf("its saved memory is there still: %t, %v", saved, err)
	}
	p.until("that it has gone on is no load", func() bool { return p.decision.Inputs.Ready == 2 && p.decision.Desired == 2 })
	w.must("protect", one.Name, "--off")
	w.must("scale", w.group, "1", "--nats-url", p.url)
	p.untilSaved("")
	p.stop()
}

// untilSaved waits until a VM of the warm pool, other than the one with this UUID, waits with its memory saved, and returns it.
func (b *watcher) untilSaved(not string) (found bus.VM) {
	b.t.Helper()
	b.until("a VM waits with its memory saved", func() bool {
		for _, v := range b.sample.VMs {
			if v.Phase == bus.PhaseWarm && v.State == bus.StateSaved && v.UUID != not {
				found = v
			}
		}
		return found.Name != "" && b.decision.Inputs.Warm == 1
	})
	return found
}
