package e2e

import (
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// TestGuestRestartIsNoLoad: a guest that is reset boots with all its CPU, which is no load: its VM warms up again, no second
// one is made, and it is left alone while its agent is silent.
func TestGuestRestartIsNoLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("min: 1\nrepair: {health_grace: 10s}"))
	p.untilReady(1)
	first := w.vms()[0]
	warm := func() bool { return p.decision.Inputs.Ready == 1 && p.decision.Inputs.AveragePercent != nil }
	p.until("its CPU counts", warm)
	for range 2 {
		if err := w.domain(first.Name).Reset(0); err != nil {
			t.Fatal(err)
		}
		p.until("it warms up again", func() bool {
			return len(p.sample.VMs) == 1 && p.sample.VMs[0].RebootedAt != nil && p.decision.Inputs.Warming == 1
		})
		p.until("it has come to rest", warm)
	}
	if vms := w.vms(); len(vms) != 1 || vms[0].UUID != first.UUID {
		t.Errorf("VMs %+v, want the first alone", vms)
	}
	for _, e := range p.all {
		if e.VM != first.Name || e.Event == bus.EventUnhealthy {
			t.Errorf("event %+v", e)
		}
	}
	p.stop()
}
