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
)

// BenchmarkSampleToDecision is the time from publishing a sample to having the decision that it leads to: encoding,
// the bus twice, decoding and deciding. "in-process" is as in `vmscaler run`, "tcp" as between processes with
// credentials. "floor" is a bare NATS message there and back over the same kind of connection.
func BenchmarkSampleToDecision(b *testing.B) {
	for _, kind := range []string{"in-process", "tcp"} {
		b.Run(kind+"/floor", func(b *testing.B) { report(b, floor(b, kind == "tcp")) })
		for _, vms := range []int{10, 100, 1000} {
			b.Run(fmt.Sprintf("%s/%d-vms", kind, vms), func(b *testing.B) { report(b, decided(b, kind == "tcp", vms)) })
		}
	}
}

// rounds is how often one iteration of a benchmark goes there and back, for the quantiles.
const rounds = 200

// report measures rounds of trip and reports their quantiles.
func report(b *testing.B, trip func(n int)) {
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
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
	b.ReportMetric(0, "ns/op") // of all rounds together: it says nothing
}

func floor(b *testing.B, tcp bool) func(int) {
	b.Helper()
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
	if _, err := there.Subscribe("there", func(m *nats.Msg) { _ = there.Publish("back", m.Data) }); err != nil {
		b.Fatal(err)
	}
	if _, err := here.ChanSubscribe("back", back); err != nil {
		b.Fatal(err)
	}
	if err := there.Flush(); err != nil {
		b.Fatal(err)
	}
	return func(int) {
		if err := here.Publish("there", []byte("x")); err != nil {
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
