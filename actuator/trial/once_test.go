package trial

import (
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// A throw-away VM is made as the group's are, takes nothing from them, and waits for nobody who does not know it.
func TestThrowAway(t *testing.T) {
	group := bus.DefaultGroup()
	group.MemoryMiB, group.ReadyWhen = 512, bus.ReadyUptime
	group.Checks = []bus.Check{{Type: bus.CheckAgent, For: bus.CheckForBoth}}
	group.Hooks.Launch.WaitFor = bus.WaitForBus
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
