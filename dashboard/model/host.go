package model

import (
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Host is what is known of a group on one host.
type Host struct {
	sample   bus.Sample
	received time.Time
	clock    bus.ClockOffset
	times    []time.Time // of the last few samples, to know their interval
	window   time.Duration
	history  map[string]*history
}

// Sample is its last sample, its VMs by name.
func (h *Host) Sample() bus.Sample { return h.sample }

// Silence is for how long no sample has come.
func (h *Host) Silence(now time.Time) time.Duration { return now.Sub(h.received) }

// Stale reports whether the host's figures are too old to show.
func (h *Host) Stale(now time.Time) bool { return h.Silence(now) > h.staleAfter() }

// Clock is the time on the host's own clock when it is now here, by its last sample.
func (h *Host) Clock(now time.Time) time.Time { return h.sample.Time.Add(now.Sub(h.received)) }

// CPU is the history of the VM of that name in n equal parts up to now, oldest first, each the mean of its known
// readings; nil is a gap. It is empty where the VM has no history.
func (h *Host) CPU(name string, n int, now time.Time) []*float64 {
	past := h.history[name]
	if past == nil {
		return nil
	}
	return past.buckets(n, h.Clock(now), h.interval(), h.window)
}

// interval is the median time between samples; 0 where there were not two yet.
func (h *Host) interval() time.Duration {
	if len(h.times) < 2 {
		return 0
	}
	gaps := make([]time.Duration, 0, len(h.times)-1)
	for i := 1; i < len(h.times); i++ {
		gaps = append(gaps, h.times[i].Sub(h.times[i-1]))
	}
	slices.Sort(gaps)
	return gaps[len(gaps)/2]
}

// staleAfter is how long a host may be without a sample: some seconds, and longer where samples come rarely.
func (h *Host) staleAfter() time.Duration { return max(StaleAfter, 3*h.interval()) }
