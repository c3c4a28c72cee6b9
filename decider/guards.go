package decider

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
)

// Guards is what the guards remember.
type Guards struct {
	Wanted  []Mark `json:"wanted,omitempty"`  // of the longer stabilisation window; a wish that repeats the one before is not kept
	Changes []Mark `json:"changes,omitempty"` // of the rate window
}

// Mark is a number of VMs at a time.
type Mark struct {
	At time.Time `json:"at"`
	N  int       `json:"n"`
}

// marks is how many are kept at most; then the older half goes, as if its window had ended.
const marks = 1000

// judge lets a wish through, or says what holds it back. Each guard may hold, or let less through; none turns a wish round.
func judge(spec bus.Group, st *State, d *bus.Decision, c counts, want int, now time.Time) {
	why, limits := d.Sentence, spec.Policy.Limits
	if want > spec.Max {
		d.Guard, d.Sentence = bus.GuardAtMax, fmt.Sprintf("max %d of %d wanted: %s", spec.Max, want, why)
	} else if want < spec.Min {
		d.Guard = bus.GuardAtMin
	}
	want = min(max(want, spec.Min), spec.Max)
	cooldown := remaining(st.LastChange, spec.Policy.CooldownIn, now)
	if want > st.Desired || d.Rule == bus.RuleAboveUpper {
		cooldown = remaining(st.LastOut, spec.Policy.CooldownOut, now)
	}
	if want != st.Desired || d.Rule == bus.RuleAboveUpper || d.Rule == bus.RuleBelowLower {
		d.Inputs.CooldownMS = cooldown.Milliseconds()
	}
	hold := func(g bus.Guard, left time.Duration, format string, args ...any) {
		d.Guard, d.Sentence = g, fmt.Sprintf(format, args...)+": "+why
		if left > 0 {
			d.Inputs.CooldownMS = left.Milliseconds()
		}
	}
	steady, left := st.Guards.stabilised(limits, st.Desired, want, now)
	projected, limit := projection(spec, st.Desired, want, c)
	switch {
	case want == st.Desired:
		return
	case want < st.Desired && c.ready > c.readings:
		hold(bus.GuardUnknownCPU, 0, "holding, as the CPU of %s is unknown", plural(c.ready-c.readings))
		return
	case math.Abs(float64(want-st.Desired)) <= limits.TolerancePercent/100*float64(st.Desired):
		hold(bus.GuardTolerance, 0, "%d are within %g %% of %d", want, limits.TolerancePercent, st.Desired)
		return
	case steady == st.Desired:
		hold(bus.GuardStabilise, left, "%s was wanted less than %s ago", plural(st.Guards.other(limits, st.Desired, want, now)), seconds(window(limits, want > st.Desired)))
		return
	}
	if want = steady; want < st.Desired {
		if want = max(want, projected); want == st.Desired {
			hold(bus.GuardProjection, 0, "fewer than %s would be above %g %%", plural(st.Desired), limit)
			return
		}
	}
	room, left := st.Guards.room(limits, want > st.Desired, now)
	switch {
	case room == 0:
		hold(bus.GuardRate, left, "%s changed in the last %s already", plural(st.Guards.within(limits, want > st.Desired, now)), seconds(limits.RateWindow))
		return
	case cooldown > 0:
		hold(bus.GuardCooldown, cooldown, "cooling down %s", seconds(cooldown))
		return
	}
	d.Desired = min(max(want, st.Desired-room), st.Desired+room)
	word := "out"
	if d.Desired < st.Desired {
		word = "in"
	}
	d.Sentence = "scaling " + word + ": " + d.Sentence
}

func window(l bus.Limits, out bool) time.Duration {
	if out {
		return l.StabiliseOut
	}
	return l.StabiliseIn
}

