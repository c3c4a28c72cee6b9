package schedule

import (
	"testing"
	"time"

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

func TestLast(t *testing.T) {
	for _, tt := range []struct{ at, zone, now, want string }{
		{"0 8 * * *", "UTC", "2026-05-04T08:00:00Z", "2026-05-04T08:00:00Z"},
		{"0 8 * * *", "UTC", "2026-05-04T07:59:59Z", "2026-05-03T08:00:00Z"},
		{"0 8 * * *", "Europe/Berlin", "2026-05-04T07:00:00Z", "2026-05-04T06:00:00Z"}, // summer time
		{"0 8 * * *", "Europe/Berlin", "2026-01-04T07:30:00Z", "2026-01-04T07:00:00Z"},
		{"0 8 * * MON", "UTC", "2026-05-10T12:00:00Z", "2026-05-04T08:00:00Z"},
		{"*/5 * * * *", "UTC", "2026-05-04T08:09:59Z", "2026-05-04T08:05:00Z"},
		{"0 0 29 2 *", "UTC", "2026-05-04T08:00:00Z", "2024-02-29T00:00:00Z"},
		{"0 0 30 2 *", "UTC", "2026-05-04T08:00:00Z", "0001-01-01T00:00:00Z"}, // never
	} {
		if got := Last(bus.ScheduledAction{At: tt.at, Zone: tt.zone}, when(t, tt.now)); !got.Equal(when(t, tt.want)) {
			t.Errorf("%s in %s at %s: %s, want %s", tt.at, tt.zone, tt.now, got, tt.want)
		}
	}
}

func TestUpcoming(t *testing.T) {
	a := bus.ScheduledAction{At: "0 8 * * MON-FRI", Zone: "UTC", Min: 3}
	b := bus.ScheduledAction{At: "0 18 * * *", Zone: "UTC", Min: 1}
	got := Upcoming([]bus.ScheduledAction{a, b}, when(t, "2026-05-08T12:00:00Z"), 4) // a Friday
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

func TestInForce(t *testing.T) {
	g := bus.DefaultGroup()
	g.Min, g.Max = 1, 5
	g.Schedule = []bus.ScheduledAction{
		{At: "0 8 * * *", Zone: "UTC", Min: 3}, {At: "0 18 * * *", Zone: "UTC", Min: 2, Max: 4}, {At: "0 20 * * *", Zone: "UTC", Max: 1},
	}
	for now, want := range map[string][2]int{
		"2026-05-04T07:00:00Z": {1, 1}, // min 2 of 18 o'clock, but max 1 of 20 o'clock wins
		"2026-05-04T08:00:00Z": {1, 1},
		"2026-05-04T18:00:00Z": {2, 4},
		"2026-05-04T20:00:00Z": {1, 1},
	} {
		if least, most := InForce(g, when(t, now)); least != want[0] || most != want[1] {
			t.Errorf("%s: min %d, max %d, want %v", now, least, most, want)
		}
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for _, a := range []bus.ScheduledAction{{At: "8 o'clock", Zone: "UTC"}, {At: "* * * * * *", Zone: "UTC"}, {At: "@daily", Zone: "UTC"}, {At: "0 8 * * *", Zone: "Mars"}, {Zone: "UTC"}} {
		if _, err := Parse(a); err == nil {
			t.Errorf("%+v is taken", a)
		}
	}
}
