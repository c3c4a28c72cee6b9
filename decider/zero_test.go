package decider

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// toZero is a group that may have no VM.
func toZero(g *bus.Group) { g.Min, g.IdleToZero, g.WakeFor = 0, 15*time.Minute, 5*time.Minute }

func onMetric(g *bus.Group) {
	g.Policy.Types, g.Policy.Signal, g.Policy.Metric = []bus.PolicyType{bus.PolicyTarget}, bus.SignalMetric, "jobs"
	g.Policy.MetricTarget = 10
}

func onNetwork(g *bus.Group) {
	g.Policy.Types, g.Policy.Signal, g.Policy.TargetMiBS = []bus.PolicyType{bus.PolicyTarget}, bus.SignalNetworkRx, 10
}

func onExpression(g *bus.Group) {
	g.Policy.Types, g.Policy.Signal = []bus.PolicyType{bus.PolicyTarget}, bus.SignalExpression
	g.Policy.Expression = "cpu / 50"
}

// moving is an idle VM that receives so many MiB/s.
func moving(rate *float64) bus.VM {
	vm := ready(1)
	vm.Rates = &bus.Rates{NetworkRx: rate}
	return vm
}

func TestZero(t *testing.T) {
	const never = 0
	awake := func(idle time.Duration) State {
		st := State{HasSample: true, Desired: 1}
		if idle > 0 {
			st.Idle = Idle{t0.Add(-idle), t0.Add(-time.Second)}
		}
		return st
	}
	none := State{HasSample: true}
	woken := func(st State) State { st.Wake = Wake{t0.Add(time.Minute), "ann@kvm1"}; return st }
	with := func(o Observation, jobs float64) Observation { o.Metrics = published("jobs", jobs, t0); return o }
	protected := ready(1)
	protected.Protected = true
	silent := see(ready(1))
	silent.Hosts = append(
		silent.Hosts,
		HostObservation{ID: "kvm2", Name: "kvm2", Time: t0, VMs: []bus.VM{ready(1)}, Trouble: Silent},
	)
	unattended := see(ready(1))
	unattended.Hosts[0].Trouble = Unattended
	old := see(ready(1))
	old.Metrics = published("jobs", 0, t0.Add(-time.Hour))
	saturated := ready(1)
	saturated.RunDelayPercent = new(60.0)
	long, short := 20*time.Minute, 5*time.Minute
	byHand := func(n int, st State) State { st.Controls.Desired = &n; return st }
	paused := func(s bus.Scope, st State) State { st.Controls.Paused = []bus.Scope{s}; return st }
	for _, tt := range []struct {
		name     string
		spec     bus.Group
		state    State
		obs      Observation
		want     int
		rule     bus.Rule
		sentence string // a part of it
	}{
		// The last VM goes when it is known to have had nothing to do for long enough.
		{
			"idle for long", spec(toZero), awake(long), see(ready(1)), 0, bus.RuleIdle,
			"its last VM had nothing to do for 15m: average 1 %",
		},
		{
			"idle, not for long", spec(toZero), awake(short), see(ready(1)), 1, bus.RuleBelowLower,
			"idle with its last VM, which goes in 10m",
		},
		{"idle since now", spec(toZero), awake(never), see(ready(1)), 1, bus.RuleBelowLower, "which goes in 15m"},
		{
			"idle, and never to zero", spec(toZero, func(g *bus.Group) { g.IdleToZero = 0 }), awake(long), see(ready(1)), 1,
			bus.RuleBelowLower, "idle with its last VM, which stays",
		},
		{"idle, with min 1", spec(toZero, bounds(1, 5)), awake(long), see(ready(1)), 1, bus.RuleBelowLower, "idle at min 1"},
		{"at work", spec(toZero), awake(long), see(ready(30)), 1, bus.RuleStable, "stable"},
		{"waiting for a core of the host", spec(toZero), awake(long), see(saturated), 1, bus.RuleBelowLower, ""},
		{"unknown", spec(toZero), awake(long), see(unknown()), 1, bus.RuleNoneReady, "no ready VM has a CPU reading yet"},
		{"its VM boots", spec(toZero), awake(long), see(aged(bus.PhaseLaunching, 0, nil)), 1, bus.RuleNoneReady, "waiting for 1 VM"},
		{"a second one still there", spec(toZero), awake(long), see(ready(1), ready(1)), 1, bus.RuleBelowLower, ""},
		{"protected", spec(toZero), awake(long), see(protected), 1, bus.RuleBelowLower, "which is protected"},
		{"a host is silent", spec(toZero), awake(long), silent, 1, bus.RuleBelowLower, ""},
		{"no actuator acts there", spec(toZero), awake(long), unattended, 1, bus.RuleBelowLower, "which goes"},
		{"woken for longer", spec(toZero), woken(awake(long)), see(ready(1)), 1, bus.RuleBelowLower, "which goes in 1m"},
		{
			"scaling in is paused", spec(toZero), paused(bus.ScopeIn, awake(long)), see(ready(1)), 1, bus.RuleIdle,
			"paused, else its last VM",
		},
		{"by hand at 1", spec(toZero), byHand(1, awake(long)), see(ready(1)), 1, bus.RuleManual, ""},
		{
			"two idle ones", spec(toZero, atOnce),
			State{HasSample: true, Desired: 2, Idle: awake(long).Idle},
			see(ready(1), ready(1)), 1,
			bus.RuleBelowLower, "",
		},

		// With a metric it is that, which must be known, and a VM that still works is not taken away.
		{"no job", spec(toZero, onMetric), awake(long), with(see(ready(30)), 0), 0, bus.RuleIdle, "metric jobs 0, average 30 %"},
		{"a job", spec(toZero, onMetric), awake(long), with(see(ready(1)), 1), 1, bus.RulePolicy, ""},
		{"no job waits, and one is worked on", spec(toZero, onMetric), awake(long), with(see(ready(90)), 0), 1, bus.RulePolicy, ""},
		{
			"jobs are not known", spec(toZero, onMetric), awake(long), see(ready(1)), 1, bus.RulePolicy,
			"nobody has published the metric jobs",
		},
		{"jobs are not known any more", spec(toZero, onMetric), awake(long), old, 1, bus.RulePolicy, "1h0m0s ago"},

		// So it is with what VMs move, and with an expression.
		{"moves nothing", spec(toZero, onNetwork), awake(long), see(moving(new(0.5))), 0, bus.RuleIdle, "average 1 %"},
		{"moves much", spec(toZero, onNetwork), awake(long), see(moving(new(5.0))), 1, bus.RulePolicy, ""},
		{"what it moves is not known", spec(toZero, onNetwork), awake(long), see(moving(nil)), 1, bus.RulePolicy, ""},
		{"a low expression", spec(toZero, onExpression), awake(long), see(ready(1)), 0, bus.RuleIdle, "average 1 %"},
		{"a high expression", spec(toZero, onExpression), awake(long), see(ready(15)), 1, bus.RulePolicy, ""},

		// No VM: there is no CPU, which is no reason for anything.
		{"asleep", spec(toZero), none, see(), 0, bus.RuleAsleep, "asleep: woken by a request for it, or `vmscaler scale`"},
		{"asleep, the last one goes", spec(toZero), none, see(aged(bus.PhaseDraining, 0, new(99.0))), 0, bus.RuleAsleep, "asleep: "},
		{"a VM came back", spec(toZero), none, see(ready(99)), 0, bus.RuleAsleep, "1 VM still to go"},
		{"asleep with a schedule", spec(toZero, func(g *bus.Group) {
			g.Schedule = []bus.ScheduledAction{
				{At: "0 20 * * *", Zone: "UTC", Desired: new(0)}, {At: "0 8 * * *", Zone: "UTC", Desired: new(2)},
			}
		}), State{HasSample: true, ScheduleSeenAt: t0}, see(), 0, bus.RuleAsleep, "its schedule, Tue 2026-05-05 08:00 UTC"},
		{
			"asleep, a metric", spec(toZero, onMetric), none, with(see(), 0), 0, bus.RuleAsleep,
			"woken by the metric jobs above 0; a request",
		},
		{
			"asleep, a metric that is not known", spec(toZero, onMetric), none, see(), 0, bus.RuleAsleep,
			"nobody has published the metric",
		},
		{"woken by a metric", spec(toZero, onMetric), none, with(see(), 1), 1, bus.RulePolicy, "scaling out: metric 1, and no VM"},
		{"woken by a high metric", spec(toZero, onMetric), none, with(see(), 35), 4, bus.RulePolicy, ""},
		{"woken by the metric of one of two policies", spec(toZero, onMetric, func(g *bus.Group) {
			g.Policy.Types = []bus.PolicyType{bus.PolicyThreshold, bus.PolicyTarget}
		}), none, with(see(), 1), 1, bus.RulePolicy, ""},
		{"woken", spec(toZero), woken(none), see(), 1, bus.RuleWoken, "woken by ann@kvm1"},
		{"woken without data", spec(toZero), woken(none), Observation{}, 0, bus.RuleNoData, "waiting"},
		{
			"woken, and scaling out is paused", spec(toZero), paused(bus.ScopeOut, woken(none)), see(), 0, bus.RuleWoken,
			"paused, else woken",
		},
		{"woken, and by hand at 0", spec(toZero), byHand(0, woken(none)), see(), 0, bus.RuleManual, "scaled to 0 VMs by hand"},
		{"by hand to 0", spec(toZero), byHand(0, awake(never)), see(ready(90)), 0, bus.RuleManual, ""},
		{"by hand to 2", spec(toZero), byHand(2, none), see(), 2, bus.RuleManual, ""},
		{"min is set", spec(toZero, bounds(1, 5)), none, see(), 1, bus.RuleBelowMin, ""},

		// The start.
		{"nothing there", spec(toZero), State{}, see(), 0, bus.RuleStart, "starting with 0 VMs"},
		{"one there", spec(toZero), State{}, see(ready(1)), 1, bus.RuleStart, "starting with 1 VM"},
		{"it was asleep", spec(toZero), State{PreviousDesired: new(0)}, see(), 0, bus.RuleStart, ""},
		{"it fell asleep", spec(toZero), State{PreviousDesired: new(0)}, see(ready(1)), 0, bus.RuleStart, "as before: 1 found"},
		{"all are gone that were wanted", spec(toZero), State{PreviousDesired: new(3)}, see(), 1, bus.RuleStart, "0 found"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, st := Decide(tt.spec, tt.state, tt.obs, t0)
			if d.Desired != tt.want || d.Rule != tt.rule || !strings.Contains(d.Sentence, tt.sentence) || st.Desired != tt.want {
				t.Errorf("desired %d, rule %s, guard %s: %s\nwant %d, %s, %q", d.Desired, d.Rule, d.Guard, d.Sentence, tt.want, tt.rule,
					tt.sentence)
			}
			if d.HasSample && d.Desired == 0 && keptOf(tt.obs) > 0 && d.Direction != bus.In {
				t.Errorf("%s, so that its VM stays", d.Direction)
			}
		})
	}
}

