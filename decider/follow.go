package decider

import (
	"fmt"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
)

// Memory is what a group's policies remember. The threshold's is in State.
type Memory map[bus.PolicyType]*Asked

// Asked is one policy, and what it has not been shown yet.
type Asked struct {
	policy.Memory
	// Sum and Count are of the averages since the policy was asked last, At that time; Wish is what it said.
	Sum   float64   `json:"sum"`
	Count int       `json:"count"`
	At    time.Time `json:"asked"`
	Wish  bus.Wish  `json:"wish"`
}

// of is the policy of a spec. It is new where its parameters have changed.
func (m Memory) of(p bus.Policy, t bus.PolicyType, boot time.Duration) (*Asked, policy.Policy, error) {
	a := m[t]
	if a == nil {
		a = &Asked{}
	}
	rule, memory, err := policy.New(t, p, boot, a.Memory)
	if err != nil {
		return nil, nil, err
	}
	if memory != a.Memory {
		*a = Asked{Memory: memory}
	}
	m[t] = a
	return a, rule, nil
}

// Published is a number of a group as it was published last.
type Published struct {
	Value float64
	At    time.Time // when it came, by the decider's own clock
}

// known is the value while it holds, or nil and why it is not known.
func (m *Published) known(p bus.Policy, now time.Time) (value *float64, why string) {
	if m == nil {
		return nil, fmt.Sprintf("nobody has published the metric %s since this decider was started", p.Metric)
	}
	age := now.Sub(m.At)
	switch {
	case age < 0:
		return nil, fmt.Sprintf("the metric %s was published %s in the future, before the clock was set back", p.Metric, (-age).Round(time.Second))
	case age > p.MetricMaxAge:
		return nil, fmt.Sprintf("the metric %s was published %s ago, and holds for %s (metric_max_age)", p.Metric, age.Round(time.Second), p.MetricMaxAge)
	}
	return &m.Value, ""
}

// follow asks the group's policies, each once in its interval, and lets the guards judge what they want: the most of it.
// So the group grows if one of them wants it, and shrinks if all do.
func follow(spec bus.Group, st *State, d *bus.Decision, c counts, metric *Published, now time.Time) {
	if st.Policy == nil {
		st.Policy = Memory{}
	}
	news := false
	r := policy.Reading{
		Now: now, Ready: c.ready + c.warming, Coming: c.launching + c.pending, Boot: st.Boots.Mean,
		Desired: st.Desired, Min: spec.Min, Max: spec.Max,
	}
	if spec.Policy.FollowsMetric() {
		r.Metric, r.NoMetric = metric.known(spec.Policy, now)
	}
	if c.memories == c.ready && c.ready > 0 {
		memory := c.memory / float64(c.memories)
		r.MemoryPercent = &memory
	}
	p := spec.Policy
	p.Warmup, _ = st.Warmup.inForce(spec)
	for _, t := range spec.Policy.Types {
		if c.readings == 0 && policy.ReadsCPU(t, spec.Policy) { // it neither wants more VMs nor lets any go
			st.BreachesOut, st.BreachesIn = 0, 0
			d.Wishes = append(d.Wishes, bus.Wish{Policy: t, Desired: st.Desired, Sentence: "no ready VM has a CPU reading yet"})
			continue
		}
		if t == bus.PolicyThreshold {
			alone := *d
			want := threshold(spec, st, &alone, c)
			d.Inputs.Breaches, d.Inputs.BreachesNeeded = alone.Inputs.Breaches, alone.Inputs.BreachesNeeded
			d.Wishes = append(d.Wishes, bus.Wish{Policy: t, Desired: want, Sentence: alone.Sentence})
			news = true
			continue
		}
		a, rule, err := st.Policy.of(p, t, st.Boots.Mean)
		if err != nil { // New has refused it: it lets nothing go
			d.Wishes = append(d.Wishes, bus.Wish{Policy: t, Desired: st.Desired, Sentence: err.Error()})
			continue
		}
		if c.readings > 0 { // of several VMs an unknown CPU counts as no load, and forbids scaling in
			a.Sum, a.Count = a.Sum+c.sum/float64(c.ready), a.Count+1
		}
		if since := now.Sub(a.At); since < 0 || since >= rule.Interval()-spec.Policy.Interval/2 {
			cpu := a.Sum / float64(a.Count)
			r.CPUPercent = &cpu
			w := rule.Wish(r)
			a.Sum, a.Count, a.At = 0, 0, now
			a.Wish = bus.Wish{Policy: t, Desired: w.Desired, Sentence: w.Sentence}
			news = true
		}
		d.Wishes = append(d.Wishes, a.Wish)
	}
	d.Rule, d.Sentence = bus.RulePolicy, told(d.Wishes)
	if news {
		judge(spec, st, d, c, mostWanted(d.Wishes), now)
	}
}

func mostWanted(wishes []bus.Wish) (most int) {
	for _, w := range wishes {
		most = max(most, w.Desired)
	}
	return most
}

// told is why the most is wanted; of several policies with their names.
func told(wishes []bus.Wish) string {
	if len(wishes) == 1 {
		return wishes[0].Sentence
	}
	most := mostWanted(wishes)
	var parts []string
	for _, w := range wishes {
		if w.Desired == most {
			parts = append(parts, string(w.Policy)+": "+w.Sentence)
		}
	}
	return strings.Join(parts, "; ")
}
