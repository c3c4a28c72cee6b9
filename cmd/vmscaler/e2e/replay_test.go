//go:build long

package e2e

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/decider"
)

// TestReplay: what real VMs did and what was decided, as anybody can record it from the bus, decides again to the same, field
// by field. And what was recorded as demand can be tried under another policy.
func TestReplay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := w.config("min: 1\nmax: 2\npolicy:\n  type: [threshold, predictive]\n  limits:\n    stabilize_in: 5s")
	url := "nats://" + freeAddress(t)
	w.spawn("bus", "-c", file, "--bus-listen", strings.TrimPrefix(url, "nats://")).says("bus: nats://")
	recorder := w.watch(client.Remote{URL: url}).conn
	samples, decisions, minutes := make(chan bus.Sample, 4096), make(chan bus.Decision, 4096), make(chan bus.Demand, 16)
	for _, err := range []error{
		client.Subscribe(recorder, bus.AllSamples, samples), client.Subscribe(recorder, bus.AllDecisions, decisions),
		client.Subscribe(recorder, bus.AllDemand, minutes),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	p := w.spawn("run", "--stages", "collector,decider,actuator", "-c", file, "--nats-url", url)
	b := w.watch(client.Remote{URL: url})
	b.untilReady(1)
	ctx, stop := context.WithCancel(t.Context())
	loaded := make(chan error, 1)
	command := w.command("load", w.vms()[0].Name, "--for", "1h")
	go func() { loaded <- runUntil(ctx, command) }()
	b.untilReady(2)
	stop()
	if err := <-loaded; err != nil {
		t.Error(err)
	}
	recorded := false
	b.until("the load was recorded, and it has shrunk again", func() bool {
		for _, m := range pending(minutes) {
			recorded = recorded || slices.ContainsFunc(m.Load, func(load *float64) bool { return load != nil })
		}
		return recorded && b.decision.Desired == 1
	})
	out := w.must("simulate", "--history", w.group, "-c", file, "--nats-url", url, "--compare", "own,recorded")
	if !containsAll(out, "predictive", "own", "recorded", "min 1, max 2") {
		t.Errorf("simulate says\n%s", out)
	}
	p.stop()
	if err := recorder.Flush(); err != nil {
		t.Fatal(err)
	}
	recorder.Close()
	replay(t, file, pending(samples), pending(decisions))
}

// pending is what a channel holds.
func pending[T any](c <-chan T) (all []T) {
	for {
		select {
		case m := <-c:
			all = append(all, m)
		default:
			return all
		}
	}
}

// replay feeds the recorded samples to the decider's own code and compares each decision.
func replay(t *testing.T, file string, samples []bus.Sample, decisions []bus.Decision) {
	t.Helper()
	cfg, _, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	window, state := decider.Window{SpecHash: decisions[0].SpecHash}, decider.State{}
	used, changes := 0, 0
	for i, want := range decisions {
		for ; used < len(samples) && !samples[used].Time.After(want.Time); used++ {
			if err := window.Add(samples[used], samples[used].Time); err != nil {
				t.Fatalf("sample %d: %v", used, err)
			}
		}
		var got bus.Decision
		got, state = decider.Decide(cfg.Groups[0], state, window.Take(want.Time, 5*time.Second), want.Time)
		got.ID, got.Term, got.Seq, got.Time, got.ExpiresAt, got.SpecHash = want.ID, want.Term, want.Seq, want.Time, want.ExpiresAt,
			want.SpecHash
		a, errA := json.Marshal(got)
		b, errB := json.Marshal(want)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if string(a) != string(b) {
			t.Fatalf("decision %d of %d differs:\nreplayed %s\nrecorded %s", i, len(decisions), a, b)
		}
		if want.Direction != bus.Hold {
			changes++
		}
	}
	t.Logf("%d samples, %d decisions, %d of which changed something", len(samples), len(decisions), changes)
	if changes < 2 {
		t.Errorf("only %d decisions changed something", changes)
	}
}
