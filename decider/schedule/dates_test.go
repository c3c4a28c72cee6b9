package schedule

import (
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vmscaler/vmscaler/bus"
)

func parsed(t *testing.T, a bus.ScheduledAction) *Moments {
	t.Helper()
	m, err := Parse(a)
	if err != nil {
		t.Fatalf("%+v: %v", a, err)
	}
	return m
}

// One date is due once, by the clock of its zone.
func TestOnce(t *testing.T) {
	for _, tt := range []struct{ at, zone, want string }{
		{"2026-12-24T18:00", "UTC", "2026-12-24T18:00:00Z"},
		{"2026-12-24T18:00", "Europe/Berlin", "2026-12-24T17:00:00Z"},
		{"2026-07-24T18:00", "Europe/Berlin", "2026-07-24T16:00:00Z"},
		{"2027-03-28T02:30", "Europe/Berlin", "2027-03-28T03:00:00+02:00"}, // skipped
		{"2027-10-31T02:30", "Europe/Berlin", "2027-10-31T02:30:00+02:00"}, // twice: the first time
	} {
		m, want := parsed(t, bus.ScheduledAction{At: tt.at, Zone: tt.zone}), when(t, tt.want)
		before := want.Add(-time.Nanosecond)
		if got := m.Next(before); !got.Equal(want) {
			t.Errorf("%s in %s: due %s, want %s", tt.at, tt.zone, got, want)
		}
		if got := m.Next(want); !got.IsZero() {
			t.Errorf("%s in %s: due again %s", tt.at, tt.zone, got)
		}
		if got := m.Last(before); !got.IsZero() {
			t.Errorf("%s in %s: before it, it was due %s", tt.at, tt.zone, got)
		}
		if got := m.Last(want.AddDate(9, 0, 0)); !got.Equal(want) {
			t.Errorf("%s in %s: years later it was due %s", tt.at, tt.zone, got)
		}
	}
}

// From and until are a part of what they bound, a day as a whole.
func TestFromUntil(t *testing.T) {
	for _, tt := range []struct {
		at, from, until, zone string
		first, last           string // in the zone; "": none
	}{
		{"0 8 * * *", "2026-12-01", "2026-12-24", "UTC", "2026-12-01T08:00:00Z", "2026-12-24T08:00:00Z"},
		{"0 8 * * *", "2026-12-01T08:00", "2026-12-24T08:00", "UTC", "2026-12-01T08:00:00Z", "2026-12-24T08:00:00Z"},
		{"0 8 * * *", "2026-12-01T08:01", "2026-12-24T07:59", "UTC", "2026-12-02T08:00:00Z", "2026-12-23T08:00:00Z"},
		{"0 0 * * *", "2026-12-01", "2026-12-24", "Europe/Berlin", "2026-11-30T23:00:00Z", "2026-12-23T23:00:00Z"},
		{"0 0 * * *", "2026-12-01", "", "UTC", "2026-12-01T00:00:00Z", ""},
		{"59 23 31 12 *", "", "2026-12-31", "UTC", "2000-12-31T23:59:00Z", "2026-12-31T23:59:00Z"},
		{"*/30 * * * *", "2027-10-31T02:00", "2027-10-31T03:00", "Europe/Berlin", "2027-10-31T00:00:00Z", "2027-10-31T02:00:00Z"},
	} {
		m := parsed(t, bus.ScheduledAction{At: tt.at, From: tt.from, Until: tt.until, Zone: tt.zone})
		first := when(t, tt.first)
		if got := m.Next(when(t, "2000-01-01T12:00:00Z")); !got.Equal(first) {
			t.Errorf("%+v: first due %s", tt, got)
		}
		if got := m.Last(first.Add(-time.Nanosecond)); tt.from != "" && !got.IsZero() {
			t.Errorf("%+v: due before, %s", tt, got)
		}
		if tt.last == "" {
			continue
		}
		last := when(t, tt.last)
		if got := m.Last(last.AddDate(5, 0, 0)); !got.Equal(last) {
			t.Errorf("%+v: last due %s", tt, got)
		}
		if got := m.Next(last); !got.IsZero() {
			t.Errorf("%+v: due after, %s", tt, got)
		}
	}
}

func TestDatesThatAreWrong(t *testing.T) {
	for _, tt := range []struct {
		a    bus.ScheduledAction
		want string
	}{
		{bus.ScheduledAction{At: "2026-12-24"}, "at: want a time as well, such as 2026-12-24T18:00"},
		{bus.ScheduledAction{At: "2026-12-24 18:00"}, "at: want a date and time such as 2026-12-24T18:00; the time zone is in zone"},
		{bus.ScheduledAction{At: "2026-12-24T18:00Z"}, "at: want a date and time"},
		{bus.ScheduledAction{At: "2026-02-30T18:00"}, "at: want a date and time"},
		{bus.ScheduledAction{At: "1926-12-24T18:00"}, "at: found the year 1926, want 2000 to 2200"},
		{
			bus.ScheduledAction{At: "2026-12-24T18:00", Until: "2026-12-25"},
			"at: found 2026-12-24T18:00, want a cron expression with from or until",
		},
		{bus.ScheduledAction{At: "@daily", From: "tomorrow"}, "from: want a date and time"},
		{bus.ScheduledAction{At: "@daily", Until: "24.12.2026"}, "until: want a date and time"},
		{
			bus.ScheduledAction{At: "@daily", From: "2026-12-24", Until: "2026-12-01"},
			"until: found 2026-12-01, want one after from (2026-12-24)",
		},
		{
			bus.ScheduledAction{At: "0 8 * * SUN", From: "2026-12-21", Until: "2026-12-24"},
			"at: found 0 8 * * SUN, want an expression that is due from 2026-12-21 until 2026-12-24",
		},
	} {
		tt.a.Zone = "UTC"
		if _, err := Parse(tt.a); err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%+v: %v, want %s", tt.a, err, tt.want)
		}
	}
	var wrong *FieldError
	_, err := Parse(bus.ScheduledAction{At: "@daily", Zone: "UTC", From: "2026-12-24", Until: "2026-12-01"})
	if !errors.As(err, &wrong) || wrong.Field != "until" {
		t.Errorf("%v", err)
	}
}

