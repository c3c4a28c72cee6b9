package actuator

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// vm is number n of the group, made n seconds after t0.
func vmOf(n int, phase bus.Phase, state bus.State) vm.VM {
	created := t0.Add(time.Duration(n) * time.Second)
	uuid := fmt.Sprintf("%08d-0000-4000-8000-000000000000", n)
	name := fmt.Sprintf("web-%d", n)
	return vm.VM{Name: name, UUID: uuid, State: state, Meta: bus.Metadata{
		Group: "web", Template: "demo", UUID: uuid, Created: created, Since: created, Phase: phase, Pool: "default",
		Volume: bus.VolumeName(name, uuid),
	}}
}

func running(n int) vm.VM { return vmOf(n, bus.PhaseReady, bus.StateRunning) }

// show writes actions so that a table can say them: "create web-2; await web-1; remove web-3 (why)".
func show(a Actions) string {
	var parts []string
	for _, name := range a.Create {
		parts = append(parts, "create "+name)
	}
	for _, vm := range a.Await {
		parts = append(parts, "await "+vm.Name)
	}
	for _, n := range a.Note {
		parts = append(parts, strings.Join(strings.Fields(fmt.Sprintf("note %s of %s", n.Order.Verb, n.VM.Name)), " "))
	}
	removals := func(verb string, rs []vm.Removal) {
		for _, r := range rs {
			flags := ""
			if r.Graceful {
				flags += ", gracefully"
			}
			if r.Kind == vm.Died {
				flags += ", died"
			}
			if r.Stops {
				flags += ", stopped"
			}
			parts = append(parts, fmt.Sprintf("%s %s (%s%s)", verb, r.VM.Name, r.Reason, flags))
		}
	}
	for _, v := range a.Retire {
		parts = append(parts, "retire "+v.Name)
	}
	for _, v := range a.Restart {
		parts = append(parts, "restart "+v.Name)
	}
	for _, v := range a.Reimage {
		parts = append(parts, "reimage "+v.Name)
	}
	for _, v := range a.Unretire {
		parts = append(parts, "unretire "+v.Name)
	}
	for what, vms := range map[string][]vm.VM{"hand over": a.HandOver, "promote": a.Promote, "park": a.Park} {
		for _, v := range vms {
			parts = append(parts, what+" "+v.Name)
		}
	}
	for _, name := range a.Prepare {
		parts = append(parts, strings.TrimSuffix(fmt.Sprintf("prepare %s to %s", name, map[bus.WarmState]string{
			bus.WarmSaved: "save", bus.WarmStopped: "stop",
		}[a.PrepareAs]), " to "))
	}
	removals("remove", a.Remove)
	removals("cancel", a.Cancel)
	removals("keep", a.Keep)
	if q := a.Ask; q != nil {
		names := make([]string, len(q.Candidates))
		for i, v := range q.Candidates {
			names[i] = v.Name
		}
		parts = append(parts, fmt.Sprintf("ask %s for %d of %s", q.Hook, q.Count, strings.Join(names, " ")))
	}
	if a.Kept > 0 {
		parts = append(parts, fmt.Sprintf("kept %d", a.Kept))
	}
	for _, v := range a.Retained {
		parts = append(parts, "retained "+v.Name)
	}
	for _, v := range a.Suspended {
		parts = append(parts, "suspended "+v.Name)
	}
	for what, vms := range map[string][]vm.VM{"stand by": a.StandBy, "return": a.Return, "detach": a.Detach} {
		for _, v := range vms {
			parts = append(parts, what+" "+v.Name)
		}
	}
	return strings.Join(parts, "; ")
}

