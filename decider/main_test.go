package decider

import (
	"fmt"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/vmscaler/vmscaler/bus"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var t0 = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

// spec is the default group with changes.
func spec(changes ...func(*bus.Group)) bus.Group {
	g := bus.DefaultGroup()
	g.Name = "web"
	for _, change := range changes {
		change(&g)
	}
	return g
}

// thresholds sets upper and lower.
func thresholds(upper, lower float64) func(*bus.Group) {
	return func(g *bus.Group) { g.Policy.UpperPercent, g.Policy.LowerPercent = upper, lower }
}

// bounds sets min and max.
func bounds(lowest, highest int) func(*bus.Group) {
	return func(g *bus.Group) { g.Min, g.Max = lowest, highest }
}

// warmup sets what is learned else.
func warmup(d time.Duration) func(*bus.Group) { return func(g *bus.Group) { g.Policy.Warmup = d } }

// atOnce takes away the guards that need time.
func atOnce(g *bus.Group) {
	g.Policy.BreachesOut, g.Policy.BreachesIn, g.Policy.CooldownOut, g.Policy.CooldownIn = 1, 1, 0, 0
}

// aged is a VM that has been in a phase for a while.
func aged(phase bus.Phase, age time.Duration, cpu *float64) bus.VM {
	return bus.VM{
		Name: "web-1", UUID: "1", State: bus.StateRunning, Phase: phase, CPUPercent: cpu, VCPUs: 1,
		Created: t0.Add(-age), PhaseSince: t0.Add(-age),
	}
}

// ready is a VM that has been ready for long.
func ready(cpu float64) bus.VM { return aged(bus.PhaseReady, time.Hour, &cpu) }

// unknown is one without a CPU reading.
func unknown() bus.VM { return aged(bus.PhaseReady, time.Hour, nil) }

// inState is a ready VM with a CPU reading in a state in which that reading means nothing.
func inState(state bus.State, cpu float64) bus.VM {
	vm := ready(cpu)
	vm.State = state
	return vm
}

// see is a fresh observation of one host.
func see(vms ...bus.VM) Observation {
	for i := range vms {
		vms[i].Name, vms[i].UUID = fmt.Sprintf("web-%d", i+1), fmt.Sprint(i+1)
	}
	return Observation{Hosts: []HostObservation{{ID: "kvm1", Name: "kvm1", Time: t0, VMs: vms}}, Fresh: 1}
}
