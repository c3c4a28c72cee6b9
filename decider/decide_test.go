package decider

import (
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

func TestDecide(t *testing.T) {
	known := func(desired int) State { return State{HasSample: true, Desired: desired} }
	byHand := func(desired, by int) State {
		return State{HasSample: true, Desired: desired, Controls: bus.Controls{Desired: &by}}
	}
	stale := see(ready(95))
	stale.Hosts = append(stale.Hosts, HostObservation{ID: "kvm2", Name: "kvm2", Time: t0})
	stale.Hosts[0].Trouble, stale.Hosts[1].Trouble, stale.Fresh = Silent, Silent, 0
	notNew := see(ready(95))
	notNew.Fresh = 0

	for _, tt := range []struct {
		name      string
		spec      bus.Group
		state     State
		obs       Observation
		want      int
		direction bus.Direction
		rule      bus.Rule
		guard     bus.Guard
		sentence  string // a part of it
	}{
		// Without data nothing changes.
		{"no sample ever", spec(), State{}, Observation{}, 0, bus.Hold, bus.RuleNoData, "", "waiting for the first sample"},
		{"no sample since the start", spec(), State{}, notNew, 0, bus.Hold, bus.RuleNoData, "", "waiting for a new sample"},
		{"nothing new", spec(atOnce), known(1), notNew, 1, bus.Hold, bus.RuleNoData, "", "waiting for a new sample"},
		{"stale before the first list", spec(), State{}, stale, 0, bus.Hold, bus.RuleNoData, "", "no fresh sample from kvm1, kvm2"},
		{"stale at full load", spec(atOnce), known(1), stale, 1, bus.Hold, bus.RuleNoData, "", "no fresh sample"},
		{"stale below min", spec(bounds(3, 5)), known(1), stale, 1, bus.Hold, bus.RuleNoData, "", "no fresh sample"},

		// The start takes over what is there, within min and max.
		{
			"start, empty group", spec(bounds(2, 5)),
			State{},
			see(), 2, bus.Out, bus.RuleStart, "",
			"starting with 2 VMs: 0 found, min 2, max 5",
		},
		{"start with fewer than min", spec(bounds(2, 5)), State{}, see(ready(1)), 2, bus.Out, bus.RuleStart, "", "1 found"},
		{
			"start with what is there", spec(bounds(1, 5)),
			State{},
			see(ready(1), ready(1), ready(1)), 3, bus.Hold, bus.RuleStart, "",
			"starting with 3 VMs",
		},
		{
			"start with more than max", spec(bounds(1, 2)),
			State{},
			see(ready(99), ready(99), ready(99)), 2, bus.In, bus.RuleStart, "",
			"3 found, min 1, max 2",
		},
		{
			"start, those on their way out do not count", spec(bounds(1, 5)),
			State{},
			see(ready(1), aged(bus.PhaseDraining, time.Second, nil), aged(bus.PhaseStopping, time.Second, nil)), 1, bus.Hold,
			bus.RuleStart, "", "starting with 1 VM",
		},
		{
			"start, booting and failed ones count", spec(bounds(1, 5)),
			State{},
			see(aged(bus.PhaseCreating, 0, nil), aged(bus.PhaseLaunching, time.Hour, nil), aged(bus.PhaseFailed, 0, nil)), 3, bus.Hold,
			bus.RuleStart, "", "starting with 3 VMs",
		},

		// A change of the spec moves desired at once.
		{"min was raised", spec(bounds(3, 5)), known(1), see(ready(1)), 3, bus.Out, bus.RuleBelowMin, "", "to min 3"},
		{
			"max was lowered", spec(bounds(1, 2)), known(4), see(ready(99), ready(99), ready(99), ready(99)), 2, bus.In, bus.RuleAboveMax,
			"", "to max 2",
		},

		// What a person has said holds, whatever the load is, but not without data or beyond min and max.
		{"by hand", spec(atOnce), byHand(2, 4), see(ready(1), ready(1)), 4, bus.Out, bus.RuleManual, "", "scaled to 4 VMs by hand"},
		{
			"by hand, as it is", spec(atOnce), byHand(2, 2), see(ready(99), ready(99)), 2, bus.Hold, bus.RuleManual, "",
			"scaled to 2 VMs by hand",
		},
		{"by hand, no VM ready", spec(atOnce), byHand(1, 3), see(), 3, bus.Out, bus.RuleManual, "", "scaled to 3 VMs by hand"},
		{
			"by hand above a max that was lowered", spec(bounds(1, 3)), byHand(2, 5), see(ready(1), ready(1)), 3, bus.Out, bus.RuleManual,
			"", "scaled to 3 VMs by hand",
		},
		{"by hand without data", spec(), byHand(1, 3), stale, 1, bus.Hold, bus.RuleNoData, "", "no fresh sample"},

		// No reading, no opinion.
		{"empty group", spec(atOnce), known(2), see(), 2, bus.Hold, bus.RuleNoneReady, "", "waiting for 2 VMs to be ready"},
		{
			"only a booting VM", spec(atOnce), known(1), see(aged(bus.PhaseLaunching, time.Second, new(100.0))), 1, bus.Hold,
			bus.RuleNoneReady, "", "waiting for 1 VM to be ready",
		},
		{
			"only unknown CPUs", spec(atOnce), known(2), see(unknown(), unknown()), 2, bus.Hold, bus.RuleNoneReady, "",
			"no ready VM has a CPU reading yet",
		},
		{
			"the only VM is dead", spec(atOnce), known(1), see(inState(bus.StateShutoff, 100)), 1, bus.Hold, bus.RuleNoneReady, "",
			"no ready VM",
		},
		{
			"the only VM is suspended", spec(atOnce), known(1), see(inState(bus.StatePaused, 0)), 1, bus.Hold, bus.RuleNoneReady, "",
			"waiting for 1 VM to be ready",
		},
		{
			"the only VM that may be is suspended", spec(func(g *bus.Group) { atOnce(g); g.Max = 1 }), known(1),
			see(inState(bus.StatePaused, 0)), 1, bus.Hold, bus.RuleNoneReady, "",
			"waiting until a suspended VM is resumed, as it counts toward max 1",
		},
		{
			"the only VM's state is unknown", spec(atOnce), known(1), see(inState(bus.StateUnknown, 100)), 1, bus.Hold, bus.RuleNoneReady,
			"", "no ready VM",
		},

		// The thresholds.
		{
			"above upper", spec(atOnce), known(1), see(ready(70.1)), 2, bus.Out, bus.RuleAboveUpper, "",
			"scaling out: average 70 % > 70 %",
		},
		{"exactly upper", spec(atOnce), known(1), see(ready(70)), 1, bus.Hold, bus.RuleStable, "", "stable: average 70 %"},
		{"between", spec(atOnce), known(2), see(ready(60), ready(20)), 2, bus.Hold, bus.RuleStable, "", "stable: average 40 %"},
		{"exactly lower", spec(atOnce), known(2), see(ready(20), ready(20)), 2, bus.Hold, bus.RuleStable, "", "stable"},
		{
			"below lower", spec(atOnce), known(2), see(ready(20), ready(19.9)), 1, bus.In, bus.RuleBelowLower, "",
			"scaling in: average 20 % < 20 %",
		},
		{"idle at 0 %", spec(atOnce), known(2), see(ready(0), ready(0)), 1, bus.In, bus.RuleBelowLower, "", "average 0 %"},

		// Guards of scaling out, in their order.
		{
			"out: at max", spec(bounds(1, 2), atOnce), known(2), see(ready(100), ready(100)), 2, bus.Hold, bus.RuleAboveUpper,
			bus.GuardAtMax, "at max 2",
		},
		{
			"out: one breach of three", spec(), known(1), see(ready(100)), 1, bus.Hold, bus.RuleAboveUpper, bus.GuardBreaches,
			"1 of 3 samples",
		},
		{
			"out: two breaches of three", spec(),
			State{HasSample: true, Desired: 1, BreachesOut: 1},
			see(ready(100)), 1, bus.Hold,
			bus.RuleAboveUpper, bus.GuardBreaches, "2 of 3 samples",
		},
		{
			"out: third breach", spec(),
			State{HasSample: true, Desired: 1, BreachesOut: 2},
			see(ready(100)), 2, bus.Out,
			bus.RuleAboveUpper, "", "for 3 s",
		},
		{
			"out: a booting VM is enough", spec(atOnce), known(2), see(ready(100), aged(bus.PhaseLaunching, time.Second, nil)), 2,
			bus.Hold, bus.RuleAboveUpper, bus.GuardComing, "1 pending VM will make it 50 %",
		},
		{
			"out: a VM that is not even defined is enough", spec(atOnce), known(2), see(ready(100)), 2, bus.Hold, bus.RuleAboveUpper,
			bus.GuardComing, "1 pending VM",
		},
		{
			"out: a booting VM is not enough", spec(atOnce), known(3),
			see(ready(100), ready(100), ready(100), aged(bus.PhaseLaunching, time.Second, nil)), 4, bus.Out, bus.RuleAboveUpper, "",
			"scaling out",
		},
		{
			"out: unknown counts as no load", spec(atOnce), known(2), see(ready(100), unknown()), 2, bus.Hold, bus.RuleAboveUpper,
			bus.GuardUnknownCPU, "the CPU of 1 VM is unknown",
		},
		{
			"out: unknown, but the rest is enough", spec(atOnce), known(4), see(ready(100), ready(100), ready(100), unknown()), 5,
			bus.Out, bus.RuleAboveUpper, "", "scaling out",
		},
		{
			"out: cooling down", spec(atOnce, func(g *bus.Group) { g.Policy.CooldownOut = 3 * time.Second }),
			State{HasSample: true, Desired: 1, LastOut: t0.Add(-2 * time.Second)},
			see(ready(100)), 1, bus.Hold, bus.RuleAboveUpper, bus.GuardCooldown, "cooling down 1 s",
		},
		{
			"out: cooled down", spec(atOnce, func(g *bus.Group) { g.Policy.CooldownOut = 3 * time.Second }),
			State{HasSample: true, Desired: 1, LastOut: t0.Add(-3 * time.Second)},
			see(ready(100)), 2, bus.Out, bus.RuleAboveUpper, "", "scaling out",
		},
		{
			"out: right after scaling in",
			spec(atOnce, func(g *bus.Group) { g.Policy.CooldownOut, g.Policy.CooldownIn = time.Minute, time.Minute }),
			State{HasSample: true, Desired: 1, LastChange: t0.Add(-time.Second)},
			see(ready(100)), 2, bus.Out, bus.RuleAboveUpper, "", "scaling out",
		},

		// Guards of scaling in, in their order.
		{
			"in: at min", spec(bounds(2, 5), atOnce), known(2), see(ready(1), ready(1)), 2, bus.Hold, bus.RuleBelowLower, bus.GuardAtMin,
			"idle at min 2",
		},
		{
			"in: unknown CPU", spec(atOnce), known(2), see(ready(1), unknown()), 2, bus.Hold, bus.RuleBelowLower, bus.GuardUnknownCPU,
			"the CPU of 1 VM is unknown",
		},
		{
			"in: one unknown of four", spec(atOnce), known(4), see(ready(1), ready(1), ready(1), unknown()), 3, bus.In,
			bus.RuleBelowLower, "",
			"average 1 %",
		},
		{
			"in: most are unknown", spec(atOnce), known(4), see(ready(1), unknown(), unknown(), unknown()), 4, bus.Hold,
			bus.RuleBelowLower, bus.GuardUnknownCPU, "the CPU of 3 VMs is unknown",
		},
		{
			"in: what is unknown leaves room for one fewer", spec(atOnce), known(3), see(ready(19), ready(19), unknown()), 2, bus.In,
			bus.RuleBelowLower, "", "average 19 %",
		},
		{
			"in: two unknown of four", spec(atOnce), known(4), see(ready(10), ready(10), unknown(), unknown()), 4, bus.Hold,
			bus.RuleBelowLower, bus.GuardUnknownCPU, "the CPU of 2 VMs is unknown",
		},
		{
			"in: four breaches of five", spec(),
			State{HasSample: true, Desired: 2, BreachesIn: 3},
			see(ready(1), ready(1)), 2, bus.Hold,
			bus.RuleBelowLower, bus.GuardBreaches, "4 of 5 samples",
		},
		{
			"in: fifth breach", spec(),
			State{HasSample: true, Desired: 2, BreachesIn: 4},
			see(ready(1), ready(1)), 1, bus.In,
			bus.RuleBelowLower, "", "for 5 s",
		},
		{
			"in: cooling down after any change", spec(atOnce, func(g *bus.Group) { g.Policy.CooldownIn = 5 * time.Second }),
			State{HasSample: true, Desired: 2, LastChange: t0.Add(-4500 * time.Millisecond)},
			see(ready(1), ready(1)), 2, bus.Hold, bus.RuleBelowLower, bus.GuardCooldown, "cooling down 1 s",
		},
		{
			"in: cooled down", spec(atOnce, func(g *bus.Group) { g.Policy.CooldownIn = 5 * time.Second }),
			State{HasSample: true, Desired: 2, LastChange: t0.Add(-5 * time.Second)},
			see(ready(1), ready(1)), 1, bus.In, bus.RuleBelowLower, "", "scaling in",
		},

		// What counts as a number.
		{
			"more than 100 % counts as 100", spec(thresholds(70, 20), atOnce), known(2), see(ready(190), ready(30)), 2, bus.Hold,
			bus.RuleStable, "", "stable: average 65 %",
		},
		{
			"a booting VM's CPU does not count", spec(atOnce), known(2),
			see(ready(30), aged(bus.PhaseLaunching, time.Second, new(100.0))), 2, bus.Hold, bus.RuleStable, "", "average 30 %",
		},
		{
			"a warming VM's CPU does not count", spec(atOnce, warmup(5*time.Second)), known(2),
			see(ready(30), aged(bus.PhaseReady, 4*time.Second, new(100.0))), 2, bus.Hold, bus.RuleStable, "", "average 30 %",
		},
		{
			"a warm VM's CPU counts", spec(atOnce, warmup(5*time.Second)), known(2),
			see(ready(30), aged(bus.PhaseReady, 5*time.Second, new(90.0))), 2, bus.Hold, bus.RuleStable, "", "average 60 %",
		},
		{
			"a warming VM is capacity", spec(atOnce, warmup(5*time.Second)), known(2),
			see(ready(100), aged(bus.PhaseReady, time.Second, new(100.0))), 2, bus.Hold, bus.RuleAboveUpper, bus.GuardComing,
			"1 pending VM",
		},
		{
			"a draining VM is neither", spec(atOnce), known(1), see(ready(100), aged(bus.PhaseDraining, time.Second, new(0.0))), 2,
			bus.Out, bus.RuleAboveUpper, "", "average 100 %",
		},
		{
			"a failed VM is neither", spec(atOnce), known(2), see(ready(100), aged(bus.PhaseFailed, time.Second, new(0.0))), 3, bus.Out,
			bus.RuleAboveUpper, "", "average 100 %",
		},
		{
			"a VM within the boot time-out is coming", spec(atOnce), known(2),
			see(ready(100), aged(bus.PhaseLaunching, 2*time.Minute, nil)), 2, bus.Hold, bus.RuleAboveUpper, bus.GuardComing,
			"1 pending VM",
		},
		{
			"a VM past the boot time-out is not", spec(atOnce), known(2), see(ready(100), aged(bus.PhaseLaunching, 2*time.Minute+1, nil)),
			3, bus.Out, bus.RuleAboveUpper, "", "scaling out",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, st := Decide(tt.spec, tt.state, tt.obs, t0)
			if d.Desired != tt.want || d.Direction != tt.direction || d.Rule != tt.rule || d.Guard != tt.guard {
				t.Errorf("got %s to %d by %s, guard %q (%s)", d.Direction, d.Desired, d.Rule, d.Guard, d.Sentence)
				t.Errorf("want %s to %d by %s, guard %q", tt.direction, tt.want, tt.rule, tt.guard)
			}
			if !strings.Contains(d.Sentence, tt.sentence) {
				t.Errorf("sentence %q has no %q", d.Sentence, tt.sentence)
			}
			if st.Desired != d.Desired || st.HasSample != d.HasSample {
				t.Errorf("decided %d (known %v), remembers %d (%v)", d.Desired, d.HasSample, st.Desired, st.HasSample)
			}
			if d.V != bus.Version || d.Group != "web" {
				t.Errorf("version %d, group %q", d.V, d.Group)
			}
		})
	}
}