func TestPlan(t *testing.T) {
	type changes = func(*Situation)
	up := func(n int) changes { return func(s *Situation) { s.Work[vmOf(n, "", "").UUID] = BringingUp } }
	down := func(n int) changes { return func(s *Situation) { s.Work[vmOf(n, "", "").UUID] = Removing } }
	slots := func(n int) changes { return func(s *Situation) { s.BootSlots = n } }
	highest := func(n int) changes { return func(s *Situation) { s.Spec.Max = n } }
	creating := func(names ...string) changes { return func(s *Situation) { s.Creating = names } }
	taken := func(names ...string) changes {
		return func(s *Situation) {
			for _, n := range names {
				s.Taken[n] = true
			}
		}
	}
	most := func(n int) changes { return func(s *Situation) { s.Most = &n } }
	backoff := func(s *Situation) { s.Backoff = true }
	trial := func(s *Situation) { s.Trial = true }
	unheard := func(s *Situation) { s.Unheard = true }
	removed := func(n int) changes { return func(s *Situation) { s.Removed = n } }
	order := func(list ...bus.ScaleIn) changes { return func(s *Situation) { s.Spec.ScaleIn = list } }
	sick := func(ns ...int) changes {
		return func(s *Situation) {
			for _, n := range ns {
				s.Sick[vmOf(n, "", "").UUID] = "silent"
			}
		}
	}
	choice := func(s *Situation) *Choice {
		if s.Choice == nil {
			s.Choice = &Choice{Asked: map[string]bool{}, May: map[string]bool{}}
		}
		return s.Choice
	}
	lifetime := func(n int) changes { // of which web-n is at its end
		return func(s *Situation) { s.Expired = t0.Add(time.Duration(n) * time.Second) }
	}
	maintained := func(least, most int) changes {
		return func(s *Situation) {
			s.Spec.Maintenance = bus.Maintenance{MinHealthyPercent: least, MaxHealthyPercent: most}
		}
	}
	asked := func(ns ...int) changes {
		return func(s *Situation) {
			for _, n := range ns {
				choice(s).Asked[vmOf(n, "", "").UUID] = true
			}
		}
	}
	lets := func(ns ...int) changes {
		return func(s *Situation) {
			for _, n := range ns {
				choice(s).May[vmOf(n, "", "").UUID] = true
			}
		}
	}
	silent := func(s *Situation) { choice(s).Skip = true }
	atOnce := func(n int) changes { return func(s *Situation) { s.Spec.Repair.AtOnce = n } }
	cpu := func(percent ...float64) changes { // of web-1, web-2, ...
		return func(s *Situation) {
			for i, p := range percent {
				s.CPU[vmOf(i+1, "", "").UUID] = p
			}
		}
	}
	draining := func(n int) changes {
		return func(s *Situation) { s.Work[vmOf(n, "", "").UUID] = Draining }
	}
	replaced := func(n int) changes { return func(s *Situation) { s.Replaced = t0.Add(time.Duration(n) * time.Second) } }
	paused := func(scopes ...bus.Scope) changes { return func(s *Situation) { s.Controls.Paused = scopes } }
	of := func(template string, v vm.VM) vm.VM { v.Meta.Template = template; return v }
	protected := func(v vm.VM) vm.VM { v.Protected = true; return v }
	machine := func(hash string, v vm.VM) vm.VM { v.Meta.Machine = hash; return v }
	retiring := func(v vm.VM) vm.VM { v.Meta.Retiring, v.Meta.Template = t0, "old"; return v }
	ordered := func(verb bus.VMVerb, v vm.VM) vm.VM {
		v.Order = &bus.VMOrder{Verb: verb, By: "ann", At: t0}
		return v
	}
	wanted := func(n int, verb bus.VMVerb) changes {
		return func(s *Situation) {
			s.Orders = map[string]bus.VMOrder{vmOf(n, "", "").UUID: {Verb: verb, By: "ann", At: t0}}
		}
	}
	standby := func(v vm.VM) vm.VM { v.Meta.Phase = bus.PhaseStandby; return v }
	aside := func(n int) changes { return func(s *Situation) { s.Work[vmOf(n, "", "").UUID] = SettingAside } }
	marking := func(n int) changes { return func(s *Situation) { s.Work[vmOf(n, "", "").UUID] = Marking } }
	reimaging := func(v vm.VM) vm.VM { v.Meta.Reimaging = t0; return v }
	reimages := func(n int) changes { return func(s *Situation) { s.Work[vmOf(n, "", "").UUID] = Reimaging } }
	reimage := func(n int) changes {
		return func(s *Situation) {
			s.Refresh = RefreshShare{Active: true, Reimage: true, Retire: n}
			s.ScaleIn = false
		}
	}
	restart := func(n int) changes {
		return func(s *Situation) {
			s.Refresh, s.Spec.Refresh.MinimalAction = RefreshShare{Active: true, Restart: n}, bus.UpdateRestart
			s.ScaleIn = false
		}
	}
	same := webSpec().StorageHash()
	disks := func(hash string, v vm.VM) vm.VM { v.Meta.Machine, v.Meta.Storage = "0", hash; return v }
	restarting := func(v vm.VM) vm.VM { v.Meta.Reimaging, v.Meta.Restarts = t0, true; return v }
	over := func(s *Situation) { s.Refresh.Active = false }
	servingAfter := func(n int) changes { return func(s *Situation) { s.Refresh.Serving = &n } }
	refresh := func(retire, release int) changes {
		return func(s *Situation) {
			s.Refresh = RefreshShare{Active: true, Retire: retire, Release: release}
			s.ScaleIn = false
		}
	}

	for _, tt := range []struct {
		name    string
		desired int
		owned   []vm.VM
		changes []changes
		want    string
	}{
		// Creating.
		{"the first", 1, nil, nil, "create web-1"},
		{"min at the start", 3, nil, nil, "create web-1; create web-2; create web-3"},
		{"one more", 2, []vm.VM{running(1)}, nil, "create web-2"},
		{"enough", 1, []vm.VM{running(1)}, nil, ""},
		{"nothing wanted, nothing there", 0, nil, nil, ""},
		{"as many as may boot at once", 5, []vm.VM{running(1)}, []changes{slots(2)}, "create web-2; create web-3"},
		{
			"those that boot take slots", 5,
			[]vm.VM{vmOf(1, bus.PhaseLaunching, bus.StateRunning)},
			[]changes{slots(2), up(1)},
			"create web-2",
		},
		{
			"those to be awaited take slots", 5,
			[]vm.VM{vmOf(1, bus.PhaseLaunching, bus.StateRunning)},
			[]changes{slots(2)},
			"create web-2; await web-1",
		},
		{"those about to be defined take slots", 5, nil, []changes{slots(2), creating("web-1")}, "create web-2"},
		{"no slot", 5, nil, []changes{slots(0)}, ""},
		{"fewer slots than none", 5, nil, []changes{slots(-3)}, ""},
		{"creations on their way count", 2, []vm.VM{running(1)}, []changes{creating("web-2")}, ""},
		{"not while creating fails", 2, []vm.VM{running(1)}, []changes{backoff}, ""},

		// Never more than max owned, in whatever state.
		{
			"max counts a VM that is being removed", 2,
			[]vm.VM{running(1), vmOf(2, bus.PhaseStopping, bus.StateShutoff)},
			[]changes{highest(2), down(2)},
			"",
		},
		{
			"max counts a failed one", 2,
			[]vm.VM{running(1), vmOf(2, bus.PhaseFailed, bus.StateShutoff)},
			[]changes{highest(2)},
			"remove web-2 (its removal had begun)",
		},
		{
			"max counts a half-made one", 2,
			[]vm.VM{running(1), vmOf(2, bus.PhaseCreating, bus.StateShutoff)},
			[]changes{highest(2)},
			"remove web-2 (its creation was interrupted)",
		},
		{
			"max counts a dead one", 2,
			[]vm.VM{running(1), vmOf(2, bus.PhaseReady, bus.StateShutoff)},
			[]changes{highest(2)},
			"remove web-2 (it is shut off, died)",
		},
		{"of max it makes no more than its host may", 4, []vm.VM{running(1)}, []changes{most(2)}, "create web-2"},
		{
			"it makes none beyond that", 2,
			[]vm.VM{running(1), vmOf(2, bus.PhaseReady, bus.StatePaused)},
			[]changes{most(2)},
			"suspended web-2",
		},
		{"max holds whatever that says", 3, []vm.VM{running(1)}, []changes{highest(2), most(9)}, "create web-2"},
		{"max counts creations on their way", 3, []vm.VM{running(1)}, []changes{highest(2), creating("web-2")}, ""},
		{
			"below max the replacement comes at once", 2,
			[]vm.VM{running(1), vmOf(2, bus.PhaseReady, bus.StateShutoff)},
			[]changes{taken("web-1", "web-2")},
			"create web-3; remove web-2 (it is shut off, died)",
		},

		// Names.
		{"the smallest free number", 3, []vm.VM{running(1), running(3)}, []changes{taken("web-1", "web-3")}, "create web-2"},
		{"a foreign domain's name is avoided", 2, []vm.VM{running(1)}, []changes{taken("web-1", "web-2", "web-3")}, "create web-4"},
		{"a name on its way is avoided", 3, []vm.VM{running(1)}, []changes{taken("web-1"), creating("web-2")}, "create web-3"},

		// Scaling in: the newest first.
		{"one fewer", 1, []vm.VM{running(1), running(2)}, nil, "remove web-2 (scaling in, gracefully)"},
		{
			"the newest, not the highest number", 1,
			[]vm.VM{
				running(9),
				func() vm.VM { v := running(1); v.Meta.Created = t0.Add(time.Hour); return v }(),
			},
			nil,
			"remove web-1 (scaling in, gracefully)",
		},
		{"two of the same age, by name", 1, []vm.VM{
			func() vm.VM { v := running(1); v.Meta.Created = t0; return v }(),
			func() vm.VM { v := running(2); v.Meta.Created = t0; return v }(),
		}, nil, "remove web-2 (scaling in, gracefully)"},
		{
			"several fewer", 1,
			[]vm.VM{running(1), running(2), running(3)},
			nil,
			"remove web-3 (scaling in, gracefully); remove web-2 (scaling in, gracefully)",
		},
		{
			"a booting one is cancelled", 1,
			[]vm.VM{running(1), vmOf(2, bus.PhaseLaunching, bus.StateRunning)},
			[]changes{up(2)},
			"cancel web-2 (scaling in)",
		},
		{
			"an interrupted boot is not awaited", 1,
			[]vm.VM{running(1), vmOf(2, bus.PhaseLaunching, bus.StateRunning)},
			nil,
			"remove web-2 (scaling in)",
		},
		{"one is being removed already", 1, []vm.VM{running(1), running(2)}, []changes{down(2)}, ""},
		{"a creation on its way is surplus first", 1, []vm.VM{running(1)}, []changes{creating("web-2")}, ""},
		{
			"a creation on its way is surplus before the newest", 1,
			[]vm.VM{running(1), running(2)},
			[]changes{creating("web-3")},
			"remove web-2 (scaling in, gracefully)",
		},
		{
			"scaling in goes on while creating fails", 1,
			[]vm.VM{running(1), running(2)},
			[]changes{backoff},
			"remove web-2 (scaling in, gracefully)",
		},
		{
			"the dead one instead of a good one", 1,
			[]vm.VM{running(1), vmOf(2, bus.PhaseReady, bus.StateShutoff)},
			nil,
			"remove web-2 (it is shut off, died)",
		},
		{"all", 0, []vm.VM{running(1)}, nil, "remove web-1 (scaling in, gracefully)"},

		// The order of removal.
		{
			"the oldest", 1,
			[]vm.VM{running(1), running(2), running(3)},
			[]changes{order(bus.ScaleInOldest)},
			"remove web-1 (scaling in, gracefully); remove web-2 (scaling in, gracefully)",
		},
		{
			"one that boots before the oldest", 1,
			[]vm.VM{running(1), vmOf(2, bus.PhaseLaunching, bus.StateRunning)},
			[]changes{order(bus.ScaleInOldest)},
			"remove web-2 (scaling in)",
		},
		{
			"of an older template first", 1,
			[]vm.VM{running(1), of("old", running(2)), of("old", running(3))},
			[]changes{order(bus.ScaleInOutdated)},
			"remove web-2 (scaling in, gracefully); remove web-3 (scaling in, gracefully)",
		},
		{
			"then the oldest", 1,
			[]vm.VM{running(1), running(2), of("old", running(3))},
			[]changes{order(bus.ScaleInOutdated)},
			"remove web-3 (scaling in, gracefully); remove web-1 (scaling in, gracefully)",
		},
		{"not a protected one", 1, []vm.VM{running(1), protected(running(2))}, nil, "remove web-1 (scaling in, gracefully)"},
		{"all are protected", 0, []vm.VM{protected(running(1)), protected(running(2))}, nil, ""},
		{
			"a dead one is replaced all the same", 1,
			[]vm.VM{protected(vmOf(1, bus.PhaseReady, bus.StateShutoff))},
			nil,
			"create web-2; remove web-1 (it is shut off, died)",
		},

		{
			"the least busy", 1,
			[]vm.VM{running(1), running(2), running(3)},
			[]changes{order(bus.ScaleInLeastBusy), cpu(30, 5, 10)},
			"remove web-2 (scaling in, gracefully); remove web-3 (scaling in, gracefully)",
		},
		{
			"the least busy: unknown is busy", 1,
			[]vm.VM{running(1), running(2)},
			[]changes{order(bus.ScaleInLeastBusy), cpu(30)},
			"remove web-1 (scaling in, gracefully)",
		},
		{
			"the least busy: all unknown, the newest", 1,
			[]vm.VM{running(1), running(2)},
			[]changes{order(bus.ScaleInLeastBusy)},
			"remove web-2 (scaling in, gracefully)",
		},
		{
			"of those that are as busy, by the next order", 1,
			[]vm.VM{running(1), running(2), running(3)},
			[]changes{order(bus.ScaleInLeastBusy, bus.ScaleInOldest), cpu(5.4, 30, 4.6)},
			"remove web-1 (scaling in, gracefully); remove web-3 (scaling in, gracefully)",
		},
		{
			"outdated, then the least busy, then the newest", 1,
			[]vm.VM{of("old", running(1)), of("old", running(2)), running(3), running(4)},
			[]changes{order(bus.ScaleInOutdated, bus.ScaleInLeastBusy, bus.ScaleInNewest), cpu(20, 10, 7, 7)},
			"remove web-2 (scaling in, gracefully); remove web-1 (scaling in, gracefully); remove web-4 (scaling in, gracefully)",
		},
		{
			"an order after one that leaves no two alike decides nothing", 2,
			[]vm.VM{running(1), running(2), running(3)},
			[]changes{order(bus.ScaleInOldest, bus.ScaleInLeastBusy), cpu(30, 5, 1)},
			"remove web-1 (scaling in, gracefully)",
		},
		{
			"an order that is not known", 1,
			[]vm.VM{running(1), running(2)},
			[]changes{order(bus.ScaleInOldest, "no-such-order")},
			"",
		},

		// One that asks.
		{
			"nobody goes before the listener was asked", 1,
			[]vm.VM{running(1), protected(running(2)), running(3)},
			[]changes{order("hook:jobs", bus.ScaleInNewest)},
			"ask jobs for 2 of web-3 web-1",
		},
		{
			"but one that does not serve", 1,
			[]vm.VM{running(1), vmOf(2, bus.PhaseLaunching, bus.StateRunning)},
			[]changes{order("hook:jobs", bus.ScaleInNewest)},
			"remove web-2 (scaling in)",
		},
		{
			"all of those that do not serve", 0,
			[]vm.VM{vmOf(2, bus.PhaseLaunching, bus.StateRunning)},
			[]changes{order("hook:jobs", bus.ScaleInNewest)},
			"remove web-2 (scaling in)",
		},
		{
			"who it lets go, by the next order", 2,
			[]vm.VM{running(1), running(2), running(3)},
			[]changes{order("hook:jobs", bus.ScaleInNewest), asked(1, 2, 3), lets(1, 2)},
			"remove web-2 (scaling in, gracefully); ask jobs for 1 of web-3 web-2 web-1",
		},
		{
			"no more than it lets go", 1,
			[]vm.VM{running(1), running(2), running(3)},
			[]changes{order("hook:jobs"), asked(1, 2, 3), lets(1)},
			"remove web-1 (scaling in, gracefully); ask jobs for 2 of web-3 web-2 web-1",
		},
		{
			"it lets none go", 1,
			[]vm.VM{running(1), running(2)},
			[]changes{order("hook:jobs"), asked(1, 2)},
			"ask jobs for 1 of web-2 web-1",
		},
		{
			"one that it was not asked about makes it be asked again", 1,
			[]vm.VM{running(1), running(2), running(3)},
			[]changes{order("hook:jobs"), asked(1, 2), lets(1)},
			"ask jobs for 2 of web-3 web-2 web-1",
		},
		{
			"one that is protected since does not go", 1,
			[]vm.VM{protected(running(1)), running(2)},
			[]changes{order("hook:jobs"), asked(1, 2), lets(1)},
			"ask jobs for 1 of web-2",
		},
		{
			"no answer: the next order", 1,
			[]vm.VM{running(1), running(2), running(3)},
			[]changes{order("hook:jobs", bus.ScaleInOldest), asked(1, 2, 3), silent},
			"remove web-1 (scaling in, gracefully); remove web-2 (scaling in, gracefully); ask jobs for 2 of web-1 web-2 web-3",
		},
		{
			"it is asked about those that the orders before leave", 3,
			[]vm.VM{running(1), of("old", running(2)), of("old", running(3)), running(4)},
			[]changes{order(bus.ScaleInOutdated, "hook:jobs")},
			"ask jobs for 1 of web-2 web-3",
		},
		{
			"and about all that are alike with the last of them", 1,
			[]vm.VM{running(1), of("old", running(2)), running(3), running(4)},
			[]changes{order(bus.ScaleInOutdated, "hook:jobs"), asked(1, 2, 3, 4), lets(1, 4)},
			"remove web-1 (scaling in, gracefully); remove web-4 (scaling in, gracefully); ask jobs for 3 of web-2 web-1 web-3 web-4",
		},
		{
			"no answer: none but those that it was asked about", 3,
			[]vm.VM{running(1), of("old", running(2)), of("old", running(3)), running(4)},
			[]changes{order(bus.ScaleInOutdated, "hook:jobs"), asked(2, 3), silent, cpu(0, 99, 98, 0)},
			"remove web-2 (scaling in, gracefully); ask jobs for 1 of web-2 web-3",
		},
		{
			"a busy one that it lets go is not called off", 1,
			[]vm.VM{running(1), running(2)},
			[]changes{order("hook:jobs"), draining(2), cpu(5, 90)},
			"",
		},
		{"it is not asked while nothing is scaled in", 1, []vm.VM{running(1)}, []changes{order("hook:jobs")}, ""},
		{
			"nor while that is paused", 1,
			[]vm.VM{running(1), running(2)},
			[]changes{order("hook:jobs"), paused(bus.ScopeIn)},
			"",
		},
		{
			"from before the template was replaced", 1,
			[]vm.VM{running(1), running(2), running(3)},
			[]changes{order(bus.ScaleInOutdated), replaced(2)},
			"remove web-1 (scaling in, gracefully); remove web-2 (scaling in, gracefully)",
		},
		{
			"the newest, but not a busy one", 1,
			[]vm.VM{running(1), running(2)},
			[]changes{cpu(10, 71)},
			"remove web-1 (scaling in, gracefully)",
		},
		{"all are busy", 1, []vm.VM{running(1), running(2)}, []changes{cpu(90, 71)}, "remove web-2 (scaling in, gracefully)"},

		{
			"of an older machine before the newest", 1,
			[]vm.VM{machine("old", running(1)), running(2)},
			nil, "remove web-1 (scaling in, gracefully)",
		},

		// A refresh.
		{
			"as many retire as may, the oldest first", 1,
			[]vm.VM{of("old", running(1)), of("old", running(2))},
			[]changes{refresh(1, 0)},
			"retire web-1",
		},
		{
			"but not a busy one before others", 1,
			[]vm.VM{of("old", running(1)), of("old", running(2))},
			[]changes{refresh(1, 0), cpu(90, 10)},
			"retire web-2",
		},
		{"none that is up to date", 2, []vm.VM{running(1), machine("", running(2))}, []changes{refresh(2, 0)}, ""},
		{"none that is protected", 1, []vm.VM{of("old", protected(running(1)))}, []changes{refresh(1, 0)}, ""},
		{
			"none that is sick", 1,
			[]vm.VM{of("old", running(1)), running(2)},
			[]changes{refresh(1, 0), sick(1)},
			"remove web-1 (silent, gracefully)",
		},
		{
			"no other while that is being noted", 1,
			[]vm.VM{of("old", running(1)), of("old", running(2))},
			[]changes{refresh(1, 0), marking(1)},
			"",
		},
		{
			"one that is what new ones are stays", 1,
			[]vm.VM{of("demo", retiring(running(1)))},
			[]changes{refresh(1, 0)},
			"unretire web-1",
		},
		{
			"as many get new disks as may", 2,
			[]vm.VM{of("old", running(1)), of("old", running(2))},
			[]changes{reimage(1)},
			"reimage web-1",
		},
		{"no other while one does", 2, []vm.VM{reimaging(running(1)), of("old", running(2))}, []changes{reimage(1), up(1)}, ""},
		{
			"nor while one is missing", 3,
			[]vm.VM{of("old", running(1)), of("old", running(2)), vmOf(3, bus.PhaseLaunching, bus.StateRunning)},
			[]changes{reimage(1), up(3)},
			"",
		},
		{"nor while one is about to", 2, []vm.VM{of("old", running(1)), of("old", running(2))}, []changes{reimage(1), reimages(1)}, ""},
		{"one that was cut off goes on", 1, []vm.VM{reimaging(vmOf(1, bus.PhaseCreating, bus.StateShutoff))}, nil, "reimage web-1"},
		{
			"one that was cut off while it drained, too", 1,
			[]vm.VM{reimaging(vmOf(1, bus.PhaseDraining, bus.StateRunning))},
			nil, "reimage web-1",
		},
		{"not while launches fail", 1, []vm.VM{reimaging(vmOf(1, bus.PhaseStopping, bus.StateShutoff))}, []changes{backoff}, ""},
		{
			"one that boots again is waited for", 1,
			[]vm.VM{reimaging(vmOf(1, bus.PhaseLaunching, bus.StateRunning))},
			nil, "await web-1",
		},
		{
			"one that failed is removed", 1,
			[]vm.VM{reimaging(vmOf(1, bus.PhaseFailed, bus.StateShutoff))},
			[]changes{taken("web-1")},
			"create web-2; remove web-1 (its removal had begun)",
		},
		{
			"one too many is not given disks", 1,
			[]vm.VM{reimaging(vmOf(1, bus.PhaseCreating, bus.StateShutoff)), running(2)},
			nil, "remove web-1 (scaling in)",
		},
		{
			"as many restart as may, of those that need no more", 3,
			[]vm.VM{disks("0", running(1)), disks(same, running(2)), disks(same, running(3))},
			[]changes{restart(1)},
			"restart web-2",
		},
		{"no other while one does", 2, []vm.VM{restarting(running(1)), disks(same, running(2))}, []changes{restart(1), up(1)}, ""},
		{
			"one that was cut off goes on with its disks", 1,
			[]vm.VM{restarting(vmOf(1, bus.PhaseLaunching, bus.StateShutoff))},
			nil, "restart web-1",
		},
		{
			"also in a refresh by which others get new ones", 1,
			[]vm.VM{restarting(vmOf(1, bus.PhaseStopping, bus.StateShutoff))},
			[]changes{reimage(1)},
			"restart web-1",
		},
		{"one that is protected does not restart", 1, []vm.VM{protected(disks(same, running(1)))}, []changes{restart(1)}, ""},
		{"none while launches fail", 1, []vm.VM{of("old", running(1))}, []changes{refresh(1, 0), backoff}, ""},
		{"another takes the place of one that retires", 1, []vm.VM{retiring(running(1))}, []changes{refresh(1, 0)}, "create web-2"},
		{
			"which goes when it may", 1,
			[]vm.VM{retiring(running(1)), running(2)},
			[]changes{refresh(0, 1)},
			"remove web-1 (others have taken its place, gracefully)",
		},
		{"not before", 1, []vm.VM{retiring(running(1)), running(2)}, []changes{refresh(1, 0)}, ""},
		{
			"one may go while others boot", 1,
			[]vm.VM{retiring(running(1)), retiring(running(2)), vmOf(3, bus.PhaseLaunching, bus.StateRunning)},
			[]changes{refresh(1, 1), servingAfter(1)},
			"await web-3; remove web-1 (others have taken its place, gracefully)",
		},
		{
			"and by the same decision no other once it is gone", 1,
			[]vm.VM{retiring(running(2)), vmOf(3, bus.PhaseLaunching, bus.StateRunning)},
			[]changes{refresh(1, 1), servingAfter(1)},
			"await web-3",
		},
		{
			"and no other with it", 1,
			[]vm.VM{retiring(running(1)), retiring(running(2)), running(3)},
			[]changes{refresh(1, 1), draining(1)},
			"",
		},
		{
			"its drain is not called off", 2,
			[]vm.VM{retiring(running(1)), running(2)},
			[]changes{refresh(0, 0), draining(1)},
			"create web-3",
		},
		{
			"one that is protected meanwhile stays", 1,
			[]vm.VM{protected(retiring(running(1)))},
			[]changes{refresh(1, 0)},
			"unretire web-1",
		},

		// One that is retained.
		{
			"a retained one is left alone, and another takes its place", 2,
			[]vm.VM{running(1), vmOf(2, bus.PhaseRetained, bus.StateRunning)},
			nil,
			"create web-3",
		},
		{
			"also one that is off", 1,
			[]vm.VM{running(1), vmOf(2, bus.PhaseRetained, bus.StateShutoff)},
			nil,
			"",
		},
		{
			"it counts toward max", 2,
			[]vm.VM{running(1), vmOf(2, bus.PhaseRetained, bus.StateRunning)},
			[]changes{highest(2)},
			"retained web-2",
		},
		{
			"it is not scaled in", 1,
			[]vm.VM{running(1), running(2), vmOf(3, bus.PhaseRetained, bus.StateRunning)},
			nil,
			"remove web-2 (scaling in, gracefully)",
		},

		// One that is too old.
		{
			"one that is too old retires, and not one that is only outdated", 2,
			[]vm.VM{running(1), running(2), of("old", running(7))},
			[]changes{refresh(1, 0), over, lifetime(2)},
			"retire web-1",
		},
		{"none more than the decider lets", 2, []vm.VM{running(1), running(2)}, []changes{refresh(0, 0), over, lifetime(9)}, ""},
		{
			"a refresh comes first", 2,
			[]vm.VM{running(1), of("old", running(2)), running(3)},
			[]changes{refresh(1, 0), lifetime(9)},
			"retire web-2",
		},
		{
			"it goes when another has taken its place", 1,
			[]vm.VM{retiring(running(1)), running(9)},
			[]changes{refresh(0, 1), over, lifetime(2)},
			"remove web-1 (others have taken its place, gracefully)",
		},
		{
			"it stays when it may be older", 1,
			[]vm.VM{retiring(running(3))},
			[]changes{refresh(1, 0), over, lifetime(2)},
			"unretire web-3",
		},
		{
			"one that is protected stays", 1,
			[]vm.VM{protected(running(1))},
			[]changes{refresh(1, 0), over, lifetime(2)},
			"",
		},
		{
			"the one that is too old is scaled in first", 2,
			[]vm.VM{running(1), running(2), running(3)},
			[]changes{lifetime(2)},
			"remove web-1 (scaling in, gracefully)",
		},

		{"none retires when it is over", 1, []vm.VM{of("old", running(1))}, []changes{refresh(1, 0), over}, ""},
		{"all stay when it is over", 1, []vm.VM{retiring(running(1))}, nil, "unretire web-1"},
		{
			"one that died meanwhile is removed", 1,
			[]vm.VM{retiring(vmOf(1, bus.PhaseReady, bus.StateShutoff)), running(2)},
			[]changes{refresh(1, 0)},
			"remove web-1 (it is shut off, died)",
		},
		{
			"a hold removes none for being one too many", 1,
			[]vm.VM{retiring(running(1)), running(2), running(3)},
			[]changes{refresh(1, 0)},
			"",
		},
		{"nothing retires before the first decision", 1, []vm.VM{of("old", running(1))}, []changes{refresh(1, 0), unheard}, ""},
		{"nor while no decision holds", Unknown, []vm.VM{retiring(running(1)), of("old", running(2))}, []changes{refresh(1, 1)}, ""},

		// Drains.
		{"a drain goes on", 1, []vm.VM{running(1), running(2)}, []changes{draining(2)}, ""},
		{
			"a drain, and another one to go", 1,
			[]vm.VM{running(1), running(2), running(3)},
			[]changes{draining(3)},
			"remove web-2 (scaling in, gracefully)",
		},
		{"it is needed again", 2, []vm.VM{running(1), running(2)}, []changes{draining(2)}, "keep web-2 (it is needed again)"},
		{
			"it and one more are needed", 3,
			[]vm.VM{running(1), running(2)},
			[]changes{draining(2)},
			"create web-3; keep web-2 (it is needed again)",
		},
		{
			"one of two is needed, the older", 2,
			[]vm.VM{running(1), running(2), running(3)},
			[]changes{draining(2), draining(3)},
			"keep web-2 (it is needed again)",
		},
		{"too late to call off", 2, []vm.VM{running(1), running(2)}, []changes{down(2)}, "create web-3"},
		{
			"it is protected meanwhile", 1,
			[]vm.VM{running(1), protected(running(2))},
			[]changes{draining(2)},
			"remove web-1 (scaling in, gracefully); keep web-2 (it is protected now)",
		},
		{
			"one whose place others have taken is protected meanwhile", 1,
			[]vm.VM{running(1), retiring(protected(running(2)))},
			[]changes{draining(2)},
			"remove web-1 (scaling in, gracefully); keep web-2 (it is protected now)",
		},
		{"one whose place others have taken goes on", 1, []vm.VM{running(1), retiring(running(2))}, []changes{draining(2)}, ""},
		{
			"one that gets new disks is protected meanwhile", 1,
			[]vm.VM{reimaging(protected(vmOf(1, bus.PhaseDraining, bus.StateRunning)))},
			[]changes{reimages(1)},
			"keep web-1 (it is protected now)",
		},
		{
			"one that gets new disks is off", 1,
			[]vm.VM{reimaging(protected(vmOf(1, bus.PhaseDraining, bus.StateShutoff)))},
			[]changes{reimages(1)},
			"",
		},
		{
			"it is busy, another is not", 1,
			[]vm.VM{running(1), running(2)},
			[]changes{draining(2), cpu(10, 93)},
			"remove web-1 (scaling in, gracefully); keep web-2 (it is busy, at 93 %, and others are not)",
		},
		{
			"it is busy, and its phase is that of a drain", 1,
			[]vm.VM{running(1), vmOf(2, bus.PhaseDraining, bus.StateRunning)},
			[]changes{draining(2), cpu(10, 93)},
			"remove web-1 (scaling in, gracefully); keep web-2 (it is busy, at 93 %, and others are not)",
		},
		{"it is busy, all are", 1, []vm.VM{running(1), running(2)}, []changes{draining(2), cpu(80, 93)}, ""},
		{
			"it is busy, the other one that is not goes too", 1,
			[]vm.VM{running(1), running(2), running(3)},
			[]changes{draining(3), cpu(80, 10, 93)},
			"remove web-2 (scaling in, gracefully)",
		},
		{"unknown: a drain goes on", Unknown, []vm.VM{running(1), running(2)}, []changes{draining(2)}, ""},

		// Repair of what runs and does not serve.
		{"its replacement comes first", 2, []vm.VM{running(1), running(2)}, []changes{sick(2)}, "create web-3"},
		{
			"it waits for its replacement", 2,
			[]vm.VM{running(1), running(2), vmOf(3, bus.PhaseLaunching, bus.StateRunning)},
			[]changes{sick(2), up(3)},
			"",
		},
		{
			"and goes when that serves", 2,
			[]vm.VM{running(1), running(2), running(3)},
			[]changes{sick(2)},
			"remove web-2 (silent, gracefully)",
		},
		{
			"where max leaves no room it goes first", 2,
			[]vm.VM{running(1), running(2)},
			[]changes{sick(2), highest(2)},
			"remove web-2 (silent, gracefully)",
		},
		{"one at a time", 3, []vm.VM{running(1), running(2), running(3)}, []changes{sick(2, 3)}, "create web-4"},
		{
			"one at a time, at max", 3,
			[]vm.VM{running(1), running(2), running(3)},
			[]changes{sick(2, 3), highest(3)},
			"remove web-2 (silent, gracefully)",
		},
		{
			"the next one not before its replacement serves", 3,
			[]vm.VM{running(1), running(3), vmOf(4, bus.PhaseLaunching, bus.StateRunning)},
			[]changes{sick(3), highest(3), up(4)},
			"",
		},
		{
			"two at a time", 3,
			[]vm.VM{running(1), running(2), running(3)},
			[]changes{sick(1, 2, 3), atOnce(2)},
			"create web-4; create web-5",
		},
		{"not while repair is paused", 2, []vm.VM{running(1), running(2)}, []changes{sick(2), paused(bus.ScopeRepair)}, ""},
		{
			"scaled in first while repair is paused", 1,
			[]vm.VM{running(1), running(2)},
			[]changes{sick(1), paused(bus.ScopeRepair)},
			"remove web-1 (scaling in, gracefully)",
		},
		{
			"one too many is no matter of replacement", 1,
			[]vm.VM{running(1), running(2)},
			[]changes{sick(1)},
			"remove web-1 (silent, gracefully)",
		},
		{
			"a protected one is replaced all the same", 2,
			[]vm.VM{running(1), protected(running(2)), running(3)},
			[]changes{sick(2)},
			"remove web-2 (silent, gracefully)",
		},
		{"unknown: nothing is replaced", Unknown, []vm.VM{running(1), running(2)}, []changes{sick(2)}, ""},
		{"paused on an I/O error while it boots", 1, []vm.VM{func() vm.VM {
			v := vmOf(1, bus.PhaseLaunching,
				bus.StatePaused)
			v.IOError = true
			return v
		}()}, nil, "await web-1"},

		// What was paused.
		{"out is the decider's", 2, []vm.VM{running(1)}, []changes{paused(bus.ScopeOut)}, "create web-2"},
		{"in", 1, []vm.VM{running(1), running(2)}, []changes{paused(bus.ScopeIn)}, ""},
		{
			"in, what was begun is ended", 1,
			[]vm.VM{running(1), vmOf(2, bus.PhaseDraining, bus.StateRunning)},
			[]changes{paused(bus.ScopeIn)},
			"remove web-2 (its removal had begun, gracefully)",
		},
		{"repair", 1, []vm.VM{vmOf(1, bus.PhaseReady, bus.StateShutoff)}, []changes{paused(bus.ScopeRepair)}, ""},
		{"repair, one more", 2, []vm.VM{vmOf(1, bus.PhaseReady, bus.StateShutoff)}, []changes{paused(bus.ScopeRepair)}, "create web-2"},
		{
			"repair, one fewer: the dead one, which costs no budget", 1,
			[]vm.VM{vmOf(1, bus.PhaseReady, bus.StateShutoff), running(2)},
			[]changes{paused(bus.ScopeRepair), removed(30)},
			"remove web-1 (scaling in)",
		},
		{
			"the same scope three times is not all", 1,
			[]vm.VM{running(1), running(2)},
			[]changes{paused(bus.ScopeOut, bus.ScopeOut, bus.ScopeOut)},
			"remove web-2 (scaling in, gracefully)",
		},
		{
			"all", 3,
			[]vm.VM{vmOf(1, bus.PhaseReady, bus.StateShutoff), vmOf(2, bus.PhaseDraining, bus.StateRunning)},
			[]changes{paused(bus.Scopes()...)},
			"",
		},
		{
			"all, but for what boots", 3,
			[]vm.VM{vmOf(1, bus.PhaseLaunching, bus.StateRunning)},
			[]changes{paused(bus.Scopes()...)},
			"await web-1",
		},
		{"before the first decision", 1, []vm.VM{
			vmOf(1, bus.PhaseReady, bus.StateShutoff),
			vmOf(2, bus.PhaseLaunching, bus.StateRunning),
		}, []changes{unheard}, "await web-2"},

		// Brakes.
		{"one trial", 3, []vm.VM{running(1)}, []changes{trial}, "create web-2"},
		{"one trial at a time", 3, []vm.VM{running(1), vmOf(2, bus.PhaseLaunching, bus.StateRunning)}, []changes{trial, up(2)}, ""},
		{
			"the budget for removals", 1,
			[]vm.VM{running(1), running(2), running(3)},
			[]changes{removed(29)},
			"remove web-3 (scaling in, gracefully); kept 1",
		},
		{"no budget", 1, []vm.VM{running(1), running(2)}, []changes{removed(30)}, "kept 1"},
		{
			"what does not serve is no matter of the budget", 1,
			[]vm.VM{running(1), vmOf(2, bus.PhaseLaunching, bus.StateRunning)},
			[]changes{removed(30)},
			"remove web-2 (scaling in)",
		},
		{
			"nor is a dead one", 1,
			[]vm.VM{vmOf(1, bus.PhaseReady, bus.StateShutoff)},
			[]changes{removed(30)},
			"create web-2; remove web-1 (it is shut off, died)",
		},

		// Without a valid decision what was begun is ended, and nothing else.
		{"unknown: creates nothing", Unknown, nil, nil, ""},
		{"unknown: removes no surplus", Unknown, []vm.VM{running(1), running(2), running(3)}, []changes{highest(1)}, ""},
		{"unknown: awaits", Unknown, []vm.VM{vmOf(1, bus.PhaseLaunching, bus.StateRunning)}, nil, "await web-1"},
		{
			"unknown: ends a removal", Unknown,
			[]vm.VM{vmOf(1, bus.PhaseStopping, bus.StateShutoff)},
			nil,
			"remove web-1 (its removal had begun)",
		},
		{
			"unknown: cleans up a half-made one", Unknown,
			[]vm.VM{vmOf(1, bus.PhaseCreating, bus.StateShutoff)},
			nil,
			"remove web-1 (its creation was interrupted)",
		},
		{
			"unknown: removes a dead one", Unknown,
			[]vm.VM{vmOf(1, bus.PhaseReady, bus.StateCrashed)},
			nil,
			"remove web-1 (it is crashed, died)",
		},

		// What an interruption leaves.
		{
			"creation interrupted", 1,
			[]vm.VM{vmOf(1, bus.PhaseCreating, bus.StateShutoff)},
			[]changes{taken("web-1")},
			"create web-2; remove web-1 (its creation was interrupted)",
		},
		{
			"creation interrupted, yet it runs", 1,
			[]vm.VM{vmOf(1, bus.PhaseCreating, bus.StateRunning)},
			[]changes{taken("web-1")},
			"create web-2; remove web-1 (its creation was interrupted)",
		},
		{
			"launch interrupted before the start", 1,
			[]vm.VM{vmOf(1, bus.PhaseLaunching, bus.StateShutoff)},
			[]changes{taken("web-1")},
			"create web-2; remove web-1 (its launch was interrupted)",
		},
		{
			"launch interrupted, it crashed", 1,
			[]vm.VM{vmOf(1, bus.PhaseLaunching, bus.StateCrashed)},
			[]changes{taken("web-1")},
			"create web-2; remove web-1 (its launch was interrupted)",
		},
		{"launch interrupted, it runs", 1, []vm.VM{vmOf(1, bus.PhaseLaunching, bus.StateRunning)}, nil, "await web-1"},
		{"launch interrupted, it is suspended", 1, []vm.VM{vmOf(1, bus.PhaseLaunching, bus.StatePaused)}, nil, "create web-2"},
		{
			"drain interrupted", 1,
			[]vm.VM{running(1), vmOf(2, bus.PhaseDraining, bus.StateRunning)},
			nil,
			"remove web-2 (its removal had begun, gracefully)",
		},
		{
			"drain interrupted, it is off", 1,
			[]vm.VM{running(1), vmOf(2, bus.PhaseDraining, bus.StateShutoff)},
			nil,
			"remove web-2 (its removal had begun)",
		},
		{
			"stop interrupted", 1,
			[]vm.VM{running(1), vmOf(2, bus.PhaseStopping, bus.StateRunning)},
			nil,
			"remove web-2 (its removal had begun)",
		},
		{
			"a failed one", 1,
			[]vm.VM{running(1), vmOf(2, bus.PhaseFailed, bus.StateRunning)},
			nil,
			"remove web-2 (its removal had begun)",
		},
		{"a worker is at it", 1, []vm.VM{vmOf(1, bus.PhaseCreating, bus.StateShutoff)}, []changes{up(1)}, ""},

		// Ready VMs.
		{
			"a dead one is replaced", 1,
			[]vm.VM{vmOf(1, bus.PhaseReady, bus.StateShutoff)},
			[]changes{taken("web-1")},
			"create web-2; remove web-1 (it is shut off, died)",
		},
		{
			"a crashed one is replaced", 1,
			[]vm.VM{vmOf(1, bus.PhaseReady, bus.StateCrashed)},
			[]changes{taken("web-1")},
			"create web-2; remove web-1 (it is crashed, died)",
		},
		{
			"a suspended one is left alone, and is no capacity", 1,
			[]vm.VM{vmOf(1, bus.PhaseReady, bus.StatePaused)},
			nil,
			"create web-2",
		},
		{"a saved one too", 1, []vm.VM{vmOf(1, bus.PhaseReady, bus.StateSaved)}, nil, "create web-2"},
		{"one that sleeps too", 1, []vm.VM{vmOf(1, bus.PhaseReady, bus.StateAsleep)}, nil, "create web-2"},
		{
			"a suspended one leaves no room for what is desired", 2,
			[]vm.VM{vmOf(1, bus.PhaseReady, bus.StatePaused), running(2)},
			[]changes{highest(2)},
			"suspended web-1",
		},
		{
			"one that is suspended while it boots leaves none either", 1,
			[]vm.VM{vmOf(1, bus.PhaseLaunching, bus.StatePaused)},
			[]changes{highest(1), up(1)},
			"suspended web-1",
		},
		{
			"a suspended one leaves none while launches are put off", 1,
			[]vm.VM{vmOf(1, bus.PhaseReady, bus.StateSaved)},
			[]changes{highest(1), backoff},
			"suspended web-1",
		},
		{
			"a suspended one that nobody lacks", 1,
			[]vm.VM{vmOf(1, bus.PhaseReady, bus.StatePaused), running(2)},
			[]changes{highest(2)},
			"",
		},
		{
			"a suspended one is no victim", 1,
			[]vm.VM{running(1), running(2), vmOf(3, bus.PhaseReady, bus.StatePaused)},
			nil,
			"remove web-2 (scaling in, gracefully)",
		},
		{
			"max counts a suspended one", 9,
			[]vm.VM{vmOf(1, bus.PhaseReady, bus.StatePaused)},
			[]changes{func(s *Situation) { s.Spec.Max = 2 }},
			"create web-2; suspended web-1",
		},
		{
			"maintenance lets none be there beside a sick one: it goes as its replacement is made", 2,
			[]vm.VM{running(1), running(2)},
			[]changes{sick(2), maintained(50, 100)},
			"create web-3; remove web-2 (silent, gracefully)",
		},
		{
			"maintenance lets one be there beside it", 2,
			[]vm.VM{running(1), running(2)},
			[]changes{sick(2), maintained(50, 150)},
			"create web-3",
		},
		{"a hold removes nothing", 1, []vm.VM{running(1), running(2)}, []changes{func(s *Situation) { s.ScaleIn = false }}, ""},
		{
			"numbers are given, not found", 3,
			[]vm.VM{running(1)},
			[]changes{func(s *Situation) { s.Numbers = []int{7, 9} }},
			"create web-7; create web-9",
		},
		{
			"and those that are taken here are skipped", 3,
			[]vm.VM{running(1)},
			[]changes{func(s *Situation) { s.Numbers = []int{1, 7, 9} }},
			"create web-7; create web-9",
		},
		{"without a number there is no VM", 2, []vm.VM{running(1)}, []changes{func(s *Situation) { s.Numbers = nil }}, ""},
		{"one that shuts down is left alone", 1, []vm.VM{vmOf(1, bus.PhaseReady, bus.StateShutdown)}, nil, ""},
		{"an unknown state is left alone", 1, []vm.VM{vmOf(1, bus.PhaseReady, bus.StateOther)}, nil, ""},
		{
			"what is wanted of a VM is noted before it is done", 2,
			[]vm.VM{running(1), running(2)},
			[]changes{wanted(1, bus.VMDrain)},
			"create web-3; note drain of web-1",
		},
		{
			"and one that is to go is no surplus", 1,
			[]vm.VM{running(1), running(2)},
			[]changes{wanted(1, bus.VMRemove)},
			"note remove of web-1",
		},
		{
			"it is noted while it boots, too", 1,
			[]vm.VM{vmOf(1, bus.PhaseLaunching, bus.StateRunning), running(2)},
			[]changes{wanted(1, bus.VMRemove), up(1)},
			"note remove of web-1",
		},
		{
			"and while all is paused", 2,
			[]vm.VM{running(1), running(2)},
			[]changes{wanted(1, bus.VMRemove), paused(bus.Scopes()...)},
			"note remove of web-1",
		},
		{
			"but not while it gets new disks, with which it would be lost", 2,
			[]vm.VM{running(1), running(2)},
			[]changes{wanted(1, bus.VMRemove), reimages(1)},
			"create web-3",
		},
		{"nor by one that does not act", 2, []vm.VM{running(1), running(2)}, []changes{wanted(1, bus.VMRemove), unheard}, ""},
		{
			"what is noted is not noted again", 1,
			[]vm.VM{ordered(bus.VMUnhealthy, running(1))},
			[]changes{wanted(1, bus.VMUnhealthy)},
			"",
		},
		{
			"a VM is removed", 1,
			[]vm.VM{ordered(bus.VMRemove, running(1)), running(2)},
			nil, `remove web-1 (removed by ann, gracefully)`,
		},
		{
			"also a protected one, and while no decision holds", Unknown,
			[]vm.VM{protected(ordered(bus.VMRemove, running(1))), running(2)},
			nil, `remove web-1 (removed by ann, gracefully)`,
		},
		{
			"one that a person has suspended", 1,
			[]vm.VM{ordered(bus.VMRemove, vmOf(1, bus.PhaseReady, bus.StatePaused)), running(2)},
			nil, `remove web-1 (removed by ann)`,
		},
		{
			"one that is off, and does not stay if it is started", 1,
			[]vm.VM{ordered(bus.VMRemove, vmOf(1, bus.PhaseReady, bus.StateShutoff)), running(2)},
			nil, `remove web-1 (removed by ann)`,
		},
		{
			"a launch ends", 1,
			[]vm.VM{ordered(bus.VMRemove, vmOf(1, bus.PhaseLaunching, bus.StateRunning)), running(2)},
			[]changes{up(1)},
			`cancel web-1 (removed by ann)`,
		},
		{
			"a drain is not called off when it is needed", 2,
			[]vm.VM{ordered(bus.VMDrain, vmOf(1, bus.PhaseDraining, bus.StateRunning)), running(2)},
			[]changes{draining(1)},
			"create web-3",
		},
		{"not while all is paused", 1, []vm.VM{ordered(bus.VMRemove, running(1)), running(2)}, []changes{paused(bus.Scopes()...)}, ""},
		{
			"another takes the place of one that is to be replaced", 1,
			[]vm.VM{ordered(bus.VMReplace, running(1))},
			nil, "create web-2",
		},
		{
			"which goes when the decision lets it", 1,
			[]vm.VM{ordered(bus.VMReplace, running(1)), running(2)},
			[]changes{refresh(0, 1)},
			"remove web-1 (replaced, as ordered by ann, gracefully)",
		},
		{
			"not while replacing is paused", 2,
			[]vm.VM{ordered(bus.VMReplace, running(1)), running(2)},
			[]changes{refresh(0, 1), paused(bus.ScopeRepair)},
			"",
		},
		{
			"one that is to stand by counts in nothing before it does",
			1,
			[]vm.VM{running(1)},
			[]changes{wanted(1, bus.VMStandby)},
			"create web-2; note standby of web-1",
		},
		{
			"it is taken out of service once that is noted",
			1,
			[]vm.VM{ordered(bus.VMStandby, running(1)), running(2)},
			nil, "stand by web-1",
		},
		{"not while all is paused", 1, []vm.VM{ordered(bus.VMStandby, running(1)), running(2)}, []changes{paused(bus.Scopes()...)}, ""},
		{"also while no decision holds", Unknown, []vm.VM{ordered(bus.VMStandby, running(1))}, nil, "stand by web-1"},
		{"nor twice at once", 1, []vm.VM{ordered(bus.VMStandby, running(1)), running(2)}, []changes{aside(1)}, ""},
		{
			"its removal is called off", 1,
			[]vm.VM{ordered(bus.VMStandby, running(1)), running(2)},
			[]changes{draining(1)},
			"keep web-1 (it is to stand by, by ann)",
		},
		{"one that stands by is no victim", 0, []vm.VM{standby(running(1)), running(2)}, nil, "remove web-2 (scaling in, gracefully)"},
		{"nor sick", 1, []vm.VM{standby(running(1)), running(2)}, []changes{sick(1)}, ""},
		{"nor replaced when it is off", 1, []vm.VM{standby(vmOf(1, bus.PhaseReady, bus.StateShutoff)), running(2)}, nil, ""},
		{"nor refreshed", 1, []vm.VM{standby(retiring(running(1))), running(2)}, []changes{refresh(1, 1)}, ""},
		{"it counts toward max", 2, []vm.VM{standby(running(1)), running(2)}, []changes{highest(2)}, "suspended web-1"},
		{
			"it is removed when a person wants that",
			1,
			[]vm.VM{ordered(bus.VMRemove, standby(running(1))), running(2)},
			nil, "remove web-1 (removed by ann, gracefully)",
		},
		{
			"that it is to serve again is noted before",
			2,
			[]vm.VM{standby(running(1)), running(2)},
			[]changes{wanted(1, bus.VMExitStandby)},
			"note exit-standby of web-1",
		},
		{"it serves again", 2, []vm.VM{ordered(bus.VMExitStandby, standby(running(1))), running(2)}, nil, "return web-1"},
		{"and takes the place of none before", 1, []vm.VM{ordered(bus.VMExitStandby, standby(running(1)))}, []changes{up(1)}, ""},
		{
			"also one that is off, which is woken", 2,
			[]vm.VM{ordered(bus.VMExitStandby, standby(vmOf(1, "", bus.StateShutoff))), running(2)},
			nil,
			"return web-1",
		},
		{
			"a restart goes on with it",
			1,
			[]vm.VM{ordered(bus.VMExitStandby, vmOf(1, bus.PhaseLaunching, bus.StateRunning))},
			nil, "await web-1",
		},
		{
			"once it serves that is over",
			1,
			[]vm.VM{ordered(bus.VMExitStandby, running(1))},
			[]changes{wanted(1, bus.VMExitStandby)},
			"note of web-1",
		},
		{"also for a decision that does not know it yet", 1, []vm.VM{running(1)}, []changes{wanted(1, bus.VMExitStandby)}, ""},
		{
			"one that is to be detached is no surplus, and not replaced",
			1,
			[]vm.VM{running(1), running(2)},
			[]changes{wanted(1, bus.VMDetach)},
			"note detach of web-1",
		},
		{
			"it is given away, in whatever phase it was found",
			1,
			[]vm.VM{ordered(bus.VMDetach, vmOf(1, bus.PhaseStopping, bus.StateShutoff)), running(2)},
			nil, "detach web-1",
		},
		{"also one that stands by", 1, []vm.VM{ordered(bus.VMDetach, standby(running(1))), running(2)}, nil, "detach web-1"},
		{
			"one whose memory is saved not before it runs again",
			1,
			[]vm.VM{ordered(bus.VMDetach, vmOf(1, bus.PhaseReady, bus.StateSaved)), running(2)},
			nil, "",
		},
		{
			"its removal is called off, too",
			1,
			[]vm.VM{ordered(bus.VMDetach, running(1)), running(2)},
			[]changes{draining(1)},
			"keep web-1 (it is to be detached, by ann)",
		},
		{"and not begun again", 1, []vm.VM{ordered(bus.VMDetach, running(1)), running(2)}, []changes{down(1)}, ""},
		{"a phase of a later version is left alone", 1, []vm.VM{vmOf(1, "later", bus.StateShutoff)}, nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := Situation{
				Spec: webSpec(func(g *bus.Group) { g.Max = 9 }), Desired: tt.desired, Owned: tt.owned, Work: map[string]Work{},
				Taken: map[string]bool{}, BootSlots: 9, Numbers: upTo(20), ScaleIn: true, Sick: map[string]string{},
				CPU: map[string]float64{},
			}
			for _, v := range tt.owned {
				s.Taken[v.Name] = true
			}
			for _, change := range tt.changes {
				change(&s)
			}
			s.Build = (*bus.Refresh)(nil).Build(s.Spec)
			if got := show(Plan(s)); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestSuspendedIsAProblem: where a suspended VM keeps its group from what is desired, health names it and what lets it go on.
func TestSuspendedIsAProblem(t *testing.T) {
	for state, want := range map[bus.State]string{
		bus.StatePaused: "web-1 is paused, and none is made in its place, as it counts toward max 1: `virsh -c qemu:///system " +
			"resume web-1` lets it serve again",
		bus.StateSaved:  "`virsh -c qemu:///system start web-1`",
		bus.StateAsleep: "`virsh -c qemu:///system dompmwakeup web-1`",
	} {
		g := group{suspended: []vm.VM{vmOf(1, bus.PhaseReady, state)}, most: 1}
		got := g.troubles("kvm1", "kvm1", "qemu:///system", t0)
		if len(got) != 1 || !strings.Contains(got[0].Text, want) ||
			got[0].Problem != (bus.Problem{Code: bus.ProblemSuspended, Subject: "web-1"}) {
			t.Errorf("%s: %+v, want %q", state, got, want)
		}
	}
}

// drawChoice is what a listener may have said, about VMs that are there and others.
func drawChoice(t *rapid.T) *Choice {
	if rapid.Bool().Draw(t, "not asked") {
		return nil
	}
	c := Choice{Asked: map[string]bool{}, May: map[string]bool{}, Skip: rapid.Bool().Draw(t, "silent")}
	for n := range 13 {
		c.Asked[vmOf(n, "", "").UUID] = rapid.IntRange(0, 3).Draw(t, "asked") > 0
		c.May[vmOf(n, "", "").UUID] = rapid.Bool().Draw(t, "lets go")
	}
	return &c
}

var (
	phases = append(bus.Phases(), "later")
	states = []bus.State{
		bus.StateRunning, bus.StatePaused, bus.StateShutdown, bus.StateShutoff, bus.StateCrashed, bus.StateOther, bus.StateUnknown,
		bus.StateSaved, bus.StateAsleep,
	}
	warmPools = []bus.WarmPool{
		{},
		{Size: bus.WarmSize{VMs: 2}, State: bus.WarmPaused},
		{Size: bus.WarmSize{VMs: 2}, State: bus.WarmStopped},
		{Size: bus.WarmSize{VMs: 2}, State: bus.WarmPaused, Stopped: bus.WarmSize{VMs: 1}},
	}
)

// Whatever a host looks like, these hold.
func TestPlanInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Situation{
			Spec: webSpec(), Work: map[string]Work{}, Taken: map[string]bool{},
			BootSlots: rapid.IntRange(-1, 6).Draw(t, "slots"), Backoff: rapid.Bool().Draw(t, "backoff"),
			Sick: map[string]string{}, CPU: map[string]float64{}, Numbers: upTo(40), ScaleIn: rapid.Bool().Draw(t, "scale in"),
		}
		s.Spec.Repair.AtOnce = rapid.IntRange(1, 3).Draw(t, "at once")
		s.Spec.WarmPool = rapid.SampledFrom(warmPools).Draw(t, "warm pool")
		s.Now = t0.Add(time.Duration(rapid.IntRange(0, 30).Draw(t, "now")) * time.Second)
		s.Warm = rapid.IntRange(0, 3).Draw(t, "warm")
		s.WarmStopped = rapid.IntRange(0, s.Warm).Draw(t, "warm, stopped")
		s.Expired = t0.Add(time.Duration(rapid.IntRange(0, 12).Draw(t, "too old")) * time.Second)
		s.Refresh = RefreshShare{
			Active: rapid.Bool().Draw(t, "refresh"), Retire: rapid.IntRange(0, 3).Draw(t, "retire"),
			Release: rapid.IntRange(0, 3).Draw(t, "release"),
		}
		s.Spec.Maintenance = bus.Maintenance{
			MinHealthyPercent: rapid.IntRange(0, 100).Draw(t, "min healthy"),
			MaxHealthyPercent: rapid.IntRange(100, 200).Draw(t, "max healthy"),
		}
		s.Spec.ScaleIn = rapid.SliceOfNDistinct(rapid.SampledFrom(bus.ScaleIns()), 1, 3, rapid.ID[bus.ScaleIn]).Draw(t, "orders")
		if rapid.Bool().Draw(t, "asks") {
			s.Spec.ScaleIn = slices.Insert(s.Spec.ScaleIn, rapid.IntRange(0, len(s.Spec.ScaleIn)).Draw(t, "place"), "hook:jobs")
			s.Choice = drawChoice(t)
		}
		s.Spec.Max = rapid.IntRange(1, 8).Draw(t, "max")
		s.Desired = rapid.IntRange(Unknown, s.Spec.Max).Draw(t, "desired")
		from := rapid.SampledFrom([][]bus.Phase{phases, {bus.PhaseReady, bus.PhasePreparing, bus.PhaseWarm}}).Draw(t, "phases")
		busy := rapid.Bool().Draw(t, "busy")
		for n := range rapid.IntRange(0, 12).Draw(t, "owned") {
			v := vmOf(n+1, rapid.SampledFrom(from).Draw(t, "phase"), rapid.SampledFrom(states).Draw(t, "state"))
			s.Owned = append(s.Owned, v)
			s.Taken[v.Name] = true
			if busy && rapid.Bool().Draw(t, "working") {
				s.Work[v.UUID] = rapid.SampledFrom([]Work{BringingUp, Removing, Draining, Resting}).Draw(t, "work")
			}
			if v.Meta.Phase == bus.PhaseReady && v.State == bus.StateRunning && rapid.Bool().Draw(t, "sick") {
				s.Sick[v.UUID] = "silent"
			}
			if rapid.Bool().Draw(t, "known") {
				s.CPU[v.UUID] = rapid.Float64Range(0, 110).Draw(t, "cpu")
			}
		}
		for n := range rapid.IntRange(0, 3).Draw(t, "foreign") {
			s.Taken[fmt.Sprintf("web-%d", 13+n*2)] = true
		}
		for n := range rapid.IntRange(0, 3).Draw(t, "creating") {
			s.Creating = append(s.Creating, fmt.Sprintf("web-%d", 14+n*2))
		}
		s.Attaching = rapid.IntRange(0, 2).Draw(t, "attaching")
		s.Attach = make([]bus.Attachment, rapid.IntRange(0, 2).Draw(t, "attach"))
		owned := slices.Clone(s.Owned)
		a := Plan(s)
		fail := func(what string) { t.Fatalf("%s: %s\nin %+v", what, show(a), s) }

		more := len(a.Create) + len(a.Attach) + len(a.Prepare)
		if more > 0 && len(s.Owned)+len(s.Creating)+s.Attaching+more > s.Spec.Max {
			fail("more than max")
		}
		if len(a.Create)+len(a.Prepare) > 0 && (s.Backoff || s.Desired == Unknown) {
			fail("creates though it must not")
		}
		if !slices.EqualFunc(owned, s.Owned, func(a, b vm.VM) bool { return a.UUID == b.UUID }) {
			fail("changed what it was given")
		}
		for _, r := range slices.Concat(a.Remove, a.Cancel) {
			_, hook, _ := split(s.Spec.ScaleIn)
			if hook == "" || r.Kind != vm.ScaleIn || !r.Graceful || s.Sick[r.VM.UUID] != "" {
				continue
			}
			if c := s.Choice; c == nil || !c.Asked[r.VM.UUID] || !c.Skip && !c.May[r.VM.UUID] {
				fail("the listener did not let it go: " + r.VM.Name)
			}
		}
		seen := map[string]bool{}
		once := func(v vm.VM, what string) {
			if v.Meta.Phase.StandsBy() || v.Meta.Phase == bus.PhaseRetained {
				fail("is not left alone: " + what + " " + v.Name)
			}
			if seen[v.UUID] {
				fail("twice: " + what + " " + v.Name)
			}
			seen[v.UUID] = true
			if !slices.ContainsFunc(s.Owned, func(o vm.VM) bool { return o.UUID == v.UUID }) {
				fail("not ours: " + v.Name)
			}
		}
		serving, coming := len(s.Creating), 0
		for _, v := range s.Owned {
			work := s.Work[v.UUID]
			if v.Meta.Phase.Pooled() && v.State != bus.StateRunning && (work == BringingUp || work == Idle) {
				coming++ // to where it can be handed over
			}
			if v.Meta.Phase.StandsBy() || v.Meta.Phase.Pooled() || v.Meta.Phase == bus.PhaseRetained {
				continue
			}
			if r, _ := nextStep(v); !v.State.Suspended() && (work == BringingUp || work == Idle && r == nil) {
				serving++
			}
		}
		kept := map[string]bool{}
		for _, r := range a.Keep {
			once(r.VM, "keep")
			if s.Work[r.VM.UUID] != Draining {
				fail("calls off what is no drain")
			}
			kept[r.VM.UUID] = true
		}
		serving += len(kept)
		surplus, replaced := 0, 0
		for _, v := range a.Await {
			once(v, "await")
			if s.Work[v.UUID] != Idle {
				fail("awaits twice")
			}
		}
		for _, r := range a.Remove {
			once(r.VM, "remove")
			if s.Work[r.VM.UUID] != Idle {
				fail("removes beside a worker")
			}
			switch judged, _ := nextStep(r.VM); {
			case judged != nil:
			case r.VM.Meta.Phase.Pooled():
				if r.Kind != vm.Unneeded {
					fail("counts one of the warm pool: " + r.VM.Name)
				}
			case r.Reason == "silent":
				replaced++
				serving--
			default:
				surplus++
			}
		}
		if replaced > s.Spec.Repair.AtOnce {
			fail("replaces too many at once")
		}
		for _, r := range slices.Concat(a.Remove, a.Cancel) {
			if r.Kind == vm.ScaleIn && r.VM.State.Suspended() {
				fail("scales in a suspended one")
			}
		}
		for _, r := range a.Cancel {
			once(r.VM, "cancel")
			if s.Work[r.VM.UUID] != BringingUp {
				fail("cancels no launch")
			}
			surplus++
		}
		handed := 0
		for what, vms := range map[string][]vm.VM{"hand over": a.HandOver, "promote": a.Promote, "park": a.Park} {
			for _, v := range vms {
				once(v, what)
				if busy := s.Work[v.UUID] != Idle; !v.Meta.Phase.Pooled() || busy != (what == "promote") {
					fail(what + " " + v.Name)
				}
				if what != "park" {
					handed++
				}
			}
		}
		switch {
		case !s.ScaleIn && surplus > 0:
			fail("removes a surplus by a hold")
		case s.Desired == Unknown && surplus > 0:
			fail("removes a surplus without a decision")
		case s.Desired != Unknown &&
			surplus > max(0, serving-len(s.Creating)-s.Desired): // those on their way go first, once they are defined
			fail("removes more than the surplus")
		case surplus > 0 && len(a.Create) > 0:
			fail("creates and removes a surplus")
		}
		missing := s.Desired - serving - len(a.Create) - handed - coming
		if s.Desired != Unknown && !s.rests() && missing > a.Missing {
			fail(fmt.Sprintf("%d are missing, and it says %d", missing, a.Missing))
		}
		if (a.Missing > 0) != (a.Hold != "") {
			fail(fmt.Sprintf("%d are missing, held by %q", a.Missing, a.Hold))
		}
		next := 0
		for _, name := range a.Create {
			want := ""
			for want == "" || s.Taken[want] || slices.Contains(s.Creating, want) {
				next++
				want = fmt.Sprintf("web-%d", next)
			}
			if name != want {
				fail("takes " + name + ", not the smallest free name " + want)
			}
		}
	})
}

