package schedule

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the tests are the same on a machine without time zones

	"github.com/vmscaler/vmscaler/bus"
)

func when(t *testing.T, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func moments(t *testing.T, at, zone string) *Moments {
	t.Helper()
	m, err := Parse(bus.ScheduledAction{At: at, Zone: zone})
	if err != nil {
		t.Fatalf("%s in %s: %v", at, zone, err)
	}
	return m
}

func timetable(t *testing.T, actions ...bus.ScheduledAction) Timetable {
	t.Helper()
	table, err := New(actions)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestLast(t *testing.T) {
	for _, tt := range []struct{ at, zone, now, want string }{
		{"0 8 * * *", "UTC", "2026-05-04T08:00:00Z", "2026-05-04T08:00:00Z"},
		{"0 8 * * *", "UTC", "2026-05-04T07:59:59Z", "2026-05-03T08:00:00Z"},
		{"0 8 * * *", "UTC", "2026-05-04T08:00:00.25Z", "2026-05-04T08:00:00Z"},
		{"0 8 * * *", "Europe/Berlin", "2026-05-04T07:00:00Z", "2026-05-04T06:00:00Z"}, // summer time
		{"0 8 * * *", "Europe/Berlin", "2026-01-04T07:30:00Z", "2026-01-04T07:00:00Z"},
		{"0 8 * * MON", "UTC", "2026-05-10T12:00:00Z", "2026-05-04T08:00:00Z"},
		{"*/5 * * * *", "UTC", "2026-05-04T08:09:59Z", "2026-05-04T08:05:00Z"},
		{"0 0 29 2 *", "UTC", "2026-05-04T08:00:00Z", "2024-02-29T00:00:00Z"},
		{"30 2 * * *", "Europe/Berlin", "2027-10-31T02:15:00+01:00", "2027-10-31T02:30:00+02:00"}, // in the second of the two hours
		{"30 2 * * *", "Europe/Berlin", "2027-10-31T02:45:00+01:00", "2027-10-31T02:30:00+02:00"},
		{"30 2 * * *", "Europe/Berlin", "2027-10-31T02:15:00+02:00", "2027-10-30T02:30:00+02:00"},
		{"30 2 * * *", "Europe/Berlin", "2027-03-28T03:00:00+02:00", "2027-03-28T03:00:00+02:00"}, // skipped
		{"30 2 * * *", "Europe/Berlin", "2027-03-28T01:59:59+01:00", "2027-03-27T02:30:00+01:00"},
		{"*/30 * * * *", "Europe/Berlin", "2027-10-31T02:15:00+01:00", "2027-10-31T02:00:00+01:00"},
		{"0 0 29 2 *", "UTC", "2103-05-04T08:00:00Z", "2096-02-29T00:00:00Z"}, // 2100 has none
	} {
		if got := moments(t, tt.at, tt.zone).Last(when(t, tt.now)); !got.Equal(when(t, tt.want)) {
			t.Errorf("%s in %s at %s: %s, want %s", tt.at, tt.zone, tt.now, got, tt.want)
		}
	}
}

// What crontab(5) allows, the library's own words and what it gets wrong without help.
func TestCrontabWords(t *testing.T) {
	const from = "2026-05-06T12:00:00Z" // a Wednesday
	for at, want := range map[string]string{
		"0 8 * * 7":           "Sun 05-10 08:00, Sun 05-17 08:00",
		"0 8 * * 0":           "Sun 05-10 08:00, Sun 05-17 08:00",
		"0 8 * * SAT-SUN":     "Sat 05-09 08:00, Sun 05-10 08:00, Sat 05-16 08:00",
		"0 8 * * 6-7":         "Sat 05-09 08:00, Sun 05-10 08:00, Sat 05-16 08:00",
		"0 8 * * FRI-MON":     "Fri 05-08 08:00, Sat 05-09 08:00, Sun 05-10 08:00, Mon 05-11 08:00, Fri 05-15 08:00",
		"0 8 * * 5-1":         "Fri 05-08 08:00, Sat 05-09 08:00, Sun 05-10 08:00, Mon 05-11 08:00, Fri 05-15 08:00",
		"0 8 * * FRI-MON/2":   "Fri 05-08 08:00, Sun 05-10 08:00, Fri 05-15 08:00",
		"0 8 * * THU":         "Thu 05-07 08:00, Thu 05-14 08:00",
		"0 8 * * tHu,Sun":     "Thu 05-07 08:00, Sun 05-10 08:00",
		"0 8 * * 7,1":         "Sun 05-10 08:00, Mon 05-11 08:00",
		"0 8 1 MaR *":         "Mon 03-01 08:00, Wed 03-01 08:00",
		"0 8 1 NOV-FEB *":     "Sun 11-01 08:00, Tue 12-01 08:00, Fri 01-01 08:00, Mon 02-01 08:00, Mon 11-01 08:00",
		"0 8 13 * FRI":        "Fri 05-08 08:00, Wed 05-13 08:00, Fri 05-15 08:00", // either
		"0 8 */2 * FRI":       "Fri 05-15 08:00, Fri 05-29 08:00",                  // both, as one has a star
		"0 */24 * * *":        "Thu 05-07 00:00, Fri 05-08 00:00",
		"0 0 */31 * *":        "Mon 06-01 00:00, Wed 07-01 00:00",
		"1-5/5 12 * * *":      "Wed 05-06 12:01, Thu 05-07 12:01",
		"*/20 22-1 * * *":     "Wed 05-06 22:00, Wed 05-06 22:20, Wed 05-06 22:40, Wed 05-06 23:00",
		"  0\t8 *  * * ":      "Thu 05-07 08:00, Fri 05-08 08:00",
		"@hourly":             "Wed 05-06 13:00, Wed 05-06 14:00",
		"@daily":              "Thu 05-07 00:00, Fri 05-08 00:00",
		"@Midnight":           "Thu 05-07 00:00, Fri 05-08 00:00",
		"@weekly":             "Sun 05-10 00:00, Sun 05-17 00:00",
		"@monthly":            "Mon 06-01 00:00, Wed 07-01 00:00",
		"@yearly":             "Fri 01-01 00:00, Sat 01-01 00:00",
		"@annually":           "Fri 01-01 00:00, Sat 01-01 00:00",
		"0 0 29 2 */7":        "Sun 02-29 00:00, Sun 02-29 00:00", // every 28 years
		"0,30 8-9 * * 1-5":    "Thu 05-07 08:00, Thu 05-07 08:30, Thu 05-07 09:00",
		"0-59/30 8,20 * * *":  "Wed 05-06 20:00, Wed 05-06 20:30, Thu 05-07 08:00",
		"59 23 31 12 *":       "Thu 12-31 23:59, Fri 12-31 23:59",
		"0 8 * jan-dec mon-7": "Thu 05-07 08:00, Fri 05-08 08:00",
	} {
		t.Run(at, func(t *testing.T) {
			m, now := moments(t, at, "UTC"), when(t, from)
			var got []string
			for range strings.Split(want, ", ") {
				now = m.Next(now)
				got = append(got, now.Format("Mon 01-02 15:04"))
			}
			if s := strings.Join(got, ", "); s != want {
				t.Errorf("%s, want %s", s, want)
			}
		})
	}
}

// The days on which a clock is set forward or back: each time of the day once, as Vixie's cron has it.
func TestDaylightSaving(t *testing.T) {
	for _, tt := range []struct {
		name, at, zone, from, want string // what comes from then on, in the zone
	}{
		{"skipped", "30 2 * * *", "Europe/Berlin", "2027-03-27T02:30:00+01:00", "03-28 03:00 CEST, 03-29 02:30 CEST"},
		{"twice", "30 2 * * *", "Europe/Berlin", "2027-10-30T02:30:00+02:00", "10-31 02:30 CEST, 11-01 02:30 CET"},
		{"asked between the two", "30 2 * * *", "Europe/Berlin", "2027-10-31T02:45:00+02:00", "11-01 02:30 CET"},
		{"asked in the second hour", "30 2 * * *", "Europe/Berlin", "2027-10-31T02:15:00+01:00", "11-01 02:30 CET"},
		{
			"the end of the skipped hour", "0 3 * * *", "Europe/Berlin", "2027-03-27T12:00:00+01:00",
			"03-28 03:00 CEST, 03-29 03:00 CEST",
		},
		{"the beginning of it", "0 2 * * *", "Europe/Berlin", "2027-03-27T12:00:00+01:00", "03-28 03:00 CEST, 03-29 02:00 CEST"},
		{
			"several skipped at once", "0,20,40 2 * * *", "Europe/Berlin", "2027-03-28T01:00:00+01:00",
			"03-28 03:00 CEST, 03-29 02:00 CEST",
		},
		{"Vienna, on a Sunday", "30 2 * * SUN", "Europe/Vienna", "2027-03-22T00:00:00+01:00", "03-28 03:00 CEST, 04-04 02:30 CEST"},
		{"New York, skipped", "30 2 * * *", "America/New_York", "2027-03-13T02:30:00-05:00", "03-14 03:00 EDT, 03-15 02:30 EDT"},
		{"New York, twice", "30 1 * * *", "America/New_York", "2027-11-06T01:30:00-04:00", "11-07 01:30 EDT, 11-08 01:30 EST"},
		{"half an hour, skipped", "15 2 * * *", "Australia/Lord_Howe", "2027-10-02T02:15:00+10:30", "10-03 02:30 +11, 10-04 02:15 +11"},
		{
			"half an hour, not skipped", "45 2 * * *", "Australia/Lord_Howe", "2027-10-02T02:45:00+10:30",
			"10-03 02:45 +11, 10-04 02:45 +11",
		},
		{"half an hour, twice", "45 1 * * *", "Australia/Lord_Howe", "2027-04-03T01:45:00+11:00", "04-04 01:45 +11, 04-05 01:45 +1030"},
		{
			"half an hour, not twice", "15 1 * * *", "Australia/Lord_Howe", "2027-04-03T01:15:00+11:00",
			"04-04 01:15 +11, 04-05 01:15 +1030",
		},
		{"no midnight", "@daily", "America/Sao_Paulo", "2018-11-03T00:00:00-03:00", "11-04 01:00 -02, 11-05 00:00 -02"},
		{
			"a whole day skipped", "0 8 * * *", "Pacific/Apia", "2011-12-29T08:00:00-10:00",
			"12-31 00:00 +14, 12-31 08:00 +14, 01-01 08:00 +14",
		},
		{"no daylight saving", "30 2 * * *", "Asia/Tokyo", "2027-03-27T02:30:00+09:00", "03-28 02:30 JST, 03-29 02:30 JST"},
		{"UTC", "30 2 * * *", "UTC", "2027-03-27T02:30:00Z", "03-28 02:30 UTC, 03-29 02:30 UTC"},
		// A repetition within the day goes by the clock.
		{
			"each half hour, skipped", "*/30 * * * *", "Europe/Berlin", "2027-03-28T01:00:00+01:00",
			"03-28 01:30 CET, 03-28 03:00 CEST, 03-28 03:30 CEST",
		},
		{
			"each half hour, twice", "*/30 * * * *", "Europe/Berlin", "2027-10-31T01:30:00+02:00",
			"10-31 02:00 CEST, 10-31 02:30 CEST, 10-31 02:00 CET, 10-31 02:30 CET, 10-31 03:00 CET",
		},
		{
			"hourly, twice", "@hourly", "Europe/Berlin", "2027-10-31T01:30:00+02:00",
			"10-31 02:00 CEST, 10-31 02:00 CET, 10-31 03:00 CET",
		},
		{"minutes of a skipped hour", "*/30 2 * * *", "Europe/Berlin", "2027-03-27T12:00:00+01:00", "03-29 02:00 CEST"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, now := moments(t, tt.at, tt.zone), when(t, tt.from)
			var got []string
			for range strings.Split(tt.want, ", ") {
				now = m.Next(now)
				got = append(got, now.Format("01-02 15:04 MST"))
			}
			if s := strings.Join(got, ", "); s != tt.want {
				t.Errorf("%s, want %s", s, tt.want)
			}
		})
	}
}

func TestUpcoming(t *testing.T) {
	a := bus.ScheduledAction{At: "0 8 * * MON-FRI", Zone: "UTC", Min: new(3)}
	b := bus.ScheduledAction{At: "0 18 * * *", Zone: "UTC", Min: new(1)}
	got := timetable(t, a, b).Upcoming(when(t, "2026-05-08T12:00:00Z"), 4) // a Friday
	want := []string{"2026-05-08T18:00:00Z", "2026-05-09T18:00:00Z", "2026-05-10T18:00:00Z", "2026-05-11T08:00:00Z"}
	if len(got) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i := range want {
		if !got[i].Time.Equal(when(t, want[i])) || (got[i].Action == a) != (i == 3) {
			t.Errorf("%d: %+v, want %s", i, got[i], want[i])
		}
	}
}

func TestUpcomingSaysWhatIsSkipped(t *testing.T) {
	a := bus.ScheduledAction{At: "30 2 * * *", Zone: "Europe/Berlin", Min: new(3)}
	got := timetable(t, a).Upcoming(when(t, "2027-03-27T12:00:00Z"), 2)
	if len(got) != 2 || got[0].Skipped.Format("15:04") != "02:30" || !got[1].Skipped.IsZero() {
		t.Errorf("%+v", got)
	}
}

func TestInForce(t *testing.T) {
	g := bus.DefaultGroup()
	g.Min, g.Max = 1, 5
	g.Schedule = []bus.ScheduledAction{
		{At: "0 8 * * *", Zone: "UTC", Min: new(3)},
		{At: "0 18 * * *", Zone: "UTC", Min: new(2), Max: new(4)},
		{At: "0 20 * * *", Zone: "UTC", Max: new(1)},
		{At: "0 12 * * *", Zone: "UTC", Min: new(3), Max: new(6), Desired: new(4)},
		{At: "0 12 * * *", Zone: "UTC", Min: new(4), Desired: new(5)}, // the same moment: the later in the list
		{At: "0 14 * * *", Zone: "Asia/Tokyo", Max: new(7)},           // 05:00 UTC
		{At: "0 22 * * *", Zone: "UTC", Min: new(0), Desired: new(0)},
	}
	const none = -1
	for now, want := range map[string][3]int{
		"2026-05-04T07:00:00Z": {0, 7, none},
		"2026-05-04T08:00:00Z": {3, 7, none},
		"2026-05-04T12:00:00Z": {4, 6, 5},
		"2026-05-04T18:00:00Z": {2, 4, 5},
		"2026-05-04T20:00:00Z": {1, 1, 5}, // min 2 of 18 o'clock, but max 1 of 20 o'clock wins
		"2026-05-04T22:00:00Z": {0, 1, 0}, // no VM is a number, too
	} {
		least, most, desired := timetable(t, g.Schedule...).InForce(g, when(t, "2026-05-04T06:00:00Z"), when(t, now))
		if desired == nil {
			desired = new(none)
		}
		if got := [3]int{least, most, *desired}; got != want {
			t.Errorf("%s: min, max, desired %v, want %v", now, got, want)
		}
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for _, tt := range []struct{ at, zone, want string }{
		{"8 o'clock", "UTC", "at: expected exactly 5 fields, found 2"},
		{"* * * * * *", "UTC", "at: expected exactly 5 fields, found 6"},
		{"", "UTC", "at: empty"},
		{"   ", "UTC", "at: empty"},
		{"0 25 * * *", "UTC", "at: end of range (25) above maximum (23)"},
		{"60 * * * *", "UTC", "at: end of range (60) above maximum (59)"},
		{"0 8 * * 8", "UTC", "at: end of range (8) above maximum (7)"},
		{"0 8 0 * *", "UTC", "at: beginning of range (0) below minimum (1)"},
		{"*/0 * * * *", "UTC", "at: step of range must be a positive number"},
		{"0 8 * * MON-FRI/0", "UTC", "at: step of range must be a positive number"},
		{"0 8 * * MONDAY", "UTC", `at: failed to parse`},
		{", * * * *", "UTC", `at: "" in "," is no number`},
		{"1,,2 * * * *", "UTC", `at: "" in "1,,2" is no number`},
		{"*-5 * * * *", "UTC", `at: "*-5" in "*-5" is no number`},
		{"+5 * * * *", "UTC", `at: "+5" in "+5" is no number`},
		{"@never", "UTC", `at: unrecognized descriptor: "@never"`},
		{"@every 5m", "UTC", "at: it has no times of its own"},
		{"@reboot", "UTC", "at: it has no times of its own"},
		{"0 0 30 2 *", "UTC", "at: it is never due: no month has such a day"},
		{"0 0 31 4,6,9,11 *", "UTC", "at: it is never due"},
		{"TZ=Europe/Berlin", "UTC", "at: use zone: for the time zone"},
		{"TZ=", "UTC", "at: use zone: for the time zone"},
		{"CRON_TZ=UTC", "UTC", "at: use zone: for the time zone"},
		{"CRON_TZ=Asia/Tokyo 0 8 * * *", "Asia/Tokyo", "at: use zone: for the time zone"},
		{"tz=UTC 0 8 * * *", "UTC", "at: use zone: for the time zone"},
		{"0 8 * * *", "Mars", "zone: unknown time zone Mars"},
		{strings.Repeat("1,", 600) + "1 * * * *", "UTC", "at: spec too long"},
	} {
		_, err := Parse(bus.ScheduledAction{At: tt.at, Zone: tt.zone})
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%q in %s: %v, want %s", tt.at, tt.zone, err, tt.want)
		}
	}
}

func TestNewHasTheOthers(t *testing.T) {
	g := bus.DefaultGroup()
	table, err := New([]bus.ScheduledAction{{At: "TZ=UTC", Zone: "UTC", Min: new(2)}, {At: "0 8 * * *", Zone: "UTC", Min: new(3)}})
	if err == nil || !strings.HasPrefix(err.Error(), "schedule[0].at: ") {
		t.Error(err)
	}
	if least, _, _ := table.InForce(g, time.Time{}, when(t, "2026-05-04T09:00:00Z")); least != 3 {
		t.Error(least)
	}
	if len(table.Upcoming(when(t, "2026-05-04T09:00:00Z"), 3)) != 3 {
		t.Error("the other action does not come")
	}
}

func BenchmarkInForce(b *testing.B) {
	g := bus.DefaultGroup()
	for name, at := range map[string]string{"daily": "30 2 * * *", "often": "*/5 * * * *", "rare": "0 0 29 2 */7"} {
		b.Run(name, func(b *testing.B) {
			table, err := New([]bus.ScheduledAction{{At: at, Zone: "Europe/Berlin", Min: new(2)}})
			if err != nil {
				b.Fatal(err)
			}
			now := time.Date(2027, 10, 31, 12, 0, 0, 0, time.UTC)
			for b.Loop() {
				table.InForce(g, now, now)
			}
		})
	}
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		if _, err := Parse(bus.ScheduledAction{At: "30 2 * * MON-FRI", Zone: "Europe/Berlin"}); err != nil {
			b.Fatal(err)
		}
	}
}
