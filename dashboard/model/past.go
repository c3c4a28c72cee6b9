package model

import "time"

// pastPoints is how many points there are of a group's past, over Sizes.Past.
const pastPoints = 720

// Point is a group at a moment, as its decider saw it.
type Point struct {
	Time           time.Time `json:"time"`
	AveragePercent *float64  `json:"average_percent"` // mean CPU of the ready VMs; null is unknown
	Thresholds     []float64 `json:"thresholds"`      // what that is compared with: lower and upper, or a target, or none
	Desired        int       `json:"desired"`
	Owned          int       `json:"owned"`
	Ready          int       `json:"ready"`
	Min            int       `json:"min"`
	Max            int       `json:"max"`
}

// Now is the group as its newest decision has it; known is false where that knows nothing.
func (g *Group) Now() (p Point, known bool) {
	d := g.decision
	if d == nil || !d.HasSample {
		return Point{}, false
	}
	in := d.Inputs
	return Point{
		Time: d.Time, AveragePercent: in.AveragePercent, Thresholds: append([]float64{}, g.Thresholds()...), Desired: d.Desired,
		Owned: in.Owned, Ready: in.Ready, Min: in.Min, Max: in.Max,
	}, true
}

// Past is how the group was, oldest first: at most a point for each of 720 parts of Sizes.Past.
func (g *Group) Past() []Point { return append([]Point{}, g.past...) }

// remember adds the present to the past.
func (g *Group) remember(window time.Duration) {
	now, known := g.Now()
	if window <= 0 || !known {
		return
	}
	step := window / pastPoints
	if n := len(g.past); n > 0 && now.Time.Truncate(step).Equal(g.past[n-1].Time.Truncate(step)) {
		g.past[n-1] = now
		return
	}
	if g.past = append(g.past, now); len(g.past) > pastPoints {
		g.past = append([]Point{}, g.past[1:]...)
	}
	for len(g.past) > 1 && now.Time.Sub(g.past[0].Time) > window {
		g.past = g.past[1:]
	}
}
