package bus_test

import (
	"flag"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/vmscaler/vmscaler/bus"
)

func TestToken(t *testing.T) {
	for _, tt := range []struct{ name, want string }{
		{"web-1", "web-1"},
		{"Web_1", "Web_1"},
		{"host.example.org", "host%2Eexample%2Eorg"},
		{"", "%"},
		{"_", "%5F"},
		{"__", "__"},
		{"%", "%25"},
		{"%5F", "%255F"},
		{"a b", "a%20b"},
		{"*", "%2A"},
		{">", "%3E"},
		{"é", "%C3%A9"},
		{"\x00\n", "%00%0A"},
	} {
		if got := bus.Token(tt.name); got != tt.want {
			t.Errorf("Token(%q) = %q, want %q", tt.name, got, tt.want)
		}
	}
}

var safeToken = regexp.MustCompile(`^[A-Za-z0-9%_-]+$`)

// hostileName draws names that are alike, or dangerous in a subject.
func hostileName() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(),
		rapid.StringOf(rapid.SampledFrom([]rune("_%.*>5F2E "))),
		rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
	)
}

func TestTokenIsInjectiveAndSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := hostileName().Draw(t, "a"), hostileName().Draw(t, "b")
		ta, tb := bus.Token(a), bus.Token(b)
		if !safeToken.MatchString(ta) {
			t.Fatalf("Token(%q) = %q is not one safe token", a, ta)
		}
		if ta == "_" {
			t.Fatalf("Token(%q) is the token of a whole group", a)
		}
		if (a == b) != (ta == tb) {
			t.Fatalf("Token(%q) = %q, Token(%q) = %q", a, ta, b, tb)
		}
	})
}

func TestSubjects(t *testing.T) {
	for _, tt := range []struct {
		name string
		m    bus.Outgoing
		want string
		all  string
	}{
		{
			"sample", &bus.Sample{Group: "web", HostID: "id.system", Host: "a.example.org"}, "vmscaler.sample.web.id%2Esystem",
			bus.AllSamples,
		},
		{"decision", &bus.Decision{Group: "web", Direction: bus.Out}, "vmscaler.decision.web.out", bus.AllDecisions},
		{"decision, no direction", &bus.Decision{Group: "web"}, "vmscaler.decision.web.%", bus.AllDecisions},
		{"event", &bus.Event{Group: "web", VM: "web-1", Event: bus.EventReady}, "vmscaler.lifecycle.web.web-1.ready", bus.AllEvents},
		{"event of the group", &bus.Event{Group: "web", Event: bus.EventFailed}, "vmscaler.lifecycle.web._.failed", bus.AllEvents},
		{
			"event of a VM called _", &bus.Event{Group: "web", VM: "_", Event: bus.EventFailed}, "vmscaler.lifecycle.web.%5F.failed",
			bus.AllEvents,
		},
		{
			"event of a VM with a wildcard", &bus.Event{Group: "web", VM: "a.>", Event: bus.EventDied},
			"vmscaler.lifecycle.web.a%2E%3E.died", bus.AllEvents,
		},
		{"victims", &bus.Victims{Group: "web", Hook: "jobs"}, "vmscaler.victims.web.jobs", bus.AllVictims},
		{"health", &bus.Health{Stage: "decider", Instance: "a.org-12"}, "vmscaler.health.decider.a%2Eorg-12", bus.AllHealth},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.m.Subject(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if !strings.HasPrefix(tt.want, strings.TrimSuffix(tt.all, ">")) {
				t.Errorf("%s does not cover %s", tt.all, tt.want)
			}
		})
	}
}

var update = flag.Bool("update", false, "write the golden files again")
