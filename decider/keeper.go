package decider

import (
	"context"
	"encoding/json"
	"sync"
	"time"
)

// keeper keeps where groups stand, beside the loop: where the store does not answer, as while a cluster elects who leads it,
// each try takes its time-out, and no sample would be taken meanwhile.
type keeper struct {
	save func(ctx context.Context, key string, data json.RawMessage)
	term func() (term int64, leading bool)

	work chan struct{} // has an element where something waits

	mu      sync.Mutex
	waiting map[string]keeping // the newest of each key
}

// keeping is what is to be kept under a key.
type keeping struct {
	term  int64 // in which it was so; of one that is over nothing is kept
	data  json.RawMessage
	tried chan struct{} // closed once it, or a newer one, was kept or could not be
}

func newKeeper(save func(context.Context, string, json.RawMessage), term func() (int64, bool)) *keeper {
	return &keeper{save: save, term: term, work: make(chan struct{}, 1), waiting: map[string]keeping{}}
}

// put has data kept soon, in place of what waits under its key.
func (k *keeper) put(key string, term int64, data json.RawMessage) (tried <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	next := keeping{term, data, make(chan struct{})}
	if before, waits := k.waiting[key]; waits {
		next.tried = before.tried
	}
	k.waiting[key] = next
	select {
	case k.work <- struct{}{}:
	default:
	}
	return next.tried
}

// start begins to keep what is put, whether or not ctx has ended; stop keeps the rest, for which it waits as long as for one.
func (k *keeper) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-k.work:
				k.all(ctx, false)
			case <-over:
				k.all(ctx, true)
				return
			}
		}
	}()
	return func() {
		defer cancel()
		close(over)
		limit := time.AfterFunc(storeTimeout, cancel)
		defer limit.Stop()
		<-ended
	}
}

// all keeps what waits, one after another; ends: this decider ends, and makes way for others already.
func (k *keeper) all(ctx context.Context, ends bool) {
	for {
		key, next, waits := k.take()
		if !waits {
			return
		}
		if term, leading := k.term(); (leading || ends) && term == next.term {
			limited, cancel := context.WithTimeout(ctx, storeTimeout)
			k.save(limited, key, next.data)
			cancel()
		}
		close(next.tried)
	}
}

func (k *keeper) take() (key string, next keeping, waits bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for key, next := range k.waiting {
		delete(k.waiting, key)
		return key, next, true
	}
	return "", keeping{}, false
}
