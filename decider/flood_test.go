package decider

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// Everybody may ask for the status: however many do, only so many are answered between two ticks, and samples are decided on
// meanwhile.
func TestFloodOfRequestsHoldsNoDecision(t *testing.T) {
	b := startHarness(t, spec(bounds(1, 5), atOnce))
	ctx, cancel := context.WithCancel(t.Context())
	var asking sync.WaitGroup
	defer asking.Wait()
	defer cancel()
	answered := make(chan struct{}, 4*requestsATick)
	for range 3 * requestsATick {
		asking.Go(func() {
			if _, err := client.Ask[bus.Status](ctx, b.conn, bus.VerbStatus, bus.Query{}); err == nil {
				answered <- struct{}{}
			}
		})
	}
	answers := func(n int) {
		t.Helper()
		for range n {
			select {
			case <-answered:
			case <-time.After(30 * time.Second):
				t.Fatal("a request is not answered")
			}
		}
	}
	answers(requestsATick)
	var last uint64
	for range 5 {
		b.advance(time.Second)
		b.send("web", "kvm1", ready(50))
		d := b.decision()
		if last != 0 && d.Seq != last+1 {
			t.Errorf("after decision %d came %d", last, d.Seq)
		}
		last = d.Seq
	}
	if n := len(answered); n > 0 {
		t.Errorf("%d requests more than %d were answered before the next tick", n, requestsATick)
	}
	b.tick()
	answers(requestsATick)
}
