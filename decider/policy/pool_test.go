package policy

import (
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

func TestWithPool(t *testing.T) {
	for _, tt := range []struct {
		name                              string
		boot, near, ready, waiting, wants int
	}{
		{"no pool's VM waits", 8, 5, 5, 0, 8},
		{"those that wait are enough until the end of a boot", 8, 5, 5, 3, 5},
		{"some of what comes sooner is handed over now", 8, 6, 5, 3, 6},
		{"beyond the pool is launched a boot ahead", 9, 5, 5, 3, 9},
		{"the load falls again before a boot ends", 6, 9, 5, 2, 9},
		{"what comes soon is more than the pool has", 6, 9, 5, 1, 9},
		{"less is wanted than there is", 3, 2, 5, 0, 2},
	} {
		if got := withPool(tt.boot, tt.near, tt.ready, tt.waiting); got != tt.wants {
			t.Errorf("%s: wants %d, want %d", tt.name, got, tt.wants)
		}
	}
}

// A ramp that rises by 4 VMs within a boot is launched for ahead, but for as many VMs as wait in the warm pool: those are asked
// for when it is near.
func TestPredictiveWithAWarmPool(t *testing.T) {
	rises := func(warm int, handover time.Duration) (out, in Recommendation) {
		p := NewPredictive(tuning(bus.SettingBalanced))
		at, load := time.Duration(0), 0.
		step := func(by float64) Recommendation {
			at += PredictiveInterval
			load += by
			r := read(at, 100*load/40, 40, 0, 40) // so many that none of them is full
			if out.Desired != 0 {
				r = read(at, 100*load/60, 60, 0, 60)
			}
			r.Boot, r.Handover, r.Warm = 10*time.Minute, handover, warm
			return p.Recommend(r)
		}
		for range 300 {
			step(.05)
		}
		load = 30
		for range 200 {
			out = step(.03)
		}
		for range 200 {
			in = step(-.03)
		}
		return out, in
	}
	cold, coldIn := rises(0, 0)
	for _, tt := range []struct {
		name     string
		warm     int
		handover time.Duration
		same     bool // it plans as without a pool
	}{
		{"many wait", 30, time.Second, false},
		{"they take as long as a boot", 30, time.Hour, true},
		{"none waits", 0, time.Second, true},
	} {
		out, in := rises(tt.warm, tt.handover)
		if (out.Desired == cold.Desired) != tt.same || out.Desired > cold.Desired {
			t.Errorf("%s: wants %d, and %d without a pool: %s", tt.name, out.Desired, cold.Desired, out.Reason)
		}
		if in.Desired > coldIn.Desired || tt.warm > 0 && !tt.same && in.Desired >= coldIn.Desired {
			t.Errorf("%s: keeps %d, and %d without a pool: %s", tt.name, in.Desired, coldIn.Desired, in.Reason)
		}
	}
}
