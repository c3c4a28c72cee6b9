package simulate

import (
	"math"
	"math/rand/v2"
	"time"
)

const builtinStep = 30 * time.Second

// Builtin are generated traces of a day, the same each time: a day's wave, a flash crowd, ramps, on and off, and noise.
func Builtin() []Trace {
	const steps = int(24 * time.Hour / builtinStep)
	shapes := []struct {
		name  string
		shape func(hour float64, random *rand.Rand) float64
	}{
		{"diurnal", func(h float64, r *rand.Rand) float64 {
			return 8 - 6*math.Cos(2*math.Pi*(h-3)/24) + .5*r.NormFloat64()
		}},
		{"flash-crowd", func(h float64, r *rand.Rand) float64 {
			return 3 + .3*r.NormFloat64() + 15*math.Exp(-math.Max(0, h-14)/.7)*math.Min(1, math.Max(0, (h-13.95)*20))
		}},
		{"ramp", func(h float64, r *rand.Rand) float64 { return 1 + 14*math.Mod(h, 3)/3 + .2*r.NormFloat64() }},
		{"on-off", func(h float64, r *rand.Rand) float64 {
			if math.Mod(h, 1.5) < .5 {
				return 12 + .5*r.NormFloat64()
			}
			return .6
		}},
		{"noise", func(_ float64, r *rand.Rand) float64 { return 6 * math.Exp(.35*r.NormFloat64()) }},
	}
	var traces []Trace
	for i, s := range shapes {
		random := rand.New(rand.NewPCG(uint64(i), 2026)) //nolint:gosec // not a secret
		t := Trace{Name: s.name, Step: builtinStep}
		for n := range steps + 1 {
			t.Demand = append(t.Demand, math.Min(25, math.Max(.2, s.shape(float64(n)*builtinStep.Hours(), random))))
		}
		traces = append(traces, t)
	}
	return traces
}
