package actuator

import (
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

func TestContact(t *testing.T) {
	const minute = time.Minute
	heard := contact{Heard: 100 * minute}
	standing := func(one contactOfOne) contact {
		return contact{Heard: 100 * minute, Groups: map[string]contactOfOne{"web": one}}
	}
	for _, tt := range []struct {
		name            string
		after, interval time.Duration
		c               contact
		since, now      time.Duration
		isolated        bool
	}{
		{name: "a decider is heard", after: minute, c: heard, now: 100*minute + 1},
		{name: "almost", after: minute, c: heard, now: 101*minute - 1},
		{name: "for as long as it says", after: minute, c: heard, now: 101 * minute, isolated: true},
		{name: "the group does not ask for it", c: heard, now: 1000 * minute},
		{name: "a person had paused scaling in", after: minute, c: standing(contactOfOne{Held: true}), now: 1000 * minute},
		{
			name: "the group has come since", after: minute, c: standing(contactOfOne{Joined: 200 * minute}),
			now: 201*minute - 1,
		},
		{
			name: "for as long since the group came", after: minute, c: standing(contactOfOne{Joined: 200 * minute}),
			now: 201 * minute, isolated: true,
		},
		{name: "the process has just begun", after: minute, c: heard, since: 200 * minute, now: 200*minute + 1},
		{
			name: "another decider could lead by now", after: minute, c: heard, since: 200 * minute,
			now: 200*minute + bus.ElectionTakes, isolated: true,
		},
		{
			name: "but has nothing to say yet", after: 5 * minute, interval: minute, c: heard, since: 200 * minute,
			now: 202*minute + bus.ElectionTakes - 1,
		},
		{
			name: "and would have decided", after: 5 * minute, interval: minute, c: heard, since: 200 * minute,
			now: 202*minute + bus.ElectionTakes, isolated: true,
		},
	} {
		g := bus.Group{Name: "web", IsolateAfter: tt.after, Policy: bus.Policy{Interval: tt.interval}}
		if got := tt.c.isolated(g, tt.since, tt.now); got != tt.isolated {
			t.Errorf("%s: isolated %v, want %v", tt.name, got, tt.isolated)
		}
	}
}

// isolatesAfter is a group that does.
func isolatesAfter(name string, after time.Duration) bus.Group {
	return bus.Group{Name: name, IsolateAfter: after}
}

// testClock is the time since a machine's boot that a test sets.
type testClock struct{ at time.Duration }

func (c *testClock) now() time.Duration { return c.at }

// What was heard counts for the next process of the same boot, and for no other.
func TestContactOutlivesTheActuator(t *testing.T) {
	clock := &testClock{at: time.Hour}
	file := filepath.Join(t.TempDir(), "contact.json")
	begin := func(groups ...string) contacts {
		c := newContacts(file, clock.now, zerolog.Nop())
		for _, name := range groups {
			c.join(name)
		}
		c.load()
		return c
	}
	c := begin("web", "db")
	c.hear(bus.Decision{Group: "web"}, true)
	c.hear(bus.Decision{Group: "db", Controls: bus.Controls{Paused: []bus.Scope{bus.ScopeIn}}}, true)
	clock.at += 50 * time.Second
	c = begin("web", "db", "new")
	for clock.at < time.Hour+59*time.Second {
		clock.at += time.Second
		c.turn()
	}
	if c.isolated(isolatesAfter("web", time.Minute)) {
		t.Error("before the time has passed")
	}
	for clock.at < time.Hour+80*time.Second {
		clock.at += time.Second
		c.turn()
	}
	if !c.isolated(isolatesAfter("web", time.Minute)) {
		t.Error("the time before the start does not count")
	}
	if c.isolated(isolatesAfter("db", time.Minute)) {
		t.Error("that scaling in was paused is forgotten")
	}
	if c.isolated(isolatesAfter("new", time.Minute)) {
		t.Error("a group that was never heard counts from the start")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(text), c.boot, "00000000-0000-0000-0000-000000000000", 1)
	for name, content := range map[string]string{"of another boot": other, "broken": "{", "of the future": strings.ReplaceAll(
		string(text), `"heard_ns":3`, `"heard_ns":9`)} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if c := begin(); len(c.Groups) != 0 || c.Heard != clock.at {
			t.Errorf("%s: got %+v", name, c.contact)
		}
	}
}

// A process that was stopped, or whose host slept, hears whether a decider is there before it counts.
func TestContactAfterAStop(t *testing.T) {
	clock := &testClock{at: time.Hour}
	c := newContacts("", clock.now, zerolog.Nop())
	c.hear(bus.Decision{Group: "web"}, true)
	clock.at += 2 * time.Hour // while it looks at libvirt, so that it asks before its next turn
	if c.isolated(isolatesAfter("web", time.Minute)) {
		t.Error("isolated before it could hear anything")
	}
	for range int(bus.ElectionTakes / time.Second) {
		clock.at += time.Second
		c.turn()
	}
	if !c.isolated(isolatesAfter("web", time.Minute)) {
		t.Error("never isolated")
	}
}

