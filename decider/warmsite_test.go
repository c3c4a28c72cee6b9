package decider

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vmscaler/vmscaler/bus"
)

// actWarm is what an actuator does by a decision about its warm pool: it hands over what its share lacks before it makes any, has
// what is too many go, and makes one more once nothing else is to do.
func (f *site) actWarm(h *machine, d bus.Decision) {
	share, ok := d.Shares[h.id]
	if !ok || !d.HasSample {
		return
	}
	here := HostObservation{VMs: h.vms}
	lacks, surplus := share.VMs-here.kept(), here.pooled()-share.Warm
	for i := range h.vms {
		if vm := &h.vms[i]; lacks > 0 && inPool(vm) {
			vm.Phase, vm.PhaseSince, vm.Handed, vm.State = bus.PhaseLaunching, f.now, true, bus.StateRunning
			lacks, surplus = lacks-1, surplus-1
		}
	}
	surplus -= max(lacks, 0)
	h.vms = slices.DeleteFunc(h.vms, func(vm bus.VM) bool {
		if vm.Phase == bus.PhaseWarm && surplus > 0 && f.now.Sub(vm.PhaseSince) >= 10*time.Second {
			surplus--
			return true
		}
		return false
	})
	busy := slices.ContainsFunc(h.vms, func(vm bus.VM) bool { return vm.Phase == bus.PhasePreparing })
	for _, n := range share.Numbers {
		if busy || lacks != 0 || surplus >= 0 || len(h.vms) >= f.most(d, share) {
			return
		}
		name := fmt.Sprintf("web-%d", n)
		if slices.ContainsFunc(h.vms, func(vm bus.VM) bool { return vm.Name == name }) {
			continue
		}
		h.make(f, name, f.now)
		h.vms[len(h.vms)-1].Phase, busy = bus.PhasePreparing, true
	}
}

func TestSiteInvariantsWithWarmPools(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 4).Draw(t, "hosts")
		f := newSite(t, n, rapid.IntRange(1, 2).Draw(t, "VMs each"))
		f.g.spec.Max = rapid.IntRange(f.g.spec.Max, f.g.spec.Max+3).Draw(t, "max")
		f.g.spec.PerHostMax = rapid.SampledFrom([]int{0, 0, 3}).Draw(t, "per host")
		f.g.spec.WarmPool.Size = rapid.SampledFrom([]bus.WarmSize{{VMs: 1}, {VMs: 2}, {Percent: 50}, {Rest: true}}).Draw(t, "pool")
		f.pools = true
		f.g.inForce = f.g.spec
		start := f.step()
		f.g.state.Controls.Desired = new(start.Desired)
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch f.befalls(t, f.hosts[rapid.IntRange(0, n-1).Draw(t, "host")]) {
			case 5:
				f.another()
				f.g.state.Controls.Desired = new(start.Desired)
			case 7, 8:
				for range 15 {
					f.checked(start, true)
				}
			case 6, 10, 11:
				start.Desired = rapid.IntRange(1, f.g.spec.Max).Draw(t, "desired")
				f.g.state.Controls.Desired = new(start.Desired)
			}
			f.checked(start, true)
		}
		for _, h := range f.hosts {
			h.off, h.heard, h.alive, h.reached, h.order = false, true, true, true, nil
			for i := range h.vms {
				if vm := &h.vms[i]; vm.Phase == bus.PhaseReady {
					vm.State = bus.StateRunning
				}
			}
		}
		var d bus.Decision
		for range 150 {
			d = f.step()
		}
		kept, warm := 0, 0
		for _, h := range f.hosts {
			here := HostObservation{VMs: h.vms}
			kept, warm = kept+here.kept(), warm+here.pooled()
			if most := f.g.spec.PerHostMax; most > 0 && len(h.vms) > most {
				t.Fatalf("host %s has %d VMs, want %d at most: %+v", h.id, len(h.vms), most, d)
			}
		}
		if f.g.spec.PerHostMax == 0 && (kept != start.Desired || warm != d.Inputs.WarmWanted) {
			t.Fatalf("%d VMs and %d warm, want %d and %d: %+v", kept, warm, start.Desired, d.Inputs.WarmWanted, d)
		}
	})
}
