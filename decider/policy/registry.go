package policy

import (
	"fmt"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/expression"
)

// Bound is what a policy holds the average CPU against, as people read of it.
type Bound int

// The bounds.
const (
	BoundNone       Bound = iota // no one number: its own words have what it follows
	BoundThresholds              // upper and lower
	BoundTarget                  // the target, where its signal is the CPU
)

// kind is one of the policies that a group can have.
type kind struct {
	name bus.PolicyType
	// readsCPU reports whether it goes by the CPU in a group with these parameters; nil is always.
	readsCPU func(bus.Policy) bool
	bound    Bound
	// forecasts reports whether it looks ahead itself before it lets a VM go.
	forecasts bool
	// resume goes on from what the policy remembers with a group's parameters. nil is of the threshold, which is the
	// decider's own: it asks for one VM at a time, and its counts are the group's.
	resume func(Memory, bus.Policy, time.Duration) (Policy, Memory, error)
}

// kinds are all policies, in the order in which people read of them.
var kinds = []kind{
	{name: bus.PolicyThreshold, bound: BoundThresholds},
	{name: bus.PolicyStep, resume: resumeStep, bound: BoundThresholds},
	{name: bus.PolicyTarget, resume: resumeTarget, readsCPU: targetReadsCPU, bound: BoundTarget},
	{name: bus.PolicyPredictive, resume: resumePredictive, forecasts: true},
}

// Memory is what a policy remembers, as it is kept: the field of its kind.
type Memory struct {
	Predictive *Predictive `json:"predictive,omitempty"`
	Target     *Target     `json:"target,omitempty"`
	Step       *Step       `json:"step,omitempty"`
}

const (
	signalPeriod   = 10 * time.Second // of what step and target follow
	periodsOut     = 3                // of the target
	periodsIn      = 15
	shortestWarmup = 5 * signalPeriod
)

// Kinds are the names of all policies.
func Kinds() []bus.PolicyType {
	var names []bus.PolicyType
	for _, k := range kinds {
		names = append(names, k.name)
	}
	return names
}

// Check reports what of a group's policies is not known.
func Check(p bus.Policy) error {
	if len(p.Types) == 0 {
		return fmt.Errorf("policy: found none, want one or more of %q", Kinds())
	}
	for _, t := range p.Types {
		if _, err := find(t); err != nil {
			return err
		}
	}
	if p.Has(bus.PolicyTarget) && p.Signal == bus.SignalExpression {
		if _, err := expression.Compile(p.Expression); err != nil {
			return fmt.Errorf("expression: %w", err)
		}
	}
	if _, err := TuningOf(p.Setting); err != nil && p.Has(bus.PolicyPredictive) {
		return err
	}
	return nil
}

// New is one of a group's policies, going on from what it remembers. The Memory that it returns is another one where the
// policy begins again, as it does with another target. boot is how long VMs take; the warm-up is the one in force.
func New(t bus.PolicyType, p bus.Policy, boot time.Duration, m Memory) (Policy, Memory, error) {
	k, err := find(t)
	switch {
	case err != nil:
		return nil, m, err
	case k.resume == nil:
		return nil, m, fmt.Errorf("policy: %s is the decider's own", t)
	}
	return k.resume(m, p, max(boot+p.Warmup, shortestWarmup))
}

// BoundOf is the bound of a policy; of one that is not known it is none.
func BoundOf(t bus.PolicyType) Bound {
	k, _ := find(t)
	return k.bound
}

// TargetsCPU reports whether one of a group's policies keeps the CPU at a target.
func TargetsCPU(p bus.Policy) bool { return p.Signal == bus.SignalCPU && has(p, BoundTarget) }

// HasThresholds reports whether one of a group's policies goes by upper and lower.
func HasThresholds(p bus.Policy) bool { return has(p, BoundThresholds) }

func has(p bus.Policy, bound Bound) bool {
	return slices.ContainsFunc(p.Types, func(t bus.PolicyType) bool { return BoundOf(t) == bound })
}

// ReadsCPU reports whether a policy of a group goes by the CPU.
func ReadsCPU(t bus.PolicyType, p bus.Policy) bool {
	k, err := find(t)
	return err != nil || k.readsCPU == nil || k.readsCPU(p)
}

