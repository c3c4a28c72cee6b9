package bus

import (
	"encoding/json"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// PolicyType says by which rule a group scales.
type PolicyType string

// The policies.
const (
	PolicyThreshold  PolicyType = "threshold"  // one VM more above upper, one fewer below lower
	PolicyStep       PolicyType = "step"       // the further beyond upper or lower, the more VMs: see Policy.Steps
	PolicyTarget     PolicyType = "target"     // as many VMs as keep Policy.Signal at its target
	PolicyPredictive PolicyType = "predictive" // as many as a forecast of the load asks for
)

// LongestInterval bounds Policy.Interval. A decision holds for three intervals, and nobody else is followed for so long.
const LongestInterval = 20 * time.Minute

// PolicySetting is the choice of PolicyPredictive between paying for idle VMs and losing load.
type PolicySetting string

// The settings.
const (
	SettingSafe     PolicySetting = "safe"
	SettingBalanced PolicySetting = "balanced"
	SettingThrifty  PolicySetting = "thrifty"
)

// Signal is what PolicyTarget keeps at a value.
type Signal string

// The signals.
const (
	SignalCPU    Signal = "cpu"    // average CPU of the ready VMs, at Policy.TargetPercent
	SignalMemory Signal = "memory" // average memory that their guests use, at Policy.TargetPercent of what they have
	SignalMetric Signal = "metric" // the number Policy.Metric, at Policy.MetricTarget for each VM
	// SignalPrometheus is what the query Policy.Prometheus answers, at Policy.MetricTarget for each VM.
	SignalPrometheus Signal = "prometheus"
	// What the ready VMs receive, send, read and write on average, at Policy.TargetMiBS. The collector reads it of groups that
	// have one of these signals in the file.
	SignalNetworkRx Signal = "network_rx"
	SignalNetworkTx Signal = "network_tx"
	SignalDiskRead  Signal = "disk_read"
	SignalDiskWrite Signal = "disk_write"
	// SignalLoad is the mean load average of the guests, at Policy.TargetPercent of their vCPUs. The actuator asks the agents of
	// groups that have it in the file.
	SignalLoad Signal = "load"
	// SignalExpression is the number that Policy.Expression makes of the others, at 1: how much each VM is asked for, relative
	// to what it should be.
	SignalExpression Signal = "expression"
)

// PrometheusMetric is the name under which the decider publishes what a group's query of Prometheus answers.
const PrometheusMetric = "prometheus"

// Prometheus is an instant query whose answer, one number, is of the whole group.
type Prometheus struct {
	URL       string        `json:"url"` // of the server, such as http://127.0.0.1:9090; "" is none
	Query     string        `json:"query"`
	Interval  time.Duration `json:"interval"`   // between two answers; longer after failures
	Timeout   time.Duration `json:"timeout"`    // of one request
	TokenFile string        `json:"token_file"` // has the bearer token, which is read for each request; "" is none
	CA        string        `json:"ca"`         // file with the certificates (PEM) that its own must be from; "" is the system's
	Headers   []Header      `json:"headers"`    // of each request, such as X-Scope-OrgID
}

// DefaultPrometheus asks no server.
func DefaultPrometheus() Prometheus {
	return Prometheus{Interval: 15 * time.Second, Timeout: 5 * time.Second, Headers: []Header{}}
}

// IsZero reports whether all is as by default: such a group is the same to older programs as one of theirs.
func (p Prometheus) IsZero() bool { return reflect.DeepEqual(p, DefaultPrometheus()) }

// UnmarshalJSON reads a policy as it was written: what was left out of it there is the default.
func (p *Policy) UnmarshalJSON(data []byte) error {
	type plain Policy
	read := plain{Prometheus: DefaultPrometheus()}
	if err := json.Unmarshal(data, &read); err != nil {
		return err //nolint:wrapcheck // it says where
	}
	*p = Policy(read)
	return nil
}

// Header is one field of an HTTP request.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// MaxHeaders is how many fields of its own a request may have.
const MaxHeaders = 16

// Adjustment is what the number of a Band means.
type Adjustment string

// The adjustments, as in AWS step scaling.
const (
	AdjustChange  Adjustment = "change"  // so many VMs more or fewer
	AdjustExact   Adjustment = "exact"   // so many VMs in all
	AdjustPercent Adjustment = "percent" // of the capacity, more or fewer
)

// Band is what to do where the CPU is From or more beyond a threshold, in points. It ends where the next one begins.
type Band struct {
	From   float64 `json:"from"`
	Adjust float64 `json:"adjust"` // by the Adjustment; negative is fewer
}

// Steps are for PolicyStep; its thresholds are those of the Policy.
type Steps struct {
	Adjustment   Adjustment `json:"adjustment"`
	MinMagnitude int        `json:"min_magnitude"` // the least change of AdjustPercent, in VMs
	Out          []Band     `json:"out"`           // above upper, by From, ascending
	In           []Band     `json:"in"`            // below lower
}

// Limits hold what a policy wants. Their zero values hold nothing.
type Limits struct {
	TolerancePercent float64 `json:"tolerance_percent"` // a recommendation that differs less from desired changes nothing
	// StabilizeOut and StabilizeIn are windows: a group grows to the least, and shrinks to the most, that was wanted
	// in them.
	StabilizeOut time.Duration `json:"stabilize_out"`
	StabilizeIn  time.Duration `json:"stabilize_in"`
	RateOut      int           `json:"rate_out"` // VMs more, at most in RateWindow; 0 is no limit
	RateIn       int           `json:"rate_in"`  // VMs fewer
	RateWindow   time.Duration `json:"rate_window"`
}

// Policy is the rules by which a group scales, and their guards.
type Policy struct {
	// Types are one or several rules: the group grows if one of them wants it, and shrinks only if all do.
	Types []PolicyType `json:"types"`
	// Shadow are rules beside those that say what they would want, and change nothing.
	Shadow        []PolicyType  `json:"shadow,omitempty"`
	Setting       PolicySetting `json:"setting"`                // for PolicyPredictive
	Signal        Signal        `json:"signal"`                 // for PolicyTarget
	TargetPercent float64       `json:"target_percent"`         // for PolicyTarget
	Metric        string        `json:"metric"`                 // for SignalMetric: its name; the number is of the whole group
	TargetMiBS    float64       `json:"target_mib_s,omitempty"` // MiB/s, the average of a signal of Rates; 0 is none
	Expression    string        `json:"expression,omitempty"`   // for SignalExpression: see decider/expression
	MetricTarget  float64       `json:"metric_target"`          // for each VM; also of SignalPrometheus
	Prometheus    Prometheus    `json:"prometheus,omitzero"`    // for SignalPrometheus
	MetricMaxAge  time.Duration `json:"metric_max_age"`         // from which what was published last is not known any more
	Steps         Steps         `json:"steps"`                  // for PolicyStep
	Limits        Limits        `json:"limits"`
	// UpperPercent is the average above which PolicyThreshold wants one VM more. With each policy, a VM above it is busy:
	// it is the last to be scaled in.
	UpperPercent float64       `json:"upper_percent"`
	LowerPercent float64       `json:"lower_percent"` // below it: one VM fewer
	Interval     time.Duration `json:"interval"`      // between two evaluations
	BreachesOut  int           `json:"breaches_out"`  // evaluations in a row above upper before scaling out
	BreachesIn   int           `json:"breaches_in"`   // evaluations in a row below lower before scaling in
	CooldownOut  time.Duration `json:"cooldown_out"`  // after scaling out, before scaling out again
	CooldownIn   time.Duration `json:"cooldown_in"`   // after any change, before scaling in
	Warmup       time.Duration `json:"warmup"`        // after a VM's boot, before its CPU counts; or WarmupLearned
}

// WarmupLearned is the warm-up that follows from how long VMs of the group's template stay busy after their boot.
const WarmupLearned time.Duration = -1

// Has reports whether a rule is one of the group's.
func (p Policy) Has(t PolicyType) bool { return slices.Contains(p.Types, t) }

// OfGroup reports whether a signal is a number of the whole group, of which each VM has its share.
func (s Signal) OfGroup() bool { return s == SignalMetric || s == SignalPrometheus }

// IsRate reports whether a signal is one of Rates.
func (s Signal) IsRate() bool {
	return s == SignalNetworkRx || s == SignalNetworkTx || s == SignalDiskRead || s == SignalDiskWrite
}

var loadWord = regexp.MustCompile(`\bload\b`)

// FollowsLoad reports whether the group is scaled on SignalLoad, as FollowsRates does for the rates.
func (p Policy) FollowsLoad() bool {
	return p.Has(PolicyTarget) && (p.Signal == SignalLoad || p.Signal == SignalExpression && loadWord.MatchString(p.Expression))
}

// FollowsRates reports whether the group is scaled on one of Rates, which the collector must read then. An expression is looked
// through for their names, which at worst reads more than it needs.
func (p Policy) FollowsRates() bool {
	if !p.Has(PolicyTarget) {
		return false
	}
	return p.Signal.IsRate() || p.Signal == SignalExpression &&
		slices.ContainsFunc([]Signal{SignalNetworkRx, SignalNetworkTx, SignalDiskRead, SignalDiskWrite}, func(s Signal) bool {
			return strings.Contains(p.Expression, string(s))
		})
}
