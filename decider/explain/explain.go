// Package explain puts a decision into words: what it was made from, what held it back, and what would have to be true for
// another one.
package explain

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider"
	"github.com/vmscaler/vmscaler/decider/policy"
)

// Explanation is a decision in words.
type Explanation struct {
	Decision *bus.Decision `json:"decision"`
	Steps    []Step        `json:"steps"`   // in the order in which they were looked at
	Result   string        `json:"result"`  // one sentence
	WhyNot   []string      `json:"why_not"` // what would have to be true for another result, and when that can be next
}

// Step is one line of the table.
type Step struct {
	What   string `json:"what"`
	Found  string `json:"found"`
	Effect string `json:"effect"`
}

// Held is the event by which an actuator has said that it holds a group back: no room on the host, or a brake on launches
// or removals. nil if there is none, if VMs were made or removed since, or if the group has what is desired.
func Held(d *bus.Decision, events []bus.Event) (held *bus.Event) {
	for _, e := range events {
		switch e.Event { //nolint:exhaustive // the others say nothing of it
		case bus.EventRefused, bus.EventBraked:
			held = &e
		case bus.EventCreating, bus.EventDraining:
			held = nil
		}
	}
	if d.Inputs.Owned == d.Desired {
		return nil
	}
	return held
}

// New explains a decision, with times in loc; held is what Held says, nil where nothing is known of it.
func New(d *bus.Decision, held *bus.Event, loc *time.Location) Explanation {
	e := Explanation{Decision: d, Result: result(d, loc), WhyNot: whyNot(d, loc)}
	e.measured(d)
	e.asked(d)
	for _, guard := range decider.Limits() {
		if text := found[guard](d); text != "" {
			effect := ""
			if d.Guard == guard {
				effect = "held it back"
			}
			e.add("guard "+string(guard), effect, "%s", text)
		}
	}
	for _, w := range d.Shadow {
		e.add("shadow "+string(w.Policy), fmt.Sprintf("would want %d", w.Desired), "%s", w.Sentence)
	}
	e.done(d, held, loc)
	e.add("result", fmt.Sprintf("desired %d", d.Desired), "%s, was %d", d.Direction, d.Current)
	return e
}

func (e *Explanation) add(what, effect, format string, args ...any) {
	e.Steps = append(e.Steps, Step{what, fmt.Sprintf(format, args...), effect})
}

// measured adds what a decision rests on.
func (e *Explanation) measured(d *bus.Decision) {
	in := d.Inputs
	warming := ""
	if in.Warming > 0 {
		warming = fmt.Sprintf(" (%d of them warm up, and do not count in the average yet)", in.Warming)
	}
	e.add("VMs", "", "%d owned: %d ready%s, %d pending", in.Owned, in.Ready+in.Warming, warming, in.Launching)
	if in.Warm+in.WarmWanted > 0 {
		e.add("warm pool", "", "%d of %d; they count in no other number of the group", in.Warm, in.WarmWanted)
	}
	switch {
	case in.AveragePercent == nil, in.Unknown == 0 && in.ProjectedPercent == nil:
		e.add("CPU", "nothing is decided on it", "unknown")
	case in.Unknown > 0:
		e.add(
			"CPU",
			"no scaling in",
			"average %.0f %% of %s, unknown of %d",
			*in.AveragePercent,
			bus.Count(in.Ready-in.Unknown, "VM"),
			in.Unknown,
		)
	default:
		e.add("CPU", "", "average %.0f %%, with the pending VMs %.0f %%", *in.AveragePercent, *in.ProjectedPercent)
	}
	for _, h := range bus.HostsByName(d.Hosts) {
		effect := map[bool]string{true: "no new VM there"}[h.State != bus.HostUp]
		if h.Replaced > 0 {
			effect = bus.Count(h.Replaced, "VM") + " replaced elsewhere"
		}
		e.add("host "+h.Host, effect, "%s: %s", h.State, h.Reason)
	}
	if d.Risk != "" {
		e.add("hosts", "", "%s", d.Risk)
	}
	if in.Protected > 0 {
		effect := ""
		if d.Direction == bus.In && in.Protected > d.Desired {
			effect = "no more are scaled in"
		}
		e.add("protection", effect, "%s protected from scaling in", are(in.Protected))
	}
	if in.RunDelayPercent != nil {
		e.add("host", "", "its VMs wait %.0f %% of the time for a core", *in.RunDelayPercent)
	}
	if in.BootMS > 0 {
		e.add("boot", "", "%.0f s from a VM's creation to the end of its boot lately", float64(in.BootMS)/1000)
	}
	if in.WarmupMS != nil && in.Warming > 0 {
		e.add("warm-up", "", "%.0f s after its boot a VM's CPU counts, or once it has come to rest", float64(*in.WarmupMS)/1000)
	}
}

