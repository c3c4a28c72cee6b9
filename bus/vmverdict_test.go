package bus_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
)

// What becomes of each verb in each phase and state of a VM, as a person reads it: the letters of verdictLetters, one for each of
// runs, off, suspended and unknown. with + it is with --keep-size.
const verdictTable = `
               creating   launching  ready      draining   stopping   failed     standby    retained   preparing  warm       later
replace        QQQ?Q      QQQ?Q      BNS?S      NNN?N      NNN?N      NNN?N      YYY?Y      NNN?N      RRR?R      RRR?R      ?????
remove         bbb?b      bbb?b      bbB?B      BBB?B      NNN?N      NNN?N      BBB?B      BBB?B      BBB?B      BBB?B      ?????
remove+        BBB?B      BBB?B      BBB?B      BBB?B      NNN?N      NNN?N      BBB?B      BBB?B      BBB?B      BBB?B      ?????
drain          BBB?B      BBB?B      BBS?S      BBB?B      NNN?N      NNN?N      BBB?B      BBB?B      BBB?B      BBB?B      ?????
unhealthy      RRR?R      RRR?R      BNS?S      NNN?N      NNN?N      NNN?N      YYY?Y      NNN?N      RRR?R      RRR?R      ?????
standby        RRR?R      RRR?R      bOS?S      LLL?L      LLL?L      LLL?L      NNN?N      NNN?N      RRR?R      RRR?R      ?????
standby+       RRR?R      RRR?R      BOS?S      LLL?L      LLL?L      LLL?L      NNN?N      NNN?N      RRR?R      RRR?R      ?????
exit-standby   NNN?N      NNN?N      NNN?N      LLL?L      LLL?L      LLL?L      ggg?g      NNN?N      RRR?R      RRR?R      ?????
exit-standby+  NNN?N      NNN?N      NNN?N      LLL?L      LLL?L      LLL?L      BBB?B      NNN?N      RRR?R      RRR?R      ?????
detach         RRR?O      RRR?O      bbB?O      LLL?O      LLL?L      LLL?L      BBB?O      BBB?O      RRR?R      RRR?R      ?????
detach+        RRR?O      RRR?O      BBB?O      LLL?O      LLL?L      LLL?L      BBB?O      BBB?O      RRR?R      RRR?R      ?????
attach         NNN?N      NNN?N      NNN?N      NNN?N      NNN?N      NNN?N      NNN?N      NNN?N      NNN?N      NNN?N      ?????
`

// verdictLetter is a verdict as the table has it: begun, in small where the group has one less then, or g where it has one
// more, queued, no-op, or refused as the VM's state is not known, it is suspended, or it does not serve yet.
func verdictLetter(v bus.Verdict) string {
	switch {
	case v.Outcome == bus.OutcomeBegun && v.Shrinks:
		return "b"
	case v.Outcome == bus.OutcomeBegun && v.Grows:
		return "g"
	case v.Outcome == bus.OutcomeRefused:
		letter, known := map[bus.Refusal]string{
			bus.RefusalNoData: "?", bus.RefusalSuspended: "S", bus.RefusalNotReady: "R", bus.RefusalDryRun: "D", bus.RefusalMin: "M",
			bus.RefusalPaused: "P", bus.RefusalIncomplete: "I", bus.RefusalUnattended: "U",
			bus.RefusalLeaving: "L", bus.RefusalStandby: "Y", bus.RefusalOff: "O", bus.RefusalMax: "X", bus.RefusalUnknownVM: "-",
		}[v.Refusal]
		if !known {
			return string(v.Refusal)
		}
		return letter
	}
	return map[bus.Outcome]string{bus.OutcomeBegun: "B", bus.OutcomeQueued: "Q", bus.OutcomeNoOp: "N"}[v.Outcome]
}

var verdictStates = [][]bus.State{
	{bus.StateRunning, bus.StateShutdown, bus.StateOther, "later"},
	{bus.StateShutoff, bus.StateCrashed},
	{bus.StatePaused, bus.StateAsleep},
	{bus.StateUnknown},
	{bus.StateSaved},
}

// verb is a row's, and whether it keeps the size.
func verbOf(row string) (bus.VMVerb, bool) {
	name, keep := strings.CutSuffix(row, "+")
	return bus.VMVerb(name), keep
}

var rowsOfVerbs = []string{
	"replace", "remove", "remove+", "drain", "unhealthy", "standby", "standby+", "exit-standby", "detach", "detach+",
}

