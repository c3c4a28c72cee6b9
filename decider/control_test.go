package decider

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

func TestPausedDirections(t *testing.T) {
	busy := State{HasSample: true, Desired: 1, BreachesOut: 9}
	idle := State{HasSample: true, Desired: 2, BreachesIn: 9}
	for _, c := range []struct {
		name   string
		st     State
		obs    Observation
		paused []bus.Scope
		want   int
		guard  bus.Guard
	}{
		{"out, nothing paused", busy, see(ready(100)), nil, 2, ""},
		{"out, paused", busy, see(ready(100)), []bus.Scope{bus.ScopeOut}, 1, bus.GuardPaused},
		{"out, the others paused", busy, see(ready(100)), []bus.Scope{bus.ScopeIn, bus.ScopeRepair}, 2, ""},
		{"in, nothing paused", idle, see(ready(1), ready(1)), nil, 1, ""},
		{"in, paused", idle, see(ready(1), ready(1)), []bus.Scope{bus.ScopeIn}, 2, bus.GuardPaused},
		{"in, the others paused", idle, see(ready(1), ready(1)), []bus.Scope{bus.ScopeOut, bus.ScopeRepair}, 1, ""},
		{
			"start above max, in paused",
			State{},
			see(ready(1), ready(1), ready(1), ready(1), ready(1), ready(1)),
			[]bus.Scope{bus.ScopeIn},
			5, "",
		}, // no VM goes: the actuator knows that as well
		{"to min, out paused", State{HasSample: true}, see(ready(1)), []bus.Scope{bus.ScopeOut}, 1, ""},
	} {
		c.st.Controls.Paused = c.paused
		d, st := Decide(spec(), c.st, c.obs, t0)
		if d.Desired != c.want || d.Guard != c.guard || st.Desired != c.want {
			t.Errorf("%s: desired %d, guard %q; want %d, %q: %s", c.name, d.Desired, d.Guard, c.want, c.guard, d.Sentence)
		}
		if held := c.guard == bus.GuardPaused; held && (d.Direction != bus.Hold || !strings.HasPrefix(d.Sentence, "paused, else ")) {
			t.Errorf("%s: %+v", c.name, d)
		}
		if !slices.Equal(d.Controls.Paused, c.paused) || d.Controls.Paused == nil {
			t.Errorf("%s: controls %+v", c.name, d.Controls)
		}
	}
}

// A dry run of the config is shown like one that a person asked for, and not taken for one.
func TestDryRunOfTheConfig(t *testing.T) {
	d, st := Decide(spec(func(g *bus.Group) { g.DryRun = true }), State{}, see(ready(50)), t0)
	if !d.Controls.DryRun || st.Controls.DryRun {
		t.Errorf("decision %+v, state %+v", d.Controls, st.Controls)
	}
}

