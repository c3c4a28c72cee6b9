package decider

import (
	"maps"

	"github.com/vmscaler/vmscaler/bus"
)

// Shadows are the policies that decide beside those of a group and change nothing, with all that each remembers.
type Shadows map[bus.PolicyType]Shadow

// Shadow is what one of them remembers. It shares nothing with the group's own policies, which learn in place.
type Shadow struct {
	Policy      PolicyStates `json:"policy,omitempty"`
	BreachesOut int          `json:"breaches_out,omitempty"`
	BreachesIn  int          `json:"breaches_in,omitempty"`
}

// shadows asks a group's shadow policies, each as if it were the group's only one, for what they would want now. Where an
// evaluation has nothing to go by, or a group has no VM, they are not asked.
func (s situation) shadows(v verdict) (wants []bus.Recommendation, next Shadows) {
	if !v.hasSample || s.state.Desired == 0 || v.rule == bus.RuleNoData || v.rule == bus.RuleBlind || v.rule == bus.RuleMismatch {
		return nil, s.state.Shadows
	}
	for _, t := range s.spec.Policy.Shadow {
		was := s.state.Shadows[t]
		alone := s
		alone.spec.Policy.Types = []bus.PolicyType{t}
		alone.state.Policy, alone.state.BreachesOut, alone.state.BreachesIn = was.Policy, was.BreachesOut, was.BreachesIn
		r, _ := evaluatePolicies(alone, recommendation{breaches: breaches{out: was.BreachesOut, in: was.BreachesIn}})
		for _, w := range r.recommendations {
			w.Desired = min(max(w.Desired, s.floor()), s.spec.Max)
			wants = append(wants, w)
		}
		if next == nil {
			next = Shadows{}
		}
		next[t] = Shadow{r.policies, r.breaches.out, r.breaches.in}
	}
	return wants, next
}

// promoted is a state in which a policy that was a shadow until now goes on with what it has learned as one.
func (st State) promoted(types []bus.PolicyType) State {
	for _, t := range types {
		learned := st.Shadows[t].Policy[t]
		if learned == nil || st.Policy[t] != nil {
			continue
		}
		policies := maps.Clone(st.Policy)
		if policies == nil {
			policies = PolicyStates{}
		}
		policies[t] = learned
		st.Policy = policies
	}
	return st
}
