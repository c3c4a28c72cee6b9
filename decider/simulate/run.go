package simulate

import (
	"context"
	"math"
	"time"
)

// Point is the group at one moment of a run.
type Point struct {
	Second int     `json:"t"`
	Demand float64 `json:"demand"` // vCPUs
	Ready  int     `json:"ready"`  // VMs
	Owned  int     `json:"owned"`  // VMs, those that boot or go included
	CPU    float64 `json:"cpu"`    // percent of the ready VMs
}

// Run simulates a group under a controller and measures it. Of so many seconds as keep says the one of the highest demand is kept
// as a point; 0 is none. It ends early with the context's cause.
func Run(ctx context.Context, t Trace, w Params, c Controller, keep int) (Metrics, []Point, error) {
	needed := needs(t, w)
	f := newFleet(w, needed[0])
	m := newMeter(t, needed)
	var points []Point
	interval := max(1, int(c.Interval()/time.Second))
	for second := range int(t.Length() / time.Second) {
		if second%1000 == 0 && ctx.Err() != nil {
			return Metrics{}, nil, context.Cause(ctx)
		}
		ready := f.step(second)
		demand := t.At(second)
		if keep > 0 {
			cpu := 100 * math.Min(1, demand/math.Max(1, float64(ready)))
			point := Point{second, demand, ready, f.owned(), cpu}
			if second%keep == 0 {
				points = append(points, point)
			} else if last := &points[len(points)-1]; demand > last.Demand {
				*last = point
			}
		}
		lost, high := f.serve(demand)
		m.add(second, load{demand, lost, high}, ready, f.owned())
		f.second = second + 1 // what is decided now begins when this second is over
		if f.second%interval == 0 {
			m.changes += f.scale(c.Decide(f, w.at(f.second))) + f.fill()
		}
	}
	return m.metrics(), points, nil
}

// full is the use of a VM that is asked for at most.
const full = 0.8

// needs is the number of VMs that each step of a trace needs.
func needs(t Trace, w Params) []int {
	need := make([]int, len(t.Demand)-1)
	for i := range need {
		most := math.Max(t.Demand[i], t.Demand[i+1])
		need[i] = min(max(int(math.Ceil(most/full-1e-9)), w.Min), w.Max)
	}
	return need
}

// oracle knows the future: it has what is needed when it is needed, and keeps it for a time.
type oracle struct {
	trace  Trace
	needed []int
	boot   int
	hold   int // seconds
}

func (o *oracle) Interval() time.Duration { return time.Second }

func (o *oracle) Decide(f *Fleet, _ time.Time) int {
	step := int(o.trace.Step / time.Second)
	from, to := max(0, f.second-o.hold)/step, min((f.second+o.boot)/step, len(o.needed)-1)
	want := 1
	for i := from; i <= to; i++ {
		want = max(want, o.needed[i])
	}
	return want
}
