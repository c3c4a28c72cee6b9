package dashboard

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// activity is what a group is doing now.
type activity struct {
	mark, label, text string
	tone              tone
}

func activityOf(g *model.Group, now time.Time) activity {
	d, decided := g.Decision()
	if !decided {
		return activity{"·", "no decision yet", "", toneDim}
	}
	age, holds := g.DecisionAge(now)
	if !holds {
		return activity{"!", "no decision for " + spell(age) + ", the last", d.Sentence, toneWarn}
	}
	in := d.Inputs
	var a activity
	switch {
	case d.Rule == bus.RuleBlind:
		a.mark, a.label, a.tone = "!", "blind", toneBadStrong
	case d.Guard == bus.GuardPaused:
		return activity{"!", "paused", strings.TrimPrefix(d.Sentence, "paused, "), toneWarnStrong}
	case !d.Known, d.Rule == bus.RuleNoneReady:
		a.mark, a.label, a.tone = "·", "waiting", toneWarn
	case d.Direction == bus.Out:
		a.mark, a.label, a.tone = "▲", "scaling out", toneWarnStrong
	case d.Direction == bus.In:
		a.mark, a.label, a.tone = "▼", "scaling in", toneInfo
	case d.Guard == bus.GuardAtMax:
		a.mark, a.label, a.tone = "!", "at max", toneBadStrong
	case d.Guard == bus.GuardCooldown:
		left := time.Duration(in.CooldownMS)*time.Millisecond - age
		seconds := max(1, int(math.Ceil(left.Seconds())))
		a.mark, a.label, a.tone = "·", fmt.Sprintf("cooling down %d s", seconds), toneInfo
	case d.Rule == bus.RuleNoData, d.Guard == bus.GuardUnknownCPU, d.Guard == bus.GuardHost:
		a.mark, a.label, a.tone = "·", "holding", toneWarn
	case d.Guard == bus.GuardComing:
		a.mark, a.label, a.tone = "▲", "busy", toneWarnStrong
	case d.Desired > in.Ready && in.Launching > 0:
		return activity{"▲", "launching " + vms(in.Launching), averageText(in), toneWarnStrong}
	case d.Desired > in.Ready && in.Warming > 0:
		return activity{"▲", "warming up " + vms(in.Warming), averageText(in), toneWarnStrong}
	case in.Owned > d.Desired:
		return activity{"▼", "removing " + vms(in.Owned-d.Desired), averageText(in), toneInfo}
	case d.Guard == bus.GuardBreaches && d.Rule == bus.RuleAboveUpper:
		a.mark, a.label, a.tone = "▲", "busy", toneWarn
	case d.Guard == bus.GuardBreaches:
		a.mark, a.label, a.tone = "▼", "idle", toneInfo
	case d.Guard == bus.GuardAtMin:
		a.mark, a.label, a.tone = "●", "idle", toneGood
	default:
		a.mark, a.label, a.tone = "●", "stable", toneGood
	}
	if d.Known {
		a.say(d.Sentence)
	} else { // what waits need not hold as well
		a.say(strings.TrimPrefix(d.Sentence, "holding: "))
	}
	return a
}

// averageText stands beside a change under way; what the decider says then is about the next one.
func averageText(in bus.Inputs) string {
	if in.AveragePercent == nil {
		return "average unknown"
	}
	return fmt.Sprintf("average %.0f %%", *in.AveragePercent)
}

func vms(n int) string { return bus.Count(n, "VM") }

// say adds the decider's sentence, which often has a lead of its own ("scaling out: average ...").
func (a *activity) say(sentence string) {
	lead, rest, found := strings.Cut(sentence, ": ")
	own, _, _ := strings.Cut(a.label, " ")
	first, _, _ := strings.Cut(lead, " ")
	switch {
	case !found && first == own:
		a.label = sentence
	case found && first == own:
		if first != "cooling" { // our own seconds go on counting between decisions
			a.label = lead
		}
		a.text = rest
	case found && first == "stable": // there is still a change under way
		a.text = rest
	default:
		a.text = sentence
	}
}
