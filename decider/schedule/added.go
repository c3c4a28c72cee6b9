package schedule

import (
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// maxVMs is what a group's numbers may be at most, as in the config.
const maxVMs = 1000

// What the fields of an action may be, in a config and where a person adds one.
const (
	WantAt = "a cron expression in quotes: minute, hour, day of the month, month, day of the week, " +
		"such as \"0 8 * * MON-FRI\"; or such as @daily; or a date and time, such as 2026-12-24T18:00"
	WantSomeAt   = "a cron expression such as \"0 8 * * MON-FRI\", or a date such as 2026-12-24T18:00" // where there is none
	WantZone     = "a time zone, such as UTC or Europe/Berlin"
	WantBound    = `a date, or one with a time, such as 2026-12-24 or 2026-12-24T18:00, or "" for none`
	SetsNothing  = "an action that sets nothing" // is found
	WantToSet    = "min, max or desired"
	WantUpToMost = "use a number up to max, or raise max"
)

// IsZone reports whether a time zone is the same in each process, wherever that runs.
func IsZone(name string) bool {
	_, err := time.LoadLocation(name)
	return err == nil && name != "" && name != "Local"
}

// Beyond are the fields of an action that do nothing in a group whose max is at most a number, each with why.
func Beyond(a bus.ScheduledAction, most int) map[string]string {
	why := map[string]string{}
	for field, n := range map[string]*int{"min": a.Min, "desired": a.Desired} {
		if n != nil && *n > most {
			why[field] = fmt.Sprintf("found %d, and max is at most %d, which holds then", *n, most)
		}
	}
	return why
}

// Added is an action that a person adds at a time, complete: one that comes again and has no from counts from that time on, so
// that it changes nothing until it is due. The error says which field is wrong, in the words of the config.
func Added(a bus.ScheduledAction, now time.Time) (bus.ScheduledAction, error) {
	if a.Zone == "" {
		a.Zone = "UTC"
	}
	if wrong := checkFields(a); wrong != nil {
		return a, wrong
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

// checkFields is the first of an action's fields with which something is wrong, but for what [Parse] sees.
func checkFields(a bus.ScheduledAction) error {
	switch {
	case !IsZone(a.Zone):
		return &FieldError{"zone", legible(a.Zone), WantZone}
	case a.At == "":
		return &FieldError{"at", "nothing", WantSomeAt}
	}
	for _, f := range []struct {
		name, text, want string
		check            func(string) error
	}{{"at", a.At, WantAt, CheckAt}, {"from", a.From, WantBound, CheckDate}, {"until", a.Until, WantBound, CheckDate}} {
		if err := f.check(f.text); err != nil {
			return &FieldError{f.name, fmt.Sprintf("%s (%s)", legible(f.text), legible(err.Error())), f.want}
		}
	}
	for _, f := range []struct {
		name  string
		n     *int
		least int
	}{{"min", a.Min, 0}, {"max", a.Max, 1}, {"desired", a.Desired, 0}} {
		if f.n != nil && (*f.n < f.least || *f.n > maxVMs) {
			return &FieldError{f.name, fmt.Sprint(*f.n), fmt.Sprintf("a whole number from %d to %d", f.least, maxVMs)}
		}
	}
	switch {
	case a.Min == nil && a.Max == nil && a.Desired == nil:
		return &FieldError{"", SetsNothing, WantToSet}
	case a.Min != nil && a.Max != nil && *a.Min > *a.Max:
		return &FieldError{"min", fmt.Sprint(*a.Min), fmt.Sprintf("at most max (%d)", *a.Max)}
	}
	return nil
}

func legible(text string) string { return bus.Clip(bus.Line(text), 80) }
