package dashboard

import (
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

func TestPlain(t *testing.T) {
	hold := func(seconds float64, rule bus.Rule, guard bus.Guard, sentence string) bus.Decision {
		d := decision("web", seconds)
		d.Rule, d.Guard, d.Sentence = rule, guard, sentence
		return d
	}
	out := hold(3, bus.RuleAboveUpper, "", "scaling out: average 93 % > 70 % for 3 s")
	out.Direction, out.Desired = bus.Out, 3
	ill := health("actuator", 4)
	ill.OK, ill.Message = false, "storage pool default\nis not active"
	ill.Problems = []bus.Problem{{Code: bus.ProblemNoRoom, Subject: "web"}}
	older := ill
	ill.Message += " for 9 s"
	older.Message += " for 10 s"
	other := ill
	other.Message, other.Problems = "connection refused", nil
	const tick = "tick"
	type step struct {
		seconds float64
		message any
		want    []string
	}
	for name, steps := range map[string][]step{
		"a line per change": {
			{
				0, hold(0, bus.RuleStable, "", "stable: average 45 %"),
				[]string{"2026-01-02T15:04:05Z web  decision-hold  desired 2  rule stable  stable: average 45 %"},
			},
			{1, hold(1, bus.RuleStable, "", "stable: average 46 %"), nil},
			{1, hold(0.5, bus.RuleAboveUpper, "", "an older one"), nil},
			{
				2, hold(2, bus.RuleAboveUpper, bus.GuardBreaches, "average 93 % > 70 %, 2 of 3 samples"),
				[]string{"2026-01-02T15:04:07Z web  decision-hold  desired 2  rule above-upper guard breaches  average 93 % > 70 %, 2 of " +
					"3 samples"},
			},
			{3, out, []string{"2026-01-02T15:04:08Z web  decision-out  desired 2 -> 3  rule above-upper  scaling out: average 93 % > " +
				"70 % for 3 s"}},
			{3, out, nil},
		},
		"a line per event": {
			{
				0,
				bus.Event{Group: "web", VM: "web-1", Event: bus.EventReady, Sentence: "the agent answers", ElapsedMS: 5420, Time: start},
				[]string{"2026-01-02T15:04:05Z web  ready         web-1  the agent answers  after 5.4 s"},
			},
			{
				0,
				bus.Event{Group: "web", Event: bus.EventFailed, Error: "no \x1b[2Jspace", Time: start},
				[]string{"2026-01-02T15:04:05Z web  failed        error: no ␛[2Jspace"},
			},
			{
				0,
				bus.Event{
					Group: "web", VM: "web-2", Event: bus.EventFailed, Error: "not ready", Time: start,
					Console: []string{"booting", "no \x1b[2Jinit"},
				},
				[]string{
					"2026-01-02T15:04:05Z web  failed        web-2  error: not ready", "    console | booting",
					"    console | no ␛[2Jinit",
				},
			},
		},
		"no line per sample": {
			{0, sample("web", "kvm1", 0, vm("web-1", ptr(50.0))), nil},
			{1, sample("web", "kvm1", 1, vm("web-1", ptr(90.0))), nil},
		},
		"a stage's health when it changes": {
			{0, health("actuator", 0), []string{"2026-01-02T15:04:05Z -  health        actuator kvm1-4711 ok"}},
			{1, health("actuator", 1), nil},
			{4, ill, []string{"2026-01-02T15:04:09Z -  health        actuator kvm1-4711 not ok: storage pool default␊" +
				"is not active for " +
				"9 s"}},
			{5, ill, nil},
			{5, older, nil},
			{5, other, []string{"2026-01-02T15:04:09Z -  health        actuator kvm1-4711 not ok: connection refused"}},
			{16, tick, []string{"2026-01-02T15:04:21Z -  health        actuator kvm1-4711 silent"}},
			{17, tick, nil},
			{18, health("actuator", 18), []string{"2026-01-02T15:04:23Z -  health        actuator kvm1-4711 ok"}},
		},
		"nothing at all": {
			{2, tick, nil},
			{4, tick, []string{"2026-01-02T15:04:09Z -  waiting       for the first sample"}},
			{5, tick, nil},
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := NewContent(start)
			m.Link.Connected = true
			p := newPlain(m)
			p.link, p.linked = m.Link, true
			for i, s := range steps {
				var got []string
				if s.message == tick {
					got = p.tick(at(s.seconds))
				} else {
					got = p.message(s.message, at(s.seconds))
				}
				if !slices.Equal(got, s.want) {
					t.Errorf("step %d:\ngot  %q\nwant %q", i, got, s.want)
				}
			}
		})
	}
}

func TestPlainTellsOfTheBus(t *testing.T) {
	m := NewContent(start)
	p := newPlain(m)
	var got []string
	for _, link := range []Link{
		{"nats://x", true, ""},
		{"nats://x", true, ""},
		{"", false, ""},
		{"", false, ""},
		{"", false, "refused"},
		{"", false, "refused"},
		{"nats://x", true, ""},
	} {
		m.Link = link
		got = append(got, p.tick(start)...)
	}
	m.Dropped = 7
	got = append(got, p.tick(start)...)
	got = append(got, p.tick(start)...)
	want := []string{
		"connected to nats://x",
		"no connection, trying again",
		"no connection, trying again: refused",
		"connected again to nats://x",
		"7 messages: the output is slow",
	}
	if len(got) != len(want) {
		t.Fatalf("got %q, want %q", got, want)
	}
	for i := range want {
		if !strings.HasSuffix(got[i], want[i]) {
			t.Errorf("got %q, want it to end in %q", got[i], want[i])
		}
	}
}