func TestInputsSayWhatWasSeen(t *testing.T) {
	s := spec(func(g *bus.Group) { g.Policy.CooldownOut = 10 * time.Second })
	st := State{HasSample: true, Desired: 9, BreachesOut: 1, LastOut: t0.Add(-4 * time.Second)}
	d, _ := Decide(s, st, see(
		ready(100),
		ready(90.04),
		unknown(),
		inState(bus.StateShutoff, 0),
		aged(bus.PhaseLaunching, time.Second, new(100.0)),
		aged(
			bus.PhaseReady,
			time.Second,
			new(100.0),
		),
		aged(bus.PhaseLaunching, time.Hour, nil),
		aged(bus.PhaseDraining, time.Second, new(3.0)),
	), t0)
	in := d.Inputs
	if in.Owned != 8 || in.Ready != 3 || in.Launching != 1 || in.Warming != 1 || in.Unknown != 1 {
		t.Errorf("counted %+v", in)
	}
	if in.AveragePercent == nil || *in.AveragePercent != 95 {
		t.Errorf("average %v", in.AveragePercent)
	}
	// 190 % over 3 ready, 2 launching and 2 that are still to be made: desired 9, 7 not on their way out.
	if in.ProjectedPercent == nil || *in.ProjectedPercent != 27.1 {
		t.Errorf("projected %v", *in.ProjectedPercent)
	}
	if d.Current != 9 || in.UpperPercent != 70 || in.LowerPercent != 20 || in.Min != 1 || in.Max != 5 {
		t.Errorf("the spec: %+v", in)
	}

	d, _ = Decide(s, State{HasSample: true, Desired: 1, BreachesOut: 1, LastOut: t0.Add(-4 * time.Second)}, see(ready(100)), t0)
	if in := d.Inputs; in.Breaches != 2 || in.BreachesNeeded != 3 || in.CooldownMS != 6000 {
		t.Errorf("guards: %+v", in)
	}
	d, _ = Decide(s, State{HasSample: true, Desired: 1}, see(unknown()), t0)
	if in := d.Inputs; in.AveragePercent != nil || in.ProjectedPercent != nil {
		t.Errorf("unknown averages are %v and %v", *in.AveragePercent, *in.ProjectedPercent)
	}
}