// An interval that a person has set is longer than the file's, and the process after this one listens for that long.
func TestContactAtAnIntervalThatWasSet(t *testing.T) {
	clock := &testClock{at: time.Hour}
	file := filepath.Join(t.TempDir(), "contact.json")
	begin := func() contacts {
		c := newContacts(file, clock.now, zerolog.Nop())
		c.join("web")
		c.load()
		return c
	}
	c := begin()
	c.hear(bus.Decision{Group: "web", Time: t0, ExpiresAt: t0.Add(3 * time.Minute)}, true)
	clock.at += time.Hour
	c = begin()
	for begun := clock.at; clock.at < begun+bus.ElectionTakes+3*time.Minute; clock.at += time.Second {
		if c.turn(); c.isolated(isolatesAfter("web", 10*time.Minute)) {
			t.Fatalf("isolated %s after it began to listen", clock.at-begun)
		}
	}
	if c.turn(); !c.isolated(isolatesAfter("web", 10*time.Minute)) {
		t.Error("never isolated")
	}
}

// What is refused is no sign of a decider that leads; what is of another config is one.
func TestContactIsOfADeciderThatLeads(t *testing.T) {
	leads := termDecision("a", t0.UnixMilli(), 1)
	for name, tt := range map[string]struct {
		change func(*bus.Decision)
		heard  bool
	}{
		"it leads":        {func(*bus.Decision) {}, true},
		"another config":  {func(d *bus.Decision) { d.SpecHash = "other" }, true},
		"the same again":  {func(d *bus.Decision) { d.Seq = 1 }, false},
		"an older term":   {func(d *bus.Decision) { d.Term-- }, false},
		"another cluster": {func(d *bus.Decision) { d.ClusterID = "b" }, false},
		"another group":   {func(d *bus.Decision) { d.Group = "other" }, true},
		"another group, by an older term": {func(d *bus.Decision) {
			d.Group = "other"
			d.Term--
		}, false},
	} {
		a := termActuator(t, "")
		clock := &testClock{at: time.Hour}
		a.contacts = newContacts("", clock.now, zerolog.Nop())
		a.contacts.join("web")
		if _, err := a.take(leads); err != nil {
			t.Fatal(err)
		}
		clock.at += time.Minute
		d := leads
		d.Seq = 2
		tt.change(&d)
		_, _ = a.take(d)
		if heard := a.contacts.Heard == clock.at; heard != tt.heard {
			t.Errorf("%s: heard %v, want %v", name, heard, tt.heard)
		}
		if n := len(a.contacts.Groups); n != 1 {
			t.Errorf("%s: %d groups are kept, want those of the config alone", name, n)
		}
	}
}

// A group that comes to a host which heard nobody for long has its time from then on, and what a person had wanted of it holds.
func TestContactOfAGroupThatComes(t *testing.T) {
	a := termActuator(t, "")
	clock := &testClock{at: time.Hour}
	a.contacts = newContacts("", clock.now, zerolog.Nop())
	web := webSpec(func(g *bus.Group) { g.IsolateAfter = time.Minute })
	db := webSpec(func(g *bus.Group) { g.Name, g.IsolateAfter = "db", time.Minute })
	reload := func(groups ...bus.Group) {
		r := client.Handed{Reload: bus.Reload{Groups: groups}, Done: func() {}}
		a.reload(r)
	}
	reload(web, db)
	d := termDecision("a", t0.UnixMilli(), 1)
	d.Group, d.SpecHash, d.Controls = "db", db.Hash(), bus.Controls{DryRun: true}
	if _, err := a.take(d); err != nil {
		t.Fatal(err)
	}
	reload()
	isolated := func(name string) bool { return a.isolated(a.groups[name]) }
	pass := func(d time.Duration) {
		for end := clock.at + d; clock.at < end; clock.at += time.Second {
			a.contacts.turn()
		}
	}
	pass(time.Hour)
	reload(web, db)
	if isolated("web") {
		t.Error("isolated as it comes")
	}
	pass(time.Minute)
	if !isolated("web") {
		t.Error("never isolated")
	}
	if isolated("db") {
		t.Error("it is forgotten that a person asked for a dry run")
	}
}

