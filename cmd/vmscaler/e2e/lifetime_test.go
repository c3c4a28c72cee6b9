//go:build long

package e2e

import (
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// TestMaxLifetime: a VM that is too old serves until another has taken its place, also when the program is killed meanwhile.
func TestMaxLifetime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config("max: 2\nmax_lifetime: 75s\nboot_timeout: 70s\n")
	p := w.start(config)
	p.untilReady(1)
	first := w.group + "-1"
	if e := p.untilEvent(first, bus.EventRetiring); !containsAll(e.Sentence, "older than max_lifetime 1m15s") {
		t.Errorf("event %+v", e)
	}
	p.kill()
	p = w.start(config)
	p.until("it retires, and serves", func() bool {
		return len(p.sample.VMs) > 0 && p.sample.VMs[0].Name == first && p.sample.VMs[0].Retiring &&
			p.sample.VMs[0].Phase == bus.PhaseReady
	})
	served := true
	p.until("another has taken its place", func() bool {
		ready := 0
		for _, vm := range p.sample.VMs {
			if vm.Phase == bus.PhaseReady && vm.State == bus.StateRunning {
				ready++
			}
		}
		served = served && ready > 0
		return len(p.sample.VMs) == 1 && p.sample.VMs[0].Name != first
	})
	if !served {
		t.Error("for a while none served")
	}
	p.stop()
}