// A group goes to sleep, is woken, keeps its VM for a while, and sleeps again.
func TestADayWithoutLoad(t *testing.T) {
	w := newWorld(spec(toZero, warmup(0)))
	if d := w.step(); d.Desired != 0 || d.Rule != bus.RuleStart {
		t.Fatalf("begins with %d: %s", d.Desired, d.Sentence)
	}
	if d := w.step(); d.Rule != bus.RuleAsleep {
		t.Fatalf("%s: %s", d.Rule, d.Sentence)
	}
	w.state.Wake = w.state.Wake.extended(w.now.Add(w.spec.WakeFor), "ann")
	begin := w.now
	if d := w.step(); d.Desired != 1 || d.Rule != bus.RuleWoken || d.Inputs.WokenUntil == nil {
		t.Fatalf("woken: %d, %s, until %v", d.Desired, d.Sentence, d.Inputs.WokenUntil)
	}
	for w.state.Desired == 1 && w.now.Sub(begin) < time.Hour {
		w.step()
	}
	if slept := w.now.Sub(begin); slept < 15*time.Minute || slept > 16*time.Minute {
		t.Errorf("asleep again after %s", slept)
	}
	if w.state.Wake != (Wake{}) {
		t.Errorf("%+v is left of the wake", w.state.Wake)
	}
	for range 100 {
		if d := w.step(); d.Desired != 0 {
			t.Fatalf("wakes by itself: %s", d.Sentence)
		}
	}
}

