package e2e

import (
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// TestRetain: a VM whose remove hook fails is kept, with its disk, also by a program that was killed; another has its place, and
// it goes when a person says so.
func TestRetain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config("max: 3\nhooks:\n  remove: {wait_for: command, command: exit 3, on_abandon: retain}\n")
	p := w.start(config)
	w.must("scale", w.group, "2", "--nats-url", p.url)
	p.untilReady(2)
	w.must("scale", w.group, "1", "--nats-url", p.url)
	e := p.untilEvent("", bus.EventRetained)
	uuid := w.uuids()[e.VM]
	p.kill()
	p = w.start(config)
	w.must("scale", w.group, "2", "--nats-url", p.url)
	p.until("another has its place", func() bool {
		ready, retained := 0, 0
		for _, vm := range p.sample.VMs {
			switch vm.Phase {
			case bus.PhaseReady:
				ready++
			case bus.PhaseRetained:
				if vm.State == bus.StateRunning && vm.UUID == uuid {
					retained++
				}
			}
		}
		return ready == 2 && retained == 1
	})
	if out := w.must("status", w.group, "--nats-url", p.url); !containsAll(out, e.VM, "retained") {
		t.Errorf("status says\n%s", out)
	}
	w.must("remove", e.VM, "--nats-url", p.url)
	p.untilEvent(e.VM, bus.EventRemoved)
	p.untilReady(2)
	p.stop()
}
