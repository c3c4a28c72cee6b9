package decider

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// controlled is what a group's controls are after a request at a time. The error says what is wrong with the request.
func controlled(spec bus.Group, was bus.Controls, verb string, q bus.Query, at time.Time) (bus.Controls, error) {
	for _, s := range q.Scopes {
		if !slices.Contains(bus.Scopes(), s) {
			return was, bus.Refuse(bus.RefusedMalformed, "scopes: found %q, want one of %q", s, bus.Scopes())
		}
	}
	scopes := q.Scopes
	if len(scopes) == 0 {
		scopes = bus.Scopes()
	}
	now := was
	now.Set = maps.Clone(was.Set)
	now.Paused = []bus.Scope{}
	for _, s := range bus.Scopes() {
		paused := was.IsPaused(s)
		if slices.Contains(scopes, s) {
			switch verb {
			case bus.VerbPause:
				paused = true
			case bus.VerbResume:
				paused = false
			}
		}
		if paused {
			now.Paused = append(now.Paused, s)
		}
	}
	switch verb {
	case bus.VerbDryRun:
		now.DryRun = q.On
	case bus.VerbScale:
		if n := q.Desired; n != nil && (*n < spec.Min || *n > spec.Max) {
			return was, fmt.Errorf("desired: found %d, want %d to %d, the min and max of group %s", *n, spec.Min, spec.Max, spec.Name)
		}
		now.Desired = q.Desired
	case bus.VerbSet:
		if len(q.Set) == 0 {
			return was, bus.Refuse(bus.RefusedMalformed, "set: found no field, want one or more")
		}
		if now.Set == nil {
			now.Set = map[string]string{}
		}
		maps.Copy(now.Set, q.Set)
	case bus.VerbReset:
		for _, key := range q.Keys {
			if _, set := was.Set[key]; !set {
				there := "nothing of it is set"
				if len(was.Set) > 0 {
					there = "set are " + strings.Join(slices.Sorted(maps.Keys(was.Set)), ", ")
				}
				return was, fmt.Errorf("%s of group %s is as in the file already; %s", key, spec.Name, there)
			}
			delete(now.Set, key)
		}
		if len(q.Keys) == 0 {
			now.Set = nil
		}
	case bus.VerbSchedule:
		added, err := rescheduled(spec.Name, was.Schedule, q, at)
		if err != nil {
			return was, err
		}
		now.Schedule = added
	}
	return now, nil
}

// sameControls reports whether two have the same effect, whoever has said so.
func sameControls(a, b bus.Controls) bool {
	return slices.Equal(a.Paused, b.Paused) && a.DryRun == b.DryRun && maps.Equal(a.Set, b.Set) &&
		maps.EqualFunc(a.Schedule, b.Schedule, bus.AddedAction.Equal) &&
		(a.Desired == nil) == (b.Desired == nil) && (a.Desired == nil || *a.Desired == *b.Desired)
}

// said is who said each of what holds: of what a request has changed the one who asks, of the rest whoever did before.
func said(was, is bus.Controls, by bus.Saying) map[bus.Control]bus.Saying {
	all := map[bus.Control]bus.Saying{}
	for _, kind := range []struct {
		control        bus.Control
		holds, changed bool
	}{
		{bus.ControlPaused, len(is.Paused) > 0, !slices.Equal(was.Paused, is.Paused)},
		{bus.ControlDesired, is.Desired != nil, was.Desired == nil || is.Desired != nil && *was.Desired != *is.Desired},
		{bus.ControlSet, len(is.Set) > 0, !maps.Equal(was.Set, is.Set)},
		{bus.ControlDryRun, is.DryRun, !was.DryRun},
	} {
		switch {
		case !kind.holds:
		case kind.changed:
			all[kind.control] = by
		default:
			all[kind.control] = was.SaidOf(kind.control)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// scheduleAt is since when the schedule is paused, nil where it is not.
func scheduleAt(was, is bus.Controls, now time.Time) *time.Time {
	switch {
	case !is.IsPaused(bus.ScopeSchedule):
		return nil
	case was.IsPaused(bus.ScopeSchedule) && was.ScheduleAt != nil:
		return was.ScheduleAt
	}
	return &now
}

// control changes a group's controls, keeps them, and says so.
func (d *Decider) control(ctx context.Context, r client.Request, g *group) error {
	now := d.cfg.Now()
	if !d.leads(ctx, g, now) {
		return d.notLed(r, g)
	}
	inForce, _, _ := onSchedule(g.inForce, State{Controls: g.state.Controls}, now)
	controls, err := controlled(inForce, g.state.Controls, r.Verb, r.Query, now)
	if err == nil {
		err = withoutEffect(g.spec, controls, r.Query.Schedule)
	}
	if err != nil {
		return r.Refuse("%s", err)
	}
	if sameControls(controls, g.state.Controls) { // as with a resume where nothing is paused: nobody has changed anything
		return r.Answer(shown(g.spec, g.state.Controls))
	}
	spec, err := d.cfg.Override(g.spec, controls.Set)
	if err != nil {
		return r.Refuse("%s", bus.Refuse(bus.RefusedMalformed, "%s", err))
	}
	since := now.UTC()
	controls.By, controls.Reason, controls.Since = r.Query.By, r.Query.Reason, &since
	controls.Said = said(g.state.Controls, controls, bus.Saying{By: controls.By, Reason: controls.Reason, Since: since})
	controls.ScheduleAt = scheduleAt(g.state.Controls, controls, since)
	saving, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	err = d.conn.Save(saving, controlsKey(g), controls)
	if err != nil && !errors.Is(err, client.ErrNoStore) {
		return r.Refuse("%s", notKept(err))
	}
	sentence := d.changes(g, controls)
	g.state.Controls = controls
	g.state.Wake = g.state.Wake.shortened(g.inForce.WakeFor, spec.WakeFor)
	g.use(spec)
	if g.decision == nil || g.decision.Term != d.term {
		d.evaluate(ctx, g, now)
	} else { // at once, as the next evaluation may be an hour away
		again := *g.decision
		again.Direction, again.Current = bus.Hold, again.Desired
		again.Controls = shown(g.spec, controls)
		d.publish(g, again, now)
	}
	d.tell(g, controls, sentence)
	return r.Answer(g.decision.Controls)
}

func notKept(err error) error {
	return bus.Refuse(bus.RefusedFailed, "it could not be kept, so nothing is changed: %s", err)
}
