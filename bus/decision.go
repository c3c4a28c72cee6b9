package bus

import (
	"errors"
	"fmt"
	"time"
)

// Direction is what a decision does to a group.
type Direction string

// The directions. Only a decision of direction In lets an actuator remove VMs for being too many; so it is said again
// until no host has more than its share.
const (
	Hold Direction = "hold"
	Out  Direction = "out"
	In   Direction = "in"
)

// Rule is what an evaluation of a group asked for.
type Rule string

// The rules, in the order in which they are looked at.
const (
	RuleNoData     Rule = "no-data"     // no complete, fresh list of the group's VMs: desired stays
	RuleBlind      Rule = "blind"       // no-data for longer than the group's blind_after
	RuleMismatch   Rule = "mismatch"    // a collector's config has another spec of the group: desired stays
	RuleStart      Rule = "start"       // first list since the decider started: what is owned, within min and max
	RuleBelowMin   Rule = "below-min"   // desired was below min, as after a change of the spec
	RuleAboveMax   Rule = "above-max"   // desired was above max, as after a change of the spec
	RuleManual     Rule = "manual"      // a person has said how many
	RuleScheduled  Rule = "scheduled"   // an action of the schedule has said how many
	RuleWoken      Rule = "woken"       // somebody wants a group awake that had no VM
	RuleIdle       Rule = "idle"        // its last VM had nothing to do for the group's idle_to_zero
	RuleAsleep     Rule = "asleep"      // it has no VM, and nothing that wants one
	RuleRemoved    Rule = "removed"     // a person has taken a VM away, and the group has one less
	RuleReturned   Rule = "returned"    // a person has a VM serve again, and the group has one more
	RuleAttached   Rule = "attached"    // a person has attached a domain, and the group has one more
	RuleLaunched   Rule = "launched"    // a person has asked for more VMs
	RuleNoneReady  Rule = "none-ready"  // no ready VM whose CPU is known: nothing to decide on
	RuleAboveUpper Rule = "above-upper" // average CPU above the upper threshold
	RuleBelowLower Rule = "below-lower" // average CPU below the lower threshold
	RuleStable     Rule = "stable"      // between the two, or exactly on one
	RulePolicy     Rule = "policy"      // what the policies want, where it is not just the threshold: see Recommendations
)

// Guard is what held a rule back.
type Guard string

// The guards, in the order in which they are looked at.
const (
	GuardAtMax      Guard = "at-max"
	GuardAtMin      Guard = "at-min"
	GuardUnknownCPU Guard = "unknown-cpu"     // the CPU of ready VMs is unknown, and what stays may be too few
	GuardComing     Guard = "capacity-coming" // the pending VMs are enough for the load
	GuardBreaches   Guard = "breaches"        // not long enough beyond the threshold
	GuardTolerance  Guard = "tolerance"       // too small a difference
	GuardStabilize  Guard = "stabilization"   // in its window less, or more, was wanted
	GuardProjection Guard = "projection"      // fewer VMs would be busier than a group may be
	GuardRate       Guard = "rate"            // enough VMs came or went in the rate window
	GuardCooldown   Guard = "cooldown"
	GuardHost       Guard = "host"   // no scale-in while a host is silent, or its data contradicts another's
	GuardPaused     Guard = "paused" // someone has paused this direction
)

