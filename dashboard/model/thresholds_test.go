package model

import (
	"slices"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// TestThresholds: the marks are those of the policy in force.
func TestThresholds(t *testing.T) {
	inputs := func(target float64) bus.Inputs {
		return bus.Inputs{UpperPercent: 70, LowerPercent: 20, TargetPercent: target}
	}
	for name, tt := range map[string]struct {
		d     *bus.Decision
		want  []float64
		upper float64
	}{
		"nothing known": {nil, nil, 0},
		"threshold":     {&bus.Decision{Inputs: inputs(0)}, []float64{20, 70}, 70},
		"target": {
			&bus.Decision{Inputs: inputs(60), Recommendations: []bus.Recommendation{{Policy: bus.PolicyTarget}}},
			[]float64{60},
			60,
		},
		"predictive": {
			&bus.Decision{Inputs: inputs(0), Recommendations: []bus.Recommendation{{Policy: bus.PolicyPredictive}}}, nil,
			70,
		},
		"threshold, predictive": {&bus.Decision{Inputs: inputs(0), Recommendations: []bus.Recommendation{
			{Policy: bus.PolicyPredictive},
			{Policy: bus.PolicyThreshold},
		}}, []float64{20, 70}, 70},
	} {
		g := &Group{decision: tt.d}
		if got := g.Thresholds(); !slices.Equal(got, tt.want) || g.Upper() != tt.upper {
			t.Errorf("%s: %v, %v, want %v, %v", name, got, g.Upper(), tt.want, tt.upper)
		}
	}
}
