package decider

import (
	"context"
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/decider/policy"
)

const (
	forecastHours  = 24  // where nothing is said
	forecastPoints = 288 // at most, so that the answer stays small
)

// Forecast is what a group's policy predictive, or one that is its shadow, expects over so many hours; 0 is a day. It changes
// nothing of what the policy remembers.
func Forecast(spec bus.Group, st State, hours int, now time.Time) (bus.Forecast, error) {
	if hours == 0 {
		hours = forecastHours
	}
	if hours < 0 || hours > bus.MaxForecastHours {
		return bus.Forecast{}, bus.Refuse(bus.RefusedMalformed, "hours: found %d, want 1 to %d", hours, bus.MaxForecastHours)
	}
	p, shadow := st.predictive(spec), false
	if !spec.Policy.Has(bus.PolicyPredictive) {
		shadow = true
		if _, is := st.Shadows[bus.PolicyPredictive]; !is {
			return bus.Forecast{}, bus.Refuse(bus.RefusedState,
				"group %s has no policy that forecasts: `policy.type: predictive` does, or, changing nothing, policy.shadow",
				spec.Name)
		}
	}
	f := bus.Forecast{V: bus.Version, Group: spec.Name, Time: now.UTC(), Shadow: shadow, Points: []bus.Outlook{}}
	over := time.Duration(hours) * time.Hour
	step := max(5*time.Minute, (over / forecastPoints).Round(time.Minute))
	curve, period := p.Curve(st.BootTimes.Mean, over, step)
	if len(curve) == 0 {
		f.Sentence = "it has had no reading yet: a VM must serve, and its CPU be known"
		return f, nil
	}
	f.Time, f.PeriodMS = p.Seen.UTC(), period.Milliseconds()
	spec, _, _ = onSchedule(spec, State{Controls: st.Controls}, now)
	for _, e := range curve {
		f.Points = append(f.Points, bus.Outlook{
			Time: f.Time.Add(e.In), Load: e.Load, Margin: e.Margin, Desired: min(max(e.VMs(), spec.Min), spec.Max),
		})
	}
	f.Sentence = fmt.Sprintf("the load has a period of %s", period)
	if period == 0 {
		f.Sentence = fmt.Sprintf("no period of the load is known, of %s that it looks at: nothing is expected beyond the time "+
			"that a VM takes to boot", time.Duration(len(p.Season.Peaks))*time.Minute)
	}
	if old := now.Sub(p.Seen); old > time.Minute {
		f.Sentence += fmt.Sprintf("; its newest reading is %s old", seconds(old))
	}
	return f, nil
}

// predictive is what the group's policy predictive remembers, or one that is its shadow; nil: it has neither, or that has had no
// reading yet.
func (st State) predictive(spec bus.Group) *policy.Predictive {
	states := st.Policy
	if !spec.Policy.Has(bus.PolicyPredictive) {
		states = st.Shadows[bus.PolicyPredictive].Policy
	}
	state := states[bus.PolicyPredictive]
	if state == nil {
		return nil
	}
	return state.Predictive
}

// forecast answers a request for what a group's policy expects. Only the decider that leads has a policy that learns.
func (d *Decider) forecast(ctx context.Context, r client.Request, g *group) error {
	now := d.cfg.Now()
	if !d.leads(ctx, g, now) {
		return d.notLed(r, g)
	}
	f, err := Forecast(g.inForce, g.state, r.Query.Hours, now)
	if err != nil {
		return r.Refuse("%s", err)
	}
	return r.Answer(&f)
}
