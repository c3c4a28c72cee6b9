package decider

import (
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
)

// recommendation is what a rule asks for, before any limit.
type recommendation struct {
	rule      bus.Rule
	hasSample bool // whether there was a complete list of VMs yet
	current   int  // what desired was, and what a host has that has joined
	wants     int
	limited   bool // whether the limits look at it: they do at what policies want
	facts     facts
	// What the policies have counted, said and remember from now on.
	breaches        breaches
	recommendations []bus.Recommendation
	policies        PolicyStates
}

// facts are what a rule's sentence needs beyond the situation.
type facts struct {
	hosts    []string // that are not heard, or read another config
	found    int      // VMs, of a start
	before   int      // VMs that the decider before wanted, or else found
	joined   bool     // another host
	crossing crossing // of the threshold
}

// breaches are evaluations in a row beyond a threshold.
type breaches struct {
	out, in       int
	shown, needed int // as the decision has them
}

// rules are what an evaluation looks at, in this order; the first that applies recommends. The first name of each is its own.
var rules = []struct {
	names []bus.Rule
	apply func(situation, recommendation) (recommendation, bool)
}{
	{[]bus.Rule{bus.RuleNoData, bus.RuleBlind}, notHeard},
	{[]bus.Rule{bus.RuleMismatch}, mismatch},
	{[]bus.Rule{bus.RuleNoData}, nothingNew},
	{[]bus.Rule{bus.RuleStart}, start},
	{[]bus.Rule{bus.RuleStart}, joined},
	{[]bus.Rule{bus.RuleBelowMin}, belowMin},
	{[]bus.Rule{bus.RuleAboveMax}, aboveMax},
	{[]bus.Rule{bus.RuleManual}, manual},
	{[]bus.Rule{bus.RuleScheduled}, scheduled},
	{[]bus.Rule{bus.RuleWoken}, woken},
	{[]bus.Rule{bus.RuleIdle}, idleForLong},
	{[]bus.Rule{bus.RuleAsleep}, asleep},
	{[]bus.Rule{bus.RuleNoneReady}, noneReady},
	{[]bus.Rule{bus.RuleAboveUpper, bus.RuleBelowLower, bus.RuleStable}, thresholdAlone},
	{[]bus.Rule{bus.RulePolicy}, evaluatePolicies},
}

// recommend is what the rules want, in their order. Only the CPU of ready VMs counts. An unknown CPU is never a
// number: the threshold counts it as no load when the group asks for more, and unknownCPU as full use when it would shrink.
func recommend(s situation) recommendation {
	st := s.state
	nothing := recommendation{
		hasSample: st.HasSample, current: st.Desired, wants: st.Desired, policies: st.Policy,
		breaches: breaches{out: st.BreachesOut, in: st.BreachesIn},
	}
	for _, rule := range rules {
		r := nothing
		r.rule = rule.names[0]
		if r, applies := rule.apply(s, r); applies {
			return r
		}
	}
	return nothing // the last applies always
}

// notHeard holds without a fresh list; after a while that is called blind.
func notHeard(s situation, r recommendation) (recommendation, bool) {
	switch {
	case len(s.obs.Awaited) > 0:
		r.facts.hosts = s.obs.Awaited
	case len(s.obs.Hosts) == 0:
	case !s.obs.anyFresh():
		r.facts.hosts = s.obs.with(Silent)
	default:
		return r, false
	}
	if s.now.Sub(s.state.LastData) >= s.spec.BlindAfter {
		r.rule = bus.RuleBlind
	}
	r.breaches = breaches{}
	return r, true
}

func mismatch(s situation, r recommendation) (recommendation, bool) {
	r.facts.hosts, r.breaches = s.obs.with(Mismatched), breaches{}
	return r, len(r.facts.hosts) > 0
}

func nothingNew(s situation, r recommendation) (recommendation, bool) { return r, s.obs.Fresh == 0 }

// start is the first evaluation that knows what there is. A group that another decider led until a moment ago goes on
// as that wanted it, unless all of its VMs are gone: then it is woken, if it was not asleep.
func start(s situation, r recommendation) (recommendation, bool) {
	kept := s.counts.kept
	r.hasSample, r.current = true, kept
	r.facts.found, r.facts.before = kept, kept
	before := s.state.PreviousDesired
	if before != nil && (kept > 0 || *before == 0) {
		r.facts.before = *before
	}
	r.wants = s.within(r.facts.before)
	if before != nil && *before > 0 {
		r.wants = max(r.wants, 1)
	}
	return r, !s.state.HasSample
}

// joined is for a host's first sample: what it has is not surplus.
func joined(s situation, r recommendation) (recommendation, bool) {
	hosts := s.obs.joined(s.state.Hosts)
	for _, h := range hosts {
		r.current += h.kept()
	}
	r.wants, r.facts.joined = s.within(r.current), true
	return r, len(s.state.Hosts) > 0 && len(hosts) > 0
}

func belowMin(s situation, r recommendation) (recommendation, bool) {
	r.wants = s.spec.Min
	return r, s.state.Desired < s.spec.Min
}

func aboveMax(s situation, r recommendation) (recommendation, bool) {
	r.wants = s.spec.Max
	return r, s.state.Desired > s.spec.Max
}

func manual(s situation, r recommendation) (recommendation, bool) {
	return setTo(s, r, s.state.Controls.Desired)
}

func scheduled(s situation, r recommendation) (recommendation, bool) { return setTo(s, r, s.scheduled) }

// setTo is for a number that does not come from the load.
func setTo(s situation, r recommendation, n *int) (recommendation, bool) {
	if n == nil {
		return r, false
	}
	r.wants, r.breaches = s.within(*n), breaches{}
	return r, true
}

// noneReady waits for a first number.
func noneReady(s situation, r recommendation) (recommendation, bool) {
	r.breaches = breaches{}
	return r, s.counts.readings == 0 && policy.NeedsCPU(s.spec.Policy)
}

// floor is the fewest VMs that policies leave: the load of a VM never says that none is needed, see [idleForLong].
func (s situation) floor() int { return max(s.spec.Min, min(s.state.Desired, 1)) }

// wanted is a number that a policy wants, within what it may want.
func (s situation) wanted(n int) int { return min(max(n, s.floor()), s.spec.Max) }

// within is a number within min and max.
func (s situation) within(n int) int { return min(max(n, s.spec.Min), s.spec.Max) }
