package actuator

import (
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// TestFull: other hosts are asked for what this one has no room for, or has failed to launch too often, until it tries again;
// where there is no other host, that changes nothing.
func TestFull(t *testing.T) {
	t.Parallel()
	shares := func(n int) map[bus.HostID]bus.Share {
		all := map[bus.HostID]bus.Share{}
		for i := range n {
			all[bus.HostID(rune('a'+i))] = bus.Share{}
		}
		return all
	}
	for name, c := range map[string]struct {
		failures, hosts int
		retryAt         time.Time
		shortage        string
		want            bool
	}{
		"all is well":                         {0, 2, time.Time{}, "", false},
		"there is no room":                    {0, 1, time.Time{}, "memory", true},
		"a launch failed":                     {1, 2, t0.Add(time.Minute), "", false},
		"launching has stopped":               {2, 2, t0.Add(time.Minute), "", true},
		"it is tried again":                   {2, 2, t0, "", false},
		"launching has stopped, and no other": {2, 1, t0.Add(time.Minute), "", false},
	} {
		g := &group{failures: c.failures, retryAt: c.retryAt, shortage: c.shortage}
		g.spec.Brakes.LaunchFailures = 2
		g.newest.Decision.Shares = shares(c.hosts)
		a := &Actuator{cfg: Config{Now: func() time.Time { return t0 }}, groups: map[string]*group{"web": g}}
		if got := len(a.full()) == 1; got != c.want {
			t.Errorf("%s: full is %v, want %v", name, got, c.want)
		}
	}
}