// Breaches must follow one another.
func TestBreachesStartAnew(t *testing.T) {
	out := State{HasSample: true, Desired: 2, BreachesOut: 2}
	in := State{HasSample: true, Desired: 2, BreachesIn: 4}
	stale := see(ready(100), ready(100))
	stale.Hosts[0].Trouble = Silent
	for _, tt := range []struct {
		name  string
		state State
		obs   Observation
	}{
		{"out, stable again", out, see(ready(50), ready(50))},
		{"out, low", out, see(ready(10), unknown())},
		{"out, none ready", out, see(unknown())},
		{"out, stale", out, stale},
		{"out, no hosts", out, Observation{}},
		{"in, stable again", in, see(ready(50), ready(50))},
		{"in, an unknown CPU", in, see(ready(1), unknown())},
		{"in, none ready", in, see()},
		{"in, stale", in, stale},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, st := Decide(spec(), tt.state, tt.obs, t0)
			if st.BreachesOut != 0 || st.BreachesIn != 0 {
				t.Errorf("kept %d and %d", st.BreachesOut, st.BreachesIn)
			}
		})
	}
	t.Run("after a change", func(t *testing.T) {
		if _, st := Decide(spec(), out, see(ready(100), ready(100)), t0); st.Desired != 3 || st.BreachesOut != 0 {
			t.Errorf("got %+v", st)
		}
	})
	t.Run("the other direction", func(t *testing.T) {
		if _, st := Decide(spec(), in, see(ready(100), ready(100)), t0); st.BreachesIn != 0 || st.BreachesOut != 1 {
			t.Errorf("got %+v", st)
		}
	})
}

