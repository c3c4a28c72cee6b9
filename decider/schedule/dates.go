package schedule

import (
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// The forms of dates, as a clock on the wall shows them in the action's zone.
const (
	dayForm    = "2006-01-02"
	minuteForm = "2006-01-02T15:04"
)

var looksLikeDate = regexp.MustCompile(`^\s*[0-9]{4}-`)

// wallTime reads a date, or one with a time; both as in UTC.
func wallTime(text string) (at time.Time, day bool, err error) {
	if at, err = time.Parse(minuteForm, text); err == nil {
		return at, false, inYears(at)
	}
	if at, err = time.Parse(dayForm, text); err == nil {
		return at, true, inYears(at)
	}
	return at, false, fmt.Errorf("want a date and time such as 2026-12-24T18:00; the time zone is in zone")
}

// inYears refuses years in which nobody means anything.
func inYears(at time.Time) error {
	if y := at.Year(); y < 2000 || y > 2200 {
		return fmt.Errorf("found the year %d, want 2000 to 2200", y)
	}
	return nil
}

// parseOnce reads the one date on which an action is due.
func parseOnce(text string) (*Moments, error) {
	at, day, err := wallTime(text)
	switch {
	case err != nil:
		return nil, err
	case day:
		return nil, errors.New("want a time as well, such as " + at.Format(dayForm) + "T18:00")
	}
	return &Moments{once: at}, nil
}

// FieldError is what is wrong with a field of an action; "" is the action as a whole.
type FieldError struct{ Field, Found, Want string }

func (e *FieldError) Error() string {
	text := fmt.Sprintf("found %s, want %s", e.Found, e.Want)
	if e.Field == "" {
		return text
	}
	return e.Field + ": " + text
}

// bound adds from when and until when an action that comes again is due.
func (m *Moments) bound(a bus.ScheduledAction) error {
	if a.From == "" && a.Until == "" {
		return nil
	}
	if !m.once.IsZero() {
		return &FieldError{"at", a.At, "a cron expression with from or until, or a date without them"}
	}
	if a.From != "" {
		w, _, err := wallTime(a.From)
		if err != nil {
			return fmt.Errorf("from: %w", err)
		}
		m.from, _ = m.first(w)
	}
	if a.Until != "" {
		w, day, err := wallTime(a.Until)
		if err != nil {
			return fmt.Errorf("until: %w", err)
		}
		if day { // it is a part of it
			w = w.AddDate(0, 0, 1)
		}
		if m.until, _ = m.first(w); day {
			m.until = m.until.Add(-time.Nanosecond)
		}
	}
	if a.From == "" || a.Until == "" {
		return nil
	}
	if !m.from.Before(m.until) {
		return &FieldError{"until", a.Until, fmt.Sprintf("one after from (%s)", a.From)}
	}
	if m.Next(m.from.Add(-time.Nanosecond)).IsZero() {
		return &FieldError{"at", a.At, fmt.Sprintf("an expression that is due from %s until %s", a.From, a.Until)}
	}
	return nil
}

// CheckDate reports what is wrong with the bound of an action.
func CheckDate(text string) error {
	if text == "" {
		return nil
	}
	_, _, err := wallTime(text)
	return err
}

// Over are the actions that are not due any more after now, each with when it was last.
func (t Timetable) Over(now time.Time) (over []Moment) {
	for i, m := range t.moments {
		if m == nil || !m.ends() || !m.Next(now).IsZero() {
			continue
		}
		if last := m.Last(now); !last.IsZero() {
			over = append(over, Moment{Time: last.In(m.zone), Action: t.actions[i], Index: i})
		}
	}
	return over
}

// Holds reports whether an action's min or max is in force at a time: no other has set it since.
func (t Timetable) Holds(index int, now time.Time) bool {
	last, a := t.last(now), t.actions[index]
	latest := func(sets func(bus.ScheduledAction) *int) bool {
		for i, at := range last {
			newer := at.After(last[index]) || at.Equal(last[index]) && i > index
			if sets(t.actions[i]) != nil && newer {
				return false
			}
		}
		return sets(a) != nil && !last[index].IsZero()
	}
	return latest(func(a bus.ScheduledAction) *int { return a.Min }) || latest(func(a bus.ScheduledAction) *int { return a.Max })
}
