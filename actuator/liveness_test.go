package actuator

import (
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// A VM is sick when its agent was asked in vain for as long as the grace. While nobody can ask, nothing is known.
func TestPulses(t *testing.T) {
	spec := webSpec(func(g *bus.Group) {
		g.Repair.HealthGrace, g.BootTimeout, g.ShutdownTimeout = 20*time.Second, time.Minute, 10*time.Second
	})
	ready, stuck := running(1), vmOf(1, bus.PhaseReady, bus.StatePaused)
	stuck.IOError = true
	asleep := func(state bus.State) []vm.VM { return []vm.VM{vmOf(1, bus.PhaseReady, state)} }
	type step struct {
		after int // seconds from t0
		owned []vm.VM
		said  string // "answer", "silence", "restart", "": it was not asked
		sick  string // words of why
	}
	look := func(after int, said, sick string) step { return step{after, []vm.VM{ready}, said, sick} }
	for name, steps := range map[string][]step{
		"it answers": {look(0, "answer", ""), look(3600, "answer", "")},
		"silent for the grace": {
			look(0, "silence", ""), look(19, "silence", ""),
			look(20, "silence", "agent has not answered for 20s"),
		},
		"silent from the first": {look(5, "silence", ""), look(24, "silence", ""), look(25, "silence", "20s")},
		"it answers again":      {look(0, "silence", ""), look(19, "answer", ""), look(25, "silence", ""), look(44, "silence", "")},
		"recovered":             {look(0, "silence", ""), look(20, "silence", "20s"), look(21, "answer", "")},
		"not asked meanwhile":   {look(0, "silence", ""), look(100, "", ""), look(101, "answer", "")},
		"silent, then suspended by a person, then resumed": {
			look(0, "silence", ""),
			{19, []vm.VM{vmOf(1, bus.PhaseReady, bus.StatePaused)}, "", ""},
			look(25, "silence", ""),
			look(44, "silence", ""),
		},
		"suspended by a person": {
			{0, []vm.VM{vmOf(1, bus.PhaseReady, bus.StatePaused)}, "", ""},
			{3600, []vm.VM{vmOf(1, bus.PhaseReady, bus.StatePaused)}, "", ""},
		},
		"paused on an I/O error": {
			look(0, "answer", ""),
			{5, []vm.VM{stuck}, "", ""},
			{24, []vm.VM{stuck}, "", ""},
			{25, []vm.VM{stuck}, "", "I/O error for 20s"},
		},
		"an I/O error that was mended": {
			{5, []vm.VM{stuck}, "", ""},
			look(15, "answer", ""),
			{20, []vm.VM{stuck}, "", ""},
			{39, []vm.VM{stuck}, "", ""},
		},
		"its guest restarts": {
			look(0, "answer", ""), look(10, "restart", ""), look(15, "silence", ""), look(94, "silence", ""),
			look(95, "silence", "agent has not answered for 1m20s"),
		},
		"its guest restarts while it is silent": {
			look(0, "silence", ""), look(19, "restart", ""), look(79, "silence", ""),
			look(80, "silence", "1m20s"),
		},
		"its guest does nothing but restart": {
			look(0, "silence", ""), look(19, "restart", ""), look(40, "restart", ""), look(60, "restart", ""), look(79, "restart", ""),
			look(80, "silence", "1m20s"),
		},
		"it restarted, and later is silent": {
			look(0, "restart", ""), look(5, "answer", ""), look(100, "silence", ""),
			look(120, "silence", "20s"),
		},
		"it sleeps": {
			look(0, "answer", ""),
			{5, asleep(bus.StateAsleep), "", ""},
			{24, asleep(bus.StateAsleep), "", ""},
			{25, asleep(bus.StateAsleep), "", "for 20s"},
		},
		"it sleeps, and wakes": {
			{5, asleep(bus.StateAsleep), "", ""},
			look(15, "answer", ""),
			{20, asleep(bus.StateAsleep), "", ""},
			{39, asleep(bus.StateAsleep), "", ""},
		},
		"it hangs in its shutdown": {
			{5, asleep(bus.StateShutdown), "", ""},
			{34, asleep(bus.StateShutdown), "", ""},
			{35, asleep(bus.StateShutdown), "", "in shutdown"},
		},
		"its state cannot be read":    {{5, asleep(bus.StateUnknown), "", ""}, {3600, asleep(bus.StateUnknown), "", ""}},
		"off: replaced in other ways": {{5, asleep(bus.StateShutoff), "", ""}, {3600, asleep(bus.StateShutoff), "", ""}},
		"gone":                        {look(0, "silence", ""), {20, nil, "silence", ""}},
		"not ready yet": {
			{0, []vm.VM{vmOf(1, bus.PhaseLaunching, bus.StateRunning)}, "silence", ""},
			{30, []vm.VM{vmOf(1, bus.PhaseLaunching, bus.StateRunning)}, "silence", ""},
		},
	} {
		p := livenessByVM{}
		for i, s := range steps {
			now := t0.Add(time.Duration(s.after) * time.Second)
			p.observe(s.owned, now)
			switch s.said {
			case "":
			case "restart":
				p.restarted(ready.UUID, now)
			default:
				p.record(vm.Answers{At: now, VMs: map[string]bool{ready.UUID: s.said == "answer"}})
			}
			sick := ""
			if of := p[ready.UUID]; of != nil {
				sick = of.sick(spec, now)
				if forever := of.sick(webSpec(func(g *bus.Group) { g.Repair.HealthGrace = 0 }), now); forever != "" {
					t.Errorf("%s, step %d: %q with no grace set", name, i, forever)
				}
			}
			if (sick == "") != (s.sick == "") || !strings.Contains(sick, s.sick) {
				t.Errorf("%s, step %d: %q, want %q", name, i, sick, s.sick)
			}
		}
	}
}

// It is said once that a VM is sick, and again after it was well.
func TestSickIsSaidOnce(t *testing.T) {
	outbox, events := listen(t)
	now := t0
	a := &Actuator{outbox: outbox, cfg: Config{Now: func() time.Time { return now }}, liveness: livenessByVM{}}
	g := &group{spec: webSpec(func(g *bus.Group) { g.Repair.HealthGrace = time.Second })}
	owned := []vm.VM{running(1)}
	hear := func(answered bool) {
		a.liveness.observe(owned, now)
		a.liveness.record(vm.Answers{At: now, VMs: map[string]bool{owned[0].UUID: answered}})
		a.sick(g, owned)
	}
	for _, answered := range []bool{true, false, false, false, true, false, false} {
		hear(answered)
		now = now.Add(time.Second)
	}
	a.tell(bus.Event{Group: "web", Event: "end"})
	for _, want := range []bus.EventType{bus.EventUnhealthy, bus.EventUnhealthy, "end"} {
		if e := <-events; e.Event != want {
			t.Errorf("event %+v, want %s", e, want)
		}
	}
}

// With health paused what agents say has no consequences, and what a person says has.
func TestPausedHealth(t *testing.T) {
	outbox, _ := listen(t)
	now := t0
	a := &Actuator{outbox: outbox, cfg: Config{Now: func() time.Time { return now }}, liveness: livenessByVM{}}
	g := &group{spec: webSpec(func(g *bus.Group) { g.Repair.HealthGrace = time.Second })}
	silent, marked := running(1), running(2)
	marked.Order = &bus.VMOrder{Verb: bus.VMUnhealthy, At: t0, By: "ann@kvm1"}
	owned := []vm.VM{silent, marked}
	for _, answered := range []bool{true, false, false} {
		a.liveness.observe(owned, now)
		a.liveness.record(vm.Answers{At: now, VMs: map[string]bool{silent.UUID: answered, marked.UUID: true}})
		now = now.Add(time.Second)
	}
	if sick := a.sick(g, owned); sick[silent.UUID] == "" || sick[marked.UUID] == "" {
		t.Fatalf("sick are %v", sick)
	}
	g.newest.Decision.Controls.Paused = []bus.Scope{bus.ScopeHealth}
	if sick := a.sick(g, owned); sick[silent.UUID] != "" || sick[marked.UUID] == "" {
		t.Errorf("with health paused sick are %v", sick)
	}
}

// With hooks paused nobody is waited for, also where the spec of a refresh is in force.
func TestPausedHooks(t *testing.T) {
	g := &group{spec: webSpec(func(g *bus.Group) {
		g.Hooks = bus.Hooks{Launch: busHooks(), Remove: bus.HookList{{WaitFor: bus.WaitForCommand, Command: "true"}}}
	})}
	if h := g.hooked(g.spec).Hooks; !h.Launch.Waits() || !h.Remove.Waits() {
		t.Fatalf("%+v", h)
	}
	g.newest.Decision.Controls.Paused = []bus.Scope{bus.ScopeHooks}
	if h := g.hooked(g.spec).Hooks; h.Launch.Waits() || h.Remove.Waits() {
		t.Errorf("paused, and %+v", h)
	}
	if !g.spec.Hooks.Launch.Waits() {
		t.Error("the group's own spec has changed")
	}
}

// Only the agents of VMs that should serve are asked.
func TestWhoIsAsked(t *testing.T) {
	a := &Actuator{
		groups: map[string]*group{"web": {spec: webSpec(func(g *bus.Group) { g.ReadyWhen = bus.ReadyAgent })}},
		seen:   map[string]vm.VM{}, workers: map[string]*worker{},
	}
	foreign := running(9)
	foreign.Meta.Group = "other"
	for _, v := range []vm.VM{
		running(1), vmOf(2, bus.PhaseLaunching, bus.StateRunning), vmOf(3, bus.PhaseReady, bus.StatePaused),
		running(4), foreign,
	} {
		a.seen[v.UUID] = v
	}
	a.workers[running(4).UUID] = &worker{}
	if got := a.agentsToProbe(); len(got) != 1 || got[0].Name != "web-1" {
		t.Errorf("asked: %+v", got)
	}
	a.groups["web"].spec.Repair.HealthGrace = 0
	if got := a.agentsToProbe(); len(got) != 0 {
		t.Errorf("asked with health_grace 0: %+v", got)
	}
	a.groups["web"].spec = webSpec(func(g *bus.Group) { g.ReadyWhen = bus.ReadyUptime })
	if got := a.agentsToProbe(); len(got) != 0 {
		t.Errorf("asked though no agent is expected: %+v", got)
	}
}

// What a sample says holds for a while, and only of this host.
func TestLoad(t *testing.T) {
	l := load{}
	sample := func(host bus.HostID, at time.Time, percent float64) bus.Sample {
		return bus.Sample{Group: "web", HostID: host, Time: at, VMs: []bus.VM{{UUID: "a", CPUPercent: &percent}, {UUID: "b"}}}
	}
	l.take(sample("here", t0, 50), "here", t0)
	l.take(sample("there", t0.Add(time.Second), 60), "here", t0)
	l.take(sample("here", t0.Add(-time.Second), 70), "here", t0) // late
	cpu := l.cpu("web", t0.Add(freshFor))
	if _, known := cpu["b"]; cpu["a"] != 50 || known || len(l.cpu("db", t0)) != 0 {
		t.Errorf("CPU %v", cpu)
	}
	if old := l.cpu("web", t0.Add(freshFor+1)); len(old) != 0 {
		t.Errorf("an old sample tells %v", old)
	}
}
