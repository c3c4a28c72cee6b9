package model

import (
	"slices"
	"time"
)

// history is the last window of one VM's CPU, at most one point a second.
type history struct {
	uuid   string
	points []point
}

type point struct {
	at  time.Time
	cpu *float64 // nil: a gap
}

// add notes a reading, and drops those from before the window.
func (h *history) add(at time.Time, cpu *float64, window time.Duration) {
	p := point{at: at, cpu: cpu}
	if n := len(h.points); n > 0 && h.points[n-1].at.Unix() == at.Unix() {
		h.points[n-1] = p
	} else {
		h.points = append(h.points, p)
	}
	oldest := at.Add(-window)
	old := 0
	for old < len(h.points) && !h.points[old].at.After(oldest) {
		old++
	}
	h.points = slices.Delete(h.points, 0, old)
}

// buckets is the last window in n equal parts, oldest first, each the mean of its known points; nil is a gap.
// The parts lie on multiples of their length, so that a graph of them moves on instead of shimmering. A part
// without a point takes the one before it where samples come at an interval that leaves parts empty.
func (h *history) buckets(n int, end time.Time, interval, window time.Duration) []*float64 {
	length := window / time.Duration(n)
	out := make([]*float64, n)
	last := end.Truncate(length)
	next := 0
	var before *point
	for i := range n {
		from := last.Add(-length * time.Duration(n-1-i))
		to := from.Add(length)
		var sum float64
		known, points := 0, 0
		for ; next < len(h.points) && h.points[next].at.Before(to); next++ {
			p := &h.points[next]
			before = p
			if p.at.Before(from) {
				continue
			}
			points++
			if p.cpu != nil {
				sum += *p.cpu
				known++
			}
		}
		switch {
		case known > 0:
			mean := sum / float64(known)
			out[i] = &mean
		case points == 0 && before != nil && !from.After(before.at.Add(interval+interval/2)):
			out[i] = before.cpu
		}
	}
	return out
}
