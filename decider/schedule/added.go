package schedule

import (
	"errors"
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// maxVMs is what a group's numbers may be at most, as in the config.
const maxVMs = 1000

// Added is an action that a person adds at a time, complete: one that comes again and has no from counts from that time on, so
// that it changes nothing until it is due. The error says which field is wrong.
func Added(a bus.ScheduledAction, now time.Time) (bus.ScheduledAction, error) {
	if a.Zone == "" {
		a.Zone = "UTC"
	}
	if a.Zone == "Local" { // which is another one in each process
		return a, errors.New("zone: found Local, want a time zone by name, such as UTC or Europe/Berlin")
	}
	if a.At == "" {
		return a, errors.New(`at: found nothing, want an expression such as "0 8 * * MON-FRI", or a date such as 2026-12-24T18:00`)
	}
	if err := checkNumbers(a); err != nil {
		return a, err
	}
	m, err := Parse(a)
	if err != nil {
		return a, err
	}
	if m.once.IsZero() && a.From == "" {
		wall := now.In(m.zone)
		if wall.Second() > 0 || wall.Nanosecond() > 0 {
			wall = wall.Add(time.Minute)
		}
		a.From = wall.Format(minuteForm)
		if m, err = Parse(a); err != nil {
			return a, err
		}
	}
	if m.Next(now).IsZero() {
		return a, fmt.Errorf("at: found %s, which is not due any more, want a time to come", a.At)
	}
	return a, nil
}

func checkNumbers(a bus.ScheduledAction) error {
	for _, f := range []struct {
		name  string
		n     *int
		least int
	}{{"min", a.Min, 0}, {"max", a.Max, 1}, {"desired", a.Desired, 0}} {
		if f.n != nil && (*f.n < f.least || *f.n > maxVMs) {
			return fmt.Errorf("%s: found %d, want %d to %d", f.name, *f.n, f.least, maxVMs)
		}
	}
	switch {
	case a.Min == nil && a.Max == nil && a.Desired == nil:
		return errors.New("found an action that sets nothing, want min, max or desired")
	case a.Min != nil && a.Max != nil && *a.Min > *a.Max:
		return fmt.Errorf("min: found %d, want at most max (%d)", *a.Min, *a.Max)
	}
	return nil
}