// What a plan leads to needs no further plan: the group comes to rest at what is desired.
func TestPlanConverges(t *testing.T) {
	leftAlone := func(p bus.Phase) bool { return p.StandsBy() || p == bus.PhaseRetained }
	phases := slices.DeleteFunc(bus.Phases(), leftAlone)
	rapid.Check(t, func(t *rapid.T) {
		spec := webSpec(func(g *bus.Group) { g.Max = rapid.IntRange(1, 6).Draw(t, "max") })
		desired := rapid.IntRange(0, spec.Max).Draw(t, "desired")
		var owned []vm.VM
		made := rapid.IntRange(0, 8).Draw(t, "owned")
		for n := range made {
			state := rapid.SampledFrom([]bus.State{bus.StateRunning, bus.StateShutoff, bus.StateCrashed}).Draw(t, "state")
			owned = append(owned, vmOf(n+1, rapid.SampledFrom(phases).Draw(t, "phase"), state))
		}
		for round := 0; ; round++ {
			s := Situation{
				Spec:      spec,
				Now:       t0.Add(time.Hour),
				Desired:   desired,
				Owned:     owned,
				Taken:     map[string]bool{},
				BootSlots: 2,
				Numbers:   upTo(20),
				ScaleIn:   true,
			}
			for _, v := range owned {
				s.Taken[v.Name] = true
			}
			a := Plan(s)
			if show(a) == "" {
				break
			}
			if round > 20 {
				t.Fatalf("does not come to rest: %s", show(a))
			}
			become := func(v vm.VM, phase bus.Phase, state bus.State) {
				i := slices.IndexFunc(owned, func(o vm.VM) bool { return o.UUID == v.UUID })
				owned[i].Meta.Phase, owned[i].State = phase, state
			}
			for _, v := range slices.Concat(a.Await, a.HandOver) {
				become(v, bus.PhaseReady, bus.StateRunning)
			}
			for _, v := range a.Park {
				become(v, bus.PhaseWarm, bus.StatePaused)
			}
			for _, r := range a.Remove {
				owned = slices.DeleteFunc(owned, func(o vm.VM) bool { return o.UUID == r.VM.UUID })
			}
			for _, name := range a.Create {
				made++
				v := running(made)
				v.Name = name
				owned = append(owned, v)
			}
			if len(owned) > max(spec.Max, 8) {
				t.Fatalf("%d owned", len(owned))
			}
		}
		if len(owned) != desired {
			t.Fatalf("came to rest at %d, wanted %d: %+v", len(owned), desired, owned)
		}
	})
}

