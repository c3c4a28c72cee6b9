package decider

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
)

// world is a simulated host that does what the decisions say, one step per interval.
type world struct {
	spec     bus.Group
	boot     time.Duration // from creation to ready
	bootLoad float64       // CPU percent while booting and warming up
	load     float64       // of the whole group, in percent of one VM
	now      time.Time
	vms      []bus.VM
	made     int
	state    State
	metric   *float64 // of the whole group
	memory   *int     // percent that each guest uses
}

func newWorld(spec bus.Group) *world {
	return &world{spec: spec, boot: 6 * time.Second, bootLoad: 100, now: t0}
}

func (w *world) step() bus.Decision {
	w.now = w.now.Add(w.spec.Policy.Interval)
	serving := 0
	for i := range w.vms {
		if vm := &w.vms[i]; vm.Phase == bus.PhaseLaunching && w.now.Sub(vm.Created) >= w.boot {
			vm.Phase, vm.PhaseSince, vm.BootedAt = bus.PhaseReady, w.now, new(w.now)
		}
		if w.vms[i].Phase == bus.PhaseReady {
			serving++
		}
	}
	for i := range w.vms {
		vm := &w.vms[i]
		cpu := w.bootLoad
		if vm.Phase == bus.PhaseReady {
			cpu = min(100, w.load/float64(serving))
			if w.now.Sub(vm.PhaseSince) < w.spec.Policy.Warmup {
				cpu = max(cpu, w.bootLoad)
			}
		}
		vm.CPUPercent = &cpu
		vm.MemoryMiB, vm.MemoryUsedMiB = 100, w.memory
	}
	obs := Observation{Hosts: []HostObservation{{ID: "kvm1", Name: "kvm1", Time: w.now, VMs: slices.Clone(w.vms)}}, Fresh: 1}
	if w.metric != nil {
		obs.Metrics = published(w.spec.Policy.Metric, *w.metric, w.now)
	}
	var d bus.Decision
	d, w.state = Decide(w.spec, w.state, obs, w.now)
	for len(w.vms) < d.Desired {
		w.made++
		w.vms = append(w.vms, bus.VM{
			Name: fmt.Sprintf("web-%d", w.made), UUID: fmt.Sprint(w.made), State: bus.StateRunning, Phase: bus.PhaseLaunching,
			Created: w.now, PhaseSince: w.now,
		})
	}
	w.vms = w.vms[:d.Desired] // the newest leave first
	return d
}

// steps runs n steps and returns the desired number after each.
func (w *world) steps(n int) []int {
	var desired []int
	for range n {
		desired = append(desired, w.step().Desired)
	}
	return desired
}

// A load of one core is 100 % on 1 VM, 50 on 2 and 33 on 3: with 40 and 15 that is where it must end and stay.
func TestLoadOfOneCoreEndsAtThreeVMs(t *testing.T) {
	w := newWorld(spec(thresholds(40, 15)))
	w.load = 100
	desired := w.steps(300)
	if desired[0] != 1 {
		t.Errorf("started with %d", desired[0])
	}
	if highest := slices.Max(desired); highest != 3 {
		t.Errorf("went up to %d: %v", highest, desired)
	}
	if last := desired[100:]; slices.Min(last) != 3 {
		t.Errorf("did not stay at 3: %v", last)
	}
}

func TestIdleAgainEndsAtMin(t *testing.T) {
	w := newWorld(spec(thresholds(40, 15)))
	w.load = 100
	w.steps(100)
	w.load = 0
	desired := w.steps(100)
	if desired[len(desired)-1] != 1 {
		t.Errorf("ended at %v", desired)
	}
	for i := 1; i < len(desired); i++ {
		if desired[i] > desired[i-1] || desired[i-1]-desired[i] > 1 {
			t.Errorf("went from %d to %d", desired[i-1], desired[i])
		}
	}
}

