package decider

import (
	"cmp"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// sentence is why a group has the size that it has, for people.
func (v verdict) sentence(s situation) string {
	text := v.outcome.sentence(s) + v.saturation(s)
	if v.held {
		text = "holding, as " + s.incomplete + ": " + text
	}
	if v.paused {
		text = "paused, else " + text
	}
	return text
}

// saturated is the share of time that VMs wait for a host core, in percent, from which more VMs are no help.
const saturated = 30

// saturation says when a group that wants to grow is short of its host, and not of VMs.
func (r recommendation) saturation(s situation) string {
	wantsMore := r.rule == bus.RuleAboveUpper || r.rule == bus.RulePolicy && highest(r.recommendations) > r.current
	delay := s.counts.runDelay()
	if !wantsMore || delay == nil || *delay < saturated {
		return ""
	}
	return fmt.Sprintf("; the host is saturated, its VMs wait %.0f %% of the time for a core: more VMs there do not help", *delay)
}

// sentence is why, with what the limits have made of it.
func (o outcome) sentence(s situation) string {
	why := o.recommendation.sentence(s)
	if !o.limited || o.facts.crossing.guard != "" {
		return why // it says itself what holds it
	}
	if o.limitedBy == bus.GuardAtMax {
		why = fmt.Sprintf("max %d of %d wanted: %s", s.spec.Max, o.wants, why)
	}
	switch desired := s.state.Desired; {
	case o.allows > desired:
		return "scaling out: " + why
	case o.allows < desired:
		return "scaling in: " + why
	}
	if held := o.holds(s); held != "" {
		return held + ": " + why
	}
	return why
}

// holds is what a limit says that lets nothing through, "" where the rest says it.
func (o outcome) holds(s situation) string {
	desired, within, l := s.state.Desired, s.wanted(o.wants), s.spec.Policy.Limits
	switch o.limitedBy {
	case bus.GuardUnknownCPU:
		return fmt.Sprintf("holding, as the CPU of %s is unknown", plural(s.counts.unknown()))
	case bus.GuardTolerance:
		return fmt.Sprintf("%s wanted, which is within %g %% of %d", plural(within), l.TolerancePercent, desired)
	case bus.GuardStabilize:
		return fmt.Sprintf("%s was wanted less than %s ago", plural(desired), seconds(window(l, within > desired)))
	case bus.GuardProjection:
		text := fmt.Sprintf("fewer than %s would be above %g %%", plural(desired), busiest(s.spec.Policy))
		if n := s.counts; n.wanted > n.sum {
			text += fmt.Sprintf(", counting what waits for a core of the host, %.0f %%", (n.wanted-n.sum)/float64(n.readings))
		}
		return text
	case bus.GuardRate:
		return fmt.Sprintf(
			"%s changed in the last %s already",
			plural(o.limits.within(l, within > desired, s.now)),
			seconds(l.RateWindow),
		)
	case bus.GuardCooldown:
		return "cooling down " + seconds(o.wait)
	case bus.GuardAtMax, bus.GuardAtMin, bus.GuardComing, bus.GuardBreaches, bus.GuardHost, bus.GuardPaused:
	}
	return ""
}

// sentence is why a rule asks for what it asks for.
func (r recommendation) sentence(s situation) string {
	f := r.facts
	switch r.rule {
	case bus.RuleNoData, bus.RuleBlind:
		return r.missing(s)
	case bus.RuleMismatch:
		return fmt.Sprintf(
			"holding: the collector on %s reads another config of this group than the decider",
			strings.Join(f.hosts, ", "),
		)
	case bus.RuleStart:
		return r.starting(s)
	case bus.RuleBelowMin:
		return fmt.Sprintf("scaling out to min %d", s.spec.Min)
	case bus.RuleAboveMax:
		return fmt.Sprintf("scaling in to max %d", s.spec.Max)
	case bus.RuleManual:
		return "scaled to " + plural(r.wants) + " by hand"
	case bus.RuleScheduled:
		return "scaled to " + plural(r.wants) + " by the schedule"
	case bus.RuleWoken:
		return "woken by " + cmp.Or(s.state.Wake.By, "a request")
	case bus.RuleIdle:
		return "its last VM had nothing to do for " + spell(s.spec.IdleToZero) + ": " + s.idleWork()
	case bus.RuleAsleep:
		return s.asleepSentence()
	case bus.RuleRemoved, bus.RuleReturned, bus.RuleAttached, bus.RuleLaunched: // which no evaluation has: see Decider.order
	case bus.RuleNoneReady:
		if c := s.counts; c.launching+c.warming == 0 && c.standby > 0 && c.owned >= s.spec.Max {
			return fmt.Sprintf("waiting until a VM that stands by serves again, as it counts toward max %d", s.spec.Max)
		}
		if c := s.counts; c.launching+c.warming == 0 && c.suspended > 0 && c.owned >= s.spec.Max {
			return fmt.Sprintf("waiting until a suspended VM is resumed, as it counts toward max %d", s.spec.Max)
		} else if n := s.counts.launching + s.counts.pending; n > 0 {
			return fmt.Sprintf("waiting for %s to be ready", plural(n))
		} else if s.counts.warming > 0 {
			return fmt.Sprintf("waiting for %s to warm up", plural(s.counts.warming))
		}
		return "waiting: no ready VM has a CPU reading yet"
	case bus.RuleAboveUpper, bus.RuleBelowLower, bus.RuleStable:
		return f.crossing.sentence(s)
	case bus.RulePolicy:
		return reason(r.recommendations)
	}
	return ""
}

// missing is what is not heard.
func (r recommendation) missing(s situation) string {
	text := "waiting for the first sample"
	switch {
	case len(r.facts.hosts) > 0:
		text = "no fresh sample from " + strings.Join(r.facts.hosts, ", ")
	case len(s.obs.Hosts) > 0:
		return "waiting for a new sample"
	}
	if r.rule == bus.RuleBlind {
		return fmt.Sprintf("blind for %s: %s", seconds(s.now.Sub(s.state.LastData)), text)
	}
	return "holding: " + text
}

// starting is what a group begins with.
func (r recommendation) starting(s situation) string {
	text, f := "starting with "+plural(r.wants), r.facts
	switch {
	case f.joined:
		return text + ": another host has joined"
	case s.state.PreviousDesired != nil && f.before == r.wants && f.found == r.wants:
		return "going on with " + plural(r.wants)
	case f.found == r.wants:
		return text
	case f.before == r.wants:
		return fmt.Sprintf("going on with %s, as before: %d found", plural(r.wants), f.found)
	}
	return fmt.Sprintf("%s: %d found, min %d, max %d", text, f.before, s.spec.Min, s.spec.Max)
}

// sentence is what the threshold sees, and what holds it back.
func (x crossing) sentence(s situation) string {
	p, b := s.spec.Policy, x.breaches
	var beyond, bound string
	switch x.rule { //nolint:exhaustive // a crossing has these and "stable"
	case bus.RuleAboveUpper:
		beyond, bound = fmt.Sprintf("average %.0f %% > %g %%", x.average, p.UpperPercent), fmt.Sprintf("at max %d", s.spec.Max)
	case bus.RuleBelowLower:
		beyond, bound = fmt.Sprintf("average %.0f %% < %g %%", x.average, p.LowerPercent), fmt.Sprintf("idle at min %d", s.spec.Min)
		if s.spec.Min == 0 {
			bound = s.lastVM()
		}
	default:
		return fmt.Sprintf("stable: average %.0f %%", x.average)
	}
	switch x.guard { //nolint:exhaustive // a crossing has these, or none
	case bus.GuardAtMax, bus.GuardAtMin:
		return bound + ": " + beyond
	case bus.GuardUnknownCPU:
		return fmt.Sprintf("holding: %s, but the CPU of %s is unknown", beyond, plural(s.counts.unknown()))
	case bus.GuardComing:
		return fmt.Sprintf("%s, but %s will make it %.0f %%", beyond, bus.Count(s.counts.coming(), "pending VM"), x.projected)
	case bus.GuardBreaches:
		return fmt.Sprintf("%s, %d of %d samples", beyond, b.shown, b.needed)
	}
	return fmt.Sprintf("%s for %s", beyond, seconds(time.Duration(b.shown)*p.Interval))
}

// reason is why the most is wanted; of several policies with their names.
func reason(recommendations []bus.Recommendation) string {
	if len(recommendations) == 1 {
		return recommendations[0].Sentence
	}
	most := highest(recommendations)
	var parts []string
	for _, w := range recommendations {
		if w.Desired == most {
			parts = append(parts, string(w.Policy)+": "+w.Sentence)
		}
	}
	return strings.Join(parts, "; ")
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.0f s", math.Ceil(d.Seconds())) }

func plural(n int) string { return bus.Count(n, "VM") }
