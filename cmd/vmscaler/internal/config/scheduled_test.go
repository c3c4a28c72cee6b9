package config

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/schedule"
)

// What a person adds to a schedule is refused in the words that the file is.
func TestAddedIsCheckedAsTheFile(t *testing.T) {
	for _, a := range []bus.ScheduledAction{
		{At: "@dayly", Zone: "UTC", Min: new(1)},
		{At: "0 25 * * *", Zone: "UTC", Min: new(1)},
		{At: "2199-13-01T08:00", Zone: "UTC", Min: new(1)},
		{Zone: "UTC", Min: new(1)},
		{At: "@daily", Zone: "Mars", Min: new(1)},
		{At: "@daily", Zone: "Local", Min: new(1)},
		{At: "@daily", Zone: "UTC", From: "soon", Min: new(1)},
		{At: "@daily", Zone: "UTC", Until: "1.5.2199", Min: new(1)},
		{At: "@daily", Zone: "UTC", From: "2199-05-02", Until: "2199-05-01", Min: new(1)},
		{At: "2199-05-01T08:00", Zone: "UTC", Until: "2199-05-01", Min: new(1)},
		{At: "@daily", Zone: "UTC"},
		{At: "@daily", Zone: "UTC", Min: new(1001)},
		{At: "@daily", Zone: "UTC", Max: new(0)},
		{At: "@daily", Zone: "UTC", Desired: new(-1)},
		{At: "@daily", Zone: "UTC", Min: new(3), Max: new(2)},
	} {
		text := fmt.Sprintf("zone: %q, from: %q, until: %q", a.Zone, a.From, a.Until)
		if a.At != "" {
			text = fmt.Sprintf("at: %q, %s", a.At, text)
		}
		for key, n := range map[string]*int{"min": a.Min, "max": a.Max, "desired": a.Desired} {
			if n != nil {
				text += fmt.Sprintf(", %s: %d", key, *n)
			}
		}
		_, _, err := Parse("", []byte("groups: [{name: web, max: 9, schedule: [{"+text+"}]}]"))
		problems, is := err.(Problems) //nolint:errorlint // it is returned as it is
		if !is || len(problems) == 0 {
			t.Errorf("%s: the file is right: %v", text, err)
			continue
		}
		p := problems[0]
		want := strings.ReplaceAll(p.Found, `"`, "") + ", want " + strings.TrimSuffix(p.Allowed, ", or null")
		if field := strings.TrimPrefix(strings.TrimPrefix(p.Field, "groups[0].schedule[0]"), "."); field != "" {
			want = field + ": found " + want
		} else {
			want = "found " + want
		}
		_, err = schedule.Added(a, time.Now())
		if err == nil {
			t.Errorf("%s: it can be added, and the file says %s", text, p)
			continue
		}
		found, wanted, _ := strings.Cut(err.Error(), ", want ")
		if got := strings.ReplaceAll(found, `"`, "") + ", want " + wanted; got != want {
			t.Errorf("%s:\n  added: %s\n  file:  %s", text, got, want)
		}
	}
}
