package decider

import (
	"fmt"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// BenchmarkDecide is one evaluation of a group of so many VMs.
func BenchmarkDecide(b *testing.B) {
	for _, policy := range []bus.PolicyType{bus.PolicyThreshold, bus.PolicyPredictive} {
		for _, n := range []int{10, 100, 1000, 10000, 100000} {
			b.Run(fmt.Sprintf("%s/%d", policy, n), func(b *testing.B) {
				g := spec(follows(policy), bounds(1, n))
				vms := make([]bus.VM, n)
				for i := range vms {
					vms[i] = ready(float64(30 + i%40))
				}
				obs := see(vms...)
				now, st := t0, State{}
				b.ReportAllocs()
				for b.Loop() {
					now = now.Add(time.Second)
					_, st = Decide(g, st, obs, now)
				}
			})
		}
	}
}
