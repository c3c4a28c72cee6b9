package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

func TestDifferences(t *testing.T) {
	web := bus.DefaultGroup()
	web.Name = "web"
	for _, tt := range []struct {
		name   string
		change func(*bus.Decision)
		want   []string
	}{
		{"none", func(*bus.Decision) {}, nil},
		{
			"all", func(d *bus.Decision) {
				d.Controls = bus.Controls{
					Set: map[string]string{"policy.upper": "60", "max": "9"}, Desired: new(3), DryRun: true, Paused: []bus.Scope{bus.ScopeIn},
				}
			},
			[]string{
				"web\tmax\t9\tin the file 5", "web\tpolicy.upper\t60\tin the file 70", "web\tdesired\t3\tby hand",
				"web\tdry_run\ttrue\tin the file false", "web\tpaused\tin",
			},
		},
		{
			"by the schedule", func(d *bus.Decision) {
				d.Inputs.Min, d.Inputs.Max, d.Inputs.Scheduled = 3, 5, true
			}, []string{"web\tmin\t3\tby its schedule, in the file 1"},
		},
		{
			"by hand in place of the schedule", func(d *bus.Decision) {
				d.Inputs.Min, d.Inputs.Max, d.Inputs.Scheduled = 2, 9, true
				d.Controls = bus.Controls{Set: map[string]string{"min": "2"}}
			}, []string{"web\tmin\t2\tin the file 1", "web\tmax\t9\tby its schedule, in the file 5"},
		},
		{
			"another file", func(d *bus.Decision) { d.SpecHash = "x" },
			[]string{"web\tthe file has changed since the decider was started"},
		},
	} {
		d := bus.Decision{SpecHash: web.Hash()}
		tt.change(&d)
		found := differences([]bus.Group{web}, bus.GroupStatus{Group: "web", Decision: &d})
		if got, _ := linesOf(found, nil); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if got, _ := linesOf(differences(nil,
		bus.GroupStatus{Group: "web", Decision: &bus.Decision{}}), nil); got[0] != "web\tnot in the file, but it runs" {
		t.Errorf("%q", got)
	}
	if got, _ := linesOf(differences(nil, bus.GroupStatus{Group: "web"}), nil); got[0] != "web\tnot evaluated yet" {
		t.Errorf("%q", got)
	}
}

// linesOf are rows as a table has them.
func linesOf[T fmt.Stringer](rows []T, err error) (lines []string, _ error) {
	for _, row := range rows {
		lines = append(lines, row.String())
	}
	return lines, err
}

// What a person has paused or set stands over the schedule, and the first line says what holds.
func TestOverTheSchedule(t *testing.T) {
	g := bus.DefaultGroup()
	g.Name = "web"
	at := time.Date(2026, 5, 8, 12, 0, 0, 0, time.Local)
	g.Schedule = []bus.ScheduledAction{{At: "0 9 * * *", Min: new(4), Zone: "UTC"}}
	rows, err := scheduleRows(g, bus.Controls{}, at, 1)
	if err != nil {
		t.Fatal(err)
	}
	d := bus.Decision{SpecHash: g.Hash(), Controls: bus.Controls{
		Paused: []bus.Scope{bus.ScopeIn, bus.ScopeSchedule}, Desired: new(5), Set: map[string]string{"max": "6", "policy.upper": "60"},
		By: "ann", Reason: "launch", Since: &at,
	}}
	status := func(d *bus.Decision) bus.Status {
		return bus.Status{Groups: []bus.GroupStatus{{Group: "db"}, {Group: "web", Decision: d}}}
	}
	const said = " Fri 2026-05-08 12:00 "
	got, _ := linesOf(over(rows, g, status(&d)), nil)
	want := []string{"min 4, max 6", "paused: min and max stay, and what comes due is skipped", "desired 5", "max 6"}
	if len(got) != len(want)+len(rows)-1 {
		t.Fatalf("got %q", got)
	}
	for i, text := range want {
		if i > 0 && (!strings.Contains(got[i], "\tover since"+said) || !strings.HasSuffix(got[i], text+`, by ann ("launch")`)) ||
			i == 0 && got[0] != "web\tnow\t"+text {
			t.Errorf("got %q, want %q in it", got[i], text)
		}
	}
	d.Controls.Set["min"], d.Controls.ScheduleAt = "7", new(at.Add(-48*time.Hour))
	if got := over(rows, g, status(&d))[0].String(); !strings.HasSuffix(got, "\tmin 6, max 6") {
		t.Errorf("with a min beyond max: %q", got)
	}
	delete(d.Controls.Set, "min")
	g.Schedule[0].From = "2026-05-08" // which had not begun when it was paused
	d.SpecHash = g.Hash()
	if got := over(rows, g, status(&d))[0].String(); !strings.HasSuffix(got, "\tmin 1, max 6") {
		t.Errorf("paused before: %q", got)
	}
	d.SpecHash = "another"
	const other = "; the vmscaler that runs has another config of the group"
	if got := over(rows, g, status(&d))[0].String(); !strings.HasSuffix(got, other) {
		t.Errorf("got %q, want %q", got, other)
	}
	for _, s := range []bus.Status{{}, status(nil)} {
		if got := over(rows, g, s); len(got) != len(rows) {
			t.Errorf("got %+v of %+v", got, s)
		}
	}
}

// What a person has added to a schedule is in it, with who has and why.
func TestAddedScheduleLines(t *testing.T) {
	g := bus.DefaultGroup()
	now := time.Date(2026, 5, 8, 12, 0, 0, 0, time.UTC)
	g.Schedule = []bus.ScheduledAction{{At: "0 13 * * *", Min: new(2), Zone: "UTC"}}
	c := bus.Controls{Schedule: map[string]bus.AddedAction{"launch": {
		Action: bus.ScheduledAction{At: "0 11 * * *", Zone: "UTC", From: "2026-05-01", Min: new(3)},
		Said:   bus.Saying{By: "ann", Reason: "launch"},
	}}}
	rows, err := scheduleRows(g, c, now, 2)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := linesOf(rows, nil)
	want := []string{
		"autoscale\tnow\tmin 3, max 5", "autoscale\tFri 2026-05-08 13:00 UTC\tmin 2",
		"autoscale\tSat 2026-05-09 11:00 UTC\tmin 3; launch, added by ann (\"launch\")",
	}
	if !slices.Equal(got, want) || rows[2].Added != "launch" || rows[1].Added != "" {
		t.Errorf("got %q, want %q", got, want)
	}
	status := bus.Status{Groups: []bus.GroupStatus{{Group: g.Name, Decision: &bus.Decision{SpecHash: g.Hash(), Controls: c}}}}
	if held := heldControls(status, g.Name); len(held.Schedule) != 1 || len(heldControls(status, "db").Schedule) != 0 {
		t.Errorf("held are %+v", held)
	}
	if lines, _ := linesOf(differences([]bus.Group{g}, status.Groups[0]), nil); len(lines) != 1 ||
		lines[0] != "autoscale\tschedule\tmin 3 at 0 11 * * * (UTC), from 2026-05-01\tadded as launch" {
		t.Errorf("differences %q", lines)
	}
}

func TestScheduleLines(t *testing.T) {
	g := bus.DefaultGroup()
	now := time.Date(2026, 5, 8, 12, 0, 0, 0, time.UTC) // a Friday
	scheduleLines := func(g bus.Group, now time.Time, n int) []string {
		lines, err := linesOf(scheduleRows(g, bus.Controls{}, now, n))
		if err != nil {
			t.Fatal(err)
		}
		return lines
	}
	if got := scheduleLines(g, now, 3); !slices.Equal(got, []string{"autoscale\tnow\tmin 1, max 5; it has no schedule"}) {
		t.Errorf("%q", got)
	}
	g.Schedule = []bus.ScheduledAction{
		{At: "0 8 * * MON-FRI", Zone: "Europe/Berlin", Min: new(3), Desired: new(4)},
		{At: "0 18 * * *", Zone: "UTC", Min: new(1), Max: new(2)},
	}
	berlin := scheduleLines(g, now, 4)
	if last := berlin[len(berlin)-1]; last != "autoscale\tMon 2026-05-11 08:00 CEST\tmin 3, desired 4" {
		t.Errorf("%q", last)
	}
	want := []string{
		"autoscale\tnow\tmin 2, max 2",
		"autoscale\tFri 2026-05-08 18:00 UTC\tmin 1, max 2",
		"autoscale\tSat 2026-05-09 18:00 UTC\tmin 1, max 2",
	}
	if got := scheduleLines(g, now, 2); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

// One date is shown before it, and once it is over.
func TestScheduleLinesOfDates(t *testing.T) {
	g := bus.DefaultGroup()
	g.Schedule = []bus.ScheduledAction{
		{At: "2026-12-24T18:00", Zone: "Europe/Berlin", Min: new(0), Desired: new(0)},
		{At: "0 8 * * *", Zone: "UTC", Until: "2026-12-01", Max: new(4)},
	}
	for day, want := range map[int][]string{
		1: {
			"autoscale\tnow\tmin 1, max 4", "autoscale\tlast Tue 2026-12-01 08:00 UTC\tmax 4",
			"autoscale\tThu 2026-12-24 18:00 CET\tmin 0, desired 0",
		},
		31: {
			"autoscale\tnow\tmin 0, max 4", "autoscale\tlast Thu 2026-12-24 18:00 CET\tmin 0, desired 0",
			"autoscale\tlast Tue 2026-12-01 08:00 UTC\tmax 4",
		},
	} {
		lines, err := linesOf(scheduleRows(g, bus.Controls{}, time.Date(2026, 12, day, 12, 0, 0, 0, time.UTC), 5))
		if err != nil || !slices.Equal(lines, want) {
			t.Errorf("on the %d: %q, %v\nwant %q", day, lines, err, want)
		}
	}
}

// On a day whose 02:30 daylight saving skips or repeats there is one line for it.
func TestScheduleLinesOfDaylightSaving(t *testing.T) {
	g := bus.DefaultGroup()
	g.Schedule = []bus.ScheduledAction{
		{At: "30 2 * * *", Zone: "Europe/Berlin", Min: new(4)},
		{At: "0 4 * * *", Zone: "Europe/Berlin", Min: new(1)},
	}
	lines, err := linesOf(scheduleRows(g, bus.Controls{}, time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC), 800))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, line := range lines {
		if strings.Contains(line, "02:30") && (strings.Contains(line, "2027-03-28") || strings.Contains(line, "2027-10-31")) {
			got = append(got, line)
		}
	}
	want := []string{
		"autoscale\tSun 2027-03-28 03:00 CEST\tmin 4; for 02:30, which does not exist on this day",
		"autoscale\tSun 2027-10-31 02:30 CEST\tmin 4",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestScheduleLinesSayWhatCannotBeRead(t *testing.T) {
	g := bus.DefaultGroup()
	g.Schedule = []bus.ScheduledAction{{At: "TZ=UTC", Zone: "UTC", Min: new(2)}}
	if _, err := linesOf(scheduleRows(g, bus.Controls{}, time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC), 3)); err == nil ||
		!strings.Contains(err.Error(), "group autoscale: schedule[0].at: ") {
		t.Error(err)
	}
}
