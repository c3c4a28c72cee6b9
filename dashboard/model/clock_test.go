package model

import (
	"math"
	"testing"
)

// How far a host's clock is ahead of the decider's does not depend on the clock of who listens.
func TestClockAhead(t *testing.T) {
	for _, tt := range []struct{ host, decider, want float64 }{ // s, against who listens
		{0, 0, 0}, {3600, 0, 3600}, {-3600, 0, -3600}, {0, 3600, -3600}, {500, 500, 0}, {-10, 20, -30},
	} {
		m := New(start, sizes)
		g := func() (float64, bool) {
			group := m.Group("web")
			ahead, known := group.ClockAhead(group.hosts["kvm1"])
			return ahead.Seconds(), known
		}
		for i := range 6 {
			s := float64(i)
			m.Sample(sample("web", "kvm1", s+tt.host), at(s))
			d := decision("web", s+tt.decider)
			d.Seq = uint64(i + 1)
			if m.Decision(d, at(s)); i == 0 {
				if _, known := g(); known {
					t.Error("it is known at once")
				}
			}
		}
		if got, known := g(); !known || math.Abs(got-tt.want) > 0.01 {
			t.Errorf("host %g s, decider %g s ahead: got %g, %t, want %g", tt.host, tt.decider, got, known, tt.want)
		}
	}
}