// What keeps a woken group awake is not what woke it.
func TestWokenByAnythingIsAwakeForAWhile(t *testing.T) {
	for name, wake := range map[string]func(*world){
		"by a metric":  func(w *world) { w.metric = new(1.0) },
		"by hand":      func(w *world) { w.state.Controls.Desired = new(1) },
		"by a request": func(w *world) { w.state.Wake = w.state.Wake.extended(w.now.Add(w.spec.WakeFor), "ann") },
		"by a schedule": func(w *world) {
			w.spec.Schedule = []bus.ScheduledAction{{At: "5 12 * * *", Zone: "UTC", Desired: new(1)}}
			w.state.ScheduleSeenAt, w.now = w.now, t0.Add(5*time.Minute)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(spec(toZero, onMetric, warmup(0), func(g *bus.Group) { g.IdleToZero, g.WakeFor = time.Minute, 10*time.Minute }))
			w.metric = new(0.0)
			w.steps(20)
			wake(w)
			begin := w.now
			for w.state.Desired == 0 && w.now.Sub(begin) < time.Minute {
				w.step()
			}
			if w.state.Desired != 1 {
				t.Fatalf("has %d VMs", w.state.Desired)
			}
			w.metric, w.state.Controls.Desired = new(0.0), nil
			for w.state.Desired > 0 && w.now.Sub(begin) < time.Hour {
				w.step()
			}
			if awake := w.now.Sub(begin); awake < 10*time.Minute || awake > 11*time.Minute {
				t.Errorf("awake for %s", awake)
			}
		})
	}
}