// Started with no load at all, a boot's own CPU use once made a second VM in six of six starts.
func TestBootCPUNeverMakesASecondVM(t *testing.T) {
	for _, boot := range []time.Duration{0, time.Second, 6 * time.Second, time.Minute, 119 * time.Second} {
		t.Run(boot.String(), func(t *testing.T) {
			w := newWorld(spec(warmup(5 * time.Second)))
			w.boot = boot
			if desired := w.steps(200); slices.Max(desired) != 1 {
				t.Errorf("made %d", slices.Max(desired))
			}
		})
	}
}

// Nor does the boot of each VM that a real load needs make one more.
func TestBootCPUDoesNotStartAChain(t *testing.T) {
	w := newWorld(spec(bounds(1, 20)))
	w.boot, w.load = 30*time.Second, 130 // enough for 2 VMs at 65 %
	if desired := w.steps(400); slices.Max(desired) != 2 || desired[len(desired)-1] != 2 {
		t.Errorf("went up to %d", slices.Max(desired))
	}
}

// Whatever is seen, under any policies, limits, schedule and controls, these hold.
func TestDecideInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpec(t)
		var st State
		now := t0
		for range rapid.IntRange(1, 40).Draw(t, "evaluations") {
			if rapid.IntRange(0, 30).Draw(t, "reconfigure") == 0 {
				s = drawSpec(t)
			}
			if rapid.IntRange(0, 10).Draw(t, "control") == 0 {
				st.Controls = drawControls(t, s)
			}
			if rapid.IntRange(0, 10).Draw(t, "wake") == 0 {
				st.Wake = st.Wake.extended(now.Add(s.WakeFor), "somebody")
			}
			now = now.Add(time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond)
			obs := drawObservation(t, now)
			if rapid.Bool().Draw(t, "metric") {
				obs.Metrics = published(strings.Join(policy.Follows(s.Policy), ""), rapid.Float64Range(0, 1000).Draw(t, "its value"), now)
			}
			before := st
			d, next := Decide(s, st, obs, now)
			st = next
			seen := obs.stood(next.Standings, s, now).ordered(next.Orders, !before.Controls.IsPaused(bus.ScopeRepair))
			for i, h := range seen.Hosts { // what it was told before this decision
				seen.Hosts[i].Told = before.Standings[h.ID].Told
			}
			checkDecision(t, s, before, seen, d)
		}
	})
}

