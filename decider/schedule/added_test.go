package schedule

import (
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// What is added is complete, is to come, and changes nothing before it is due.
func TestAdded(t *testing.T) {
	now := when(t, "2026-05-04T12:00:30Z")
	for _, tt := range []struct {
		a    bus.ScheduledAction
		want string // its from, or a part of the error
	}{
		{bus.ScheduledAction{At: "0 8 * * *", Min: new(3)}, "2026-05-04T12:01"},
		{bus.ScheduledAction{At: "0 8 * * *", Zone: "Europe/Berlin", Min: new(3)}, "2026-05-04T14:01"},
		{bus.ScheduledAction{At: "0 8 * * *", From: "2026-05-01", Max: new(3)}, "2026-05-01"},
		{bus.ScheduledAction{At: "2026-12-24T18:00", Desired: new(0)}, ""},
		{bus.ScheduledAction{Min: new(3)}, "at: found nothing"},
		{bus.ScheduledAction{At: "@daily", Zone: "Local", Min: new(3)}, "zone: found Local, want a time zone, such as UTC"},
		{bus.ScheduledAction{At: "@daily", Zone: "Mars", Min: new(3)}, "zone: found Mars, want a time zone"},
		{bus.ScheduledAction{At: "@dayly", Min: new(3)}, `at: found @dayly (unrecognized descriptor: "@dayly"), want a cron`},
		{bus.ScheduledAction{At: "@daily", From: "soon", Min: new(3)}, "from: found soon (want a date and time"},
		{bus.ScheduledAction{At: "@daily", Until: "1.5.2027", Min: new(3)}, "want a date, or one with a time"},
		{bus.ScheduledAction{At: "@daily"}, "an action that sets nothing"},
		{bus.ScheduledAction{At: "@daily", Min: new(4), Max: new(3)}, "min: found 4, want at most max (3)"},
		{bus.ScheduledAction{At: "@daily", Max: new(0)}, "max: found 0, want a whole number from 1 to 1000"},
		{bus.ScheduledAction{At: "@daily", Desired: new(1001)}, "desired: found 1001, want a whole number from 0 to 1000"},
		{bus.ScheduledAction{At: "2026-05-04T12:00", Min: new(3)}, "at: found 2026-05-04T12:00, which is not due any more"},
		{bus.ScheduledAction{At: "@daily", Until: "2026-05-03", Min: new(3)}, "want one after from (2026-05-04T12:01)"},
		{bus.ScheduledAction{At: "@daily", From: "2026-05-01", Until: "2026-05-03", Min: new(3)}, "not due any more"},
	} {
		got, err := Added(tt.a, now)
		if err != nil {
			if !strings.Contains(err.Error(), tt.want) || tt.want == "" {
				t.Errorf("%+v: %v, want %q", tt.a, err, tt.want)
			}
			continue
		}
		if got.From != tt.want || got.Zone == "" {
			t.Errorf("%+v: %+v, want from %q", tt.a, got, tt.want)
		}
		m, err := Parse(got)
		if err != nil {
			t.Fatal(err)
		}
		if last := m.Last(now); tt.a.From == "" && !last.IsZero() {
			t.Errorf("%+v: due at %s already", got, last)
		}
	}
	got, err := Added(bus.ScheduledAction{At: "* * * * *", Min: new(1)}, now.Truncate(time.Minute))
	if err != nil || got.From != "2026-05-04T12:00" {
		t.Errorf("on the minute: %+v, %v", got, err)
	}
}
