package decider

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/internal/figures"
)

// BenchmarkSampleToDecision is the time from publishing a sample to having the decision that it leads to: encoding,
// the bus twice, decoding and deciding. "in-process" is as in `vmscaler run`, "tcp" as between processes with
// credentials. "floor" is a bare NATS message there and back over the same kind of connection.
func BenchmarkSampleToDecision(b *testing.B) {
	for _, kind := range []string{"in-process", "tcp"} {
		for _, vms := range []int{10, 100, 1000} {
			what := fmt.Sprintf("sample to decision, %d VMs, %s", vms, kind)
			add := func(b *testing.B, way string, role figures.Kind, took quantiles) {
				figures.Add(b, figures.Way{Figure: what + ", p50", Way: way, Kind: role, Unit: "µs", Values: took.p50},
					figures.Way{Figure: what + ", p99", Way: way, Kind: role, Unit: "µs", Values: took.p99})
			}
			b.Run(fmt.Sprintf("%s/%d-vms", kind, vms), func(b *testing.B) {
				add(b, "encoded, sent, decided, sent, decoded", figures.Ours, report(b, decided(b, kind == "tcp", vms)))
			})
			b.Run(fmt.Sprintf("%s/floor-%d-vms", kind, vms), func(b *testing.B) {
				add(b, "NATS, the same bytes there and back", figures.Limit, report(b, floor(b, kind == "tcp", vms)))
			})
		}
	}
}

// rounds is how often one iteration of a benchmark goes there and back, for the quantiles.
const rounds = 200

// quantiles are those of each iteration, in µs.
type quantiles struct{ p50, p99 []float64 }

// report measures rounds of trip and reports their quantiles.
func report(b *testing.B, trip func(n int)) (each quantiles) {
	b.Helper()
	for n := range rounds { // until connections and heap are warm
		trip(n)
	}
	var took []time.Duration
	n := rounds
	for b.Loop() {
		for range rounds {
			start := time.Now()
			trip(n)
			took = append(took, time.Since(start))
			n++
		}
		one := slices.Sorted(slices.Values(took[len(took)-rounds:]))
		each.p50 = append(each.p50, float64(one[rounds/2].Nanoseconds())/1000)
		each.p99 = append(each.p99, float64(one[rounds*99/100].Nanoseconds())/1000)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
	b.ReportMetric(0, "ns/op") // of all rounds together: it says nothing
	return each
}

// floor sends as many bytes there as a sample has, and back as a decision has.
func floor(b *testing.B, tcp bool, vms int) func(int) {
	b.Helper()
	sample := sampleFor(spec(), vms)
	sample.Time = time.Now()
	body, err := bus.Encode(&sample, 0)
	if err != nil {
		b.Fatal(err)
	}
	const decision = 1000
	ns, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoSigs: true, NoLog: true})
	if err != nil {
		b.Fatal(err)
	}
	ns.Start()
	b.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	if !ns.ReadyForConnections(10 * time.Second) {
		b.Fatal("the server is not ready")
	}
	connect := func() *nats.Conn {
		var options []nats.Option
		if !tcp {
			options = append(options, nats.InProcessServer(ns))
		}
		nc, err := nats.Connect(ns.ClientURL(), options...)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(nc.Close)
		return nc
	}
	here, there, back := connect(), connect(), make(chan *nats.Msg, 1)
	if _, err := there.Subscribe("there", func(m *nats.Msg) { _ = there.Publish("back", m.Data[:decision]) }); err != nil {
		b.Fatal(err)
	}
	if _, err := here.ChanSubscribe("back", back); err != nil {
		b.Fatal(err)
	}
	if err := there.Flush(); err != nil {
		b.Fatal(err)
	}
	return func(int) {
		if err := here.Publish("there", body); err != nil {
			b.Fatal(err)
		}
		<-back
	}
}

func decided(b *testing.B, tcp bool, vms int) func(int) {
	b.Helper()
	dir := b.TempDir()
	s, err := server.Start(server.Config{Listen: "127.0.0.1:0", StateDir: dir}, zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Stop)
	connect := func(role bus.Role) *client.Conn {
		conn, err := s.Connect(string(role), zerolog.Nop())
		if tcp {
			conn.Close()
			conn, err = client.DialNow(client.Remote{URL: s.URL(), Nkey: server.CredentialsFile(dir, role)}, string(role), zerolog.Nop())
		}
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(conn.Close)
		return conn
	}
	collector, own, watcher := connect(bus.RoleCollector), connect(bus.RoleDecider), connect(bus.RoleDashboard)
	decisions := make(chan bus.Decision, 16)
	if err := client.Subscribe(watcher, bus.AllDecisions, decisions); err != nil {
		b.Fatal(err)
	}
	// Each sample is evaluated, and nothing else is.
	group := spec(func(g *bus.Group) { g.Max, g.Policy.Interval = 2000, time.Nanosecond })
	d, err := New(Config{Groups: []bus.Group{group}, Ticks: make(chan time.Time)}, own, zerolog.Nop())
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	b.Cleanup(func() { cancel(); <-done })
	sample, start := sampleFor(group, vms), time.Now()
	send := func(n int) {
		sample.Time = start.Add(time.Duration(n) * time.Millisecond)
		if err := collector.Publish(&sample); err != nil {
			b.Fatal(err)
		}
	}
	for n := -1; ; n-- { // until the decider has subscribed
		send(-1_000_000 - n)
		select {
		case <-decisions:
			return func(n int) {
				send(n)
				<-decisions
			}
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// sampleFor is a sample of so many VMs, without its time.
func sampleFor(group bus.Group, vms int) bus.Sample {
	cpu := 50.0
	sample := bus.Sample{V: bus.Version, Group: group.Name, HostID: "kvm1", Host: "kvm1", Instance: "c", SpecHash: group.Hash()}
	start := time.Now()
	for i := range vms {
		sample.VMs = append(sample.VMs, bus.VM{
			Name: fmt.Sprintf(
				"web-%d",
				i+1,
			), UUID: fmt.Sprintf("5f4f1f0e-4f0e-4c3a-9f6e-%012d", i), State: bus.StateRunning, Phase: bus.PhaseReady,
			CPUPercent: &cpu, VCPUs: 1, MemoryMiB: 256, Created: start.Add(-time.Hour), PhaseSince: start.Add(-time.Hour),
		})
	}
	return sample
}
