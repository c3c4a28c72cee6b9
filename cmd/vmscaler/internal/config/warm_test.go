package config

import (
	"strings"
	"testing"
)

// A warm pool whose size is forecast wants a policy that forecasts, and may have bounds; its VMs wait in one of three ways.
func TestWarmPoolFields(t *testing.T) {
	for _, tt := range []struct{ policy, pool, wrong string }{
		{"{type: predictive}", "{size: forecast}", ""},
		{"{shadow: [predictive]}", "{size: forecast, min: 1, max: 4}", ""},
		{"{type: predictive}", "{size: forecast, min: 4, stopped: 2}", ""},
		{"{type: threshold}", "{size: forecast}", "warm_pool.size: found forecast, want it together with predictive"},
		{"{type: predictive}", "{size: forecast, min: 5, max: 4}", "warm_pool.min: found 5, want at most warm_pool.max"},
		{"{type: predictive}", "{size: 2, max: 4}", "warm_pool.max: found 4, want 0 without warm_pool.size: forecast"},
		{"{type: predictive}", "{size: 1, stopped: forecast}", "warm_pool.stopped: found forecast, want another size"},
		{"{type: threshold}", "{size: 1, state: saved, stopped: 2}", ""},
		{"{type: threshold}", "{size: 1, state: stopped, stopped: 2}", "stopped: found 2, want none with state: stopped"},
		{"{type: threshold}", "{size: 1, state: hibernated}", "state: found hibernated, want saved or stopped, or paused"},
	} {
		_, _, err := Parse("web.yaml", []byte("groups:\n  - name: web\n    policy: "+tt.policy+"\n    warm_pool: "+tt.pool+"\n"))
		if (err != nil) != (tt.wrong != "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%s, %s: got %v, want %q", tt.policy, tt.pool, err, tt.wrong)
		}
	}
}