// Decision is one evaluation of one group: absolute ("group web wants 3"), idempotent, and valid until
// ExpiresAt.
type Decision struct {
	V               int              `json:"v"`
	Group           string           `json:"group"`
	Direction       Direction        `json:"direction"`
	Current         int              `json:"current"` // desired before this evaluation
	Desired         int              `json:"desired"` // desired from now on; 0 while nothing is known yet (see HasSample)
	Sentence        string           `json:"sentence"`
	Rule            Rule             `json:"rule"`            // what asked for a change, or that nothing did
	Guard           Guard            `json:"guard,omitempty"` // what held the rule back, "" where nothing did
	Inputs          Inputs           `json:"inputs"`
	Recommendations []Recommendation `json:"wishes,omitempty"` // of each policy, where it is not just the threshold
	// Shadow is what each of Policy.Shadow would want, before any guard; it has changed nothing of the rest.
	Shadow []Recommendation `json:"shadow,omitempty"`
	// Shares is Desired split by host; an actuator acts on its own host's. Unless the direction is In none is below what the
	// host has, so that together they can be more than Desired.
	Shares    map[HostID]Share `json:"shares"`
	HasSample bool             `json:"known"` // false: no sample yet, so nothing may be done
	Controls  Controls         `json:"controls"`
	// Machine is what new VMs are made from, as a shortage fingerprint: VMs with another one are outdated.
	Machine string   `json:"machine,omitempty"`
	Refresh *Refresh `json:"refresh,omitempty"` // the one that goes on, or the last one
	// Orders are those for VMs, by UUID, at most MaxOrders. Desired and Shares go by them; an actuator writes those into the
	// metadata of its VMs that these do not have yet.
	Orders map[string]VMOrder `json:"orders,omitempty"`
	// Attach has the domains to take in, at most MaxAttach. Each counts toward max already, and toward Desired once it is
	// there.
	Attach []Attachment `json:"attach,omitempty"`
	// Hosts are where the group's hosts stand that are not just up.
	Hosts map[HostID]HostStanding `json:"hosts,omitempty"`
	// Balance is how the group is spread over its hosts; nil: it is not rebalanced, or has one host.
	Balance *Balance `json:"balance,omitempty"`
	// Risk is what the loss of one host would mean, beside that others take the places of its VMs: what the group would be short
	// of, or that it has but two hosts; in words. "": nothing, or that is not known.
	Risk string `json:"risk,omitempty"`
	// Places are the hosts as places for the next VM, the best first; only in the answer to VerbExplain, by the decider that leads.
	Places []Place `json:"places,omitempty"`
	ID     string  `json:"id"`
	// Term is when the decider began to lead, in Unix ms, and more than any before. One lower than that of a decision which
	// still holds is ignored, and so is one lower than what an actuator has kept: see Believable.
	Term int64 `json:"term"`
	// Seq counts a decider's decisions: in a term the higher one is newer, whatever the clock says.
	Seq       uint64    `json:"seq"`
	Time      time.Time `json:"time"`
	ExpiresAt time.Time `json:"expires_at"`
	SpecHash  string    `json:"spec_hash"`
	// ClusterID is the cluster whose decider it is; "" of one before there were any, and where the bus keeps no state.
	ClusterID string `json:"cluster_id,omitempty"`
	trace     string // see [Traced]
}

// Share is one host's part of a group.
type Share struct {
	Host string `json:"host"` // its name
	VMs  int    `json:"vms"`
	// Numbers are those that new VMs on this host may have in their names, the first to be used first. No other host has them, so
	// that a VM's name is unique in its group.
	Numbers []int `json:"numbers"`
	// Release is how many of the host's retiring VMs may go now, as others have taken their place, and Retire how many may be
	// retiring beside those, in a refresh.
	Retire  int `json:"retire,omitempty"`
	Release int `json:"release,omitempty"`
	// Serving is how many VMs of the host serve once Release has been done: where one is gone already none goes twice by the
	// same decision, or by the next one that did not know of it. nil: it is not said.
	Serving *int `json:"serving,omitempty"`
	// Restart is how many VMs of the host may be out of service at a time to restart with their disks, in a refresh.
	Restart int `json:"restart,omitempty"`
	// Updated is how many VMs of the host may be up to date while a refresh keeps a canary: those beyond are made from the
	// template before, and are the first to be scaled in. nil: as many as there are.
	Updated *int `json:"updated,omitempty"`
	// Warm is how many VMs of the group's warm pool the host is to have beside VMs, those included that are on their way there.
	Warm int `json:"warm,omitempty"`
	// WarmStopped is how many of Warm wait shut down, where the pool has both kinds.
	WarmStopped int `json:"warm_stopped,omitempty"`
	// Most is how many VMs of the group the host may own, whatever their state: it makes none beyond that. nil: as many as max.
	Most *int `json:"most,omitempty"`
	// ClockBehindMS is by how much the decider takes the host's clock to be behind its own, less than 0 where it is ahead; 0
	// within TolerableSkew. The moments of a decision are told by the host's clock with it. nil: not known, and none of them
	// can be.
	ClockBehindMS *int64 `json:"clock_behind_ms,omitempty"`
}

// Here is a moment of the decider's clock by the host's own; false where it is not known how far that is off.
func (s Share) Here(at time.Time) (time.Time, bool) {
	if s.ClockBehindMS == nil {
		return time.Time{}, false
	}
	return at.Add(-time.Duration(*s.ClockBehindMS) * time.Millisecond), true
}

