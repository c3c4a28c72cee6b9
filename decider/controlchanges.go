package decider

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vmscaler/vmscaler/bus"
)

// tell publishes what a request has changed, for the record.
func (d *Decider) tell(g *group, c bus.Controls, sentence string) {
	event := bus.Event{
		V: bus.Version, Group: g.spec.Name, Event: bus.EventControl, Sentence: sentence, Time: d.cfg.Now().UTC(),
		By: c.By, Reason: c.Reason,
	}
	if err := d.conn.Publish(&event); err != nil {
		d.log.Debug().Err(err).Msg("event lost")
	}
	d.log.Info().Str("group", g.spec.Name).Msg(event.Sentence)
}

// changes is what a request changes of a group, with who asks for it and why.
func (d *Decider) changes(g *group, is bus.Controls) string {
	var desired *int
	if g.state.HasSample {
		desired = &g.state.Desired
	}
	parts := controlChanges(g.state.Controls, is, desired, func(path string) string { return d.cfg.Value(g.spec, path) })
	return bus.Cut(strings.Join(append(parts, bus.Attribution(is.By, is.Reason)), "; "))
}

// controlChanges is what differs between two controls of a group, each from what to what. desired is how many VMs it wants
// before, nil where that is not known, and file what a field is in the file; "" has no short form.
func controlChanges(was, is bus.Controls, desired *int, file func(path string) string) (parts []string) {
	if scopes := scopesBeyond(is, was); scopes != "" {
		parts = append(parts, "paused: "+scopes)
	}
	if scopes := scopesBeyond(was, is); scopes != "" {
		parts = append(parts, "resumed: "+scopes)
	}
	switch {
	case was.Desired != nil && is.Desired == nil:
		parts = append(parts, "released to its policy, from "+plural(*was.Desired)+" by hand")
	case is.Desired == nil, was.Desired != nil && *was.Desired == *is.Desired:
	case desired == nil:
		parts = append(parts, "scaled to "+plural(*is.Desired)+" by hand")
	default:
		parts = append(parts, fmt.Sprintf("scaled from %d to %s by hand", *desired, plural(*is.Desired)))
	}
	parts = append(parts, setChanges(was.Set, is.Set, file)...)
	parts = append(parts, scheduleChanges(was.Schedule, is.Schedule)...)
	switch {
	case is.DryRun && !was.DryRun:
		parts = append(parts, "dry run begun")
	case was.DryRun && !is.DryRun:
		parts = append(parts, "dry run ended")
	}
	return parts
}

// setChanges are the fields that are set or reset, each from what to what.
func setChanges(was, is map[string]string, file func(path string) string) (parts []string) {
	for _, key := range keysOf(was, is) {
		before, wasSet := was[key]
		after, isSet := is[key]
		did := "set "
		switch {
		case wasSet && isSet && before == after:
			continue
		case !isSet:
			did, after = "reset ", file(key)
		case !wasSet:
			before = file(key)
		}
		if did += key; before != "" {
			did += " from " + before
		}
		if after != "" {
			did += " to " + after
		}
		parts = append(parts, did)
	}
	return parts
}

// scheduleChanges are the actions that are added to the schedule, changed or removed.
func scheduleChanges(was, is map[string]bus.AddedAction) (parts []string) {
	for _, name := range keysOf(was, is) {
		before, wasThere := was[name]
		after, isThere := is[name]
		switch {
		case !isThere:
			parts = append(parts, fmt.Sprintf("removed from the schedule: %s, %s", name, before.Action))
		case !wasThere:
			parts = append(parts, fmt.Sprintf("added to the schedule: %s, %s", name, after.Action))
		case !before.Equal(after):
			parts = append(parts, fmt.Sprintf("changed in the schedule: %s, from %s to %s", name, before.Action, after.Action))
		}
	}
	return parts
}

// scopesBeyond are the scopes that are paused in one and not in the other.
func scopesBeyond(c, other bus.Controls) string {
	var scopes []string
	for _, s := range c.Paused {
		if !other.IsPaused(s) {
			scopes = append(scopes, string(s))
		}
	}
	return strings.Join(scopes, ", ")
}

// keysOf are the keys of two maps, in order.
func keysOf[V any](a, b map[string]V) []string {
	all := map[string]bool{}
	for key := range a {
		all[key] = true
	}
	for key := range b {
		all[key] = true
	}
	return slices.Sorted(maps.Keys(all))
}
