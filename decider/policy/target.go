package policy

import (
	"fmt"
	"math"
	"time"
)

// Target keeps the mean CPU at a value: ceil(VMs * CPU / target), once the CPU was above it for PeriodsOut, or below 90 %
// of it for PeriodsIn, metric periods in a row.
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-target-tracking.html
type Target struct {
	Percent               float64
	Period                time.Duration // of the metric
	PeriodsOut, PeriodsIn int
	Warmup                time.Duration // after scaling out, in which nothing is scaled in

	Above, Below int // periods in a row
	Until        time.Time
}

// Interval implements Policy.
func (t *Target) Interval() time.Duration { return t.Period }

// inBelow is the share of the target under which AWS scales in.
const inBelow = 0.9

// Wish implements Policy.
func (t *Target) Wish(r Reading) Wish {
	if r.CPUPercent == nil || r.Ready == 0 {
		return Wish{r.Desired, "no ready VM has a CPU reading"}
	}
	cpu := *r.CPUPercent
	t.Above, t.Below = run(t.Above, cpu > t.Percent), run(t.Below, cpu < inBelow*t.Percent)
	want := int(math.Ceil(float64(r.Ready)*cpu/t.Percent - 1e-9))
	why := fmt.Sprintf("average %.0f %% of %d VMs, target %g %%", cpu, r.Ready, t.Percent)
	switch {
	case t.Above >= t.PeriodsOut && want > r.Desired:
		t.Until = r.Now.Add(t.Warmup)
		return Wish{min(want, r.Max), why}
	case t.Below >= t.PeriodsIn && want < r.Desired && !r.Now.Before(t.Until):
		return Wish{max(want, r.Min), why}
	}
	return Wish{r.Desired, why}
}
