package schedule

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"pgregory.net/rapid"

	"github.com/vmscaler/vmscaler/bus"
)

// drawn is an expression with what it means; an empty list is a star.
type drawn struct {
	text                          string
	minute, hour, dom, month, dow []int
}

func draw(t *rapid.T) drawn {
	var d drawn
	var words []string
	for _, f := range []struct {
		list      *[]int
		low, high int
	}{{&d.minute, 0, 59}, {&d.hour, 0, 23}, {&d.dom, 1, 28}, {&d.month, 1, 12}, {&d.dow, 0, 6}} {
		if rapid.IntRange(0, 2).Draw(t, "star") == 0 {
			words = append(words, "*")
			continue
		}
		*f.list = rapid.SliceOfN(rapid.IntRange(f.low, f.high), 1, 4).Draw(t, "list")
		var list []string
		for _, n := range *f.list {
			list = append(list, fmt.Sprint(n))
		}
		words = append(words, strings.Join(list, ","))
	}
	d.text = strings.Join(words, " ")
	return d
}

func (d drawn) matches(wall time.Time) bool {
	in := func(list []int, n int) bool { return len(list) == 0 || slices.Contains(list, n) }
	day := in(d.dom, wall.Day()) && in(d.dow, int(wall.Weekday()))
	if len(d.dom) > 0 && len(d.dow) > 0 {
		day = in(d.dom, wall.Day()) || in(d.dow, int(wall.Weekday()))
	}
	return in(d.minute, wall.Minute()) && in(d.hour, wall.Hour()) && in(d.month, int(wall.Month())) && day
}

// byMinute are the moments of a span, by looking at the clock each minute.
func (d drawn) byMinute(zone *time.Location, from, to time.Time) []time.Time {
	often := len(d.minute) == 0 || len(d.hour) == 0
	var due []time.Time
	var shownUpTo time.Time
	for at := from; at.Before(to); at = at.Add(time.Minute) {
		wall := shown(at.In(zone))
		first := wall
		if !often && !shownUpTo.IsZero() {
			first = shownUpTo.Add(time.Minute)
		}
		for w := first; !w.After(wall); w = w.Add(time.Minute) {
			if d.matches(w) {
				due = append(due, at)
				break
			}
		}
		if wall.After(shownUpTo) {
			shownUpTo = wall
		}
	}
	return due
}

// Moments are those that someone who looks at the clock each minute would find, and Next and Last agree about them.
func TestMomentsProperty(t *testing.T) {
	changes := map[string][]string{
		"Europe/Berlin":       {"2027-03-28T01:00:00Z", "2027-10-31T01:00:00Z"},
		"America/New_York":    {"2027-03-14T07:00:00Z", "2027-11-07T06:00:00Z"},
		"Australia/Lord_Howe": {"2027-04-03T15:00:00Z", "2027-10-02T15:30:00Z"},
		"America/Sao_Paulo":   {"2018-11-04T03:00:00Z", "2019-02-17T02:00:00Z"},
		"Pacific/Apia":        {"2011-12-30T10:00:00Z"},
		"Asia/Tokyo":          {"2027-03-28T01:00:00Z"},
	}
	var names []string
	for name := range changes {
		names = append(names, name)
	}
	slices.Sort(names)
	rapid.Check(t, func(t *rapid.T) {
		d := draw(t)
		name := rapid.SampledFrom(names).Draw(t, "zone")
		change, err := time.Parse(time.RFC3339, rapid.SampledFrom(changes[name]).Draw(t, "change"))
		if err != nil {
			t.Fatal(err)
		}
		m, err := Parse(bus.ScheduledAction{At: d.text, Zone: name})
		if err != nil {
			t.Fatalf("%s: %v", d.text, err)
		}
		from, to := change.Add(-30*time.Hour), change.Add(30*time.Hour)
		// The minutes before from are shown already.
		want := slices.DeleteFunc(d.byMinute(m.zone, from.Add(-time.Minute), to), func(at time.Time) bool { return !at.After(from) })
		var got []time.Time
		for at := m.Next(from); !at.IsZero() && at.Before(to); at = m.Next(at) {
			got = append(got, at)
		}
		if !slices.EqualFunc(got, want, time.Time.Equal) {
			t.Fatalf("%s in %s:\n%v, want\n%v", d.text, name, got, want)
		}
		span := rapid.SampledFrom([]time.Duration{time.Hour, 30 * time.Hour}).Draw(t, "span")
		at := change.Add(time.Duration(rapid.Int64Range(-int64(span), int64(span)).Draw(t, "after")))
		next := m.Next(at)
		switch last := m.Last(next); {
		case !next.After(at):
			t.Fatalf("%s in %s: Next(%s) is %s", d.text, name, at, next)
		case !last.Equal(next):
			t.Fatalf("%s in %s: Last(%s) is %s", d.text, name, next, last)
		}
		if last := m.Last(at); last.After(at) || !m.Next(last).After(at) {
			t.Fatalf("%s in %s: Last(%s) is %s, and Next of that %s", d.text, name, at, last, m.Next(last))
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, at := range []string{
		"0 8 * * MON-FRI", "@daily", "@every 1h", "TZ=Europe/Berlin", "CRON_TZ=UTC 0 8 * * *", "TZ=", "0 0 30 2 *",
		"*/5 22-2 1,15 JAN-MAR FRI-MON/2",
		", * * * *", "*-5 * * * *", "1-99999999999999999999 * * * *", "H * * * *", "0 0 L * *", "0 0 15W * *", "0 0 * * 1#2",
		"? ? ? ? ?", "@", "@daily x", "\x00", "0 0 29 2 */7",
	} {
		f.Add(at, "Europe/Berlin", int64(1806199200))
	}
	f.Fuzz(func(t *testing.T, at, zone string, second int64) {
		m, err := Parse(bus.ScheduledAction{At: at, Zone: zone})
		if err != nil {
			return
		}
		now := time.Unix(second%(1<<33), 0)
		next := m.Next(now)
		if next.IsZero() {
			return // beyond the years that are searched
		}
		if !next.After(now) {
			t.Fatalf("%q in %q: Next(%s) is %s", at, zone, now, next)
		}
		if last := m.Last(next); !last.Equal(next) {
			t.Fatalf("%q in %q: Last(%s) is %s", at, zone, next, last)
		}
	})
}
