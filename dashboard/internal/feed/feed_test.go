package feed

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

func TestPumpDropsInsteadOfWaiting(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	f := New()
	inbox := make(chan any, 1)
	var dropped atomic.Uint64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		f.Pump(ctx, inbox, &dropped)
	}()
	for range 3 { // nobody reads the inbox
		f.health <- bus.Health{}
	}
	cancel()
	<-ended
	if got := dropped.Load(); got != 2 {
		t.Errorf("%d dropped, want 2", got)
	}
}
