// Package modeltest makes the messages that tests of the model and of what shows it fold.
package modeltest

import (
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// At is a time, some seconds after the tests begin.
func At(seconds float64) time.Time {
	return time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

// VM is a ready VM with that CPU.
func VM(name string, cpu *float64) bus.VM {
	return bus.VM{
		Name: name, UUID: "uuid-" + name, State: bus.StateRunning, Phase: bus.PhaseReady, CPUPercent: cpu,
		VCPUs: 1, MemoryMiB: 256, Created: At(-120), PhaseSince: At(-60),
	}
}

// Sample is a host's sample, so many seconds after the tests begin.
func Sample(group, host string, seconds float64, vms ...bus.VM) bus.Sample {
	return bus.Sample{
		V: bus.Version, Group: group, HostID: bus.HostID(host), Host: host, Instance: host + "-1", Time: At(seconds), VMs: vms,
		HostLoad: bus.Host{
			CPUPercent: new(45.0), Cores: 8, MemoryMiB: 32 * 1024, MemoryFreeMiB: new(12345), PoolFreeMiB: new(234567),
		},
	}
}

// Decision is one that holds two VMs.
func Decision(group string, seconds float64) bus.Decision {
	return bus.Decision{
		V: bus.Version, Group: group, Direction: bus.Hold, Current: 2, Desired: 2, Rule: bus.RuleStable, HasSample: true,
		Sentence: "stable: average 45 %", ID: fmt.Sprintf("%s-%g", group, seconds), Term: 1,
		Seq: uint64(100*max(0, seconds)) + 1, Time: At(seconds), ExpiresAt: At(seconds + 10),
		Inputs: bus.Inputs{
			AveragePercent: new(45.0), UpperPercent: 70, LowerPercent: 20, Min: 1, Max: 5, Owned: 2, Ready: 2, BreachesNeeded: 3,
		},
	}
}

// Health is a stage that is well.
func Health(stage string, seconds float64) bus.Health {
	return bus.Health{V: bus.Version, Stage: stage, Instance: "kvm1-4711", OK: true, Time: At(seconds), Since: At(0)}
}
