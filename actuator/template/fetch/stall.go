package fetch

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A transfer that brings less than this in the time has stalled. There is no limit of the whole time: images are large, and lines
// slow.
const (
	stallTime  = 30 * time.Second
	stallBytes = 4096
)

// ticker is a clock that can be another one in a test.
type ticker func(time.Duration) (ticks <-chan time.Time, stop func())

func realTicker(d time.Duration) (<-chan time.Time, func()) {
	t := time.NewTicker(d)
	return t.C, t.Stop
}

// watched is ctx, ended once a period has passed in which the count grew too little. stop ends the watching and waits for that.
func watched(ctx context.Context, every ticker, count *atomic.Int64) (limited context.Context, stop func()) {
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
			if now-before < stallBytes {
				cancel(fmt.Errorf("found %d bytes in %s, want at least %d", now-before, stallTime, stallBytes))
				return
			}
			before = now
		}
	})
	return limited, func() { cancel(nil); over.Wait() }
}