func checkDecision(t *rapid.T, s bus.Group, before State, obs Observation, d bus.Decision) {
	s.Min, s.Max = d.Inputs.Min, d.Inputs.Max // as its schedule has them
	fail := func(what string) { t.Fatalf("%s: %+v\nbefore %+v\nseen %+v", what, d, before, obs) }
	if before.HasSample && !d.HasSample {
		fail("forgot that it knows")
	}
	if !d.HasSample {
		if d.Desired != 0 || d.Direction != bus.Hold || d.Shares != nil {
			fail("acts on nothing")
		}
		return
	}
	if d.Rule != bus.RuleNoData && (d.Desired < s.Min || d.Desired > s.Max) {
		fail("outside min and max")
	}
	change := d.Desired - d.Current
	surplus := keptOf(obs) > d.Desired
	held := d.Guard == bus.GuardHost && d.Current > s.Max // max holds, and nothing is removed yet
	switch {
	case (change > 0) != (d.Direction == bus.Out):
		fail("out")
	case change < 0 && d.Direction != bus.In && !held, d.Direction == bus.In && change == 0 && !surplus:
		fail("in")
	case d.Direction == bus.In && obs.incomplete() != "":
		fail("scales in without knowing everything")
	case change != 0 && !held && d.Guard != "" && !letsAPartThrough(d):
		fail("changes in spite of its guard")
	case before.HasSample && d.Rule != bus.RuleStart && d.Current != before.Desired:
		fail("current is not the last desired")
	}
	switch d.Rule {
	case bus.RuleAboveUpper, bus.RuleBelowLower:
		if change > 1 || change < -1 {
			fail("changes by more than one")
		}
	case bus.RulePolicy:
		checkPolicies(fail, s, before, d)
	case bus.RuleIdle:
		if keptOf(obs) != 1 || s.Min > 0 || d.Inputs.Unknown > 0 || d.Inputs.IdleMS == nil || s.IdleToZero == 0 {
			fail("falls asleep at work, or without knowing")
		}
	case bus.RuleManual, bus.RuleScheduled, bus.RuleStart, bus.RuleWoken, bus.RuleBelowMin, bus.RuleAboveMax:
	default:
		if change != 0 {
			fail("changes without a reason")
		}
	}
	switch last := d.Desired == 0 && d.Current > 0; {
	case last && !slices.Contains([]bus.Rule{bus.RuleIdle, bus.RuleManual, bus.RuleScheduled, bus.RuleStart}, d.Rule):
		fail("loses its last VM by its load")
	case d.Rule == bus.RuleAsleep && d.Desired > 0:
		fail("is asleep with VMs")
	}
	for _, scope := range []bus.Scope{bus.ScopeOut, bus.ScopeIn} {
		paused := before.Controls.IsPaused(scope)
		switch {
		case !paused:
		case scope == bus.ScopeOut && change > 0 && d.Desired > s.Min:
			fail("grows while that is paused")
		case scope == bus.ScopeIn && change < 0 && d.Desired < s.Max, scope == bus.ScopeIn && d.Direction == bus.In && change == 0:
			fail("shrinks while that is paused")
		}
	}
	unsure := !obs.anyFresh() || obs.Fresh == 0
	if unsure && change != 0 {
		fail("changes without fresh data")
	}
	if d.Rule == bus.RuleBelowLower && change < 0 && !justified(s, d) {
		fail("scales in with unknown CPU")
	}
	if a := d.Inputs.AveragePercent; a != nil && (*a < 0 || *a > 100) {
		fail("average")
	}
	checkShares(fail, s, before, obs, d)
	if d.Sentence == "" {
		fail("no reason")
	}
}

func checkShares(fail func(string), s bus.Group, before State, obs Observation, d bus.Decision) {
	sum, owned, begun, leased := 0, 0, 0, 0
	for _, h := range obs.Hosts {
		share := d.Shares[h.ID]
		if share.VMs < h.kept()+h.gone() && d.Direction != bus.In || share.VMs < h.gone() {
			fail("a share is below what its host has")
		}
		if h.Order != nil && share.VMs > h.kept()+h.gone() {
			fail("a new VM on a host that is to have none")
		}
		sum, owned = sum+share.VMs-h.gone(), owned+len(h.VMs)
		begun += h.begun()
		st := before.Standings[h.ID]
		leased += max(len(h.VMs), st.Lease, st.LeaseNext)
	}
	lacks := max(0, d.Desired-keptOf(obs))
	if len(obs.Hosts) > 1 { // those that leave count toward max, too
		lacks = max(0, min(lacks, s.Max-owned))
	}
	want := keptOf(obs) + lacks
	if d.Direction == bus.In {
		want = min(want, d.Desired)
	}
	places := candidatesOf(s, obs)
	for _, c := range places {
		c.vms = max(c.vms, d.Shares[c.ID].VMs-c.gone())
	}
	// While VMs are replaced, maintenance may have new ones wait, and for a moment so may what others may have begun, or may make.
	if sum > want || len(d.Orders) == 0 && begun == 0 && leased+want-keptOf(obs) <= s.Max && places.best(s) != nil && sum != want {
		fail("shares do not add up")
	}
}

// letsAPartThrough reports whether a decision may change in spite of its guard: min and max let a part through, and hold
// all the same where a person has paused the rest.
func letsAPartThrough(d bus.Decision) bool {
	switch d.Guard {
	case bus.GuardAtMax:
		return d.Desired > d.Current
	case bus.GuardAtMin:
		return d.Desired < d.Current
	case bus.GuardPaused:
		return d.Desired == d.Inputs.Min || d.Desired == d.Inputs.Max
	}
	return false
}