func TestChangesAreRemembered(t *testing.T) {
	_, st := Decide(spec(atOnce), State{HasSample: true, Desired: 1}, see(ready(100)), t0)
	if st.LastOut != t0 || st.LastChange != t0 {
		t.Errorf("after scaling out: %+v", st)
	}
	_, st = Decide(spec(atOnce), State{HasSample: true, Desired: 2}, see(ready(1), ready(1)), t0)
	if !st.LastOut.IsZero() || st.LastChange != t0 {
		t.Errorf("after scaling in: %+v", st)
	}
	_, st = Decide(spec(atOnce), State{HasSample: true, Desired: 2}, see(ready(50), ready(50)), t0)
	if !st.LastOut.IsZero() || !st.LastChange.IsZero() {
		t.Errorf("after holding: %+v", st)
	}
}

// Statistics that come back empty once read as -500 % and got a VM at 100 % destroyed.
func TestEmptyStatisticsAreNotIdle(t *testing.T) {
	for _, tt := range []struct {
		name string
		obs  Observation
	}{
		{"one of two", see(ready(100), unknown())},
		{"all", see(unknown(), unknown())},
		{"the busy one", see(ready(0), unknown())},
		{"unreadable state", see(ready(0), aged(bus.PhaseReady, time.Hour, nil))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := State{HasSample: true, Desired: 2}
			for i := range 20 {
				var d bus.Decision
				d, st = Decide(spec(atOnce), st, tt.obs, t0.Add(time.Duration(i)*time.Second))
				if d.Desired < 2 {
					t.Fatalf("scaled in: %s", d.Sentence)
				}
			}
		})
	}
}