func quietGroup() bus.GroupFacts {
	return bus.GroupFacts{Desired: 3, Min: 1, Max: 5, Owned: 3, Surge: 1, Complete: true}
}

func TestVerdictInEachPhaseAndState(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(verdictTable), "\n")
	phases := strings.Fields(lines[0])
	for _, p := range append(bus.Phases(), "later") {
		if !slices.Contains(phases, string(p)) {
			t.Errorf("the table lacks phase %s", p)
		}
	}
	seen := map[bus.VMVerb]bool{}
	for _, line := range lines[1:] {
		cells := strings.Fields(line)
		verb, keep := verbOf(cells[0])
		seen[verb] = true
		for i, phase := range phases {
			for j, states := range verdictStates {
				for _, state := range states {
					v := verb.Judge(bus.VMFacts{Phase: bus.Phase(phase), State: state, Attended: true}, quietGroup(), keep)
					if got, want := verdictLetter(v), string(cells[i+1][j]); got != want {
						t.Errorf("%s of one that is %s and %s: %s, want %s (%s)", cells[0], phase, state, got, want, v.Sentence)
					}
					if v.Sentence == "" {
						t.Errorf("%s of one that is %s and %s: no sentence", cells[0], phase, state)
					}
				}
			}
		}
	}
	for _, verb := range bus.VMVerbs() {
		if !seen[verb] {
			t.Errorf("the table lacks %s", verb)
		}
		delete(seen, verb)
	}
	if len(seen) > 0 {
		t.Errorf("not among all verbs: %v", seen)
	}
}

// What people read of a verb; one of a later version is shown by its name.
func TestVerbsSay(t *testing.T) {
	for verb, want := range map[bus.VMVerb][3]string{
		bus.VMReplace: {"another is to take its place, by ann", "being replaced", "Put another VM in its place"},
		bus.VMStandby: {"it is to stand by (stop), by ann", "to stand by", "Take it out of service for a while"},
		"later":       {`"later" is ordered, by ann`, "later", "later"},
	} {
		o := bus.VMOrder{Verb: verb, By: "ann", Rest: bus.RestStop}
		if o.Sentence() != want[0] || verb.Ordered() != want[1] || !strings.HasPrefix(verb.Summary(), want[2]) {
			t.Errorf("%s: %q, %q, %q, want %q", verb, o.Sentence(), verb.Ordered(), verb.Summary(), want)
		}
	}
	for _, verb := range bus.VMVerbs() {
		o := bus.VMOrder{Verb: verb}
		if strings.Contains(o.Sentence(), "is ordered") || verb.Ordered() == "" || verb.Summary() == "" {
			t.Errorf("%s: %q, %q, %q", verb, o.Sentence(), verb.Ordered(), verb.Summary())
		}
	}
}

