package bus

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

// The floor is a bare NATS message; the rest is what encoding, decoding and the channel add.

func BenchmarkLatencyBare(b *testing.B) {
	overBoth(b, func(b *testing.B, from, to *Conn) {
		arrived := make(chan struct{}, 1)
		if _, err := to.nc.Subscribe(AllSamples, func(*nats.Msg) { arrived <- struct{}{} }); err != nil {
			b.Fatal(err)
		}
		if err := to.Flush(); err != nil {
			b.Fatal(err)
		}
		subject, data := exampleSample().Subject(), []byte(strings.Repeat("x", 100))
		percentiles(b, func() error { return from.nc.Publish(subject, data) }, func() { <-arrived })
	})
}

func BenchmarkLatencySample(b *testing.B) {
	for _, vms := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("vms=%d", vms), func(b *testing.B) {
			overBoth(b, func(b *testing.B, from, to *Conn) {
				samples := make(chan Sample, 1)
				if err := Subscribe(to, AllSamples, samples); err != nil {
					b.Fatal(err)
				}
				sample := sampleOf(vms)
				percentiles(b, func() error { return from.Publish(sample) }, func() { <-samples })
			})
		})
	}
}

// overBoth measures within the process and over TCP, with the roles that send and hear samples.
func overBoth(b *testing.B, measure func(b *testing.B, from, to *Conn)) {
	b.Run("in-process", func(b *testing.B) {
		s := startServer(b)
		measure(b, join(b, s, "collector"), join(b, s, "decider"))
	})
	b.Run("tcp", func(b *testing.B) {
		dir := b.TempDir()
		s := startWith(b, ServerConfig{StateDir: dir})
		measure(b, dialAs(b, s, dir, RoleCollector, zerolog.Nop()), dialAs(b, s, dir, RoleDecider, zerolog.Nop()))
	})
}

// percentiles measures one way, from before the message is encoded until it is there.
func percentiles(b *testing.B, send func() error, wait func()) {
	b.Helper()
	var took []time.Duration
	for b.Loop() {
		start := time.Now()
		if err := send(); err != nil {
			b.Fatal(err)
		}
		wait()
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	at := func(percent int) float64 { return float64(took[(len(took)-1)*percent/100].Nanoseconds()) / 1e3 }
	b.ReportMetric(at(50), "p50-us")
	b.ReportMetric(at(99), "p99-us")
	b.ReportMetric(0, "ns/op") // the mean says less
}

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
		from    *Conn
		samples chan Sample
		took    []time.Duration
	}
	sample := sampleOf(100)
	newLine := func() *line {
		dir := b.TempDir()
		l := &line{s: startWith(b, ServerConfig{StateDir: dir}), samples: make(chan Sample, batch)}
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
		tap := stalledTap(b, beside.s) // a new one each time: the server ends it after a while
		stall(b, beside.s, func() { publish(b, beside.from, sample.Subject(), filler) })
		send(alone) // both are warm, and the fillers are through
		send(beside)
		alone.took = append(alone.took, send(alone))
		beside.took = append(beside.took, send(beside))
		if !isStalled(b, beside.s) {
			b.Fatal("the tap is not stalled any more")
		}
		_ = tap.Close()
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