// A dead VM once read as 0 % forever, so that a survivor at 100 % was "stable" at 50.
func TestDeadVMDoesNotHalveTheAverage(t *testing.T) {
	for _, state := range []bus.State{bus.StateShutoff, bus.StateCrashed, bus.StateUnknown, bus.StateShutdown, bus.StateOther} {
		t.Run(string(state), func(t *testing.T) {
			d, _ := Decide(spec(atOnce), State{HasSample: true, Desired: 2}, see(ready(100), inState(state, 0)), t0)
			if *d.Inputs.AveragePercent != 100 || d.Desired != 3 {
				t.Errorf("average %.0f %%: %s", *d.Inputs.AveragePercent, d.Sentence)
			}
		})
	}
}

// A VM that could not be made once held the average at 50 beside a VM at 100 %, and the group was "stable".
func TestGhostIsNotInTheAverage(t *testing.T) {
	for _, tt := range []struct {
		name string
		obs  Observation
	}{
		{"not there at all", see(ready(100))},
		{"suspended", see(ready(100), inState(bus.StatePaused, 0))},
		{"half-made", see(ready(100), aged(bus.PhaseCreating, time.Second, new(0.0)))},
		{"failed", see(ready(100), aged(bus.PhaseFailed, time.Second, new(0.0)))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, _ := Decide(spec(atOnce), State{HasSample: true, Desired: 2}, tt.obs, t0)
			if *d.Inputs.AveragePercent != 100 || d.Rule != bus.RuleAboveUpper {
				t.Errorf("average %.0f %%: %s", *d.Inputs.AveragePercent, d.Sentence)
			}
		})
	}
	t.Run("nothing at all is not stable", func(t *testing.T) {
		d, _ := Decide(spec(), State{HasSample: true, Desired: 1}, see(), t0)
		if d.Rule != bus.RuleNoneReady || d.Inputs.AveragePercent != nil {
			t.Errorf("%s: %s", d.Rule, d.Sentence)
		}
	})
}