// targetReadsCPU reports whether the signal is the CPU, or has it.
func targetReadsCPU(p bus.Policy) bool {
	if p.Signal != bus.SignalExpression {
		return p.Signal == bus.SignalCPU
	}
	e, err := expression.Compile(p.Expression)
	return err != nil || e.Has("cpu")
}

// Follows are the names of the metrics that a group is scaled on, each once; bus.PrometheusMetric is its query's answer.
func Follows(p bus.Policy) []string {
	if !p.Has(bus.PolicyTarget) {
		return nil
	}
	switch p.Signal {
	case bus.SignalMetric:
		return []string{p.Metric}
	case bus.SignalPrometheus:
		return []string{bus.PrometheusMetric}
	case bus.SignalExpression:
		if e, err := expression.Compile(p.Expression); err == nil {
			return e.Metrics()
		}
	case bus.SignalCPU,
		bus.SignalMemory,
		bus.SignalLoad,
		bus.SignalNetworkRx,
		bus.SignalNetworkTx,
		bus.SignalDiskRead,
		bus.SignalDiskWrite:
	}
	return nil
}

// FollowsPrometheus reports whether a group is scaled on what its query of Prometheus answers.
func FollowsPrometheus(p bus.Policy) bool { return slices.Contains(Follows(p), bus.PrometheusMetric) }

// NeedsCPU reports whether nothing can be said of a group without a CPU reading.
func NeedsCPU(p bus.Policy) bool {
	return !slices.ContainsFunc(p.Types, func(t bus.PolicyType) bool { return !ReadsCPU(t, p) })
}

// Forecasts reports whether one of a group's policies looks ahead itself before it lets a VM go.
func Forecasts(p bus.Policy) bool {
	return slices.ContainsFunc(kinds, func(k kind) bool { return k.forecasts && p.Has(k.name) })
}

func find(t bus.PolicyType) (kind, error) {
	i := slices.IndexFunc(kinds, func(k kind) bool { return k.name == t })
	if i < 0 {
		return kind{}, fmt.Errorf("policy: found %q, want one of %q", t, Kinds())
	}
	return kinds[i], nil
}

func resumeStep(m Memory, p bus.Policy, warmup time.Duration) (Policy, Memory, error) {
	if m.Step == nil {
		m = Memory{Step: &Step{}}
	}
	s := m.Step // it goes on counting, whatever its parameters are
	s.Upper, s.Lower, s.Out, s.In = p.UpperPercent, p.LowerPercent, p.Steps.Out, p.Steps.In
	s.Adjustment, s.MinMagnitude, s.Period, s.Warmup = p.Steps.Adjustment, p.Steps.MinMagnitude, signalPeriod, warmup
	s.PeriodsOut, s.PeriodsIn = p.BreachesOut, p.BreachesIn
	return s, m, nil
}

func resumeTarget(m Memory, p bus.Policy, warmup time.Duration) (Policy, Memory, error) {
	value := p.TargetPercent
	switch {
	case p.Signal.OfGroup():
		value = p.MetricTarget
	case p.Signal.IsRate():
		value = p.TargetMiBS
	case p.Signal == bus.SignalExpression:
		value = 1
	}
	if m.Target == nil || m.Target.Value != value || m.Target.Signal != p.Signal || m.Target.Expression != p.Expression {
		m = Memory{Target: &Target{Signal: p.Signal, Value: value, Period: signalPeriod, PeriodsOut: periodsOut, PeriodsIn: periodsIn}}
	}
	m.Target.Warmup, m.Target.Metric, m.Target.Expression = warmup, metricOf(p), p.Expression
	return m.Target, m, nil
}

// metricOf is the name of the metric that is a policy's signal.
func metricOf(p bus.Policy) string {
	if p.Signal == bus.SignalPrometheus {
		return bus.PrometheusMetric
	}
	return p.Metric
}

func resumePredictive(m Memory, p bus.Policy, _ time.Duration) (Policy, Memory, error) {
	t, err := TuningOf(p.Setting)
	if err != nil {
		return nil, m, err
	}
	if m.Predictive == nil {
		m = Memory{Predictive: NewPredictive(t)}
	}
	m.Predictive.Tuning = t // what was learned of the load is true with each
	return m.Predictive, m, nil
}