// A missing reading neither begins nor ends idleness, unless it lasts.
func TestIdleWithGaps(t *testing.T) {
	for _, tt := range []struct {
		gap  time.Duration
		want int
	}{{10 * time.Second, 0}, {2 * time.Minute, 1}} {
		s := spec(toZero)
		st := State{HasSample: true, Desired: 1}
		for at := time.Duration(0); at <= s.IdleToZero; at += time.Second {
			obs := see(ready(1))
			if at > time.Minute && at < time.Minute+tt.gap {
				obs = see(unknown())
			}
			obs.Hosts[0].Time = t0.Add(at)
			_, st = Decide(s, st, obs, t0.Add(at))
		}
		if st.Desired != tt.want {
			t.Errorf("a gap of %s: desired %d, want %d", tt.gap, st.Desired, tt.want)
		}
	}
}

// The one who leads next knows how long a group is to be awake, from what is kept or from what was heard.
func TestWakeOutlivesTheLeader(t *testing.T) {
	wake := Wake{t0.Add(time.Hour), "ann"}
	data, err := json.Marshal(newCheckpoint(State{HasSample: true, Wake: wake}, t0))
	if err != nil {
		t.Fatal(err)
	}
	var kept checkpoint
	if err := json.Unmarshal(data, &kept); err != nil {
		t.Fatal(err)
	}
	if st := recall(kept, nil, bus.Controls{}, t0.Add(30*time.Minute)); st.Wake != wake {
		t.Errorf("kept: %+v", st.Wake)
	}
	heard := &bus.Decision{HasSample: true, Time: t0.Add(time.Second), Inputs: bus.Inputs{WokenUntil: new(t0.Add(2 * time.Hour))}}
	if st := recall(kept, heard, bus.Controls{}, t0.Add(2*time.Second)); !st.Wake.Until.Equal(t0.Add(2 * time.Hour)) {
		t.Errorf("heard: %+v", st.Wake)
	}
	if m := newCheckpoint(State{Wake: wake}, t0); !m.worthSaving(newCheckpoint(State{}, t0)) {
		t.Error("a wake is not worth keeping")
	}
}

func TestAwakening(t *testing.T) {
	w := Wake{t0.Add(5 * time.Minute), "ann"}
	for _, tt := range []struct {
		name     string
		d        bus.Decision
		state    bus.WakeState
		sentence string
	}{
		{
			"serves",
			bus.Decision{HasSample: true, Desired: 2, Inputs: bus.Inputs{Ready: 1}},
			bus.WakeReady,
			"awake: 1 of 2 VMs ready; one at least is kept for 5m (wake_for)",
		},
		{
			"serves, and warms up",
			bus.Decision{HasSample: true, Desired: 1, Inputs: bus.Inputs{Warming: 1}},
			bus.WakeReady,
			"1 of 1 VM ready",
		},
		{
			"on its way",
			bus.Decision{HasSample: true, Desired: 1, Sentence: "scaling out"},
			bus.WakeStarting,
			"1 VM wanted, none serves yet",
		},
		{"paused", bus.Decision{HasSample: true, Sentence: "paused, else woken"}, bus.WakeHeld, "paused, else woken"},
		{"on its way out", bus.Decision{HasSample: true, Inputs: bus.Inputs{Ready: 1}, Sentence: "by hand"}, bus.WakeHeld, "by hand"},
		{"dry run", bus.Decision{HasSample: true, Desired: 1, Controls: bus.Controls{DryRun: true}}, bus.WakeHeld, "dry run"},
		{"nothing known", bus.Decision{Sentence: "no data"}, bus.WakeHeld, "not known yet: no data"},
		{
			"with a min",
			bus.Decision{HasSample: true, Desired: 1, Inputs: bus.Inputs{Ready: 1, Min: 1}},
			bus.WakeReady,
			"awake: 1 of 1 VM ready",
		},
	} {
		a := awakening(tt.d, w, t0)
		if a.State != tt.state || !strings.Contains(a.Sentence, tt.sentence) || (a.Until != nil) != (tt.d.Inputs.Min == 0) {
			t.Errorf("%s: %s, until %v: %s", tt.name, a.State, a.Until, a.Sentence)
		}
	}
}

