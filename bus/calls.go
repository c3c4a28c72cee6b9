package bus

import (
	"cmp"
	"slices"
	"sync"
	"time"
)

// CallTime is how long the calls of one kind have taken that a stage has made since its start, as a histogram.
type CallTime struct {
	API   string  `json:"api"`  // whose: libvirt or bus
	Call  string  `json:"call"` // such as start or save; a program has few of them
	Count uint64  `json:"count"`
	SumMS float64 `json:"sum_ms"`
	// Within has, for each of CallBounds, how many took at most as long.
	Within []uint64 `json:"within"`
}

// The APIs of a CallTime.
const (
	APILibvirt = "libvirt"
	APIBus     = "bus"
)

// CallBounds are the durations by which calls are counted, the shortest first.
func CallBounds() []time.Duration {
	return []time.Duration{
		time.Millisecond, 5 * time.Millisecond, 25 * time.Millisecond, 100 * time.Millisecond, 500 * time.Millisecond,
		2500 * time.Millisecond, 10 * time.Second, time.Minute,
	}
}

// maxCalls is how many kinds of calls a stage may name.
const maxCalls = 64

// CallTimes counts calls. Its zero value has counted none; a nil one counts none. It is safe for concurrent use.
type CallTimes struct {
	mu  sync.Mutex
	all map[[2]string]*CallTime
}

// Observe counts one call, whether it has failed or not.
func (c *CallTimes) Observe(api, call string, took time.Duration) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := [2]string{api, call}
	one := c.all[key]
	if one == nil {
		if one = (&CallTime{API: api, Call: call, Within: make([]uint64, len(CallBounds()))}); c.all == nil {
			c.all = map[[2]string]*CallTime{}
		}
		c.all[key] = one
	}
	one.Count++
	one.SumMS += float64(took) / float64(time.Millisecond)
	for i, bound := range CallBounds() {
		if took <= bound {
			one.Within[i]++
		}
	}
}

// Begin counts a call that begins now, once it ends.
func (c *CallTimes) Begin(api, call string) (end func()) {
	begun := time.Now()
	return func() { c.Observe(api, call, time.Since(begun)) }
}

// All are those of each kind so far, in a fixed order.
func (c *CallTimes) All() []CallTime {
	if c == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []CallTime
	for _, one := range c.all {
		copied := *one
		copied.Within = slices.Clone(one.Within)
		all = append(all, copied)
	}
	slices.SortFunc(all, func(a, b CallTime) int { return cmp.Or(cmp.Compare(a.API, b.API), cmp.Compare(a.Call, b.Call)) })
	return all
}
