package actuator

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/internal/figures"
)

// BenchmarkRemoval compares the time from the wish to have no VM until all are gone with their disks: a decision on the bus to
// the last event, and a script that takes one VM after the other. The guests' disk is empty, and nothing waits for their
// shutdown.
func BenchmarkRemoval(b *testing.B) {
	sizes := []int{1, 4, 20}
	if testing.Short() {
		sizes = []int{1, 2}
	}
	r := newLaunchRig(b, sizes[len(sizes)-1])
	var alone []float64
	for _, n := range sizes {
		b.Run(fmt.Sprintf("VMs=%d", n), func(b *testing.B) {
			var ours, theirs []float64
			for b.Loop() {
				ours = append(ours, r.removal(n))
				theirs = append(theirs, r.removalByVirsh(n))
			}
			b.ReportMetric(0, "ns/op") // it has the launches
			if alone == nil {
				alone = ours
			}
			figure := fmt.Sprintf("surplus of %d gone", n)
			figures.Add(b, figures.Way{
				Figure: figure, Way: "vmscaler: decision to the last one removed", Kind: figures.Ours, Unit: "ms",
				Values: ours,
			},
				figures.Way{
					Figure: figure, Way: "virsh destroy, undefine, rm, in turn", Kind: figures.Rival, Unit: "ms",
					Values: theirs,
				})
			if n > 1 {
				figures.Add(b, figures.Way{
					Figure: figure, Way: "vmscaler with one VM", Kind: figures.Limit, Unit: "ms", Values: alone,
					Aim: 1.5,
				})
			}
		})
	}
}

// removal is how long vmscaler takes for n VMs, in ms.
func (r *launchRig) removal(n int) float64 {
	r.b.Helper()
	r.want(n, bus.EventReady, n)
	start := time.Now()
	r.want(0, bus.EventRemoved, n)
	return float64(time.Since(start).Microseconds()) / 1000
}

func (r *launchRig) removalByVirsh(n int) float64 {
	r.b.Helper()
	names, disks := make([]string, n), make([]string, n)
	for i := range n {
		names[i] = fmt.Sprintf("%s-script%d", r.id, i)
		_, disks[i] = r.byVirsh(names[i])
	}
	start := time.Now()
	for i := range n {
		r.run("virsh", "-q", "-c", r.uri, "destroy", names[i])
		r.run("virsh", "-q", "-c", r.uri, "undefine", names[i])
		if err := os.Remove(disks[i]); err != nil {
			r.b.Fatal(err)
		}
	}
	return float64(time.Since(start).Microseconds()) / 1000
}
