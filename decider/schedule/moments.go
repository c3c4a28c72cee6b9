package schedule

import (
	"time"

	"github.com/netresearch/go-cron"
)

// Moments are the times at which an action is due.
//
// The library only matches what a clock on the wall shows, written as a time in UTC. Which moments those are where
// daylight saving skips or repeats some of it is decided here, as Vixie's cron does: times of the day that are skipped
// are due at once, when the clock is set forward, and those that come twice are due the first time. An expression
// whose minute or hour begins with '*' repeats within the day; it goes by what the clock shows, each time it shows it.
type Moments struct {
	wall  *cron.SpecSchedule
	zone  *time.Location
	often bool      // its minute or hour begins with '*'
	once  time.Time // in place of wall: the one time on the wall
	// from and until bound what comes again; zero does not. Both are moments on which it may be due.
	from, until time.Time
}

// ends reports whether the moments have an end.
func (m *Moments) ends() bool { return !m.once.IsZero() || !m.until.IsZero() }

// Next is the first moment after a time; zero if there is none.
func (m *Moments) Next(after time.Time) time.Time {
	at, _ := m.next(after)
	return at
}

// next is also what the clock would show then, if that is skipped; else zero.
func (m *Moments) next(after time.Time) (at, skipped time.Time) {
	if !m.once.IsZero() {
		at, isSkipped := m.first(m.once)
		switch {
		case !at.After(after):
			return time.Time{}, time.Time{}
		case isSkipped:
			return at, m.once
		}
		return at, time.Time{}
	}
	if !m.from.IsZero() && after.Before(m.from) {
		after = m.from.Add(-time.Nanosecond)
	}
	at, skipped = m.again(after)
	if !m.until.IsZero() && at.After(m.until) {
		return time.Time{}, time.Time{}
	}
	return at, skipped
}

// again is next without bounds.
func (m *Moments) again(after time.Time) (at, skipped time.Time) {
	after = after.In(m.zone)
	from := shown(after)
	for {
		w := m.wall.Next(from)
		if w.IsZero() {
			return time.Time{}, time.Time{}
		}
		if !m.often {
			at, isSkipped := m.first(w)
			switch {
			case at.After(after) && isSkipped:
				return at, w
			case at.After(after):
				return at, time.Time{}
			}
			from = w // the clock shows it for the second time
			continue
		}
		_, end := after.ZoneBounds()
		if at := after.Add(w.Sub(shown(after))); end.IsZero() || at.Before(end) {
			return at, time.Time{}
		}
		after = end // the clock goes on from another time there
		from = shown(end).Add(-time.Nanosecond)
	}
}

// Last is the newest moment up to now; zero if there is none.
func (m *Moments) Last(now time.Time) time.Time {
	if !m.once.IsZero() {
		if at, _ := m.first(m.once); !at.After(now) {
			return at
		}
		return time.Time{}
	}
	if !m.until.IsZero() && now.After(m.until) {
		now = m.until
	}
	last := m.before(now)
	if !m.from.IsZero() && last.Before(m.from) {
		return time.Time{}
	}
	return last
}

// before is Last without bounds.
func (m *Moments) before(now time.Time) time.Time {
	now = now.In(m.zone)
	if !m.often {
		to := shown(now)
		if start, _ := now.ZoneBounds(); !start.IsZero() {
			if before := ends(start); before.After(to) {
				to = before.Add(-time.Nanosecond) // all that comes a second time was due the first time
			}
		}
		w := m.prev(to)
		if w.IsZero() {
			return time.Time{}
		}
		at, _ := m.first(w)
		return at
	}
	for at := now; ; {
		w := m.prev(shown(at))
		if w.IsZero() {
			return time.Time{}
		}
		start, _ := at.ZoneBounds()
		if last := at.Add(w.Sub(shown(at))); start.IsZero() || !last.Before(start) {
			return last
		}
		at = start.Add(-time.Nanosecond).In(m.zone)
	}
}

// prev is the last time on the wall up to and with w.
func (m *Moments) prev(w time.Time) time.Time {
	return m.wall.Prev(w.Truncate(time.Second).Add(time.Second))
}

// first is when the clock shows a time first, or, where it never does, when it is set forward over it.
func (m *Moments) first(w time.Time) (at time.Time, skipped bool) {
	near := time.Date(w.Year(), w.Month(), w.Day(), w.Hour(), w.Minute(), w.Second(), 0, m.zone)
	start, end := near.ZoneBounds()
	periods := []time.Time{near} // a moment of each in which it may be
	if !start.IsZero() {
		periods = []time.Time{start.Add(-time.Nanosecond), near}
	}
	if !end.IsZero() {
		periods = append(periods, end)
	}
	for _, period := range periods {
		from, to := period.ZoneBounds()
		at := period.Add(w.Sub(shown(period)))
		switch {
		case at.Before(from): // and not in the period before
			return from, true
		case to.IsZero() || at.Before(to):
			return at, false
		}
	}
	return near, false // after all periods: cannot be
}

// shown is what a clock on the wall shows, as a time in UTC.
func shown(t time.Time) time.Time {
	_, offset := t.Zone()
	return t.UTC().Add(time.Duration(offset) * time.Second)
}

// ends is what a clock on the wall would show at the start of a period, had the one before it gone on.
func ends(start time.Time) time.Time {
	before := start.Add(-time.Nanosecond)
	return shown(before).Add(time.Nanosecond)
}
