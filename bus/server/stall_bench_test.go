package server_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

func sampleOf(vms int) *bus.Sample {
	s := bustest.Sample()
	vm := s.VMs[0]
	s.VMs = nil
	for i := range vms {
		vm.Name = fmt.Sprintf("web-%d", i)
		s.VMs = append(s.VMs, vm)
	}
	return s
}

// BenchmarkPublishBesideStalledTap measures how long 100 samples of 100 VMs take to arrive, on a bus of their own and on
// one with a tap that has stopped reading. Both in turn, so that what else the machine does is in both; the ratio is 1 when
// the tap costs nothing.
func BenchmarkPublishBesideStalledTap(b *testing.B) {
	const batch = 100
	type line struct {
		s       *server.Server
		dir     string
		from    *client.Conn
		samples chan bus.Sample
		took    []time.Duration
	}
	sample := sampleOf(100)
	newLine := func() *line {
		dir := b.TempDir()
		l := &line{dir: dir, s: bustest.StartWith(b, server.Config{StateDir: dir}), samples: make(chan bus.Sample, batch)}
		l.from = bustest.DialAs(b, l.s, dir, bus.RoleCollector, zerolog.Nop())
		if err := client.Subscribe(bustest.DialAs(b, l.s, dir, bus.RoleDecider, zerolog.Nop()), bus.AllSamples, l.samples); err != nil {
			b.Fatal(err)
		}
		return l
	}
	send := func(l *line) time.Duration {
		start := time.Now()
		for range batch {
			if err := l.from.Publish(sample); err != nil {
				b.Fatal(err)
			}
		}
		for range batch {
			<-l.samples
		}
		return time.Since(start)
	}
	filler := []byte(strings.Repeat("x", 1<<20)) // for the tap; the decider drops it
	alone, beside := newLine(), newLine()
	for b.Loop() {
		tap := stalledTap(b, beside.s, beside.dir) // a new one each time: the server ends it after a while
		stall(b, beside.s, func() { bustest.Publish(b, beside.from, sample.Subject(), filler) })
		send(alone) // both are warm, and the fillers are through
		send(beside)
		alone.took = append(alone.took, send(alone))
		beside.took = append(beside.took, send(beside))
		if !isStalled(b, beside.s) {
			b.Fatal("the tap is not stalled any more")
		}
		tap.Close()
		bustest.Eventually(b, "the tap is gone", func() bool { return !isStalled(b, beside.s) })
	}
	median := func(took []time.Duration) float64 {
		slices.Sort(took)
		return float64(took[len(took)/2].Nanoseconds()) / 1e3 / batch
	}
	b.ReportMetric(median(alone.took), "alone-us/msg")
	b.ReportMetric(median(beside.took), "beside-us/msg")
	b.ReportMetric(median(beside.took)/median(alone.took), "ratio")
	b.ReportMetric(0, "ns/op")
}
