package decider

import (
	"fmt"
	"maps"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/expression"
	"github.com/vmscaler/vmscaler/decider/policy"
)

// PolicyStates is what a group's policies remember. The threshold's is in State.
type PolicyStates map[bus.PolicyType]*policyState

// policyState is one policy, and what it has not been shown yet.
type policyState struct {
	policy.Memory
	// Sum, Count, Work and Full are of the averages since the policy was asked last, At that time; Recommendation is what it said.
	Sum            float64            `json:"sum"`
	Count          int                `json:"count"`
	Work           float64            `json:"work"` // sum of the averages times the VMs that there were, in VMs
	Full           float64            `json:"full"` // sum of the shares of VMs at full use
	At             time.Time          `json:"asked"`
	Recommendation bus.Recommendation `json:"wish"`
}

// Published is a number of a group as it was published last.
type Published struct {
	Value *float64  // nil is unknown
	Error string    // why it is not known
	At    time.Time // when it came, by the decider's own clock
	Since time.Time // from when on it has not been known without a pause; zero where it is known
}

// metric is a number of the group while it holds, or nil and why it is not known. One that took longer to come than it holds
// is as unknown as one that nobody has published.
func (o Observation) metric(name string, p bus.Policy, now time.Time) (value *float64, why string) {
	m, found := o.Metrics[name]
	if !found {
		return nil, fmt.Sprintf("nobody has published the metric %s since this decider was started", name)
	}
	age := now.Sub(m.At)
	switch {
	case age < 0:
		return nil, fmt.Sprintf("the metric %s was published %s in the future, before the clock was set back", name,
			(-age).Round(time.Second))
	case age > p.MetricMaxAge:
		return nil, fmt.Sprintf("the metric %s was published %s ago, and holds for %s (metric_max_age)", name,
			age.Round(time.Second), p.MetricMaxAge)
	case m.Value == nil:
		return nil, fmt.Sprintf("the metric %s has not been known for %s: %s", name, seconds(now.Sub(m.Since)), m.Error)
	}
	return m.Value, ""
}

// evaluatePolicies asks the group's policies, each once in its interval. The most of what they want counts, so that the group
// grows if one of them wants it, and shrinks if all do. Between two answers nothing changes.
func evaluatePolicies(s situation, r recommendation) (recommendation, bool) {
	r.policies = maps.Clone(s.state.Policy)
	if r.policies == nil {
		r.policies = PolicyStates{}
	}
	reading := s.reading()
	for _, t := range s.spec.Policy.Types {
		switch {
		case s.counts.readings == 0 && policy.ReadsCPU(t, s.spec.Policy): // it neither wants more VMs nor lets any go
			r.breaches = breaches{}
			r.recommendations = append(r.recommendations,
				bus.Recommendation{Policy: t, Desired: s.state.Desired, Sentence: "no ready VM has a CPU reading yet"})
		case t == bus.PolicyThreshold:
			x := threshold(s)
			r.breaches, r.limited = x.breaches, true
			r.recommendations = append(r.recommendations,
				bus.Recommendation{Policy: t, Desired: x.wants(s.state.Desired), Sentence: x.sentence(s)})
		default:
			asked, news := evaluatePolicy(s, t, r.policies[t], reading)
			r.policies[t], r.limited = &asked, r.limited || news
			r.recommendations = append(r.recommendations, asked.Recommendation)
		}
	}
	if r.limited {
		r.wants = highest(r.recommendations)
	}
	return r, true
}

// evaluatePolicy asks one policy, if it is time, and reports whether it was.
func evaluatePolicy(s situation, t bus.PolicyType, before *policyState, reading policy.Reading) (now policyState, news bool) {
	p, c, was := s.spec.Policy, s.counts, policyState{}
	if before != nil {
		was = *before
	}
	p.Warmup, _ = s.state.Warmup.inForce(s.spec)
	rule, memory, err := policy.New(t, p, s.state.BootTimes.Mean, was.Memory)
	if err != nil { // New of the decider has refused it: it lets nothing go
		return policyState{Recommendation: bus.Recommendation{Policy: t, Desired: s.state.Desired, Sentence: err.Error()}}, false
	}
	now = was
	if memory != was.Memory {
		now = policyState{Memory: memory}
	}
	if c.readings > 0 {
		average := c.average()
		now.Sum, now.Count, now.Work = now.Sum+average, now.Count+1, now.Work+average/100*float64(reading.Ready)
		now.Full += float64(c.full) / float64(c.readings)
		if alarmer, ok := rule.(policy.Alarmer); ok {
			reading.CPUPercent = &average
			if w, alarmed := alarmer.Alarm(reading); alarmed {
				now.Recommendation = bus.Recommendation{Policy: t, Desired: w.Desired, Sentence: w.Reason}
				news = true
			}
		}
	}
	if since := s.now.Sub(now.At); since >= 0 && since < rule.Interval()-p.Interval/2 {
		return now, news
	}
	reading.CPUPercent = nil
	if now.Count > 0 {
		reading.CPUPercent, reading.Load = new(now.Sum/float64(now.Count)), new(now.Work/float64(now.Count))
		reading.Full = now.Full / float64(now.Count)
	}
	w := rule.Recommend(reading)
	return policyState{
		Memory: memory, At: s.now,
		Recommendation: bus.Recommendation{Policy: t, Desired: w.Desired, Sentence: w.Reason},
	}, true
}

// reading is what all policies see. Each has a CPU of its own: the mean since it was asked last.
func (s situation) reading() policy.Reading {
	c := s.counts
	r := policy.Reading{
		Now: s.now, Ready: c.ready + c.warming, Coming: c.launching + c.pending, Boot: s.state.BootTimes.Mean,
		Handover: s.state.Handovers.expected(s.spec.WarmPool, s.state.BootTimes.Mean), Warm: s.atHand(),
		Desired: s.state.Desired, Min: s.floor(), Max: s.spec.Max,
		Rates: c.moved.mean(c.ready), LoadPercent: c.load.mean(c.ready), Metrics: map[string]expression.Number{},
	}
	for _, name := range policy.Follows(s.spec.Policy) {
		value, why := s.obs.metric(name, s.spec.Policy, s.now)
		r.Metrics[name] = expression.Number{Value: value, Why: why}
	}
	if c.memories == c.ready && c.ready > 0 {
		r.MemoryPercent = new(c.memory / float64(c.memories))
	}
	return r
}

func highest(recommendations []bus.Recommendation) (most int) {
	for _, w := range recommendations {
		most = max(most, w.Desired)
	}
	return most
}