func TestIsolate(t *testing.T) {
	const (
		gone     = "remove web-1 (no decider is heard here (isolate_after), gracefully)"
		unready  = "remove web-1 (no decider is heard here (isolate_after))"
		canceled = "cancel web-1 (no decider is heard here (isolate_after))"
	)
	of := func(phase bus.Phase, state bus.State, changes ...func(*vm.VM)) vm.VM {
		v := vmOf(1, phase, state)
		for _, change := range changes {
			change(&v)
		}
		return v
	}
	protected := func(v *vm.VM) { v.Protected = true }
	detached := func(v *vm.VM) { v.Order = &bus.VMOrder{Verb: bus.VMDetach} }
	for _, tt := range []struct {
		name string
		v    vm.VM
		work Work
		want string
	}{
		{"it serves", of(bus.PhaseReady, bus.StateRunning), Idle, gone},
		{"it boots, by nobody's doing", of(bus.PhaseLaunching, bus.StateRunning), Idle, unready},
		{"it is launched", of(bus.PhaseLaunching, bus.StateRunning), BringingUp, canceled},
		{"its making was cut off", of(bus.PhaseCreating, bus.StateShutoff), Idle, "remove web-1 (its creation was interrupted)"},
		{"its removal was cut off", of(bus.PhaseStopping, bus.StateShutoff), Idle, "remove web-1 (its removal had begun)"},
		{"it is removed", of(bus.PhaseDraining, bus.StateRunning), Draining, ""},
		{"its removal failed", of(bus.PhaseStopping, bus.StateShutoff), Resting, ""},
		{"it is off", of(bus.PhaseReady, bus.StateShutoff), Idle, ""},
		{"a person has suspended it", of(bus.PhaseReady, bus.StatePaused), Idle, ""},
		{"it stands by", of(bus.PhaseStandby, bus.StateRunning), Idle, ""},
		{"it is retained", of(bus.PhaseRetained, bus.StateRunning), Idle, ""},
		{"it is protected", of(bus.PhaseReady, bus.StateRunning, protected), Idle, ""},
		{"it is protected, and launched", of(bus.PhaseLaunching, bus.StateRunning, protected), BringingUp, ""},
		{"it is given away", of(bus.PhaseReady, bus.StateRunning, detached), Idle, ""},
		{"it waits in the warm pool", of(bus.PhaseWarm, bus.StatePaused), Idle, ""},
		{"it boots for the warm pool", of(bus.PhasePreparing, bus.StateRunning), BringingUp, ""},
	} {
		s := Situation{
			Spec: webSpec(), Desired: Unknown, Owned: []vm.VM{tt.v}, Work: map[string]Work{tt.v.UUID: tt.work}, Isolated: true,
			Unheard: true,
		}
		if got := show(Plan(s)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

// The whole stage: a host that hears no decider removes its VMs, with their hook, and says so; but not what is protected.
func TestIsolatedHostRemovesItsVMs(t *testing.T) {
	b := newHost(t)
	file := filepath.Join(t.TempDir(), "told")
	spec := commandSpec(file)
	spec.IsolateAfter, spec.Min, spec.Max = time.Minute, 0, 3
	var calls atomic.Int64 // the clock goes on by a second with each look at it, and the loop looks at it in each turn
	s := startStage(t, b, spec, dialTest, func(cfg *Config) {
		cfg.sinceBoot = func() time.Duration { return time.Duration(calls.Add(1)) * time.Second }
	})
	s.want(3, "3 VMs", b.ready(3))
	kept := b.inventory().Owned[1]
	if err := vm.Protect(b.conn, kept, bus.Protection{On: true}); err != nil {
		t.Fatal(err)
	}
	sample := bus.Sample{
		V: bus.Version, Group: "web", HostID: "there", Host: "there", Instance: "c", SpecHash: spec.Hash(), VMs: []bus.VM{},
	}
	deadline := time.After(60 * time.Second)
	turns := time.NewTicker(20 * time.Millisecond)
	defer turns.Stop()
	for n := len(b.inventory().Owned); n != 1; n = len(b.inventory().Owned) {
		select {
		case <-turns.C:
			sample.Time = time.Now()
			if err := s.conn.Publish(&sample); err != nil {
				t.Fatal(err)
			}
		case <-deadline:
			t.Fatalf("%d VMs are left", n)
		}
	}
	if left := b.inventory().Owned[0]; left.UUID != kept.UUID {
		t.Errorf("%s is left, want %s, which is protected", left.Name, kept.Name)
	}
	if e := s.event(bus.EventIsolated); e.VM != "" || e.Host != s.host ||
		!strings.Contains(e.Sentence, "no decider was heard here for 1m0s (isolate_after): 2 VMs") {
		t.Errorf("event %+v", e)
	}
	if told, err := os.ReadFile(file); err != nil || strings.Count(string(told), "remove ") != 2 {
		t.Errorf("the hooks were told %s, %v", told, err)
	}
	// A decider that is heard again has its VMs.
	s.want(3, "3 VMs again", b.ready(3))
}
