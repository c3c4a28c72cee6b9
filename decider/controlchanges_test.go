package decider

import (
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// The history says what a request has changed, and not what holds after it.
func TestControlChanges(t *testing.T) {
	action := func(at string, least int) bus.AddedAction {
		return bus.AddedAction{Action: bus.ScheduledAction{At: at, Zone: "UTC", Min: &least}}
	}
	paused := func(scopes ...bus.Scope) bus.Controls { return bus.Controls{Paused: scopes} }
	byHand := func(n int) bus.Controls { return bus.Controls{Desired: &n} }
	set := func(fields map[string]string) bus.Controls { return bus.Controls{Set: fields} }
	added := func(actions map[string]bus.AddedAction) bus.Controls { return bus.Controls{Schedule: actions} }
	file := func(path string) string { return map[string]string{"min": "1", "policy.upper": "70"}[path] }
	for _, tt := range []struct {
		was, is bus.Controls
		desired *int
		want    string
	}{
		{paused(bus.ScopeIn), paused(bus.ScopeIn), new(3), ""},
		{paused(bus.ScopeIn), paused(bus.ScopeOut, bus.ScopeIn, bus.ScopeRepair), new(3), "paused: out, repair"},
		{paused(bus.ScopeOut, bus.ScopeIn), paused(bus.ScopeIn), new(3), "resumed: out"},
		{byHand(4), byHand(4), new(4), ""},
		{paused(), byHand(5), new(3), "scaled from 3 to 5 VMs by hand"},
		{byHand(4), byHand(1), new(4), "scaled from 4 to 1 VM by hand"},
		{paused(), byHand(5), nil, "scaled to 5 VMs by hand"},
		{byHand(4), paused(), new(4), "released to its policy, from 4 VMs by hand"},
		{paused(), set(map[string]string{"policy.upper": "60"}), new(1), "set policy.upper from 70 to 60"},
		{
			set(map[string]string{"min": "2", "policy.upper": "60"}), set(map[string]string{"min": "3", "policy.upper": "60"}),
			new(1), "set min from 2 to 3",
		},
		{paused(), set(map[string]string{"policy.steps": "{}"}), new(1), "set policy.steps to {}"},
		{
			set(map[string]string{"min": "2", "policy.upper": "60", "policy.steps": "{}"}), paused(), new(1),
			"reset min from 2 to 1; reset policy.steps from {}; reset policy.upper from 60 to 70",
		},
		{
			paused(), added(map[string]bus.AddedAction{"up": action("@daily", 2)}), new(1),
			"added to the schedule: up, min 2 at @daily (UTC)",
		},
		{
			added(map[string]bus.AddedAction{"up": action("@daily", 2), "on": action("@daily", 1)}),
			added(map[string]bus.AddedAction{"up": action("@daily", 3), "on": action("@daily", 1)}), new(1),
			"changed in the schedule: up, from min 2 at @daily (UTC) to min 3 at @daily (UTC)",
		},
		{
			added(map[string]bus.AddedAction{"up": action("@daily", 2)}), paused(), new(1),
			"removed from the schedule: up, min 2 at @daily (UTC)",
		},
		{paused(), bus.Controls{DryRun: true}, new(1), "dry run begun"},
		{bus.Controls{DryRun: true}, paused(), new(1), "dry run ended"},
	} {
		if got := strings.Join(controlChanges(tt.was, tt.is, tt.desired, file), "; "); got != tt.want {
			t.Errorf("%+v to %+v: %q, want %q", tt.was, tt.is, got, tt.want)
		}
	}
}

// What a request changes fits into an event, however much it is.
func TestManyChangesFit(t *testing.T) {
	is := bus.Controls{Set: map[string]string{"policy.expression": strings.Repeat("x", 2*bus.MaxText)}, By: "ann"}
	d := &Decider{cfg: Config{Value: func(bus.Group, string) string { return "" }}}
	if got := d.changes(&group{}, is); len(got) > bus.MaxText || !strings.HasPrefix(got, "set policy.expression to xxx") {
		t.Errorf("%d bytes, want at most %d: %.40s", len(got), bus.MaxText, got)
	}
}
