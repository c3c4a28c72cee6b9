package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// BenchmarkRefresh is how long the refresh of a group takes, beside the launches of as many VMs with nothing else to do, which
// is its floor: both boot as many VMs at a time as the host has cores.
func BenchmarkRefresh(b *testing.B) {
	vms := 5
	if testing.Short() {
		vms = 1
	}
	var launches, refreshes time.Duration
	for b.Loop() {
		w := newWorld(b)
		begin := time.Now()
		p := w.start(w.config(fmt.Sprintf("min: %d\nmax: %d\nrefresh:\n  max_surge: 2", vms, vms+2)))
		p.untilReady(vms)
		launches += time.Since(begin)
		begin = time.Now()
		w.must("refresh", w.group, "--all", "--nats-url", p.url)
		p.within(5*patience, "all are new", func() bool {
			return p.decision.Refresh != nil && p.decision.Refresh.Phase == bus.RefreshDone
		})
		refreshes += time.Since(begin)
		p.stop()
		w.must("down", w.group, "--yes")
	}
	n := float64(b.N)
	b.ReportMetric(launches.Seconds()/n, "launches-s")
	b.ReportMetric(refreshes.Seconds()/n, "refresh-s")
	b.ReportMetric(float64(refreshes)/float64(launches), "x-launches")
	b.ReportMetric(0, "ns/op")
}