// What a decision says of min and max holds, as far as the file, its schedule or a person allow it.
func TestInForce(t *testing.T) {
	spec := webSpec(func(g *bus.Group) {
		g.Min, g.Max = 2, 5
		g.Schedule = []bus.ScheduledAction{{At: "0 8 * * *", Zone: "UTC", Min: new(1), Max: new(8)}}
	})
	for _, tt := range []struct {
		name               string
		known              bool
		least, most        int
		set                map[string]string
		wantLeast, wantMax int
	}{
		{"as the file", true, 2, 5, nil, 2, 5},
		{"lower, as by a schedule", true, 1, 3, nil, 1, 3},
		{"higher, as by a schedule", true, 6, 8, nil, 6, 8},
		{"higher than any allows", true, 9, 99, nil, 8, 8},
		{"higher, by hand", true, 9, 10, map[string]string{"max": "10"}, 9, 10},
		{"not known", false, 1, 9, nil, 2, 5},
		{"none", true, 0, 0, nil, 2, 5},
		{"lower than any allows", true, 0, 3, nil, 1, 3},
		{"no VM, by hand", true, 0, 3, map[string]string{"min": "0"}, 0, 3},
		{"contradicting", true, 4, 3, nil, 2, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := bus.Decision{HasSample: tt.known, Inputs: bus.Inputs{Min: tt.least, Max: tt.most}, Controls: bus.Controls{Set: tt.set}}
			if got := inForce(spec, d); got.Min != tt.wantLeast || got.Max != tt.wantMax {
				t.Errorf("min %d, max %d, want %d and %d", got.Min, got.Max, tt.wantLeast, tt.wantMax)
			}
		})
	}
}

