package fleetload

import (
	"fmt"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/internal/figures"
)

// BenchmarkFleet is what fleets cost: how that grows with VMs, groups and hosts is what its plans differ in.
func BenchmarkFleet(b *testing.B) {
	plans := []Plan{
		{Hosts: 10, VMs: 100},
		{Hosts: 100, VMs: 10},
		{Hosts: 100, VMs: 10, Groups: 100},
		{Hosts: 100, VMs: 100},
		{Hosts: 1000, VMs: 100},
	}
	length := 10 * time.Second
	if testing.Short() {
		plans, length = []Plan{{Hosts: 10, VMs: 5}}, time.Second
	}
	for _, plan := range plans {
		plan.Connections, plan.Interval, plan.Length = 8, time.Second, length
		plan, err := plan.complete()
		if err != nil {
			b.Fatal(err)
		}
		name := fmt.Sprintf("%d hosts, %d VMs each, groups: %d", plan.Hosts, plan.VMs, plan.Groups)
		b.Run(name, func(b *testing.B) {
			var taken, decided, cpu, memory []float64
			for b.Loop() {
				nothing := func() {}
				r, err := Run(b.Context(), plan, Hooks{nothing, nothing}, zerolog.Nop())
				if err != nil {
					b.Fatal(err)
				}
				taken, decided = append(taken, r.SampleTaken.P99), append(decided, r.SampleDecided.P99)
				cpu, memory = append(cpu, r.CPUPerVMUS), append(memory, r.BytesPerVM)
			}
			b.ReportMetric(0, "ns/op") // it is the plan's
			add := func(what, unit string, values []float64, aim float64) {
				figures.Add(b, figures.Way{
					Figure: "fleet of " + name, Way: what, Kind: figures.Ours, Unit: unit, Values: values, Aim: aim,
				})
			}
			add("sample to taken, p99", "ms", taken, 10)
			add("last sample to decision, p99", "ms", decided, 10)
			add("hosts, bus and decider, a VM and second", "µs of CPU", cpu, 0)
			if plan.Hosts*plan.VMs >= 10_000 { // else it is that of the server alone
				add("memory of a VM", "bytes", memory, 1024)
			}
		})
	}
}
