package bus

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// MaxAdded is how many scheduled actions a person may add to those of a group's config.
const MaxAdded = 32

// AddedAction is a scheduled action that a person has added to those of a group's config.
type AddedAction struct {
	Action ScheduledAction `json:"action"`
	Said   Saying          `json:"said"` // who has added it, why and when
}

// Equal reports whether two actions say the same, whoever has added them.
func (a AddedAction) Equal(b AddedAction) bool { return a.Action.Equal(b.Action) }

// ScheduleOrder is what a request changes of the actions that were added to a group's schedule: all of it, or nothing.
type ScheduleOrder struct {
	Put    map[string]ScheduledAction `json:"put,omitempty"`    // by name; one of the same name is replaced
	Remove []string                   `json:"remove,omitempty"` // their names
}

var actionName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$`)

// CheckActionName reports what is wrong with the name of an action that is added.
func CheckActionName(name string) error {
	if !actionName.MatchString(name) {
		return fmt.Errorf(
			"name of an action: found %q, want a letter or digit, then up to 39 of letters, digits, '.', '_' and '-'",
			Clip(name, 80),
		)
	}
	return nil
}

// AddedNames are the names of the actions that were added, in the order in which they come after those of the config.
func (c Controls) AddedNames() []string { return slices.Sorted(maps.Keys(c.Schedule)) }

// Over is a schedule with the actions that were added to it.
func (c Controls) Over(config []ScheduledAction) []ScheduledAction {
	if len(c.Schedule) == 0 {
		return config
	}
	all := slices.Clone(config)
	for _, name := range c.AddedNames() {
		all = append(all, c.Schedule[name].Action)
	}
	return all
}

// String is what an action sets and when, such as "min 3 at 0 8 * * * (UTC), until 2026-12-24".
func (a ScheduledAction) String() string {
	text := a.Sets() + " at " + a.At + " (" + a.Zone + ")"
	if a.From != "" {
		text += ", from " + a.From
	}
	if a.Until != "" {
		text += ", until " + a.Until
	}
	return text
}

// Sets is what an action sets, such as "min 3, max 8".
func (a ScheduledAction) Sets() string {
	var parts []string
	for _, f := range []struct {
		name string
		n    *int
	}{{"min", a.Min}, {"max", a.Max}, {"desired", a.Desired}} {
		if f.n != nil {
			parts = append(parts, fmt.Sprintf("%s %d", f.name, *f.n))
		}
	}
	return strings.Join(parts, ", ")
}

func (a ScheduledAction) bounds(b *bounds) {
	b.name("at", a.At, MaxName)
	b.name("zone", a.Zone, MaxName)
	b.name("from", a.From, maxWord)
	b.name("until", a.Until, maxWord)
	b.knownCount("min", a.Min)
	b.knownCount("max", a.Max)
	b.knownCount("desired", a.Desired)
}

func (b *bounds) knownCount(field string, n *int) { b.knownInt(field, n, maxDesired) }

func (b *bounds) added(all map[string]AddedAction) {
	b.count("schedule", len(all), MaxAdded)
	for name, a := range all {
		b.name("schedule", name, maxWord)
		a.Action.bounds(b)
		b.name("schedule.by", a.Said.By, maxHostName)
		b.reason(a.Said.Reason)
	}
}

func (b *bounds) scheduleOrder(o *ScheduleOrder) {
	if o == nil {
		return
	}
	b.count("schedule.put", len(o.Put), MaxAdded)
	b.count("schedule.remove", len(o.Remove), maxWord)
	for name, a := range o.Put {
		b.name("schedule.put", name, maxWord)
		a.bounds(b)
	}
	for _, name := range o.Remove {
		b.name("schedule.remove", name, maxWord)
	}
}
