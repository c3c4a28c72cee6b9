package trial

import (
	"testing"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// A throw-away VM is made as the group's are, takes nothing from them, and waits for nobody who does not know it.
func TestThrowAway(t *testing.T) {
	group := bus.DefaultGroup()
	group.MemoryMiB, group.ReadyWhen = 512, bus.ReadyUptime
	group.Checks = []bus.Check{{Type: bus.CheckAgent, For: bus.CheckForBoth}}
	group.Hooks.Launch[0].WaitFor = bus.WaitForBus
	group.Hardware.NICs = []bus.NIC{{Type: bus.NICUser, Forwards: []bus.Forward{{Host: 8080, Guest: 80}}}}
	got := throwAway(group)
	if !bus.IsThrowAway(got.Name) || got.MemoryMiB != 512 || got.ReadyWhen != bus.ReadyAgent || len(got.Checks) > 0 ||
		got.Hooks.Launch.Waits() || len(got.Hardware.NICs) != 1 || len(got.Hardware.NICs[0].Forwards) > 0 {
		t.Errorf("got %+v", got)
	}
	if len(group.Hardware.NICs[0].Forwards) != 1 {
		t.Error("the group itself was changed")
	}
}

// What other commands make, with their disks elsewhere, is left alone, as is what a person keeps.
func TestLeftovers(t *testing.T) {
	one := func(group, pool string, protected bool) vm.VM {
		return vm.VM{Name: group + "-1", Meta: bus.Metadata{Group: group, Pool: pool}, Protected: protected}
	}
	owned := []vm.VM{
		one("web", "p", false), one(bus.ThrowAwayPrefix+"a", "p", false), one(bus.ThrowAwayPrefix+"b", "q", false),
		one(bus.ThrowAwayPrefix+"c", "p", true),
	}
	if got := leftovers(owned, "p"); len(got) != 1 || got[0].Name != "vmscaler-once-a-1" || owned[0].Name != "web-1" {
		t.Errorf("got %+v", got)
	}
}
