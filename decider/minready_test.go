package decider

import (
	"testing"
	"time"
)

// A VM goes only once the one that came in its place has served for min_ready.
func TestMinReady(t *testing.T) {
	for _, tt := range []struct {
		minReady, served time.Duration
		want             int // how many may go
	}{
		{0, 0, 1},
		{10 * time.Second, 0, 0},
		{10 * time.Second, 9 * time.Second, 0},
		{10 * time.Second, 10 * time.Second, 1},
		{10 * time.Second, -time.Second, 0}, // by another host's clock
		{10 * time.Second, -time.Hour, 1},   // by a clock that was set back
	} {
		g := spec(bounds(1, 9))
		g.MinReady = tt.minReady
		came := serving(3, "")
		came.PhaseSince = t0.Add(-tt.served)
		old, other := serving(1, "replace"), serving(2, "")
		old.PhaseSince, other.PhaseSince = t0.Add(-time.Hour), t0.Add(-time.Hour)
		d, _ := Decide(g, State{HasSample: true, Desired: 2}, only(old, other, came), t0)
		if got := d.Shares["kvm1"].Release; got != tt.want {
			t.Errorf("min_ready %s, served for %s: %d may go, want %d", tt.minReady, tt.served, got, tt.want)
		}
		if serve := d.Shares["kvm1"].Serving; (serve == nil) != (tt.want == 0) || serve != nil && *serve != 2 {
			t.Errorf("min_ready %s, served for %s: %v serve then", tt.minReady, tt.served, serve)
		}
	}
}