func TestSplit(t *testing.T) {
	vm := func(age time.Duration) bus.VM { return aged(bus.PhaseReady, age, nil) }
	out := aged(bus.PhaseDraining, 0, nil)
	host := func(name string, vms ...bus.VM) HostObservation {
		return HostObservation{ID: bus.HostID(name), Name: name, VMs: vms}
	}
	for _, tt := range []struct {
		name    string
		desired int
		hosts   []HostObservation
		want    map[string]int
	}{
		{"one host, empty", 2, []HostObservation{host("a")}, map[string]int{"a": 2}},
		{"keeps what is there", 3, []HostObservation{host("a", vm(2), vm(1)), host("b", vm(3))}, map[string]int{"a": 2, "b": 1}},
		{
			"adds to the host with the fewest", 4,
			[]HostObservation{host("a", vm(2), vm(1)), host("b", vm(3))},
			map[string]int{"a": 2, "b": 2},
		},
		{"adds several evenly", 5, []HostObservation{host("a"), host("b")}, map[string]int{"a": 3, "b": 2}},
		{
			"removes from the host with the newest", 2,
			[]HostObservation{host("a", vm(20), vm(10)), host("b", vm(5))},
			map[string]int{"a": 2, "b": 0},
		},
		{
			"removes several, newest first", 1,
			[]HostObservation{host("a", vm(20), vm(1)), host("b", vm(5), vm(30))},
			map[string]int{"a": 0, "b": 1},
		},
		{"removes all", 0, []HostObservation{host("a", vm(1)), host("b", vm(2))}, map[string]int{"a": 0, "b": 0}},
		{
			"those on their way out do not count", 2,
			[]HostObservation{host("a", vm(1), out, out), host("b")},
			map[string]int{"a": 1, "b": 1},
		},
		{"no host", 2, nil, map[string]int{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := split(spec(), order{scaleIn: []bus.ScaleIn{bus.ScaleInNewest}}, bus.In, tt.desired, Observation{Hosts: tt.hosts})
			if len(got) != len(tt.want) {
				t.Fatalf("got %v, want %v", got, tt.want)
			}
			for name, n := range tt.want {
				if got[bus.HostID(name)].VMs != n {
					t.Errorf("got %v, want %v", got, tt.want)
				}
			}
		})
	}
}

