package policy

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// learned is a policy that has seen a load for so long, in VMs.
func learned(t *testing.T, lasting time.Duration, load func(time.Duration) float64) *Predictive {
	t.Helper()
	tuning, err := TuningOf(bus.SettingBalanced)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPredictive(tuning)
	start := time.Date(2026, 5, 4, 0, 0, 0, 0, time.UTC)
	for at := time.Duration(0); at < lasting; at += PredictiveInterval {
		l := load(at)
		cpu := l / 10 * 100
		p.Recommend(Reading{
			Now: start.Add(at), CPUPercent: &cpu, Load: &l, Ready: 10, Desired: 10, Min: 1, Max: 10, Boot: 20 * time.Second,
		})
	}
	return p
}

// A load with a period is expected to go on as it did, and asking changes nothing of what was learned.
func TestCurve(t *testing.T) {
	wave := func(at time.Duration) float64 { return 4 + 3*math.Sin(2*math.Pi*at.Hours()) }
	p := learned(t, 5*time.Hour, wave)
	before, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	curve, period := p.Curve(20*time.Second, 3*time.Hour, 5*time.Minute)
	if math.Abs(period.Minutes()-60) > 2 || len(curve) != 36 {
		t.Fatalf("period %s, %d points", period, len(curve))
	}
	for _, e := range curve {
		want := 0.
		for m := range 6 {
			want = max(want, wave(5*time.Hour+e.In+time.Duration(m)*time.Minute))
		}
		if math.Abs(e.Load-want) > 0.7 {
			t.Errorf("in %s: load %.2f, want %.2f", e.In, e.Load, want)
		}
		if n := e.VMs(); float64(n) < e.Load/fullUse || float64(n) > (e.Load+e.Margin)/fullUse+1 {
			t.Errorf("in %s: %d VMs for %+v", e.In, n, e)
		}
	}
	if after, err := json.Marshal(p); err != nil || string(after) != string(before) {
		t.Errorf("asking has changed what it remembers: %v", err)
	}
}

// Without a period nothing is said of later than a boot, and without any reading nothing at all.
func TestCurveWithoutAPeriod(t *testing.T) {
	p := learned(t, 10*time.Minute, func(time.Duration) float64 { return 2 })
	curve, period := p.Curve(time.Minute, 24*time.Hour, 5*time.Minute)
	if period != 0 || len(curve) != 1 || curve[0].In != 65*time.Second || math.Abs(curve[0].Load-2) > 0.1 || curve[0].VMs() < 3 {
		t.Errorf("period %s, %+v", period, curve)
	}
	tuning, _ := TuningOf(bus.SettingBalanced)
	for _, p := range []*Predictive{nil, NewPredictive(tuning)} {
		if curve, _ := p.Curve(time.Minute, time.Hour, time.Minute); len(curve) > 0 {
			t.Errorf("of nothing: %+v", curve)
		}
	}
}