// asked adds what the policies want, or what was decided without them.
func (e *Explanation) asked(d *bus.Decision) {
	in := d.Inputs
	switch {
	case len(d.Recommendations) > 0:
		for _, w := range d.Recommendations {
			e.add("policy "+string(w.Policy), fmt.Sprintf("wants %d", w.Desired), "%s", w.Sentence)
		}
	case slices.Contains([]bus.Rule{bus.RuleAboveUpper, bus.RuleBelowLower, bus.RuleStable}, d.Rule):
		wants := map[bus.Rule]int{bus.RuleAboveUpper: 1, bus.RuleBelowLower: -1}[d.Rule]
		e.add(
			"policy threshold",
			fmt.Sprintf("wants %d", d.Current+wants),
			"%s (upper %g %%, lower %g %%)",
			d.Rule,
			in.UpperPercent,
			in.LowerPercent,
		)
	default:
		e.add("rule "+string(d.Rule), fmt.Sprintf("wants %d", d.Desired), "%s", d.Sentence)
	}
}

// done adds what is done about it: what the actuator holds back, a refresh, orders for VMs.
func (e *Explanation) done(d *bus.Decision, held *bus.Event, loc *time.Location) {
	if held != nil {
		e.add("actuator "+string(held.Event), "held it back", "%s, since %s", held.Sentence, held.Time.In(loc).Format(time.DateTime))
		e.WhyNot = append(
			e.WhyNot,
			fmt.Sprintf("it has %d of %s: the rest once this ends: %s", d.Inputs.Owned, bus.Count(d.Desired, "VM"), held.Sentence),
		)
	}
	if r := d.Refresh; r.Active() || r.Unresolved(d.Machine) {
		e.add("refresh", fmt.Sprintf("%d of %d are up to date", r.Updated, r.Updated+r.Outdated), "%s since %s: %s", r.Phase,
			r.Since.In(loc).Format(time.DateTime), r.Sentence)
	}
	if b := d.Balance; b != nil {
		e.add("rebalance", string(b.State), "%s", b.Sentence)
	}
	for i, p := range d.Places {
		effect := p.Why
		if effect == "" {
			effect = fmt.Sprintf("number %d for the next VM", i+1)
		}
		inDomain := ""
		if p.Domain != "" {
			inDomain = fmt.Sprintf("; %s in %s", bus.Count(p.DomainVMs, "VM"), p.Domain)
		}
		e.add("place "+p.Host, effect, "score %.3g, %s%s", p.Score, bus.Count(p.VMs, "VM"), inDomain)
	}
	orders := slices.SortedFunc(maps.Values(d.Orders), func(a, b bus.VMOrder) int { return a.At.Compare(b.At) })
	for _, o := range orders {
		e.add("order for "+o.VM, string(o.Verb), "%s, since %s", o.Sentence(), o.At.In(loc).Format(time.DateTime))
	}
}

func result(d *bus.Decision, loc *time.Location) string {
	return fmt.Sprintf("%s, at %s: %s", d.Group, d.Time.In(loc).Format(time.DateTime), d.Sentence)
}

