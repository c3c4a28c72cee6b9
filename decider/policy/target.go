package policy

import (
	"cmp"
	"fmt"
	"math"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/expression"
)

// Target keeps a signal at a value for each VM: ceil(VMs * signal / target), once the signal was above it for PeriodsOut,
// or below 90 % of it for PeriodsIn, metric periods in a row.
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-target-tracking.html
type Target struct {
	Signal                bus.Signal    // "" is the CPU
	Metric                string        // for signals of the group: its name
	Expression            string        // for bus.SignalExpression
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
	if r.Desired == 0 {
		if w, known := t.wake(r); known {
			return w
		}
	}
	each, why := t.read(r)
	ready := r.Ready
	if ready == 0 && (t.Signal.OfGroup() || t.Signal == bus.SignalExpression) {
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
	return Recommendation{r.Desired, why + t.waits(r, want)}
}

// waits is what must happen until the number that the signal asks for is wanted, and for how long; "" where it is wanted already,
// or beyond min and max.
func (t *Target) waits(r Reading, want int) string {
	want = min(max(want, r.Min), r.Max)
	more := func(periods int) string { return fmt.Sprintf("%s of %s", bus.Count(periods, "more period"), t.Period) }
	switch warm := t.Until.Sub(r.Now); {
	case want > r.Desired && t.Above > 0 && t.Above < t.PeriodsOut:
		return fmt.Sprintf("; wants %d after %s above it", want, more(t.PeriodsOut-t.Above))
	case want >= r.Desired:
		return ""
	case t.Below == 0:
		return fmt.Sprintf("; wants %d only below %g %% of it", want, 100*inBelow)
	case t.Below < t.PeriodsIn:
		return fmt.Sprintf("; wants %d after %s below %g %% of it", want, more(t.PeriodsIn-t.Below), 100*inBelow)
	case warm > 0:
		return fmt.Sprintf("; wants %d in %s, once what was made last is warm", want, warm.Round(time.Second))
	}
	return ""
}

// wake is for a group without VMs, which any work wakes at once: the reading before need not have had some, as with Kubernetes'
// KEDA from 0 to 1. It reports whether it is known how much there is.
// https://keda.sh/docs/latest/concepts/scaling-deployments/
func (t *Target) wake(r Reading) (Recommendation, bool) {
	var work *float64
	text := "metric"
	switch {
	case t.Signal.OfGroup():
		work = r.Metrics[t.Metric].Value
	case t.Signal == bus.SignalExpression:
		text, r.Ready = "expression", 0
		work, _ = Expressed(t.Expression, r)
	}
	if work == nil {
		return Recommendation{}, false
	}
	t.Above, t.Below = 0, 0
	if text += fmt.Sprintf(" %.4g", *work); *work <= 0 {
		return Recommendation{0, text}, true
	}
	t.Until = r.Now.Add(t.Warmup)
	want := max(1, int(math.Ceil(math.Min(*work/t.Value-1e-9, 1e6))))
	return Recommendation{min(want, r.Max), fmt.Sprintf("%s, and no VM, target %g for each", text, t.Value)}, true
}

// Signal is what the target of a group's policy follows, for each VM; nil where it is not known, with why.
func Signal(p bus.Policy, r Reading) (each *float64, why string) {
	t := Target{Signal: p.Signal, Metric: metricOf(p), Expression: p.Expression}
	return t.read(r)
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
	case bus.SignalLoad:
		if r.LoadPercent == nil {
			return nil, "the load average is not known of each ready VM"
		}
		return r.LoadPercent, fmt.Sprintf("average load %.0f %% of the vCPUs of %s, target %g %%", *r.LoadPercent,
			bus.Count(r.Ready, "VM"), t.Value)
	case bus.SignalNetworkRx, bus.SignalNetworkTx, bus.SignalDiskRead, bus.SignalDiskWrite:
		rate := r.Rates.Of(t.Signal)
		if rate == nil {
			return nil, fmt.Sprintf("the %s is not known of each ready VM", t.Signal)
		}
		return rate, fmt.Sprintf("average %s %.4g MiB/s of %s, target %g", t.Signal, *rate,
			bus.Count(r.Ready, "VM"), t.Value)
	case bus.SignalMetric, bus.SignalPrometheus:
		metric := r.Metrics[t.Metric]
		switch {
		case metric.Value == nil:
			return nil, cmp.Or(metric.Why, "the metric is not known")
		case r.Ready == 0:
			return metric.Value, fmt.Sprintf("metric %.4g, and no VM is ready yet, target %g for each", *metric.Value, t.Value)
		}
		share := *metric.Value / float64(r.Ready)
		return &share, fmt.Sprintf("metric %.4g, for each of %s %.4g, target %g", *metric.Value, bus.Count(r.Ready, "VM"), share,
			t.Value)
	case bus.SignalExpression:
		return Expressed(t.Expression, r)
	case bus.SignalCPU:
	}
	if r.CPUPercent == nil {
		return nil, "no ready VM has a CPU reading"
	}
	return r.CPUPercent, fmt.Sprintf("average %.0f %% of %s, target %g %%", *r.CPUPercent, bus.Count(r.Ready, "VM"), t.Value)
}

// Expressed is the value of an expression, nil where it is unknown, in words as well.
func Expressed(text string, r Reading) (value *float64, why string) {
	e, err := expression.Compile(text)
	if err != nil { // Check has refused it
		return nil, "expression: " + err.Error()
	}
	value, inputs := e.Value(expression.Inputs{
		CPUPercent: r.CPUPercent, MemoryPercent: r.MemoryPercent, LoadPercent: r.LoadPercent, Rates: r.Rates,
		Metrics: r.Metrics, VMs: r.Ready,
	})
	if value == nil {
		return nil, inputs
	}
	return value, fmt.Sprintf("expression %.4g of %s, target 1: %s", *value, bus.Count(r.Ready, "VM"), inputs)
}