// checkPolicies checks what policies and limits must keep to.
func checkPolicies(fail func(string), s bus.Group, before State, d bus.Decision) {
	change, most := d.Desired-d.Current, 0
	for _, w := range d.Recommendations {
		most = max(most, w.Desired)
	}
	l := s.Policy.Limits
	switch {
	case len(d.Recommendations) != len(s.Policy.Types):
		fail("not every policy is asked")
	case change > 0 && most < d.Desired:
		fail("grows beyond what is wanted")
	case change < 0 && most > d.Desired && d.Guard != bus.GuardAtMin:
		fail("shrinks below what is wanted")
	case change < 0 && !justified(s, d):
		fail("shrinks with an unknown CPU")
	case change > l.RateOut && l.RateOut > 0, -change > l.RateIn && l.RateIn > 0:
		fail("changes faster than its rate")
	}
}

// justified reports whether what stays could do the work if each VM whose CPU is not known were fully busy.
func justified(s bus.Group, d bus.Decision) bool {
	in := d.Inputs
	if in.Unknown == 0 {
		return true
	}
	if in.AveragePercent == nil || 2*in.Unknown > in.Ready {
		return false
	}
	work := *in.AveragePercent*float64(in.Ready-in.Unknown) + 100*float64(in.Unknown)
	return float64(d.Desired)*busiest(s.Policy) > work-.1*float64(in.Ready) // averages are rounded
}

// When the same is seen again and again, desired comes to rest.
func TestDecideSettlesWhenInputsDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawThreshold(t)
		obs := drawObservation(t, t0)
		obs.Fresh = max(1, obs.Fresh)
		for i := range obs.Hosts {
			obs.Hosts[i].Trouble = ""
		}
		var st State
		direction := bus.Hold
		last := 0
		const evaluations = 400
		for i := range evaluations {
			for h := range obs.Hosts {
				obs.Hosts[h].Time = t0.Add(time.Duration(i) * time.Second)
			}
			var d bus.Decision
			d, st = Decide(s, st, obs, t0.Add(time.Duration(i)*time.Second))
			if d.Desired != d.Current { // these VMs stay, whatever is decided
				last = i
				if d.Rule != bus.RuleStart {
					direction = d.Direction
				}
			}
		}
		// A boot time-out, a warm-up and eight cooldowns are long over by then.
		if last > evaluations-100 {
			t.Fatalf("still %s after %d evaluations", direction, last)
		}
	})
}

// A group whose VMs follow the decisions comes to rest at any constant load, with thresholds that
// are not warned of.
func TestWorldSettlesAtConstantLoad(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawThreshold(t)
		if _, flaps := s.Flaps(); flaps {
			s.Policy.LowerPercent = 0.99 * s.Policy.UpperPercent * float64(max(1, s.Min)) / float64(max(1, s.Min)+1)
		}
		w := newWorld(s)
		w.boot = time.Duration(rapid.IntRange(0, 60).Draw(t, "boot")) * time.Second
		w.load = rapid.Float64Range(0, 1000).Draw(t, "load before")
		w.state.Wake = Wake{Until: t0.Add(time.Minute)} // one that may have no VM begins with one all the same
		w.steps(rapid.IntRange(0, 200).Draw(t, "steps"))
		w.load = rapid.Float64Range(0, 1000).Draw(t, "load")
		w.steps(600)
		if desired := w.steps(200); slices.Min(desired) != slices.Max(desired) {
			t.Fatalf("a load of %g %% flaps between %d and %d VMs", w.load, slices.Min(desired), slices.Max(desired))
		}
	})
}

// keptOf counts the VMs that a group keeps.
func keptOf(obs Observation) (n int) {
	for _, h := range obs.Hosts {
		n += h.kept()
	}
	return n
}
