package bus

import (
	"slices"
	"strings"
)

// ProblemCode is what kind of problem a stage has.
type ProblemCode string

// The problems that stages report. A program reads the code; the words are for people, and change.
const (
	ProblemSecondActuator    ProblemCode = "second-actuator"    // another actuator acts on this host; its id
	ProblemHostShutdown      ProblemCode = "host-shutdown"      // this host is shutting down
	ProblemConfigMismatch    ProblemCode = "config-mismatch"    // decider and actuator read different configs; a group
	ProblemNoSamples         ProblemCode = "no-samples"         // the decider has no samples of this host; a group
	ProblemDecisionRefused   ProblemCode = "decision-refused"   // decisions are heard, and none is taken; a group
	ProblemOtherCluster      ProblemCode = "other-cluster"      // decisions of another cluster than this host's are heard; a group
	ProblemDecisionExpired   ProblemCode = "decision-expired"   // no decider is heard, or not any more; a group
	ProblemClockSkew         ProblemCode = "clock-skew"         // the decider's clock, or a host's, is off; a group, or the host
	ProblemLaunchBreaker     ProblemCode = "launch-breaker"     // nothing is launched after failures in a row; a group
	ProblemLaunchFails       ProblemCode = "launch-fails"       // a group lacks VMs, as launching them failed; a group
	ProblemNoNumber          ProblemCode = "no-number"          // a group lacks VMs, as no name is free for them; a group
	ProblemBelowDesired      ProblemCode = "below-desired"      // a group lacks VMs, and nothing is done about it; a group
	ProblemStuck             ProblemCode = "stuck"              // a launch or removal takes longer than it may; the VM
	ProblemNoRoom            ProblemCode = "no-room"            // the host has no room for another VM; a group
	ProblemStandby           ProblemCode = "standby"            // a VM stands by, and leaves no room in max for another in its place
	ProblemSuspended         ProblemCode = "suspended"          // a suspended VM keeps its group from what is desired; the VM
	ProblemRetained          ProblemCode = "retained"           // a retained VM keeps its group from what is desired; the VM
	ProblemRemovalBudget     ProblemCode = "removal-budget"     // no VM is scaled in after so many; a group
	ProblemVictimHook        ProblemCode = "victim-hook"        // the listener of scale_in does not decide; a group
	ProblemWarmPool          ProblemCode = "warm-pool"          // VMs of the warm pool cannot wait there
	ProblemRemovalFailed     ProblemCode = "removal-failed"     // VMs that cannot be removed; their names
	ProblemKeptDisk          ProblemCode = "kept-disk"          // anything else needs a kept disk; the VM that cannot be made
	ProblemAtMax             ProblemCode = "at-max"             // VMs that cannot be removed leave no room in max; a group
	ProblemCheckFails        ProblemCode = "check-fails"        // VMs that fail a check of their group; their names
	ProblemCheckFailsAll     ProblemCode = "check-fails-all"    // so many do that none is replaced; a group
	ProblemDamagedMetadata   ProblemCode = "damaged-metadata"   // our metadata cannot be read; a domain
	ProblemNoLeader          ProblemCode = "no-leader"          // no decider leads
	ProblemDecisionUnsent    ProblemCode = "decision-unsent"    // no decision can be sent; a group
	ProblemIncompleteSamples ProblemCode = "incomplete-samples" // not all hosts are heard; a group
	ProblemNotEvaluated      ProblemCode = "not-evaluated"      // the decider falls behind; a group
	ProblemNoMetric          ProblemCode = "no-metric"          // the metric or signal that a group scales on is not known; a group
	ProblemUnknownCPU        ProblemCode = "unknown-cpu"        // the CPU of ready VMs is not known; a group
	ProblemRefreshWaits      ProblemCode = "refresh-waits"      // a refresh replaces no VM; a group
	ProblemRefreshFailed     ProblemCode = "refresh-failed"     // VMs are not what the config says; a group
	ProblemLifetime          ProblemCode = "lifetime"           // VMs are older than they may be, and none is replaced; a group
	ProblemQueryFails        ProblemCode = "query-fails"        // its query of Prometheus says nothing; a group
	ProblemHostLost          ProblemCode = "host-lost"          // a host gives no sign of life; the host
	ProblemNoTemplate        ProblemCode = "no-template"        // a host could not get a template, or has another file; a group
	ProblemIsolated          ProblemCode = "isolated"           // no decider is heard, and VMs are removed for that; a group
	ProblemHostsDisagree     ProblemCode = "hosts-disagree"     // no VM is scaled in while hosts are unclear; a group
)

// Problem identifies what is wrong in a stage. It stays the same while its words change, as they do with how long it lasts.
type Problem struct {
	Code    ProblemCode `json:"code"`
	Subject string      `json:"subject,omitempty"` // what it is about, such as a group, a VM or a host
}

// Trouble is a problem in words.
type Trouble struct {
	Problem
	Text string
}

// Troubles are all that is wrong in a stage, as the error that it reports.
type Troubles []Trouble

// Add adds a problem.
func (t *Troubles) Add(code ProblemCode, subject, text string) {
	*t = append(*t, Trouble{Problem{code, subject}, text})
}

func (t Troubles) Error() string {
	texts := make([]string, len(t))
	for i := range t {
		texts[i] = t[i].Text
	}
	return strings.Join(texts, "; ")
}

// Err is t as an error, nil where nothing is wrong.
func (t Troubles) Err() error {
	if len(t) == 0 {
		return nil
	}
	return t
}

// Problems are those of the troubles, as a health message has them: of many only the first.
func (t Troubles) Problems() []Problem {
	var problems []Problem
	for i := range t[:min(len(t), maxProblems)] {
		p := t[i].Problem
		p.Subject = cutTo(Line(p.Subject), maxWord)
		problems = append(problems, p)
	}
	return problems
}

// Same reports whether two health messages of a stage have the same thing to say: the same problems, or, where a message
// does not name them, the same words.
func (h *Health) Same(other *Health) bool {
	if h.OK != other.OK {
		return false
	}
	if len(h.Problems) > 0 || len(other.Problems) > 0 {
		return slices.Equal(h.Problems, other.Problems)
	}
	return h.Message == other.Message
}
