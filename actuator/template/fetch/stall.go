package fetch

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A transfer that brings fewer bytes than this in the time has stalled, unless the config says another number. The whole transfer
// has no deadline, as images are large and lines slow.
const (
	stallTime  = 30 * time.Second
	stallBytes = 4096
)

// Ticker is a clock that ticks after each such time, until it is stopped; tests inject their own.
type Ticker func(time.Duration) (ticks <-chan time.Time, stop func())

func realTicker(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTicker(d)
	return t.C, t.Stop
}

// watched returns a context that is canceled once the count grows by less than least within a period. stop ends the watching, and
// returns after its goroutine has ended.
func watched(ctx context.Context, every Ticker, count *atomic.Int64, least int64) (limited context.Context, stop func()) {
	limited, cancel := context.WithCancelCause(ctx)
	ticks, stopTicks := every(stallTime)
	var over sync.WaitGroup
	over.Go(func() {
		defer stopTicks()
		for before := count.Load(); ; {
			select {
			case <-limited.Done():
				return
			case <-ticks:
			}
			now := count.Load()
			if now-before < least {
				cancel(fmt.Errorf("found %d bytes in %s, want at least %d", now-before, stallTime, least))
				return
			}
			before = now
		}
	})
	return limited, func() { cancel(nil); over.Wait() }
}
