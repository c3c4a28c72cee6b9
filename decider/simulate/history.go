package simulate

import (
	"fmt"
	"math"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Gaps reports how far a recorded past can be trusted, as shares of its time.
type Gaps struct {
	Unknown   float64 // nothing is known: the value before it stands there
	Saturated float64 // the VMs were at 95 % or more, so that more may have been asked than is recorded
}

// History makes a trace of a group's recorded past. A VM of the group is one vCPU of the trace.
func History(group string, minutes []bus.Demand) (Trace, Gaps, error) {
	t := Trace{Name: group}
	var g Gaps
	if len(minutes) == 0 {
		return t, g, fmt.Errorf("the history has no demand of group %s yet: a decider records it, minute by minute", group)
	}
	first := minutes[0]
	t.Step = time.Duration(first.StepS) * time.Second
	last := minutes[len(minutes)-1]
	steps := int(last.Time.Sub(first.Time)/t.Step) + len(last.Load)
	if steps < 2 || steps > maxRows || last.Time.Sub(first.Time) > maxSpan || time.Duration(len(last.Load))*t.Step > maxSpan {
		return t, g, fmt.Errorf(
			"the history of group %s has %d steps of %s, want 2 to %d in at most %d days",
			group,
			steps,
			t.Step,
			maxRows,
			maxSpan/(24*time.Hour),
		)
	}
	load, owned := make([]float64, steps), make([]int, steps)
	for i := range load {
		load[i], owned[i] = math.NaN(), -1
	}
	for _, m := range minutes {
		at := int(m.Time.Sub(first.Time) / t.Step)
		for i := range m.Load {
			if m.StepS != first.StepS || at+i < 0 || at+i >= steps {
				continue
			}
			if m.Owned[i] != nil {
				owned[at+i] = *m.Owned[i]
			}
			if m.Load[i] == nil || !(*m.Load[i] >= 0 && *m.Load[i] <= maxDemand) {
				continue // not known, or not true
			}
			load[at+i] = *m.Load[i]
			if r := m.Ready[i]; r != nil && *r > 0 && *m.Load[i] >= 0.95*float64(*r) {
				g.Saturated += 1 / float64(steps)
			}
		}
	}
	was, had := 0., 1
	for i := range load {
		if math.IsNaN(load[i]) {
			g.Unknown += 1 / float64(steps)
			load[i] = was
		}
		if owned[i] < 0 {
			owned[i] = had
		}
		was, had = load[i], owned[i]
	}
	if g.Unknown > 0.999 {
		return t, g, fmt.Errorf("the history of group %s has no minute with a known load yet", group)
	}
	t.Demand, t.Owned = load, owned
	return t, g, nil
}

// recorded has the VMs that there were.
type recorded struct{ trace Trace }

func (r recorded) Interval() time.Duration { return time.Second }

func (r recorded) Decide(f *Fleet, _ time.Time) int {
	i := min(f.second/int(r.trace.Step/time.Second), len(r.trace.Owned)-1)
	return max(1, r.trace.Owned[i])
}