// A request wakes a group at once, whatever its interval is.
func TestDeciderWakes(t *testing.T) {
	t.Parallel()
	b := startHarness(t, spec(toZero, func(g *bus.Group) { g.Policy.Interval = 10 * time.Minute }))
	b.tick()
	b.advance(10 * time.Minute)
	b.send("web", "kvm1")
	for b.decision().Rule != bus.RuleStart {
		continue
	}
	ask := func() bus.Wake {
		t.Helper()
		a, err := client.Ask[bus.Wake](t.Context(), b.conn, bus.VerbWake, bus.Query{Group: "web", By: "ann@kvm1"})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	if a := ask(); a.State != bus.WakeStarting || a.Desired != 1 || a.Until == nil || !a.Until.Equal(b.clock().Add(5*time.Minute)) {
		t.Errorf("%+v", a)
	}
	if d := b.decision(); d.Rule != bus.RuleWoken || d.Direction != bus.Out || d.Desired != 1 ||
		d.Sentence != "woken by ann@kvm1" || len(d.Shares) != 1 || d.Shares["kvm1"].VMs != 1 {
		t.Errorf("%+v", d)
	}
	b.advance(time.Minute)
	if a := ask(); a.State != bus.WakeStarting || !a.Until.Equal(b.clock().Add(5*time.Minute)) {
		t.Errorf("again: %+v", a)
	}
	_, err := client.Ask[bus.Wake](t.Context(), b.conn, bus.VerbWake, bus.Query{Group: "db"})
	if err == nil || !strings.Contains(err.Error(), `there is no group "db"`) {
		t.Errorf("of no group: %v", err)
	}
}

// What keeps a group from waking is in the answer, with who said so and how it is taken back.
func TestWakeWhilePaused(t *testing.T) {
	for _, tt := range []struct {
		desired int
		scopes  []bus.Scope
		held    bool
	}{
		{0, []bus.Scope{bus.ScopeOut}, true},
		{0, bus.Scopes(), true},
		{1, bus.Scopes(), true},
		{1, []bus.Scope{bus.ScopeOut}, false}, // it was wanted before
		{0, []bus.Scope{bus.ScopeIn}, false},
	} {
		g := spec(bounds(0, 3))
		st := State{HasSample: true, Desired: tt.desired, Hosts: []bus.HostID{"kvm1"}}
		st.Controls = bus.Controls{
			Paused: tt.scopes, By: "bob", Said: map[bus.Control]bus.Saying{bus.ControlPaused: {By: "ann", Reason: "an audit"}},
		}
		st.Wake = st.Wake.extended(t0.Add(time.Minute), "me")
		d, st := Decide(g, st, only(), t0)
		a := awakening(d, st.Wake, t0)
		says := strings.Contains(a.Sentence, "scaling out is paused by ann (\"an audit\")") &&
			strings.Contains(a.Sentence, "`vmscaler resume web out`")
		if says != tt.held || (a.State == bus.WakeHeld) != tt.held {
			t.Errorf("%d wanted, %q paused: %+v", tt.desired, tt.scopes, a)
		}
	}
}

// A shorter wake_for also holds for a group that was woken before, and a longer one for the next time.
func TestWakeForIsShortened(t *testing.T) {
	w := Wake{Until: t0.Add(15 * time.Minute), By: "me"}
	if got := w.shortened(15*time.Minute, time.Minute); !got.Until.Equal(t0.Add(time.Minute)) || got.By != "me" {
		t.Errorf("shortened: %+v", got)
	}
	if got := w.shortened(15*time.Minute, time.Hour); got != w {
		t.Errorf("with a longer one: %+v", got)
	}
	if got := (Wake{}).shortened(time.Hour, time.Minute); got != (Wake{}) {
		t.Errorf("of a group that was not woken: %+v", got)
	}
}