// What an action has set holds after its end, until another sets it; desired comes once.
func TestInForceWithDates(t *testing.T) {
	g := bus.DefaultGroup()
	g.Schedule = []bus.ScheduledAction{
		{At: "0 8 * * *", Zone: "UTC", From: "2026-12-01", Until: "2026-12-23", Min: new(3)},
		{At: "2026-12-24T18:00", Zone: "UTC", Min: new(5), Desired: new(5)},
		{At: "2026-12-27T00:00", Zone: "UTC", Min: new(1)},
	}
	table := timetable(t, g.Schedule...)
	const none = -1
	for now, want := range map[string][2]int{
		"2026-11-30T12:00:00Z": {1, none}, "2026-12-01T08:00:00Z": {3, none}, "2026-12-24T12:00:00Z": {3, none},
		"2026-12-24T18:00:00Z": {5, 5}, "2026-12-24T18:01:00Z": {5, none}, "2026-12-27T00:00:00Z": {1, none},
		"2030-01-01T00:00:00Z": {1, none},
	} {
		least, _, desired := table.InForce(g, when(t, now).Add(-time.Second), when(t, now))
		if desired == nil {
			desired = new(none)
		}
		if got := [2]int{least, *desired}; got != want {
			t.Errorf("%s: min and desired %v, want %v", now, got, want)
		}
	}
	if over := table.Over(when(t, "2026-12-25T00:00:00Z")); len(over) != 2 || over[0].Index != 0 || over[1].Index != 1 ||
		!over[0].Time.Equal(when(t, "2026-12-23T08:00:00Z")) {
		t.Errorf("over are %+v", over)
	}
	if over := table.Over(when(t, "2026-11-25T00:00:00Z")); len(over) != 0 {
		t.Errorf("over before they begin: %+v", over)
	}
	for now, want := range map[string][3]bool{
		"2026-12-24T00:00:00Z": {true, false, false}, "2026-12-25T00:00:00Z": {false, true, false},
		"2026-12-28T00:00:00Z": {false, false, true},
	} {
		if got := [3]bool{table.Holds(0, when(t, now)), table.Holds(1, when(t, now)), table.Holds(2, when(t, now))}; got != want {
			t.Errorf("%s: in force %v, want %v", now, got, want)
		}
	}
	if next := table.Upcoming(when(t, "2026-12-23T08:00:00Z"), 9); len(next) != 2 || next[0].Index != 1 || next[1].Index != 2 {
		t.Errorf("next are %+v", next)
	}
}

// An action with bounds is due exactly when one without them is, within them.
func TestBoundsOnlyTakeAway(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		day := func(label string) time.Time {
			return time.Date(2027, 3, 20, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 20).Draw(t, label))
		}
		from, until := day("from"), day("until")
		if until.Before(from) {
			from, until = until, from
		}
		zone := rapid.SampledFrom([]string{"UTC", "Europe/Berlin", "America/New_York"}).Draw(t, "zone")
		at := rapid.SampledFrom([]string{"30 2 * * *", "*/30 2-3 * * *", "@hourly", "0 0 * * *"}).Draw(t, "at")
		free, err := Parse(bus.ScheduledAction{At: at, Zone: zone})
		if err != nil {
			t.Fatal(err)
		}
		bounded, err := Parse(bus.ScheduledAction{At: at, Zone: zone, From: from.Format(dayForm), Until: until.Format(dayForm)})
		if err != nil {
			t.Fatal(err)
		}
		within := func(at time.Time) bool {
			day := at.In(free.zone).Format(dayForm)
			return day >= from.Format(dayForm) && day <= until.Format(dayForm)
		}
		begin := from.AddDate(0, 0, -2)
		var want, got []time.Time
		for at := free.Next(begin); at.Before(until.AddDate(0, 0, 3)); at = free.Next(at) {
			if within(at) {
				want = append(want, at)
			}
		}
		for at := bounded.Next(begin); !at.IsZero(); at = bounded.Next(at) {
			got = append(got, at)
		}
		if len(got) != len(want) {
			t.Fatalf("due %v, want %v", got, want)
		}
		for i := range got {
			if !got[i].Equal(want[i]) || !bounded.Last(got[i]).Equal(got[i]) {
				t.Fatalf("due %v, want %v", got, want)
			}
		}
	})
}