func TestClampShare(t *testing.T) {
	for _, tt := range []struct {
		name  string
		known bool
		hosts map[bus.HostID]bus.Share
		want  int
	}{
		{"within", true, map[bus.HostID]bus.Share{"here": {VMs: 3}}, 3},
		{"above max", true, map[bus.HostID]bus.Share{"here": {VMs: 99}}, 5},
		{"below min", true, map[bus.HostID]bus.Share{"here": {VMs: 0}}, 2},
		{"negative", true, map[bus.HostID]bus.Share{"here": {VMs: -4}}, 2},
		{"not known", false, map[bus.HostID]bus.Share{"here": {VMs: 3}}, Unknown},
		{"another host only", true, map[bus.HostID]bus.Share{"there": {VMs: 3}}, Unknown},
		{"no hosts", true, nil, Unknown},
		{"a share", true, map[bus.HostID]bus.Share{"here": {VMs: 1}, "there": {VMs: 3}}, 1},
		{"a share of none", true, map[bus.HostID]bus.Share{"here": {VMs: 0}, "there": {VMs: 3}}, 0},
		{"a negative share", true, map[bus.HostID]bus.Share{"here": {VMs: -2}, "there": {VMs: 3}}, 0},
		{"a share above max", true, map[bus.HostID]bus.Share{"here": {VMs: 99}, "there": {VMs: 3}}, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			spec := webSpec(func(g *bus.Group) { g.Min, g.Max = 2, 5 })
			if got := clampShare(spec, bus.Decision{HasSample: tt.known, Shares: tt.hosts, Desired: 4}, "here"); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

// TestOrders: each order of removal that a group can have is known.
func TestOrders(t *testing.T) {
	for _, order := range bus.ScaleIns() {
		if orders[order] == nil {
			t.Errorf("nothing is removed by the order %q", order)
		}
	}
	if len(orders) != len(bus.ScaleIns()) {
		t.Errorf("%d orders, want those of %v", len(orders), bus.ScaleIns())
	}
}

// What a VM's metadata says of the deletion protection follows the config, once, and not of a VM that goes.
func TestDeletionProtectionIsNoted(t *testing.T) {
	const all, force = bus.DeletionPreventAll, bus.DeletionPreventForce
	kept, other, leaving, busy := running(1), running(2), running(3), running(4)
	kept.Deletion, other.Deletion, leaving.Meta.Phase = all, force, bus.PhaseStopping
	a := &Actuator{workers: map[string]*worker{deletionKey(busy.UUID): {marks: true}}}
	owned := []vm.VM{kept, other, leaving, busy}
	for level, want := range map[bus.DeletionProtection][]vm.VM{all: {other}, force: {kept}, bus.DeletionAllowed: {kept, other}} {
		var got, names []string
		for _, v := range a.unnoted(&group{spec: webSpec(func(g *bus.Group) { g.DeletionProtection = level })}, owned) {
			got = append(got, v.Name)
		}
		for _, v := range want {
			names = append(names, v.Name)
		}
		if !slices.Equal(got, names) {
			t.Errorf("%q: %v, want %v", level, got, names)
		}
	}
}
