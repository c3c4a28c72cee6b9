// Package schedule says when the scheduled actions of a group are due.
package schedule

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Timetable is the schedule of a group, read once.
type Timetable struct {
	actions []bus.ScheduledAction
	moments []*Moments // nil of an action that cannot be read
}

// New reads the schedule of a group. The error says what is wrong with which of its actions, and the timetable has the
// others.
func New(actions []bus.ScheduledAction) (Timetable, error) {
	t := Timetable{actions: slices.Clone(actions), moments: make([]*Moments, len(actions))}
	var errs []error
	for i, a := range actions {
		m, err := Parse(a)
		if err != nil {
			errs = append(errs, fmt.Errorf("schedule[%d].%w", i, err))
		}
		t.moments[i] = m
	}
	return t, errors.Join(errs...)
}

// Is reports whether the timetable is that of a schedule.
func (t Timetable) Is(actions []bus.ScheduledAction) bool {
	return slices.EqualFunc(t.actions, actions, bus.ScheduledAction.Equal)
}

// last is the newest moment of each action up to now, in their order.
func (t Timetable) last(now time.Time) []time.Time {
	all := make([]time.Time, len(t.actions))
	for i, m := range t.moments {
		if m != nil {
			all[i] = m.Last(now)
		}
	}
	return all
}

// InForce is the min and max that hold at a time: each as its newest action says, or the group's own. Of actions at the
// same moment the last of the list counts, and max wins where min and max contradict each other. desired is what an
// action after since has set, nil if there was none.
func (t Timetable) InForce(g bus.Group, since, now time.Time) (least, most int, desired *int) {
	least, most = g.Min, g.Max
	var minAt, maxAt, desiredAt time.Time
	for i, last := range t.last(now) {
		a := t.actions[i]
		if last.IsZero() {
			continue
		}
		if a.Min != nil && !last.Before(minAt) {
			least, minAt = *a.Min, last
		}
		if a.Max != nil && !last.Before(maxAt) {
			most, maxAt = *a.Max, last
		}
		if a.Desired != nil && last.After(since) && !last.Before(desiredAt) {
			desired, desiredAt = a.Desired, last
		}
	}
	return min(least, most), most, desired
}

// Moment is when an action is due, in its zone.
type Moment struct {
	Time   time.Time
	Action bus.ScheduledAction
	Index  int // of the action in the schedule
	// Skipped is what a clock would have shown, had it not been set forward over that at Time; zero if it was not.
	Skipped time.Time
}

// Upcoming are the next n moments of all actions after now, in their order.
func (t Timetable) Upcoming(now time.Time, n int) []Moment {
	var all []Moment
	for i, m := range t.moments {
		at := now
		for range n {
			if m == nil {
				break
			}
			var skipped time.Time
			if at, skipped = m.next(at); at.IsZero() {
				break
			}
			all = append(all, Moment{Time: at.In(m.zone), Action: t.actions[i], Index: i, Skipped: skipped})
		}
	}
	slices.SortStableFunc(all, func(a, b Moment) int { return a.Time.Compare(b.Time) })
	return all[:min(n, len(all))]
}
