package decider

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/schedule"
)

// rescheduled are the actions that a person has added to a group's schedule after a request at a time: all of it, or an error
// that names the action and what is wrong with it.
func rescheduled(group string, was map[string]bus.AddedAction, q bus.Query, now time.Time) (map[string]bus.AddedAction, error) {
	o := q.Schedule
	if o == nil || len(o.Put) == 0 && len(o.Remove) == 0 {
		return was, bus.Refuse(bus.RefusedMalformed, "schedule: found nothing to put or remove, want one or more")
	}
	is := maps.Clone(was)
	if is == nil {
		is = map[string]bus.AddedAction{}
	}
	for _, name := range o.Remove {
		if _, there := is[name]; !there {
			names := slices.Sorted(maps.Keys(was))
			there := "none is"
			if len(names) > 0 {
				there = "added are: " + bus.List(names)
			}
			return was, bus.Refuse(bus.RefusedUnknown,
				"no action %q was added to the schedule of group %s; %s; those of the config are changed there",
				name, group, there)
		}
		delete(is, name)
	}
	for _, name := range slices.Sorted(maps.Keys(o.Put)) {
		if err := bus.CheckActionName(name); err != nil {
			return was, bus.Refuse(bus.RefusedMalformed, "%s", err)
		}
		a, err := schedule.Added(o.Put[name], now)
		if err != nil {
			return was, bus.Refuse(bus.RefusedMalformed, "action %s: %s", name, err)
		}
		is[name] = bus.AddedAction{Action: a, Said: bus.Saying{By: q.By, Reason: q.Reason, Since: now.UTC()}}
	}
	if len(is) > bus.MaxAdded {
		return was, fmt.Errorf("group %s would have %d added actions, want at most %d", group, len(is), bus.MaxAdded)
	}
	if len(is) == 0 {
		return nil, nil //nolint:nilnil // none is added
	}
	return is, nil
}

// withoutEffect is an error for actions that are added to a group's schedule, where the most that its max ever is would be all
// that they do. controls are those with them.
func withoutEffect(spec bus.Group, controls bus.Controls, o *bus.ScheduleOrder) error {
	if o == nil {
		return nil
	}
	most := spec.Ceiling(controls)
	for _, name := range slices.Sorted(maps.Keys(o.Put)) {
		beyond := schedule.Beyond(o.Put[name], most)
		for _, field := range slices.Sorted(maps.Keys(beyond)) {
			return fmt.Errorf("action %s: %s: %s; %s", name, field, beyond[field], schedule.WantUpToMost)
		}
	}
	return nil
}
