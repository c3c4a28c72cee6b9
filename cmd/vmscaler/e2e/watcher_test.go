package e2e

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// watcher listens to a bus, as anybody may.
type watcher struct {
	t         testing.TB
	w         *world
	url       string
	conn      *client.Conn
	samples   chan bus.Sample
	decisions chan bus.Decision
	events    chan bus.Event
	health    chan bus.Health

	// The newest messages, and all events.
	sample   bus.Sample
	decision bus.Decision
	stages   map[string]bus.Health
	all      []bus.Event
}

// run is a `vmscaler run`, watched over its bus.
type run struct {
	*process
	*watcher
}

// start starts `vmscaler run` and returns when its bus answers.
func (w *world) start(config string, args ...string) run {
	w.t.Helper()
	p := w.spawnRun(config, args...)
	return run{p, w.watchOf(p)}
}

// spawnRun starts `vmscaler run` and does not wait for anything.
func (w *world) spawnRun(config string, args ...string) *process {
	w.t.Helper()
	return w.spawn(append([]string{"run", "--no-dashboard", "-c", config}, args...)...)
}

// watchOf watches the bus that a process says it is on.
func (w *world) watchOf(p *process) *watcher {
	w.t.Helper()
	_, rest, _ := strings.Cut(p.says("bus: nats://"), "bus: ")
	return w.watch(client.Remote{URL: strings.Fields(rest)[0]})
}

// watch watches a bus, which may come later.
func (w *world) watch(remote client.Remote) *watcher {
	w.t.Helper()
	conn, err := client.Dial(remote, "e2e", zerolog.Nop())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(conn.Close)
	b := &watcher{
		t: w.t, w: w, url: remote.URL, conn: conn, stages: map[string]bus.Health{},
		samples: make(chan bus.Sample, 16), decisions: make(chan bus.Decision, 16),
		events: make(chan bus.Event, 16), health: make(chan bus.Health, 16),
	}
	if err := errors.Join(
		client.Subscribe(conn, bus.AllSamples, b.samples), client.Subscribe(conn, bus.AllDecisions, b.decisions),
		client.Subscribe(conn, bus.AllEvents, b.events), client.Subscribe(conn, bus.AllHealth, b.health),
	); err != nil {
		w.t.Fatal(err)
	}
	return b
}

// until waits until holds is true of the newest messages.
func (b *watcher) until(what string, holds func() bool) {
	b.t.Helper()
	b.within(patience, what, holds)
}

// within is until for what may take longer.
func (b *watcher) within(limit time.Duration, what string, holds func() bool) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), limit)
	defer cancel()
	for {
		select {
		case <-ctx.Done():
			b.t.Fatalf("it does not happen that %s; last decision: %q; last sample: %+v", what, b.decision.Sentence, b.sample.VMs)
		case p := <-b.w.ended:
			b.t.Fatalf("%s ended (%v) before %s:\n%s", p.name, p.err, what, p.text())
		case b.sample = <-b.samples:
		case b.decision = <-b.decisions:
		case h := <-b.health:
			b.stages[h.Stage] = h
		case e := <-b.events:
			b.all = append(b.all, e)
		}
		if holds() {
			return
		}
	}
}

// untilReady waits until n VMs, and no more, are there and ready.
func (b *watcher) untilReady(n int) {
	b.t.Helper()
	b.until("so many VMs are ready", func() bool {
		ready := 0
		for _, vm := range b.sample.VMs {
			if vm.Phase == bus.PhaseReady && vm.State == bus.StateRunning {
				ready++
			}
		}
		return ready == n && len(b.sample.VMs) == n
	})
}

// untilEvent waits for an event of a VM; "" is any VM.
func (b *watcher) untilEvent(vm string, event bus.EventType) bus.Event {
	b.t.Helper()
	var found bus.Event
	seen := len(b.all)
	b.until(vm+" is "+string(event), func() bool {
		for _, e := range b.all[seen:] {
			if e.Event == event && (vm == "" || e.VM == vm) {
				found = e
				return true
			}
		}
		seen = len(b.all)
		return false
	})
	return found
}

// had reports whether an event was seen.
func (b *watcher) had(event bus.EventType) bool {
	for _, e := range b.all {
		if e.Event == event {
			return true
		}
	}
	return false
}
