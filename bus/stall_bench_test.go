package bus

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

func sampleOf(vms int) *Sample {
	s := exampleSample()
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
		s       *Server
		dir     string
		from    *Conn
		samples chan Sample
		took    []time.Duration
	}
	sample := sampleOf(100)
	newLine := func() *line {
		dir := b.TempDir()
		l := &line{dir: dir, s: startWith(b, ServerConfig{StateDir: dir}), samples: make(chan Sample, batch)}
		l.from = dialAs(b, l.s, dir, RoleCollector, zerolog.Nop())
		if err := Subscribe(dialAs(b, l.s, dir, RoleDecider, zerolog.Nop()), AllSamples, l.samples); err != nil {
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
		stall(b, beside.s, func() { publish(b, beside.from, sample.Subject(), filler) })
		send(alone) // both are warm, and the fillers are through
		send(beside)
		alone.took = append(alone.took, send(alone))
		beside.took = append(beside.took, send(beside))
		if !isStalled(b, beside.s) {
			b.Fatal("the tap is not stalled any more")
		}
		tap.Close()
		eventually(b, "the tap is gone", func() bool { return !isStalled(b, beside.s) })
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