// Inputs is what a Decision was made from.
type Inputs struct {
	AveragePercent *float64 `json:"average_percent"` // mean CPU of the ready VMs whose CPU is known; nil: unknown
	// ProjectedPercent is the same load spread over ready and launching VMs; nil: unknown.
	ProjectedPercent *float64 `json:"projected_percent"`
	UpperPercent     float64  `json:"upper_percent"`
	LowerPercent     float64  `json:"lower_percent"`
	// TargetPercent is the average CPU that the policy target steers to, where no policy has the thresholds; 0 is none.
	TargetPercent  float64 `json:"target_percent,omitempty"`
	Min            int     `json:"min"`
	Max            int     `json:"max"`
	Scheduled      bool    `json:"scheduled,omitempty"`   // min or max are those of the schedule at present, and not the file's
	Owned          int     `json:"owned"`                 // all VMs of the group, in any phase and state, but for Lost
	Lost           int     `json:"lost,omitempty"`        // on lost hosts, where others take their places
	Ready          int     `json:"ready"`                 // ready, running and past the warm-up
	Launching      int     `json:"launching"`             // pending, within the boot time-out
	Warming        int     `json:"warming"`               // ready, but warming up: capacity, not yet in the average
	Leaving        int     `json:"leaving,omitempty"`     // VMs whose removal has begun
	Unknown        int     `json:"unknown"`               // of the ready ones, those with no CPU reading
	Overdue        int     `json:"overdue,omitempty"`     // older than the group's max_lifetime, and not on their way out yet
	Warm           int     `json:"warm,omitempty"`        // of the warm pool, or on their way there: owned, and in no other number
	WarmWanted     int     `json:"warm_wanted,omitempty"` // how many the pool is to have
	Protected      int     `json:"protected,omitempty"`   // of those that stay, the ones that are never chosen for scaling in
	Breaches       int     `json:"breaches"`              // samples in a row beyond the threshold that Rule names
	BreachesNeeded int     `json:"breaches_needed"`
	BootMS         int64   `json:"boot_ms"` // how long VMs took from their creation to the end of their boot lately; 0 is not known
	// WarmupMS is for how long after its boot a VM's CPU does not count: as set, or as learned; nil is not known yet.
	WarmupMS   *int64 `json:"warmup_ms,omitempty"`
	CooldownMS int64  `json:"cooldown_ms"` // what is left of the cooldown, or of the window of the guard, that applies
	// RunDelayPercent is the share of time that the ready VMs waited for a host core, as a mean; nil is unknown.
	RunDelayPercent *float64 `json:"run_delay_percent,omitempty"`
	// Metric is the name of the metric that the policy target follows, MetricValue its last value; nil is unknown.
	Metric      string   `json:"metric,omitempty"`
	MetricValue *float64 `json:"metric_value,omitempty"`
	// IdleMS is for how long the group has had one VM, and that nothing to do; nil: it has work, or more VMs, or that is not known.
	// After IdleToZeroMS it goes as well; 0 is never.
	IdleMS       *int64 `json:"idle_ms,omitempty"`
	IdleToZeroMS int64  `json:"idle_to_zero_ms,omitempty"`
	// WokenUntil is until when a group that had no VM keeps one at least; nil: none was woken.
	WokenUntil *time.Time `json:"woken_until,omitempty"`
	// Metrics are the last values of those that an expression names; nil is unknown.
	Metrics map[string]*float64 `json:"metrics,omitempty"`
	// Expression is the value of the policy target's expression, of this evaluation's inputs; nil is unknown, or that it has none.
	Expression *float64 `json:"expression,omitempty"`
}

// Recommendation is what a policy wants, before any guard.
type Recommendation struct {
	Policy   PolicyType `json:"policy"`
	Desired  int        `json:"desired"`
	Sentence string     `json:"sentence"` // why
}

func (d *Decision) check() error {
	if d.Group == "" || d.ID == "" || d.ExpiresAt.IsZero() {
		return errors.New("decision without group, id or expires_at")
	}
	if d.Desired < 0 {
		return fmt.Errorf("decision with desired %d", d.Desired)
	}
	if err := checkVersion(d.V); err != nil {
		return err
	}
	return d.bounds()
}