func TestUnknownGroupHasNoShares(t *testing.T) {
	if d, _ := Decide(spec(), State{}, Observation{}, t0); d.HasSample || d.Shares != nil {
		t.Errorf("known %v, shares %v", d.HasSample, d.Shares)
	}
}

// A host that speaks for the first time brings its VMs with it: without that they would be surplus, and removed.
func TestHostThatJoinsKeepsItsVMs(t *testing.T) {
	spec := bus.DefaultGroup()
	on := func(host bus.HostID, names ...string) HostObservation {
		h := HostObservation{ID: host, Name: string(host), Time: t0}
		for _, name := range names {
			h.VMs = append(
				h.VMs,
				bus.VM{Name: name, UUID: name, State: bus.StateRunning, Phase: bus.PhaseReady, PhaseSince: t0.Add(-time.Hour)},
			)
		}
		return h
	}
	_, st := Decide(spec, State{}, Observation{Fresh: 1, Hosts: []HostObservation{on("a", "web-1", "web-2")}}, t0)
	d, st := Decide(spec, st, Observation{Fresh: 2, Hosts: []HostObservation{on("a", "web-1", "web-2"), on("b", "web-3")}}, t0)
	if d.Desired != 3 || d.Direction != bus.Hold || d.Shares["a"].VMs != 2 || d.Shares["b"].VMs != 1 {
		t.Errorf("decision %+v, want to keep the 2 and the 1 VMs", d)
	}
	if d, _ = Decide(spec, st, Observation{Fresh: 2, Hosts: []HostObservation{on("a", "web-1", "web-2"), on("b", "web-3")}},
		t0); d.Desired != 3 {
		t.Errorf("desired %d at the next evaluation, want 3 still", d.Desired)
	}
}

