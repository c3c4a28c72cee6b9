package policy

import (
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

func TestSteady(t *testing.T) {
	const hold = 5 * time.Minute
	for _, tt := range []struct {
		name string
		seen func(minute int) int
		want []int // by the minute, from 0
	}{
		{"it rises at once", func(m int) int { return m }, []int{0, 1, 2, 3}},
		{"it falls late", func(m int) int { return max(0, 3-3*m) }, []int{3, 3, 3, 3, 3, 3, 0}},
		{
			"to the most that was enough", func(m int) int { return []int{3, 0, 2, 1, 0, 0, 0, 0, 0}[m] },
			[]int{3, 3, 3, 3, 3, 3, 2, 2, 2},
		},
		{
			"it begins anew", func(m int) int { return []int{3, 2, 2, 3, 2, 2, 2, 2, 2, 2}[m] },
			[]int{3, 3, 3, 3, 3, 3, 3, 3, 3, 2},
		},
	} {
		var s Steady
		for m, want := range tt.want {
			s.see(tt.seen(m), time.Unix(1e9, 0).Add(time.Duration(m)*time.Minute), hold)
			if s.VMs != want {
				t.Errorf("%s: %d after %d min, want %d", tt.name, s.VMs, m, want)
			}
		}
	}
}

// A usual rise that goes to and fro around a boundary for an hour has the warm pool make and remove no VM; a boot that takes
// longer has it wait longer.
func TestRiseIsSteady(t *testing.T) {
	tuning, err := TuningOf(bus.SettingBalanced)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ boot, falls time.Duration }{{20 * time.Second, poolHold}, {10 * time.Minute, 10 * time.Minute}} {
		p, now, cpu := NewPredictive(tuning), time.Unix(1e9, 0), 50.
		see := func(rise float64) int {
			p.Rises = Quantiles{Ring: Ring{Size: hour}}
			for range 2 * fewErrors {
				p.Rises.Add(rise)
			}
			now = now.Add(PredictiveInterval)
			p.Recommend(Reading{Now: now, Desired: 4, Ready: 4, CPUPercent: &cpu, Boot: tt.boot})
			return *p.Rise()
		}
		for i := range hour {
			if n := see([]float64{.81, .79}[i/12%2]); n != 2 { // a minute each: 2 VMs, and 1
				t.Fatalf("a pool of %d after %d readings, want 2", n, i+1)
			}
		}
		if n := see(.81); n != 2 {
			t.Fatalf("a pool of %d, want 2", n)
		}
		for begun := now.Add(PredictiveInterval); now.Sub(begun) < tt.falls-PredictiveInterval; {
			if n := see(.79); n != 2 {
				t.Fatalf("boots of %s: a pool of %d after %s", tt.boot, n, now.Sub(begun))
			}
		}
		for range 3 {
			see(.79)
		}
		if n := see(.79); n != 1 {
			t.Errorf("boots of %s: a pool of %d, want 1 at last", tt.boot, n)
		}
		if n := see(1.7); n != 3 {
			t.Errorf("boots of %s: a pool of %d, want 3 at once", tt.boot, n)
		}
	}
}
