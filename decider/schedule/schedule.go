// Package schedule says when the scheduled actions of a group are due.
package schedule

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/vmscaler/vmscaler/bus"
)

// lookBack is how far a past moment of a cron expression is looked for: 29 February comes every eight years at the latest.
const lookBack = 8*366*24*time.Hour + 24*time.Hour

// parsed has the schedules of all actions that were asked for, as a config has few and asks for them every second.
var parsed sync.Map // bus.ScheduledAction{At, Zone} -> cron.Schedule

// Parse reads an action's moments. The error says which field is wrong.
func Parse(a bus.ScheduledAction) (cron.Schedule, error) {
	key := bus.ScheduledAction{At: a.At, Zone: a.Zone}
	if s, ok := parsed.Load(key); ok {
		return s.(cron.Schedule), nil //nolint:forcetypeassert // nothing else is stored
	}
	zone, err := time.LoadLocation(a.Zone)
	if err != nil {
		return nil, fmt.Errorf("zone: %w", err)
	}
	s, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(a.At)
	if err != nil {
		return nil, fmt.Errorf("at: %w", err)
	}
	s.(*cron.SpecSchedule).Location = zone //nolint:forcetypeassert // without descriptors such as @every there is no other
	parsed.Store(key, s)
	return s, nil
}

// Last is the newest moment of an action up to now, zero if there is none.
func Last(a bus.ScheduledAction, now time.Time) time.Time {
	s, err := Parse(a)
	if err != nil {
		return time.Time{}
	}
	for back := time.Hour; back < 2*lookBack; back *= 2 { // soon long enough, and never many times too long
		var last time.Time
		for at := s.Next(now.Add(-back)); !at.IsZero() && !at.After(now); at = s.Next(at) {
			last = at
		}
		if !last.IsZero() {
			return last
		}
	}
	return time.Time{}
}

// Moment is when an action is due, in its zone.
type Moment struct {
	Time   time.Time
	Action bus.ScheduledAction
}

// Upcoming are the next n moments of several actions after now, in their order.
func Upcoming(actions []bus.ScheduledAction, now time.Time, n int) []Moment {
	var all []Moment
	for _, a := range actions {
		s, err := Parse(a)
		if err != nil {
			continue
		}
		at := now
		for range n {
			if at = s.Next(at); at.IsZero() {
				break
			}
			all = append(all, Moment{at.In(s.(*cron.SpecSchedule).Location), a}) //nolint:forcetypeassert // see Parse
		}
	}
	slices.SortStableFunc(all, func(a, b Moment) int { return a.Time.Compare(b.Time) })
	return all[:min(n, len(all))]
}

// InForce is the min and max that hold at a time: each as its newest action says, or the group's own. Max wins where they
// contradict each other.
func InForce(g bus.Group, now time.Time) (least, most int) {
	least, most = g.Min, g.Max
	var minAt, maxAt time.Time
	for _, a := range g.Schedule {
		last := Last(a, now)
		if last.IsZero() {
			continue
		}
		if a.Min > 0 && !last.Before(minAt) {
			least, minAt = a.Min, last
		}
		if a.Max > 0 && !last.Before(maxAt) {
			most, maxAt = a.Max, last
		}
	}
	return min(least, most), most
}
