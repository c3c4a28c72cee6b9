package decider

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

// harness is a running decider with a clock of its own.
type harness struct {
	t         *testing.T
	decider   *Decider
	conn      *client.Conn // of the one who plays the collectors
	own       *client.Conn // of the decider
	decisions chan bus.Decision
	ticks     chan time.Time
	begun     chan struct{}
	through   chan any // the samples and ticks that the decider is through with
	mu        sync.Mutex
	now       time.Time
	samples   int
	newest    bus.Decision      // of those that were looked at
	hashes    map[string]string // of the groups' specs, as the collectors have them
}

func startHarness(t *testing.T, groups ...bus.Group) *harness {
	t.Helper()
	return startHarnessOf(t, Config{Groups: groups})
}

// startHarnessOf runs a decider with a config, but for its clock.
func startHarnessOf(t *testing.T, cfg Config) *harness {
	t.Helper()
	server, err := server.Start(server.Config{Listen: "127.0.0.1:0"}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	b := &harness{
		t:         t,
		decisions: make(chan bus.Decision, 64),
		ticks:     make(chan time.Time),
		begun:     make(chan struct{}),
		through:   make(chan any, 1024),
		now:       t0,
		hashes:    map[string]string{},
	}
	for _, g := range cfg.Groups {
		b.hashes[g.Name] = g.Hash()
	}
	connect := func(name string) *client.Conn {
		c, err := server.Connect(name, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	b.conn = connect("test")
	own := connect("decider")
	b.own = own
	if err := client.Subscribe(b.conn, bus.AllDecisions, b.decisions); err != nil {
		t.Fatal(err)
	}
	cfg.Now, cfg.Ticks = b.clock, b.ticks
	d, err := New(cfg, own, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	b.decider = d
	d.handled = func(message any) {
		if message == nil { // it is subscribed then, and leads
			close(b.begun)
			return
		}
		b.through <- message
	}
	stop := running(t, d)
	t.Cleanup(func() {
		stop()
		own.Close()
		b.conn.Close()
		server.Stop()
	})
	select {
	case <-b.begun:
	case <-time.After(30 * time.Second):
		t.Fatal("the decider does not begin")
	}
	return b
}

// running runs a decider until stop.
func running(t *testing.T, d *Decider) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func (b *harness) clock() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

// handled waits until the decider is through with a message like this one.
func (b *harness) handled(like func(any) bool) {
	b.t.Helper()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case m := <-b.through:
			if like(m) {
				return
			}
		case <-timeout:
			b.t.Fatal("the decider takes no notice")
		}
	}
}

func (b *harness) advance(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func (b *harness) tick() {
	b.t.Helper()
	select {
	case b.ticks <- b.clock():
	case <-time.After(30 * time.Second):
		b.t.Fatal("the decider takes no tick")
	}
	b.handled(func(m any) bool { _, is := m.(time.Time); return is })
}

// send publishes a sample and waits until the decider has it.
func (b *harness) send(group, host string, vms ...bus.VM) {
	b.t.Helper()
	b.samples++
	s := bus.Sample{
		V:        bus.Version,
		Group:    group,
		HostID:   bus.HostID(host),
		Host:     host,
		Instance: "c-" + host,
		Time:     t0.Add(time.Duration(b.samples) * time.Millisecond),
		VMs:      vms,
		SpecHash: b.hashes[group],
	}
	for i := range s.VMs {
		s.VMs[i].UUID = fmt.Sprint(host, i)
	}
	if s.VMs == nil {
		s.VMs = []bus.VM{}
	}
	if err := b.conn.Publish(&s); err != nil {
		b.t.Fatal(err)
	}
	b.handled(func(m any) bool {
		got, is := m.(bus.Sample)
		return is && got.Group == group && got.HostID == s.HostID && got.Time.Equal(s.Time)
	})
}

func (b *harness) decision() bus.Decision {
	b.t.Helper()
	select {
	case d := <-b.decisions:
		return d
	case <-time.After(30 * time.Second):
		b.t.Fatal("no decision came")
		panic("unreachable")
	}
}
