package dashboard

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// activity is what a group is doing now. Mark, label and tone come from the decision's rule, guard and figures. The
// decider's sentence is for people and may change at any time, so it is shown as rest and nothing depends on it.
type activity struct {
	mark, label string
	tone        tone
	rest        string // what is shown after the label
}

// activityOf is the activity by the newest decision.
func activityOf(g *model.Group, now time.Time) activity {
	d, decided := g.Decision()
	if !decided {
		return activity{mark: "·", label: "no decision yet", tone: toneDim}
	}
	age, holds := g.DecisionAge(now)
	if !holds {
		return activity{mark: "!", label: "no decision for " + spell(age) + ", the last", tone: toneWarn}.because(d.Sentence)
	}
	switch in := d.Inputs; {
	case d.Rule == bus.RuleBlind:
		return activity{mark: "!", label: "blind", tone: toneBadStrong}.because(d.Sentence)
	case d.Guard == bus.GuardPaused:
		return activity{mark: "!", label: "paused", tone: toneWarnStrong}.because(d.Sentence)
	case d.HasSample && d.Rule == bus.RuleAsleep && in.Owned == 0:
		return activity{mark: "·", label: "asleep", tone: toneDim}.because(d.Sentence)
	case !d.HasSample, d.Rule == bus.RuleNoneReady: // what waits need not hold as well
		return activity{mark: "·", label: "waiting", tone: toneWarn}.because(d.Sentence, "holding")
	case d.Direction == bus.Out:
		return activity{mark: "▲", label: "scaling out", tone: toneWarnStrong}.because(d.Sentence)
	case d.Direction == bus.In && d.Desired == d.Current && in.Owned > d.Desired && d.Rule == bus.RuleStable:
		return activity{mark: "▼", label: "scaling in", tone: toneInfo}.because(averageText(in))
	case d.Direction == bus.In:
		return activity{mark: "▼", label: "scaling in", tone: toneInfo}.because(d.Sentence)
	case d.Guard == bus.GuardCooldown:
		return coolingDown(d, age)
	case d.Guard != "":
		if a, holding := heldBack(d); holding {
			return a.because(d.Sentence)
		}
	}
	return underWay(d)
}

// heldBack is the activity of a group whose guard says more than the VMs that come and go.
func heldBack(d bus.Decision) (a activity, holding bool) {
	switch d.Guard {
	case bus.GuardAtMax:
		a = activity{mark: "!", label: "at max", tone: toneBadStrong}
		if d.Rule == bus.RuleAboveUpper {
			a.label = fmt.Sprintf("at max %d", d.Inputs.Max)
		}
	case bus.GuardUnknownCPU, bus.GuardHost:
		a = activity{mark: "·", label: "holding", tone: toneWarn}
	case bus.GuardComing:
		a = activity{mark: "▲", label: "busy", tone: toneWarnStrong}
	case bus.GuardPaused, bus.GuardCooldown: // which have activities of their own
	case bus.GuardAtMin, bus.GuardBreaches, bus.GuardTolerance, bus.GuardStabilize, bus.GuardProjection, bus.GuardRate:
	}
	return a, a.label != ""
}

// underWay is the activity of a group that no guard holds: pending VMs, or else how near the next change is.
func underWay(d bus.Decision) activity {
	in := d.Inputs
	var a activity
	switch {
	case d.Rule == bus.RuleNoData:
		a = activity{mark: "·", label: "holding", tone: toneWarn}
	case d.Desired > in.Ready && in.Launching > 0:
		return activity{mark: "▲", label: "launching " + vms(in.Launching), tone: toneWarnStrong}.because(averageText(in))
	case d.Desired > in.Ready && in.Warming > 0:
		return activity{mark: "▲", label: "warming up " + vms(in.Warming), tone: toneWarnStrong}.because(averageText(in))
	case in.Leaving > 0:
		return activity{mark: "▼", label: "removing " + vms(in.Leaving), tone: toneInfo}.because(averageText(in))
	case d.Guard == bus.GuardBreaches && d.Rule == bus.RuleAboveUpper:
		a = activity{mark: "▲", label: "busy", tone: toneWarn}
	case d.Guard == bus.GuardBreaches:
		a = activity{mark: "▼", label: "idle", tone: toneInfo}
	case d.Guard == bus.GuardAtMin && d.Rule == bus.RuleBelowLower && in.Min == 0:
		a = activity{mark: "●", label: "idle with its last VM", tone: toneGood}
	case d.Guard == bus.GuardAtMin && d.Rule == bus.RuleBelowLower:
		a = activity{mark: "●", label: fmt.Sprintf("idle at min %d", in.Min), tone: toneGood}
	case d.Guard == bus.GuardAtMin:
		a = activity{mark: "●", label: "idle", tone: toneGood}
	default:
		a = activity{mark: "●", label: "stable", tone: toneGood}
	}
	return a.because(d.Sentence)
}

// coolingDown counts the seconds on between decisions.
func coolingDown(d bus.Decision, age time.Duration) activity {
	cooldown := time.Duration(d.Inputs.CooldownMS) * time.Millisecond
	text := func(left time.Duration) string {
		return fmt.Sprintf("cooling down %d s", max(1, int(math.Ceil(left.Seconds()))))
	}
	return activity{mark: "·", label: text(cooldown - age), tone: toneInfo}.because(d.Sentence, text(cooldown))
}

// because adds a sentence to the label. Words that it begins with and that need not be said again are left out: those of
// the label, and before them others that the label stands for.
func (a activity) because(sentence string, others ...string) activity {
	for _, words := range others {
		if rest, repeats := after(sentence, words); repeats {
			sentence = strings.TrimPrefix(rest, ": ")
		}
	}
	switch rest, repeats := after(sentence, a.label); {
	case repeats:
		a.rest = rest
	case sentence != "":
		a.rest = ": " + sentence
	}
	return a
}

// after is what of a sentence stands after the words that it begins with.
func after(sentence, words string) (rest string, begins bool) {
	rest, begins = strings.CutPrefix(sentence, words)
	switch {
	case !begins:
		return "", false
	case rest == "", strings.HasPrefix(rest, " "), strings.HasPrefix(rest, ": "):
		return rest, true
	case strings.HasPrefix(rest, ", "):
		return ": " + rest[2:], true
	default: // in the middle of a word
		return "", false
	}
}

// averageText stands beside a change under way; what the decider says then is about the next one.
func averageText(in bus.Inputs) string {
	if in.AveragePercent == nil {
		return "average unknown"
	}
	return fmt.Sprintf("average %.0f %%", *in.AveragePercent)
}

func vms(n int) string { return bus.Count(n, "VM") }
