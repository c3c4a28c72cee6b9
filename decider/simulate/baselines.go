package simulate

import (
	"math"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
)

// The baselines are written from their documentation, with the settings that it shows or that are the defaults.

// awsStep has the bands of the example in the AWS documentation around its alarms, which are at 60 and 40 % here: nothing
// within 10 points, 10 % of the capacity up to 20 points, 30 % beyond.
func awsStep() policy.Policy {
	return &policy.Step{
		Upper: 60, Lower: 40, Adjustment: bus.AdjustPercent, Period: time.Minute, PeriodsOut: 1, PeriodsIn: 1, Warmup: 5 * time.Minute,
		Out: []bus.Band{{From: 0, Adjust: 10}, {From: 10, Adjust: 30}},
		In:  []bus.Band{{From: 0, Adjust: -10}, {From: 10, Adjust: -30}},
	}
}

// awsTarget is target tracking on a metric of that resolution: 3 points above the target, 15 below.
func awsTarget(period time.Duration) policy.Policy {
	return &policy.Target{Value: 60, Period: period, PeriodsOut: 3, PeriodsIn: 15, Warmup: 5 * period}
}

// recommendations are those of the last time, so that the highest can hold.
type recommendations struct {
	at   []time.Time
	want []int
}

// highest is that of the last window, with one more.
func (r *recommendations) highest(now time.Time, want int, window time.Duration) int {
	r.at, r.want = append(r.at, now), append(r.want, want)
	for now.Sub(r.at[0]) > window {
		r.at, r.want = r.at[1:], r.want[1:]
	}
	for _, w := range r.want {
		want = max(want, w)
	}
	return want
}

// hpa is the HorizontalPodAutoscaler with its default behaviour.
// https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/
type hpa struct {
	target float64
	last   recommendations
}

func (h *hpa) Interval() time.Duration { return 15 * time.Second }

const (
	hpaTolerance = 0.1
	hpaStable    = 5 * time.Minute
	hpaPods      = 4
)

func (h *hpa) Recommend(r policy.Reading) policy.Recommendation {
	if r.CPUPercent == nil || r.Ready == 0 {
		return policy.Recommendation{Desired: r.Desired}
	}
	want := h.want(*r.CPUPercent, r.Ready, r.Coming)
	stable := h.last.highest(r.Now, want, hpaStable)
	switch {
	case want > r.Desired:
		return policy.Recommendation{Desired: min(want, max(r.Desired+hpaPods, 2*r.Desired))}
	case stable < r.Desired:
		return policy.Recommendation{Desired: stable}
	}
	return policy.Recommendation{Desired: r.Desired}
}

// want is the recommendation: unready pods count as 0 % when scaling out.
func (h *hpa) want(cpu float64, ready, unready int) int {
	ratio := cpu / h.target
	all := ready + unready
	if math.Abs(1-ratio) <= hpaTolerance {
		return all
	}
	if unready == 0 || ratio < 1 {
		return int(math.Ceil(ratio*float64(ready) - 1e-9))
	}
	again := ratio * float64(ready) / float64(all)
	if again < 1 || math.Abs(1-again) <= hpaTolerance {
		return all
	}
	return max(all, int(math.Ceil(again*float64(all)-1e-9)))
}

// gcp is a managed instance group's autoscaler: a target of 60 %, the last minute's use, VMs that initialise for a minute,
// and the highest recommendation of the last ten.
// https://cloud.google.com/compute/docs/autoscaler/understanding-autoscaler-decisions
type gcp struct {
	use  []float64
	last recommendations
}

func (g *gcp) Interval() time.Duration { return 15 * time.Second }

func (g *gcp) Recommend(r policy.Reading) policy.Recommendation {
	if r.CPUPercent == nil {
		return policy.Recommendation{Desired: r.Desired}
	}
	g.use = append(g.use, *r.CPUPercent)
	if len(g.use) > 4 {
		g.use = g.use[1:]
	}
	sum := 0.
	for _, u := range g.use {
		sum += u
	}
	want := int(math.Ceil(float64(r.Ready)*sum/float64(len(g.use))/60 - 1e-9))
	highest := g.last.highest(r.Now, want, 10*time.Minute)
	return policy.Recommendation{Desired: highest}
}

// azure is autoscale of scale sets with the rules of its documentation's example: one VM more above 70 % over ten
// minutes, one fewer below 30 %, five minutes between, and no scaling in that would lead to scaling out.
// https://learn.microsoft.com/azure/azure-monitor/autoscale/autoscale-best-practices
type azure struct {
	use     []float64
	changed time.Time
}

func (a *azure) Interval() time.Duration { return time.Minute }

const (
	azureUpper, azureLower = 70., 30.
	azureMinutes           = 10
	azureCooldown          = 5 * time.Minute
)

func (a *azure) Recommend(r policy.Reading) policy.Recommendation {
	if r.CPUPercent == nil {
		return policy.Recommendation{Desired: r.Desired}
	}
	a.use = append(a.use, *r.CPUPercent)
	if len(a.use) > azureMinutes {
		a.use = a.use[1:]
	}
	mean := 0.
	for _, u := range a.use {
		mean += u / float64(len(a.use))
	}
	n := r.Desired
	switch {
	case len(a.use) < azureMinutes || r.Now.Sub(a.changed) < azureCooldown:
	case mean > azureUpper && n < r.Max:
		n, a.changed = n+1, r.Now
	case mean < azureLower && n > r.Min && mean*float64(n)/float64(n-1) < azureUpper:
		n, a.changed = n-1, r.Now
	}
	return policy.Recommendation{Desired: n}
}