func TestControlled(t *testing.T) {
	in, out, repair := bus.ScopeIn, bus.ScopeOut, bus.ScopeRepair
	all := []bus.Scope{out, in, repair, bus.ScopeHealth, bus.ScopeHooks, bus.ScopeSchedule}
	for _, c := range []struct {
		name string
		was  []bus.Scope
		verb string
		q    bus.Query
		want []bus.Scope
		dry  bool
	}{
		{"pause all", nil, bus.VerbPause, bus.Query{}, all, false},
		{"pause hooks", nil, bus.VerbPause, bus.Query{Scopes: all[4:5]}, all[4:5], false},
		{"pause one", nil, bus.VerbPause, bus.Query{Scopes: []bus.Scope{in}}, []bus.Scope{in}, false},
		{"pause another", []bus.Scope{in}, bus.VerbPause, bus.Query{Scopes: []bus.Scope{out}}, []bus.Scope{out, in}, false},
		{"pause again", []bus.Scope{in}, bus.VerbPause, bus.Query{Scopes: []bus.Scope{in, in}}, []bus.Scope{in}, false},
		{"resume one", []bus.Scope{out, in}, bus.VerbResume, bus.Query{Scopes: []bus.Scope{in}}, []bus.Scope{out}, false},
		{"resume all", all, bus.VerbResume, bus.Query{}, []bus.Scope{}, false},
		{"dry run", []bus.Scope{in}, bus.VerbDryRun, bus.Query{On: true}, []bus.Scope{in}, true},
		{"no dry run", nil, bus.VerbDryRun, bus.Query{}, []bus.Scope{}, false},
	} {
		got, err := controlled(spec(), bus.Controls{Paused: c.was}, c.verb, c.q, t0)
		if err != nil || !slices.Equal(got.Paused, c.want) || got.DryRun != c.dry {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
	if _, err := controlled(spec(), bus.Controls{}, bus.VerbPause, bus.Query{Scopes: []bus.Scope{"sideways"}}, t0); err == nil ||
		!strings.Contains(err.Error(), `"sideways", want one of ["out" "in" "repair" "health" "hooks" "schedule"]`) {
		t.Errorf("an unknown scope: %v", err)
	}
}

func TestScaledByHand(t *testing.T) {
	web := spec(bounds(1, 5))
	for _, c := range []struct {
		desired *int
		wrong   string // a part of the error
	}{
		{new(1), ""},
		{new(5), ""},
		{nil, ""},
		{new(0), "found 0, want 1 to 5"},
		{new(6), "found 6, want 1 to 5, the min and max of group web"},
	} {
		got, err := controlled(web, bus.Controls{Desired: new(2)}, bus.VerbScale, bus.Query{Desired: c.desired}, t0)
		switch {
		case c.wrong != "":
			if err == nil || !strings.Contains(err.Error(), c.wrong) || *got.Desired != 2 {
				t.Errorf("%d: %v, %+v", *c.desired, err, got)
			}
		case err != nil || got.Desired != c.desired:
			t.Errorf("%v, %+v", err, got)
		}
	}
}

func TestSetAndResetControls(t *testing.T) {
	was := bus.Controls{Set: map[string]string{"min": "2"}}
	set, err := controlled(spec(), was, bus.VerbSet, bus.Query{Set: map[string]string{"policy.upper": "60"}}, t0)
	if err != nil || len(set.Set) != 2 || len(was.Set) != 1 {
		t.Errorf("%+v, %v; before %+v", set, err, was)
	}
	one, err := controlled(spec(), set, bus.VerbReset, bus.Query{Keys: []string{"min"}}, t0)
	if err != nil || len(one.Set) != 1 || one.Set["policy.upper"] != "60" || len(set.Set) != 2 {
		t.Errorf("%+v, %v; before %+v", one, err, set)
	}
	if all, err := controlled(spec(), set, bus.VerbReset, bus.Query{}, t0); err != nil || len(all.Set) != 0 {
		t.Errorf("%+v, %v", all, err)
	}
	for want, q := range map[string]bus.Query{
		"found no field": {},
		`max of group web is as in the file already; set are min`: {Keys: []string{"max"}},
	} {
		verb := bus.VerbSet
		if len(q.Keys) > 0 {
			verb = bus.VerbReset
		}
		if _, err := controlled(spec(), was, verb, q, t0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %s", q, err, want)
		}
	}
}

// Whoever changes something is in the history, with the reason that was given.
func TestRequestsAreTold(t *testing.T) {
	b := startHarness(t, spec(bounds(1, 5), atOnce))
	told := make(chan bus.Event, 16)
	if err := client.Subscribe(b.conn, bus.AllEvents, told); err != nil {
		t.Fatal(err)
	}
	b.advance(time.Second)
	b.send("web", "kvm1", ready(50))
	b.decision()
	b.advance(time.Minute)
	b.send("web", "kvm2", ready(50)) // kvm1 is silent
	for _, tt := range []struct {
		verb string
		q    bus.Query
		want string
	}{
		{bus.VerbPause, bus.Query{Scopes: []bus.Scope{bus.ScopeIn}}, `paused: in; by ann@kvm1 ("the move")`},
		{bus.VerbForget, bus.Query{Host: "kvm1"}, `host kvm1 is forgotten; by ann@kvm1 ("the move")`},
	} {
		tt.q.By, tt.q.Reason = "ann@kvm1", "the move"
		var err error
		switch tt.verb {
		case bus.VerbForget:
			_, err = client.Ask[bus.Status](t.Context(), b.conn, tt.verb, tt.q)
		default:
			_, err = client.Ask[bus.Controls](t.Context(), b.conn, tt.verb, tt.q)
		}
		if err != nil {
			t.Fatalf("%s: %v", tt.verb, err)
		}
		e := <-told
		for e.Event == bus.EventHost { // that kvm1 is silent
			e = <-told
		}
		if e.Event != bus.EventControl || e.Group != "web" || e.Sentence != tt.want || e.By != "ann@kvm1" || e.Reason != "the move" {
			t.Errorf("%s: told %+v, want %q", tt.verb, e, tt.want)
		}
	}
}

// What is refused says by a code whether it is wrong in itself, names nothing, or is only not allowed now.
func TestRefusalsHaveCodes(t *testing.T) {
	b := startHarness(t, spec(bounds(1, 5), atOnce))
	b.advance(time.Second)
	b.send("web", "kvm1", ready(50))
	b.decision()
	for _, tt := range []struct {
		verb string
		q    bus.Query
		want bus.RefusalCode
	}{
		{bus.VerbPause, bus.Query{Group: "wev"}, bus.RefusedUnknown},
		{bus.VerbPause, bus.Query{Scopes: []bus.Scope{"sideways"}}, bus.RefusedMalformed},
		{bus.VerbPause, bus.Query{By: "two\nlines"}, bus.RefusedMalformed},
		{bus.VerbScale, bus.Query{Desired: new(6)}, bus.RefusedState},
		{bus.VerbSet, bus.Query{}, bus.RefusedMalformed},
		{bus.VerbReset, bus.Query{Keys: []string{"max"}}, bus.RefusedState},
		{bus.VerbForget, bus.Query{Host: "kvm9"}, bus.RefusedUnknown},
		{bus.VerbForget, bus.Query{Host: "kvm1"}, bus.RefusedState}, // it sends samples
		{bus.VerbRefresh, bus.Query{}, bus.RefusedMalformed},
		{bus.VerbRefresh, bus.Query{Refresh: &bus.RefreshOrder{Action: bus.RefreshHold}}, bus.RefusedState},
	} {
		_, err := client.Ask[bus.Controls](t.Context(), b.conn, tt.verb, tt.q)
		var refused *bus.RefusedError
		if !errors.As(err, &refused) || refused.Code != tt.want {
			t.Errorf("%s %+v: %v, code %+v, want %s", tt.verb, tt.q, err, refused, tt.want)
		}
	}
}

// Who has said what holds is kept of each: a later request does not speak for an earlier one.
func TestSaidOfEach(t *testing.T) {
	ann, bob := bus.Saying{By: "ann", Since: t0}, bus.Saying{By: "bob", Reason: "launch", Since: t0.Add(time.Hour)}
	is := bus.Controls{Paused: []bus.Scope{}, Desired: new(3)}
	is.Said = said(bus.Controls{Paused: []bus.Scope{}}, is, ann)
	next := is
	next.Paused = []bus.Scope{bus.ScopeIn}
	next.Said = said(is, next, bob)
	if len(next.Said) != 2 || next.SaidOf(bus.ControlDesired) != ann || next.SaidOf(bus.ControlPaused) != bob {
		t.Errorf("paused after it was scaled: %+v", next.Said)
	}
	last := next
	last.Desired = nil
	if last.Said = said(next, last, ann); len(last.Said) != 1 || last.SaidOf(bus.ControlPaused) != bob {
		t.Errorf("released: %+v", last.Said)
	}
	again := last
	again.Paused = []bus.Scope{bus.ScopeOut, bus.ScopeIn}
	if again.Said = said(last, again, ann); again.SaidOf(bus.ControlPaused) != ann {
		t.Errorf("more paused: %+v", again.Said)
	}
	old := bus.Controls{Desired: new(2), By: "eve", Since: new(t0)} // as an earlier version kept it
	more := old
	more.DryRun = true
	if more.Said = said(old, more, bob); more.SaidOf(bus.ControlDesired).By != "eve" || more.SaidOf(bus.ControlDryRun) != bob {
		t.Errorf("of an earlier version: %+v", more.Said)
	}
}
