package decider

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// reload hands groups over as a changed config does, and has the collectors read it, too.
func (b *harness) reload(changes map[string]string, groups ...bus.Group) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 30*time.Second)
	defer cancel()
	if err := b.decider.Reload(ctx, bus.Reload{Groups: groups, Changes: changes, By: "ann@kvm1"}); err != nil {
		b.t.Fatal(err)
	}
	for _, g := range groups {
		b.hashes[g.Name] = g.Hash()
	}
}

// until is the first decision of a group as wanted.
func (b *harness) until(group, what string, wanted func(bus.Decision) bool) bus.Decision {
	b.t.Helper()
	for {
		if d := b.decision(); d.Group == group && wanted(d) {
			return d
		} else if d.Group == group && d.Desired > d.Inputs.Max {
			b.t.Fatalf("waiting for %s: desired %d of at most %d", what, d.Desired, d.Inputs.Max)
		}
	}
}

func TestReloadGoesOn(t *testing.T) {
	web, db := spec(), spec(func(g *bus.Group) { g.Name = "db" })
	b := startHarness(t, web)
	events := make(chan bus.Event, 64)
	if err := client.Subscribe(b.conn, bus.AllEvents, events); err != nil {
		t.Fatal(err)
	}
	vms := []bus.VM{ready(50), ready(50), ready(50)}
	b.advance(time.Second)
	b.send("web", "kvm1", vms...)
	if d := b.decision(); d.Desired != 3 {
		t.Fatalf("desired %d, want the 3 that are there", d.Desired)
	}
	b.ask(bus.VerbPause, bus.Query{Group: "web", Scopes: []bus.Scope{bus.ScopeIn}})

	smaller := spec(func(g *bus.Group) { g.Max = 2 })
	b.reload(map[string]string{"web": "max 2 (was 5)", "db": "joins the config"}, smaller, db)
	d := b.until("web", "a decision by the new spec", func(d bus.Decision) bool { return d.SpecHash == smaller.Hash() })
	if d.Direction == bus.In || d.Desired > 2 || !d.Controls.IsPaused(bus.ScopeIn) {
		t.Errorf("at once: %+v, want it held within the new max, and still paused", d)
	}
	said := map[string]string{}
	for len(said) < 2 {
		select {
		case e := <-events:
			if e.Event == bus.EventControl && strings.Contains(e.Sentence, "config") || strings.Contains(e.Sentence, "max 2") {
				said[e.Group] = e.Sentence + " | " + e.By
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("said was %q", said)
		}
	}
	if said["web"] != `max 2 (was 5); by ann@kvm1 | ann@kvm1` {
		t.Errorf("said was %q", said)
	}

	b.advance(time.Second)
	b.send("db", "kvm1")
	b.until("db", "a VM of db", func(d bus.Decision) bool { return d.Desired == db.Min && d.HasSample })

	// It leaves: nothing is decided about it, and a request names those that are left.
	b.reload(map[string]string{"web": "leaves the config"}, db)
	b.advance(time.Minute)
	b.tick()
	if got := b.status(); !slices.Equal(got, []string{"db"}) {
		t.Errorf("groups %q, want db alone", got)
	}

	// It comes back, and what was paused is paused still.
	b.reload(map[string]string{"web": "joins the config"}, web, db)
	b.advance(time.Second)
	b.send("web", "kvm1", vms...)
	d = b.until("web", "a decision with samples", func(d bus.Decision) bool { return d.HasSample })
	if d.Desired != 3 || !d.Controls.IsPaused(bus.ScopeIn) {
		t.Errorf("back again: %+v, want the 3 that are there, and scaling in paused", d)
	}
}

// What was heard under the spec before counts: no decision says that a collector has another one, unless it goes on to.
func TestReloadKeepsTheWindow(t *testing.T) {
	minutely := func(g *bus.Group) { g.Policy.Interval = time.Minute }
	web := spec(minutely)
	b := startHarness(t, web)
	b.advance(time.Minute)
	b.send("web", "kvm1", ready(50), ready(50))
	b.until("web", "its start", func(d bus.Decision) bool { return d.HasSample })
	b.advance(20 * time.Second)
	b.send("web", "kvm1", ready(40), ready(40)) // too early to be decided by
	larger := spec(minutely, bounds(1, 7))
	b.reload(nil, larger)
	d := b.until("web", "a decision by the new spec", func(d bus.Decision) bool { return d.SpecHash == larger.Hash() })
	if d.Rule != bus.RuleStable || d.Inputs.AveragePercent == nil || *d.Inputs.AveragePercent != 40 {
		t.Errorf("at once: %s, %+v", d.Sentence, d.Inputs)
	}
	again := spec(minutely, bounds(1, 8))
	b.reload(nil, again) // nothing was heard in between: the next sample is decided by, and not one in a minute
	d = b.until("web", "a decision by the newest spec", func(d bus.Decision) bool { return d.SpecHash == again.Hash() })
	if d.Rule != bus.RuleNoData || d.Desired != 2 {
		t.Errorf("at once: %s, %+v", d.Sentence, d)
	}
	b.advance(time.Second)
	b.send("web", "kvm1", ready(45), ready(45))
	b.until("web", "its next", func(d bus.Decision) bool { return d.Rule == bus.RuleStable })
	b.hashes["web"] = web.Hash()
	b.advance(time.Minute)
	b.send("web", "kvm1", ready(45), ready(45))
	b.until("web", "who goes on to have another config", func(d bus.Decision) bool { return d.Rule == bus.RuleMismatch })
}

func (b *harness) ask(verb string, q bus.Query) {
	b.t.Helper()
	if _, err := client.Ask[bus.Controls](b.t.Context(), b.conn, verb, q); err != nil {
		b.t.Fatal(err)
	}
}

func (b *harness) status() (groups []string) {
	b.t.Helper()
	s, err := client.Ask[bus.Status](b.t.Context(), b.conn, bus.VerbStatus, bus.Query{})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, g := range s.Groups {
		groups = append(groups, g.Group)
	}
	return groups
}

// What a person has set goes on where it goes with the new spec, and else the file holds.
func TestRespecify(t *testing.T) {
	d := &Decider{cfg: Config{Override: func(g bus.Group, set map[string]string) (bus.Group, error) {
		if set["max"] == "4" && g.Min <= 4 {
			g.Max = 4
			return g, nil
		}
		return g, errors.New("no")
	}}}
	g := newGroup(spec(), t0)
	g.state = State{HasSample: true, Desired: 4, BreachesOut: 2, Controls: bus.Controls{Set: map[string]string{"max": "4"}}}
	d.respecify(g, spec(func(g *bus.Group) { g.Max = 3 }))
	if g.inForce.Max != 4 || g.spec.Max != 3 || g.state.Desired != 4 || g.state.BreachesOut != 2 {
		t.Errorf("found %+v, %+v", g.inForce, g.state)
	}
	d.respecify(g, spec(func(g *bus.Group) { g.Min, g.Max = 5, 6 }))
	if g.inForce.Max != 6 || g.state.Controls.Set != nil || g.state.Desired < 4 || g.window.SpecHash != g.spec.Hash() {
		t.Errorf("found %+v, %+v", g.inForce, g.state)
	}
}
