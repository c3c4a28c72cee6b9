package explain

import (
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// whyNot reports what is missing for the group to grow and to shrink.
func whyNot(d *bus.Decision, loc *time.Location) []string {
	var why []string
	if d.Direction == bus.In && d.Inputs.Protected > d.Desired {
		why = append(why, fmt.Sprintf("%s protected from scaling in, so that the group stays above %d: `vmscaler protect VM --off` "+
			"lets one go", are(d.Inputs.Protected), d.Desired))
	}
	if lines := ruleEnds(d); lines != nil {
		return append(why, lines...)
	}
	if line := guardEnds(d, loc); line != "" {
		why = append(why, line)
	}
	return append(why, wouldScale(d)...)
}

// ruleEnds is what ends a rule that leaves nothing to guards and policies; nil of another one.
func ruleEnds(d *bus.Decision) []string {
	switch d.Rule {
	case bus.RuleBlind, bus.RuleNoData:
		return []string{"it decides again with the first complete sample: " + d.Sentence}
	case bus.RuleMismatch:
		return []string{
			"it decides again once the stages named here run with the same file: the one whose file is older reads it again at SIGHUP",
		}
	case bus.RuleNoneReady:
		return []string{"it decides with the first CPU reading of a ready VM that is past the warm-up"}
	case bus.RuleAsleep:
		var why []string
		if d.Inputs.Metric != "" {
			why = append(why, fmt.Sprintf("it wakes as soon as its metric %s is above 0", d.Inputs.Metric))
		}
		return append(why, fmt.Sprintf("whoever may wakes it by `vmscaler wake %s`, or a request on %s; `vmscaler scale %s N`, "+
			"and an action of its schedule, do as well", d.Group, bus.WakeSubject(d.Group), d.Group))
	case bus.RuleIdle:
		return []string{fmt.Sprintf("it has no VM from now on; `vmscaler wake %s` calls that off", d.Group)}
	case bus.RuleManual:
		return []string{
			fmt.Sprintf("a person has said how many: `vmscaler scale %s --release` leaves it to the policy again", d.Group),
		}
	case bus.RuleStart, bus.RuleBelowMin, bus.RuleAboveMax, bus.RuleAboveUpper, bus.RuleBelowLower, bus.RuleStable,
		bus.RulePolicy, bus.RuleScheduled, bus.RuleWoken, bus.RuleRemoved, bus.RuleReturned, bus.RuleAttached, bus.RuleLaunched:
	}
	return nil
}

// guardEnds is what ends the guard that held a decision back; "" where none did.
func guardEnds(d *bus.Decision, loc *time.Location) string {
	in := d.Inputs
	switch d.Guard {
	case bus.GuardPaused:
		return fmt.Sprintf("a person has paused this: `vmscaler resume %s` ends it", d.Group)
	case bus.GuardAtMax:
		return fmt.Sprintf("it has its most, %d: only a higher max lets it grow", in.Max)
	case bus.GuardAtMin:
		return atMin(in)
	case bus.GuardHost:
		return "once the hosts named here are heard again and agree: `vmscaler health` says what is wrong; " +
			"`vmscaler host remove HOST` drops one that is gone for good"
	case bus.GuardUnknownCPU:
		return fmt.Sprintf("once the CPU of all %s is known", bus.Count(in.Ready, "ready VM"))
	case bus.GuardComing:
		return fmt.Sprintf("if the average is still above %g %% with the pending VMs (now %.0f %%)",
			in.UpperPercent, *in.ProjectedPercent)
	case bus.GuardBreaches:
		return fmt.Sprintf("after %s like this one", bus.Count(in.BreachesNeeded-in.Breaches, "more evaluation"))
	case bus.GuardTolerance:
		return fmt.Sprintf("once a policy wants a number that differs by more than the tolerance from %d", d.Current)
	case bus.GuardProjection:
		return fmt.Sprintf("once the load fits fewer VMs, or with a higher upper: now it is %.1f VMs",
			*in.AveragePercent*float64(in.Ready)/100)
	case bus.GuardStabilize, bus.GuardRate, bus.GuardCooldown:
		until := d.Time.Add(time.Duration(in.CooldownMS) * time.Millisecond)
		return "not before " + until.In(loc).Format(time.DateTime)
	}
	return ""
}

// wouldScale is at which load a group that holds would scale.
func wouldScale(d *bus.Decision) []string {
	in := d.Inputs
	switch {
	case d.Direction != bus.Hold, in.AveragePercent == nil:
	case d.Rule == bus.RuleStable, d.Rule == bus.RuleBelowLower:
		load := *in.AveragePercent * float64(in.Ready) / 100
		why := []string{fmt.Sprintf("it grows with an average above %g %%: a load of more than %.1f VMs, now %.1f",
			in.UpperPercent, in.UpperPercent*float64(in.Ready)/100, load)}
		if d.Rule == bus.RuleBelowLower {
			return why // it would shrink already
		}
		return append(why, fmt.Sprintf("it shrinks with an average below %g %%: a load of less than %.1f VMs",
			in.LowerPercent, in.LowerPercent*float64(in.Ready)/100))
	case d.Rule == bus.RulePolicy && d.Guard == "":
		return []string{
			fmt.Sprintf("it grows once one of its policies wants more than %d, and shrinks once all want fewer:%s",
				d.Desired, wanting(d)),
		}
	}
	return nil
}
