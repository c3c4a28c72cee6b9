package decider

import (
	"github.com/vmscaler/vmscaler/bus"
)

// crossing is the average CPU beside the thresholds.
type crossing struct {
	rule               bus.Rule // above-upper, below-lower or stable
	average, projected float64  // percent; projected is with the capacity on its way
	breaches           breaches
	guard              bus.Guard // what holds it back; "": nothing
}

// threshold is the policy on the average CPU: above upper, one VM more; below lower, one fewer, once that has lasted for long
// enough.
func threshold(s situation) crossing {
	c, p := s.counts, s.spec.Policy
	x := crossing{average: c.sum / float64(c.readings), projected: c.sum / float64(c.ready+c.coming()), rule: bus.RuleStable}
	switch {
	case x.average > p.UpperPercent:
		n := s.state.BreachesOut + 1
		x.rule, x.breaches = bus.RuleAboveUpper, breaches{out: n, shown: n, needed: p.BreachesOut}
	case x.average < p.LowerPercent:
		n := s.state.BreachesIn + 1
		x.rule, x.breaches = bus.RuleBelowLower, breaches{in: n, shown: n, needed: p.BreachesIn}
	default:
		return x
	}
	for _, l := range limits {
		if l.crossing != nil && l.crossing(s, x) {
			x.guard = l.guard
			break
		}
	}
	// What counts is how long the load is too high for the capacity that will be there: a VM that enters the average with
	// the rest of its boot in its first readings must not tip an old breach over.
	if x.guard == bus.GuardComing || x.guard == bus.GuardUnknownCPU {
		x.breaches = breaches{needed: x.breaches.needed}
	}
	return x
}

// wants is how many VMs it asks for.
func (x crossing) wants(desired int) int {
	switch {
	case x.guard != "":
	case x.rule == bus.RuleAboveUpper:
		return desired + 1
	case x.rule == bus.RuleBelowLower:
		return desired - 1
	}
	return desired
}

// thresholdAlone is the rule of a group that has no other policy.
func thresholdAlone(s situation, r recommendation) (recommendation, bool) {
	if p := s.spec.Policy; len(p.Types) != 1 || !p.Has(bus.PolicyThreshold) {
		return r, false
	}
	x := threshold(s)
	r.rule, r.facts.crossing, r.breaches = x.rule, x, x.breaches
	r.wants, r.limited = x.wants(s.state.Desired), true
	return r, true
}