// What else holds for a VM that is ready and runs: what was ordered before, what is done about it, and what of its group
// forbids it.
func TestVerdictByWhatElseHolds(t *testing.T) {
	paused := func(scopes ...bus.Scope) func(*bus.VMFacts, *bus.GroupFacts) {
		return func(_ *bus.VMFacts, g *bus.GroupFacts) { g.Controls.Paused = scopes }
	}
	ordered := func(v bus.VMVerb) func(*bus.VMFacts, *bus.GroupFacts) {
		return func(vm *bus.VMFacts, _ *bus.GroupFacts) { vm.Order = v }
	}
	for _, tt := range []struct {
		name string
		set  func(*bus.VMFacts, *bus.GroupFacts)
		want string // in the order of rowsOfVerbs
	}{
		{"nothing", func(*bus.VMFacts, *bus.GroupFacts) {}, "B b B B B b B N b B"},
		{"replace was ordered", ordered(bus.VMReplace), "N b B B N b B N b B"},
		{"removal was ordered", ordered(bus.VMRemove), "N N N N N L L L L L"},
		{"drain was ordered", ordered(bus.VMDrain), "N b N N N L L L L L"},
		{"standby was ordered", ordered(bus.VMStandby), "B b B B B N N N b B"},
		{"it is to serve again", ordered(bus.VMExitStandby), "B b B B B b B N b B"},
		{"it is to be detached", ordered(bus.VMDetach), "N N N N N N N N N N"},
		{"it was marked unhealthy", ordered(bus.VMUnhealthy), "N b B B N b B N b B"},
		{"a refresh replaces it", func(vm *bus.VMFacts, _ *bus.GroupFacts) { vm.Retiring = true }, "N b B B N b B N b B"},
		{
			"it is given new disks",
			func(vm *bus.VMFacts, _ *bus.GroupFacts) { vm.Reimaging, vm.Phase = true, bus.PhaseStopping }, "Q Q Q Q R R R L R R",
		},
		{"it is protected", func(vm *bus.VMFacts, _ *bus.GroupFacts) { vm.Protected = true }, "B b B B B b B N b B"},
		{"its host is not attended", func(vm *bus.VMFacts, _ *bus.GroupFacts) { vm.Attended = false }, "U U U U U U U U U U"},
		{"a dry run", func(_ *bus.VMFacts, g *bus.GroupFacts) { g.Controls.DryRun = true }, "D D D D D D D D D D"},
		{"at min", func(_ *bus.VMFacts, g *bus.GroupFacts) { g.Min = 3 }, "B M B B B M B N M B"},
		{"at max", func(_ *bus.VMFacts, g *bus.GroupFacts) { g.Max = 3 }, "B b B B B b B N b B"},
		{"it keeps disks", func(_ *bus.VMFacts, g *bus.GroupFacts) { g.Stateful = true }, "B b B B B b B N kept kept"},
		{"a host is silent", func(_ *bus.VMFacts, g *bus.GroupFacts) { g.Complete = false }, "B I B B B I B N I B"},
		{"in is paused", paused(bus.ScopeIn), "B P B B B P B N P B"},
		{"out is paused", paused(bus.ScopeOut), "B b B B B b B N b B"},
		{"repair is paused", paused(bus.ScopeRepair), "Q b B B Q b B N b B"},
		{"all is paused", paused(bus.Scopes()...), "Q P Q Q Q P Q N P Q"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			vm, g := bus.VMFacts{Phase: bus.PhaseReady, State: bus.StateRunning, Attended: true}, quietGroup()
			tt.set(&vm, &g)
			var got []string
			for _, row := range rowsOfVerbs {
				verb, keep := verbOf(row)
				got = append(got, verdictLetter(verb.Judge(vm, g, keep)))
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("%q: %s, want %s", rowsOfVerbs, s, tt.want)
			}
		})
	}
}

// A drain has another VM take the place of the one that goes; a removal after it does not, or is refused, and is never lost.
func TestRemovalAfterADrain(t *testing.T) {
	for _, phase := range []bus.Phase{bus.PhaseReady, bus.PhaseDraining} {
		vm := bus.VMFacts{Phase: phase, State: bus.StateRunning, Order: bus.VMDrain, Attended: true}
		if v := bus.VMRemove.Judge(vm, quietGroup(), false); v.Outcome != bus.OutcomeBegun || !v.Shrinks {
			t.Errorf("%s: %+v", phase, v)
		}
		if v := bus.VMRemove.Judge(vm, quietGroup(), true); v.Outcome != bus.OutcomeNoOp {
			t.Errorf("%s, and the group keeps its size: %+v", phase, v)
		}
		paused := quietGroup()
		paused.Controls.Paused = bus.Scopes()
		if v := bus.VMRemove.Judge(vm, paused, false); v.Outcome != bus.OutcomeRefused || v.Refusal != bus.RefusalPaused {
			t.Errorf("%s, and all is paused: %+v", phase, v)
		}
	}
}