// stabilised is what of a wish has been wanted for its whole window: the least above desired, the most below it. left
// is the time until another one can be; what is wanted now is remembered.
// https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#stabilization-window
func (g *Guards) stabilised(l bus.Limits, desired, want int, now time.Time) (steady int, left time.Duration) {
	longest := max(l.StabiliseOut, l.StabiliseIn)
	if longest == 0 {
		g.Wanted = nil
		return want, 0
	}
	if n := len(g.Wanted); n >= 2 && g.Wanted[n-1].N == want && g.Wanted[n-2].N == want { // the first and the last of a row are enough
		g.Wanted = slices.Clone(g.Wanted)
		g.Wanted[n-1].At = now
	} else {
		g.Wanted = append(slices.Clip(g.Wanted), Mark{now, want})
	}
	g.Wanted = young(g.Wanted, longest, now)
	steady = g.other(l, desired, want, now)
	for _, m := range g.Wanted {
		if age := now.Sub(m.At); m.N == steady && age < window(l, want > desired) {
			left = window(l, want > desired) - age // of the youngest
		}
	}
	return steady, left
}

// other is the wish of the window that counts, not beyond desired.
func (g *Guards) other(l bus.Limits, desired, want int, now time.Time) int {
	steady := want
	for _, m := range g.Wanted {
		switch age := now.Sub(m.At); {
		case age < 0 || age >= window(l, want > desired):
		case want > desired:
			steady = max(min(steady, m.N), desired)
		default:
			steady = min(max(steady, m.N), desired)
		}
	}
	return steady
}

// projection is the fewest VMs, from want to desired, that can do the present work below the limit, so that a scale-in
// does not lead to a scale-out at once. A policy that forecasts the load has looked itself.
// https://learn.microsoft.com/azure/azure-monitor/autoscale/autoscale-understanding-settings
func projection(spec bus.Group, desired, want int, c counts) (fewest int, limit float64) {
	p := spec.Policy
	limit = p.UpperPercent
	if p.Has(bus.PolicyTarget) && p.Signal == bus.SignalCPU {
		limit = max(limit, p.TargetPercent)
	}
	if want >= desired || c.readings == 0 || policy.Forecasts(p) {
		return want, limit
	}
	work := c.sum / float64(c.readings) * float64(c.ready+c.warming)
	return min(max(want, int(math.Ceil(work/limit-1e-9))), desired), limit
}

// room is how many VMs may still come, or go, in the rate window, and how long it takes until one more may.
func (g *Guards) room(l bus.Limits, out bool, now time.Time) (n int, left time.Duration) {
	most := l.RateIn
	if out {
		most = l.RateOut
	}
	if most == 0 {
		return math.MaxInt32, 0
	}
	for _, m := range g.Changes { // the oldest that counts ends first
		if m.N > 0 == out && now.Sub(m.At) < l.RateWindow {
			left = l.RateWindow - now.Sub(m.At)
			break
		}
	}
	return max(0, most-g.within(l, out, now)), left
}

// within is how many VMs came, or went, in the rate window.
func (g *Guards) within(l bus.Limits, out bool, now time.Time) (n int) {
	for _, m := range g.Changes {
		if age := now.Sub(m.At); m.N > 0 == out && age >= 0 && age < l.RateWindow {
			n += max(m.N, -m.N)
		}
	}
	return n
}

// changed notes that so many VMs came, or went, whatever the rule.
func (g *Guards) changed(l bus.Limits, n int, now time.Time) {
	if l.RateOut == 0 && l.RateIn == 0 {
		g.Changes = nil
		return
	}
	g.Changes = young(g.Changes, l.RateWindow, now)
	if n != 0 {
		g.Changes = append(slices.Clip(g.Changes), Mark{now, n})
	}
}

// young are the marks of a window. One of the future is from before a clock was set back.
func young(all []Mark, window time.Duration, now time.Time) []Mark {
	old := 0
	for old < len(all) && (now.Sub(all[old].At) >= window || now.Before(all[old].At)) {
		old++
	}
	if len(all)-old > marks {
		old = len(all) - marks/2
	}
	return all[old:]
}