// found is what each guard has looked at, "" where that does not matter.
var found = map[bus.Guard]func(*bus.Decision) string{
	bus.GuardAtMax: func(d *bus.Decision) string { return fmt.Sprintf("max %d", d.Inputs.Max) },
	bus.GuardAtMin: func(d *bus.Decision) string {
		if d.Inputs.IdleMS != nil {
			return fmt.Sprintf("min %d; its last VM is idle for %s", d.Inputs.Min, milliseconds(*d.Inputs.IdleMS))
		}
		return fmt.Sprintf("min %d", d.Inputs.Min)
	},
	bus.GuardUnknownCPU: func(d *bus.Decision) string {
		if d.Inputs.Unknown == 0 {
			return ""
		}
		return bus.Count(d.Inputs.Unknown, "ready VM") + " without a CPU reading"
	},
	bus.GuardComing: func(d *bus.Decision) string {
		n := d.Inputs.Launching + d.Inputs.Warming
		if n == 0 && d.Guard != bus.GuardComing {
			return ""
		}
		return bus.Count(n, "VM") + " pending or warming up"
	},
	bus.GuardBreaches: func(d *bus.Decision) string {
		if d.Inputs.BreachesNeeded == 0 {
			return ""
		}
		return fmt.Sprintf("for %s in a row, %d needed", bus.Count(d.Inputs.Breaches, "evaluation"), d.Inputs.BreachesNeeded)
	},
	bus.GuardTolerance:  held(bus.GuardTolerance),
	bus.GuardStabilize:  held(bus.GuardStabilize),
	bus.GuardProjection: held(bus.GuardProjection),
	bus.GuardRate:       held(bus.GuardRate),
	bus.GuardCooldown: func(d *bus.Decision) string {
		if d.Inputs.CooldownMS == 0 || d.Guard == bus.GuardStabilize || d.Guard == bus.GuardRate {
			return ""
		}
		return fmt.Sprintf("%.1f s left", float64(d.Inputs.CooldownMS)/1000)
	},
	bus.GuardHost: held(bus.GuardHost),
	bus.GuardPaused: func(d *bus.Decision) string {
		if len(d.Controls.Paused) == 0 {
			return ""
		}
		return fmt.Sprintf("%s paused, %s", scopes(d.Controls.Paused), whoPaused(d.Controls))
	},
}

// scopes are what is paused, in words: "out is", "out, in and repair are".
func scopes(paused []bus.Scope) string {
	text := ""
	for i, s := range paused {
		switch {
		case i == 0:
		case i == len(paused)-1:
			text += " and "
		default:
			text += ", "
		}
		text += string(s)
	}
	if len(paused) == 1 {
		return text + " is"
	}
	return text + " are"
}

// atMin is what lets a group shrink that has its least.
func atMin(in bus.Inputs) string {
	switch {
	case in.Min > 0:
		return fmt.Sprintf("it has its least, %d: only a lower min lets it shrink", in.Min)
	case in.IdleToZeroMS == 0:
		return "its last VM stays, as idle_to_zero is never: `vmscaler scale GROUP 0`, or an action of its schedule, lets it go"
	case in.WokenUntil != nil:
		return fmt.Sprintf("its last VM goes once it had nothing to do for %s, and not before %s, as the group was woken",
			milliseconds(in.IdleToZeroMS), in.WokenUntil.UTC().Format(time.RFC3339))
	}
	return fmt.Sprintf("its last VM goes once it had nothing to do for %s (idle_to_zero)", milliseconds(in.IdleToZeroMS))
}

func milliseconds(ms int64) string {
	return (time.Duration(ms) * time.Millisecond).Round(time.Second).String()
}

// held shows a guard only where it held the group.
func held(g bus.Guard) func(*bus.Decision) string {
	return func(d *bus.Decision) string {
		if d.Guard != g {
			return ""
		}
		return d.Sentence
	}
}

// wanting is, for each policy, at what it wants more or fewer, with where that stands now.
func wanting(d *bus.Decision) (text string) {
	in := d.Inputs
	for i, r := range d.Recommendations {
		if i > 0 {
			text += ";"
		}
		text += " " + string(r.Policy) + " "
		switch policy.BoundOf(r.Policy) {
		case policy.BoundTarget:
			if in.TargetPercent > 0 {
				load := float64(in.Ready) / 100
				text += fmt.Sprintf("wants more above an average of %g %%, a load of %.1f VMs, and fewer once the load fits fewer; "+
					"now %.0f %%, %.1f VMs (%s)", in.TargetPercent, in.TargetPercent*load,
					*in.AveragePercent, *in.AveragePercent*load, r.Sentence)
				continue
			}
		case policy.BoundThresholds:
			text += fmt.Sprintf("wants more above an average of %g %%, and fewer below %g %%; now %.0f %%",
				in.UpperPercent, in.LowerPercent, *in.AveragePercent)
			continue
		case policy.BoundNone:
		}
		// Its own words have the number, and what that is held against.
		text += fmt.Sprintf("wants %d now (%s)", r.Desired, r.Sentence)
	}
	return text
}

// whoPaused is who has paused something of a group, and why.
func whoPaused(c bus.Controls) string {
	s := c.SaidOf(bus.ControlPaused)
	return bus.Attribution(s.By, s.Reason)
}

func are(n int) string {
	if n == 1 {
		return "1 VM is"
	}
	return fmt.Sprintf("%d VMs are", n)
}
