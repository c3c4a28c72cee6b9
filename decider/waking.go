package decider

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// wake answers a request for a group to be awake. It is decided on at once, with what was seen last: the next evaluation may be
// minutes away, and somebody waits.
func (d *Decider) wake(ctx context.Context, r client.Request, g *group) error {
	now := d.cfg.Now()
	if !d.leads(ctx, g, now) {
		return d.notLed(r, g)
	}
	g.state.Wake = g.state.Wake.extended(now.Add(g.inForce.WakeFor), cmp.Or(r.Query.By, "a request"))
	switch {
	case g.decision == nil || g.decision.Term != d.term:
		d.evaluate(ctx, g, now)
	case g.state.HasSample && g.state.Desired == 0:
		var decision bus.Decision
		refresh := g.state.Refresh
		decision, g.state = Decide(g.inForce, g.state, g.seen, now)
		d.refreshed(ctx, g, refresh)
		d.publish(g, decision, now)
		if decision.Desired > 0 {
			d.log.Info().Str("group", g.spec.Name).Str("decision_id", g.decision.ID).Int("desired", decision.Desired).
				Str("reason", decision.Sentence).Msg("woken")
		}
	}
	d.rememberNow(ctx, g, now)
	return r.Answer(awakening(*g.decision, g.state.Wake, now))
}

// pausedOut is that a person has paused what makes VMs, and how that is taken back.
func pausedOut(d bus.Decision) string {
	s := d.Controls.SaidOf(bus.ControlPaused)
	return fmt.Sprintf(
		"scaling out is paused %s, so that no VM is made: `vmscaler resume %s out`",
		bus.Attribution(s.By, s.Reason),
		d.Group,
	)
}

// awakening is what a request to wake a group does, by the decision after it.
func awakening(d bus.Decision, w Wake, now time.Time) bus.Wake {
	a := bus.Wake{
		V:       bus.Version,
		Group:   d.Group,
		State:   bus.WakeStarting,
		Desired: d.Desired,
		Ready:   d.Inputs.Ready + d.Inputs.Warming,
	}
	if d.Inputs.Min == 0 && now.Before(w.Until) {
		a.Until = new(w.Until)
	}
	switch {
	case a.Ready > 0 && d.Desired > 0:
		a.State, a.Sentence = bus.WakeReady, fmt.Sprintf("awake: %d of %s ready", a.Ready, plural(d.Desired))
	case !d.HasSample:
		a.State, a.Sentence = bus.WakeHeld, "its VMs are not known yet: "+d.Sentence
	case d.Desired == 0 && d.Controls.IsPaused(bus.ScopeOut):
		a.State, a.Sentence = bus.WakeHeld, pausedOut(d)
	case d.Desired == 0:
		a.State, a.Sentence = bus.WakeHeld, d.Sentence
	case d.Controls.Frozen(): // the actuator makes none, whatever is wanted
		a.State, a.Sentence = bus.WakeHeld, pausedOut(d)
	case d.Controls.DryRun:
		a.State, a.Sentence = bus.WakeHeld, "dry run, so no VM is made: "+d.Sentence
	default:
		a.Sentence = fmt.Sprintf("%s wanted, none serves yet: %s", plural(d.Desired), d.Sentence)
	}
	if a.Until != nil && a.State != bus.WakeHeld {
		a.Sentence += fmt.Sprintf("; one at least is kept for %s (wake_for)", spell(w.Until.Sub(now)))
	}
	a.Sentence = bus.Cut(a.Sentence)
	return a
}
