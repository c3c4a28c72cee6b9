package policy

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Target keeps a signal at a value for each VM: ceil(VMs * signal / target), once the signal was above it for PeriodsOut,
// or below 90 % of it for PeriodsIn, metric periods in a row.
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-target-tracking.html
type Target struct {
	Signal                bus.Signal    // "" is the CPU
	Value                 float64       // percent, MiB/s, or of the metric for each VM
	Period                time.Duration // of the signal
	PeriodsOut, PeriodsIn int
	Warmup                time.Duration // after scaling out, in which nothing is scaled in

	Above, Below int // periods in a row
	Until        time.Time
}

// Interval implements Policy.
func (t *Target) Interval() time.Duration { return t.Period }

// inBelow is the share of the target under which AWS scales in.
const inBelow = 0.9

// Recommend implements Policy.
func (t *Target) Recommend(r Reading) Recommendation {
	if r.Desired == 0 && t.Signal == bus.SignalMetric && r.Metric != nil {
		return t.wake(r)
	}
	each, why := t.read(r)
	ready := r.Ready
	if ready == 0 && t.Signal.OfGroup() {
		ready = 1 // its number is not of the VMs, and does not wait for the first
	}
	if each == nil || ready == 0 {
		return Recommendation{r.Desired, why}
	}
	t.Above, t.Below = run(t.Above, *each > t.Value), run(t.Below, *each < inBelow*t.Value && r.Ready > 0)
	want := int(math.Ceil(math.Min(float64(ready)**each/t.Value-1e-9, 1e6)))
	switch {
	case t.Above >= t.PeriodsOut && want > r.Desired:
		t.Until = r.Now.Add(t.Warmup)
		return Recommendation{min(want, r.Max), why}
	case t.Below >= t.PeriodsIn && want < r.Desired && !r.Now.Before(t.Until):
		return Recommendation{max(want, r.Min), why}
	}
	return Recommendation{r.Desired, why}
}

// wake is for a group without VMs, which any work wakes at once: the reading before need not have had some, as with Kubernetes'
// KEDA from 0 to 1.
// https://keda.sh/docs/latest/concepts/scaling-deployments/
func (t *Target) wake(r Reading) Recommendation {
	t.Above, t.Below = 0, 0
	if *r.Metric <= 0 {
		return Recommendation{0, fmt.Sprintf("metric %.4g", *r.Metric)}
	}
	t.Until = r.Now.Add(t.Warmup)
	want := max(1, int(math.Ceil(math.Min(*r.Metric/t.Value-1e-9, 1e6))))
	return Recommendation{min(want, r.Max), fmt.Sprintf("metric %.4g, and no VM, target %g for each", *r.Metric, t.Value)}
}

// read is the signal for each VM, nil where it is unknown, in words as well.
func (t *Target) read(r Reading) (each *float64, why string) {
	switch t.Signal {
	case bus.SignalMemory:
		if r.MemoryPercent == nil {
			return nil, "the memory that the guests use is not known of each ready VM"
		}
		return r.MemoryPercent, fmt.Sprintf(
			"average memory %.0f %% of %s, target %g %%",
			*r.MemoryPercent,
			bus.Count(r.Ready, "VM"),
			t.Value,
		)
	case bus.SignalNetworkRx, bus.SignalNetworkTx, bus.SignalDiskRead, bus.SignalDiskWrite:
		if r.RateMiBS == nil {
			return nil, fmt.Sprintf("the %s is not known of each ready VM", t.Signal)
		}
		return r.RateMiBS, fmt.Sprintf("average %s %.4g MiB/s of %s, target %g", t.Signal, *r.RateMiBS,
			bus.Count(r.Ready, "VM"), t.Value)
	case bus.SignalMetric, bus.SignalPrometheus:
		switch {
		case r.Metric == nil:
			return nil, cmp.Or(r.NoMetric, "the metric is not known")
		case r.Ready == 0:
			return r.Metric, fmt.Sprintf("metric %.4g, and no VM is ready yet, target %g for each", *r.Metric, t.Value)
		}
		share := *r.Metric / float64(r.Ready)
		return &share, fmt.Sprintf("metric %.4g, for each of %s %.4g, target %g", *r.Metric, bus.Count(r.Ready, "VM"), share, t.Value)
	case bus.SignalCPU:
	}
	if r.CPUPercent == nil {
		return nil, "no ready VM has a CPU reading"
	}
	return r.CPUPercent, fmt.Sprintf("average %.0f %% of %s, target %g %%", *r.CPUPercent, bus.Count(r.Ready, "VM"), t.Value)
}
