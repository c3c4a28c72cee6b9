package policy

import (
	"fmt"
	"math"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Step is AWS step scaling: the further the CPU is beyond a threshold, the more VMs come or go. While VMs warm up they
// count as capacity that is there, and nothing is scaled in.
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-simple-step.html
type Step struct {
	Upper, Lower          float64    // percent
	Out, In               []bus.Band // by From, ascending
	Adjustment            bus.Adjustment
	MinMagnitude          int           // the least change of Percent; 0 is 1
	Period                time.Duration // of the metric
	PeriodsOut, PeriodsIn int           // beyond the threshold before anything is done
	Warmup                time.Duration // of VMs, from their creation on

	Above, Below int // periods in a row
	Base         int // capacity without the VMs that warm up
	Until        time.Time
}

// Interval implements Policy.
func (s *Step) Interval() time.Duration { return s.Period }

// Recommend implements Policy.
func (s *Step) Recommend(r Reading) Recommendation {
	if r.CPUPercent == nil {
		return Recommendation{r.Desired, "no ready VM has a CPU reading"}
	}
	cpu := *r.CPUPercent
	warming := r.Now.Before(s.Until)
	if !warming {
		s.Base = r.Desired
	}
	s.Above, s.Below = run(s.Above, cpu >= s.Upper), run(s.Below, cpu <= s.Lower)
	switch {
	case s.Above >= s.PeriodsOut:
		to := s.adjust(s.Base, band(s.Out, cpu-s.Upper))
		why := fmt.Sprintf("average %.0f %% is %.0f points above %g %%", cpu, cpu-s.Upper, s.Upper)
		if to = min(to, r.Max); to > r.Desired {
			s.Until = r.Now.Add(s.Warmup)
			return Recommendation{to, why}
		}
		return Recommendation{r.Desired, why}
	case s.Below >= s.PeriodsIn:
		why := fmt.Sprintf("average %.0f %% is %.0f points below %g %%", cpu, s.Lower-cpu, s.Lower)
		if warming {
			return Recommendation{r.Desired, why + ", while VMs warm up"}
		}
		return Recommendation{max(min(r.Desired, s.adjust(r.Desired, band(s.In, s.Lower-cpu))), r.Min), why}
	}
	return Recommendation{r.Desired, fmt.Sprintf("average %.0f %%", cpu)}
}

// adjust applies a band. A percentage is rounded towards zero, but not to nothing.
func (s *Step) adjust(n int, b *bus.Band) int {
	switch {
	case b == nil:
		return n
	case s.Adjustment == bus.AdjustExact:
		return int(b.Adjust)
	case s.Adjustment == bus.AdjustChange:
		return n + int(b.Adjust)
	}
	by := float64(n) * b.Adjust / 100
	least := float64(max(1, s.MinMagnitude))
	switch {
	case by > 0:
		return n + int(math.Max(math.Floor(by), least))
	case by < 0:
		return n + int(math.Min(math.Ceil(by), -least))
	}
	return n
}

// band is the one that so many points fall into, nil for none.
func band(bands []bus.Band, points float64) (in *bus.Band) {
	for i := range bands {
		if points >= bands[i].From {
			in = &bands[i]
		}
	}
	return in
}

// run counts how often in a row something holds.
func run(before int, holds bool) int {
	if holds {
		return before + 1
	}
	return 0
}