// What becomes of a domain that a person wants in the group, with and without --keep-size; and no other verb is of one.
func TestVerdictOfAttach(t *testing.T) {
	paused := func(scopes ...bus.Scope) func(*bus.VMFacts, *bus.GroupFacts) {
		return func(_ *bus.VMFacts, g *bus.GroupFacts) { g.Controls.Paused = scopes }
	}
	for _, tt := range []struct {
		name string
		set  func(*bus.VMFacts, *bus.GroupFacts)
		want string
	}{
		{"nothing", func(*bus.VMFacts, *bus.GroupFacts) {}, "g B"},
		{"no VM", func(_ *bus.VMFacts, g *bus.GroupFacts) { g.Owned, g.Desired, g.Min = 0, 0, 0 }, "g B"},
		{"its host is not attended", func(vm *bus.VMFacts, _ *bus.GroupFacts) { vm.Attended = false }, "U U"},
		{"a dry run", func(_ *bus.VMFacts, g *bus.GroupFacts) { g.Controls.DryRun = true }, "D D"},
		{"as many as max", func(_ *bus.VMFacts, g *bus.GroupFacts) { g.Max = 3 }, "X X"},
		{
			"as many as max, with those that are still to come",
			func(_ *bus.VMFacts, g *bus.GroupFacts) { g.Max, g.Coming = 4, 1 }, "X X",
		},
		{"max is wanted, and fewer are there", func(_ *bus.VMFacts, g *bus.GroupFacts) { g.Desired = 5 }, "X B"},
		{"a host is silent", func(_ *bus.VMFacts, g *bus.GroupFacts) { g.Complete = false }, "I I"},
		{"out is paused", paused(bus.ScopeOut), "P B"},
		{"in is paused", paused(bus.ScopeIn), "g B"},
		{"all is paused", paused(bus.Scopes()...), "P P"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			vm, g := bus.VMFacts{Foreign: true, Attended: true}, quietGroup()
			tt.set(&vm, &g)
			got := verdictLetter(bus.VMAttach.Judge(vm, g, false)) + " " + verdictLetter(bus.VMAttach.Judge(vm, g, true))
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
	for _, verb := range bus.VMVerbs() {
		got := verdictLetter(verb.Judge(bus.VMFacts{Foreign: true, Attended: true}, quietGroup(), false))
		if verb != bus.VMAttach && got != "-" {
			t.Errorf("%s of a domain that is no VM: %s", verb, got)
		}
	}
}

// A verdict says at max that the VM goes first, and of a protected one that this is no protection.
func TestVerdictSays(t *testing.T) {
	vm := bus.VMFacts{Phase: bus.PhaseReady, State: bus.StateRunning, Attended: true}
	g := quietGroup()
	g.Desired, g.Owned = 5, 5
	if v := bus.VMReplace.Judge(vm, g, false); !strings.Contains(v.Sentence, "goes before another") {
		t.Errorf("at max: %s", v.Sentence)
	}
	g.Owned, g.Max, g.Surge = 3, 5, 0
	if v := bus.VMReplace.Judge(vm, g, false); !strings.Contains(v.Sentence, "maintenance") {
		t.Errorf("without a surge: %s", v.Sentence)
	}
	vm.Protected = true
	if v := bus.VMDrain.Judge(vm, g, false); !strings.Contains(v.Sentence, "protected from scaling in, not from this") {
		t.Errorf("protected: %s", v.Sentence)
	}
	if v := bus.VMVerb("dance").Judge(vm, g, false); v.Outcome != bus.OutcomeRefused || !strings.Contains(v.Sentence, "dance") {
		t.Errorf("a verb of a later version: %+v", v)
	}
}

// An order is read back as it was written, and what is none orders nothing.
func TestVMOrderElement(t *testing.T) {
	for _, o := range []bus.VMOrder{
		{Verb: bus.VMReplace, At: bustest.Noon},
		{Verb: bus.VMUnhealthy, By: "lb@proxy1", Reason: `answers "502" & <dies>`, At: bustest.Noon},
		{Verb: bus.VMReplace, Cause: bus.CauseRebalance, Reason: "kvm1 has 4 VMs, and kvm2 1", At: bustest.Noon},
		{Verb: "of-a-later-version", At: bustest.Noon},
	} {
		element, err := o.XML()
		if err != nil {
			t.Fatal(err)
		}
		if got := bus.ParseVMOrder(element); got == nil || *got != o {
			t.Errorf("%s: %+v, want %+v", element, got, o)
		}
	}
	for _, wrong := range []string{
		"", "<order/>", `<order verb="replace"/>`, `<order verb="replace" at="yesterday"/>`,
		`<order verb="" at="2026-05-04T12:00:00Z"/>`,
		`<order verb="replace" at="9999-05-04T12:00:00Z"/>`, `<vm verb="replace" at="2026-05-04T12:00:00Z"/>`,
		fmt.Sprintf(`<order verb="replace" at="2026-05-04T12:00:00Z" reason="%s"/>`, strings.Repeat("x", 400)),
		`<order verb="replace" at="2026-05-04T12:00:00Z" by="a&#10;b"/>`,
	} {
		if got := bus.ParseVMOrder(wrong); got != nil {
			t.Errorf("%s: %+v", wrong, got)
		}
	}
}

// What is on its way out is no VM that was attached already: it can be, once it has left.
func TestAttachOfOneThatLeaves(t *testing.T) {
	for _, order := range []bus.VMVerb{bus.VMDetach, bus.VMRemove, bus.VMDrain} {
		facts := bus.VMFacts{Phase: bus.PhaseReady, State: bus.StateRunning, Attended: true, Order: order}
		if v := bus.VMAttach.Judge(facts, quietGroup(), false); v.Outcome != bus.OutcomeRefused || v.Refusal != bus.RefusalBusy {
			t.Errorf("%s was ordered: %+v", order, v)
		}
	}
}
