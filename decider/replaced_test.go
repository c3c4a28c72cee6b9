package decider

import (
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// However the VM looks that takes another's place while it is made, and whoever says how many the group has: the other stays
// until it serves, also where max has no room for a third.
func TestReplacedVMStaysUntilAnotherServes(t *testing.T) {
	made := func(phase bus.Phase, state bus.State) bus.VM {
		vm := launchingVM(2)
		vm.Phase, vm.State = phase, state
		return vm
	}
	for _, byHand := range []bool{false, true} {
		for _, tt := range []struct {
			name    string
			another []bus.VM
			goes    int
		}{
			{"not yet", nil, 0},
			{"defined", []bus.VM{made(bus.PhaseCreating, bus.StateShutoff)}, 0},
			{"starting", []bus.VM{made(bus.PhaseCreating, bus.StateOther)}, 0},
			{"starting, as libvirt shows it", []bus.VM{made(bus.PhaseCreating, bus.StatePaused)}, 0},
			{"started", []bus.VM{made(bus.PhaseLaunching, bus.StateRunning)}, 0},
			{"suspended while it boots", []bus.VM{made(bus.PhaseLaunching, bus.StatePaused)}, 0},
			{"serving", []bus.VM{serving(2, "")}, 1},
		} {
			g := spec(bounds(1, 2))
			st := State{HasSample: true, Desired: 1, Hosts: []bus.HostID{"kvm1"}}
			if byHand {
				st.Controls.Desired = new(1)
			}
			obs := only(append([]bus.VM{serving(1, bus.VMReplace)}, tt.another...)...)
			d, _ := Decide(g, st, obs, t0)
			if share := d.Shares["kvm1"]; share.Release != tt.goes || d.Desired != 1 {
				t.Errorf("another is %s (by hand %t): %+v, desired %d, %s", tt.name, byHand, share, d.Desired, d.Rule)
			}
		}
	}
}

// Only a VM whose removal has begun is told to leave: not one that retires, stands by or is given new disks.
func TestLeavingIsCounted(t *testing.T) {
	vms := []bus.VM{serving(1, ""), serving(2, ""), serving(3, ""), serving(4, ""), serving(5, "")}
	vms[1].Retiring = true
	vms[2].Phase = bus.PhaseDraining
	vms[3].Phase, vms[3].Reimaging = bus.PhaseDraining, true
	vms[4].Phase = bus.PhaseStandby
	d, _ := Decide(spec(bounds(1, 9)), State{HasSample: true, Desired: 2, Hosts: []bus.HostID{"kvm1"}}, only(vms...), t0)
	if d.Inputs.Leaving != 1 {
		t.Errorf("found %d", d.Inputs.Leaving)
	}
}
