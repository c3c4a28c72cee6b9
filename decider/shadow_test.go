package decider

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
)

// Whatever the shadows, and whatever they see: all else of each decision, and of what is kept for the next one, is the same
// without them.
func TestShadowsChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		alone := drawSpec(t)
		shadowed := alone
		for _, kind := range policy.Kinds() {
			if !alone.Policy.Has(kind) {
				shadowed.Policy.Shadow = append(shadowed.Policy.Shadow, kind)
			}
		}
		var a, b State
		now := t0
		for range rapid.IntRange(1, 40).Draw(t, "evaluations") {
			now = now.Add(time.Duration(rapid.IntRange(0, 8000).Draw(t, "ms")) * time.Millisecond)
			obs := drawObservation(t, now)
			var da, db bus.Decision
			da, a = Decide(alone, a, obs, now)
			db, b = Decide(shadowed, b, obs, now)
			for _, w := range db.Shadow {
				if alone.Policy.Has(w.Policy) || w.Desired < 0 || w.Desired > db.Inputs.Max || w.Sentence == "" {
					t.Fatalf("shadow %+v of %+v", w, db)
				}
			}
			db.Shadow = nil
			da.Machine, db.Machine = "", "" // of the spec
			if !reflect.DeepEqual(da, db) {
				t.Fatalf("alone %+v, beside shadows %+v", da, db)
			}
			kept := b
			kept.Shadows = nil
			if asJSON(t, newCheckpoint(a, now)) != asJSON(t, newCheckpoint(kept, now)) {
				t.Fatalf("alone it keeps %s, beside shadows %s", asJSON(t, newCheckpoint(a, now)), asJSON(t, newCheckpoint(kept, now)))
			}
		}
	})
}

func asJSON(t *rapid.T, v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A shadow says what it would want, with a memory of its own, and goes on with that once it decides.
func TestShadowIsPromoted(t *testing.T) {
	s := spec(bounds(1, 10), func(g *bus.Group) {
		g.Policy.Types, g.Policy.UpperPercent = []bus.PolicyType{bus.PolicyThreshold}, 100
		g.Policy.Shadow = []bus.PolicyType{bus.PolicyPredictive, bus.PolicyTarget}
	})
	st := State{HasSample: true, Desired: 2}
	var d bus.Decision
	decide := func(n int) {
		for range n {
			d, st = Decide(s, st, see(ready(90), ready(90)), t0.Add(st.LastData.Sub(t0)+time.Second))
		}
	}
	decide(60)
	if d.Desired != 2 || d.Direction != bus.Hold || len(d.Recommendations) != 0 {
		t.Fatalf("it does not hold: %+v", d)
	}
	if len(d.Shadow) != 2 || d.Shadow[0].Policy != bus.PolicyPredictive || d.Shadow[0].Desired < 3 || d.Shadow[1].Desired != 3 {
		t.Errorf("shadows %+v", d.Shadow)
	}
	learned := st.Shadows[bus.PolicyPredictive].Policy[bus.PolicyPredictive].Predictive
	if learned == nil || learned.Loads.Len() == 0 {
		t.Fatalf("it has learned nothing: %+v", st.Shadows)
	}
	readings := learned.Loads.Len()
	s.Policy.Types, s.Policy.Shadow = []bus.PolicyType{bus.PolicyPredictive}, nil
	decide(1)
	if now := st.Policy[bus.PolicyPredictive].Predictive; now != learned || now.Loads.Len() < readings || len(st.Shadows) != 0 {
		t.Errorf("it begins again: %+v", st.Policy)
	}
}