// While capacity is on its way nothing counts as a breach: otherwise the first reading of a VM that has just become
// ready, with the rest of its boot in it, makes one VM too many at once.
func TestCapacityOnItsWayStartsBreachesAnew(t *testing.T) {
	s := spec(func(g *bus.Group) { g.Policy.UpperPercent, g.Policy.LowerPercent = 40, 15 })
	st := State{HasSample: true, Desired: 3, BreachesOut: 17}
	d, st := Decide(
		s,
		st,
		see(ready(100), aged(bus.PhaseLaunching, time.Second, nil), aged(bus.PhaseLaunching, time.Second, nil)),
		t0,
	)
	if d.Guard != bus.GuardComing || st.BreachesOut != 0 {
		t.Fatalf("decision %+v, breaches %d; want capacity on its way and no breach", d, st.BreachesOut)
	}
	if d, _ = Decide(s, st, see(ready(100), ready(70), ready(28)), t0.Add(time.Second)); d.Guard != bus.GuardBreaches ||
		d.Desired != 3 {
		t.Errorf("decision %+v, want the first of three breaches", d)
	}
}

// TestRemovalOrders: the host that gives a VM up is chosen by the first order that the decider knows.
func TestRemovalOrders(t *testing.T) {
	old, young := ready(1), ready(1)
	young.UUID, young.Created = "young", old.Created.Add(time.Minute)
	hosts := []HostObservation{{ID: "a", VMs: []bus.VM{old}}, {ID: "b", VMs: []bus.VM{young}}}
	for _, tt := range []struct {
		orders []bus.ScaleIn
		want   bus.HostID
	}{
		{[]bus.ScaleIn{bus.ScaleInNewest}, "b"},
		{[]bus.ScaleIn{bus.ScaleInOldest}, "a"},
		{[]bus.ScaleIn{bus.ScaleInOldest, bus.ScaleInNewest}, "a"},
		{[]bus.ScaleIn{bus.ScaleInLeastBusy}, "a"},
		{[]bus.ScaleIn{bus.ScaleInOutdated, bus.ScaleInLeastBusy, bus.ScaleInNewest}, "b"},
	} {
		got := Observation{Hosts: hosts}.firstToGo(order{scaleIn: tt.orders}, 1)
		if len(got) != 1 || got[0].host != tt.want {
			t.Errorf("%v: %v, want the VM of host %s", tt.orders, got, tt.want)
		}
	}
	if got := (Observation{Hosts: hosts}).firstToGo(order{scaleIn: []bus.ScaleIn{"no-such-order"}}, 1); got != nil {
		t.Errorf("an order that is not known: %v", got)
	}
}
