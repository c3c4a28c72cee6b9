package decider

import (
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// What is forecast is what the group's predictive policy has learned, or its shadow; of others it is said that there is none.
func TestForecast(t *testing.T) {
	predicts := func(g *bus.Group) { g.Policy.Types = []bus.PolicyType{bus.PolicyPredictive} }
	shadowed := func(g *bus.Group) { g.Policy.Shadow = []bus.PolicyType{bus.PolicyPredictive} }
	for _, tt := range []struct {
		name   string
		set    func(*bus.Group)
		hours  int
		want   string // the sentence, or the error
		points int
		shadow bool
	}{
		{"predictive", predicts, 0, "no period of the load is known", 1, false},
		{"a shadow", shadowed, 0, "no period of the load is known", 1, true},
		{"threshold", func(*bus.Group) {}, 0, "has no policy that forecasts", 0, false},
		{"too far", predicts, 73, "hours: found 73, want 1 to 72", 0, false},
		{"negative", predicts, -1, "hours: found -1", 0, false},
	} {
		g := spec(bounds(2, 5), tt.set)
		st, now := State{HasSample: true, Desired: 2}, t0
		for range 30 {
			_, st = Decide(g, st, see(ready(90), ready(90)), now)
			now = now.Add(5 * time.Second)
		}
		f, err := Forecast(g, st, tt.hours, now)
		if tt.points == 0 {
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
			}
			continue
		}
		if err != nil || !strings.HasPrefix(f.Sentence, tt.want) || len(f.Points) != tt.points || f.Shadow != tt.shadow {
			t.Fatalf("%s: %+v, %v", tt.name, f, err)
		}
		p := f.Points[0]
		if p.Load < 1.7 || p.Load > 1.9 || p.Desired < 3 || p.Desired > 5 || !p.Time.After(f.Time) {
			t.Errorf("%s: %+v", tt.name, p)
		}
		g.Max = 2
		if f, _ := Forecast(g, st, tt.hours, now); f.Points[0].Desired != 2 {
			t.Errorf("%s: %d are planned beyond max", tt.name, f.Points[0].Desired)
		}
	}
	f, err := Forecast(spec(predicts), State{}, 1, t0)
	if err != nil || len(f.Points) != 0 || !strings.Contains(f.Sentence, "no reading yet") {
		t.Errorf("before the first reading: %+v, %v", f, err)
	}
}
