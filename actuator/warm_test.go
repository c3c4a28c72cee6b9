package actuator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

func TestPlanOfTheWarmPool(t *testing.T) {
	type changes = func(*Situation)
	warm := func(n int) vm.VM { return vmOf(n, bus.PhaseWarm, bus.StatePaused) }
	off := func(n int) vm.VM { return vmOf(n, bus.PhaseWarm, bus.StateShutoff) }
	in := func(n int, state bus.State) vm.VM { return vmOf(n, bus.PhaseWarm, state) }
	preparing := func(n int, state bus.State) vm.VM { return vmOf(n, bus.PhasePreparing, state) }
	handed := func(n int, state bus.State) vm.VM {
		v := vmOf(n, bus.PhaseLaunching, state)
		v.Meta.Handed = t0
		return v
	}
	broken := func(v vm.VM) vm.VM { v.IOError = true; return v }
	ordered := func(v vm.VM) vm.VM {
		v.Order = &bus.VMOrder{Verb: bus.VMRemove, By: "ann", At: t0}
		return v
	}
	work := func(n int, w Work) changes { return func(s *Situation) { s.Work[vmOf(n, "", "").UUID] = w } }
	highest := func(n int) changes { return func(s *Situation) { s.Spec.Max = n } }
	stopped := func(s *Situation) { s.Spec.WarmPool.State = bus.WarmStopped }
	saves := func(s *Situation) { s.Spec.WarmPool.State, s.Saver = bus.WarmSaved, "qemu 10.0.0" }
	saved := func(n int, by string) vm.VM { v := in(n, bus.StateSaved); v.Meta.Saver = by; return v }
	saving := func(n int) vm.VM { v := warm(n); v.Meta.Saver = "qemu 10.0.0"; return v }
	restless := func(s *Situation) { s.Restless = true }
	// two has so many wait shut down, of all that are warm.
	two := func(off int) changes {
		return func(s *Situation) { s.Spec.WarmPool.Stopped.VMs, s.WarmStopped = 2, off }
	}
	resting := func(n int) vm.VM { v := off(n); v.Meta.Stops = true; return v }
	slots := func(n int) changes { return func(s *Situation) { s.BootSlots = n } }
	backoff := func(s *Situation) { s.Backoff = true }
	outdated := func(s *Situation) { s.Build = bus.Build{Template: "other"} }
	preparingNames := func(names ...string) changes { return func(s *Situation) { s.Preparing = names } }
	paused := func(scopes ...bus.Scope) changes { return func(s *Situation) { s.Controls.Paused = scopes } }
	aged := func(n int) changes { // web-n is too old
		return func(s *Situation) {
			s.Spec.WarmPool.MaxAge = time.Hour
			s.Now = t0.Add(time.Duration(n)*time.Second + time.Hour + time.Millisecond)
		}
	}
	sick := func(n int) changes { return func(s *Situation) { s.Sick[vmOf(n, "", "").UUID] = "silent" } }
	reuse := func(s *Situation) { s.Spec.WarmPool.Reuse = true }
	now := func(after time.Duration) changes { return func(s *Situation) { s.Now = t0.Add(after) } }
	unheard := func(s *Situation) { s.Unheard = true }

	for _, tt := range []struct {
		name          string
		desired, warm int
		owned         []vm.VM
		changes       []changes
		want          string
	}{
		{"filled", 1, 1, []vm.VM{running(1)}, nil, "prepare web-2"},
		{"one at a time", 1, 3, []vm.VM{running(1), preparing(2, bus.StateRunning)}, []changes{work(2, BringingUp)}, ""},
		{"nor while one is begun", 1, 3, []vm.VM{running(1)}, []changes{preparingNames("web-2")}, ""},
		{"max holds", 1, 3, []vm.VM{running(1), warm(2)}, []changes{highest(2)}, ""},
		{"what is begun counts toward max", 2, 1, []vm.VM{running(1)}, []changes{preparingNames("web-2"), highest(2)}, ""},
		{"full", 1, 2, []vm.VM{running(1), warm(2), warm(3)}, nil, ""},
		{"not before the group has what it wants", 2, 1, []vm.VM{running(1)}, nil, "create web-2"},
		{"nor after failures", 1, 1, []vm.VM{running(1)}, []changes{backoff}, ""},
		{"nor while scaling out is paused", 1, 1, []vm.VM{running(1)}, []changes{paused(bus.ScopeOut)}, ""},
		{"nor without a slot", 1, 1, []vm.VM{running(1)}, []changes{slots(0)}, ""},
		{
			"what is too many goes, the oldest first", 1, 1,
			[]vm.VM{running(1), warm(2), warm(3)},
			nil,
			"remove web-2 (its warm pool has too many VMs)",
		},

		{"handed over, the oldest first", 2, 1, []vm.VM{running(1), warm(2), warm(3)}, nil, "hand over web-2"},
		{"in place of any launch", 3, 0, []vm.VM{running(1), warm(2)}, nil, "create web-3; hand over web-2"},
		{"where max leaves no room", 2, 0, []vm.VM{running(1), warm(2)}, []changes{highest(2)}, "hand over web-2"},
		{"after failures as well", 2, 0, []vm.VM{running(1), warm(2)}, []changes{backoff}, "hand over web-2"},
		{"one that is off", 2, 0, []vm.VM{running(1), off(2)}, []changes{stopped}, "hand over web-2"},
		{"one that is off takes a slot", 3, 0, []vm.VM{running(1), off(2), off(3)}, []changes{stopped, slots(1)}, "hand over web-2"},
		{"one that a person has saved", 2, 0, []vm.VM{running(1), in(2, bus.StateSaved)}, nil, "hand over web-2"},
		{
			"also where they are shut down", 2, 0,
			[]vm.VM{running(1), in(2, bus.StateSaved)},
			[]changes{stopped},
			"hand over web-2",
		},
		{"one that is saved", 2, 0, []vm.VM{running(1), saved(2, "qemu 10.0.0")}, []changes{saves}, "hand over web-2"},
		{
			"which takes no slot", 3, 0,
			[]vm.VM{running(1), saved(2, "qemu 10.0.0"), saved(3, "")},
			[]changes{saves, slots(0)},
			"hand over web-2; hand over web-3",
		},
		{
			"it was saved by another QEMU", 2, 1,
			[]vm.VM{running(1), saved(2, "qemu 7.2.22")},
			[]changes{saves},
			"create web-3; remove web-2 (its memory was saved by qemu 7.2.22, and its host has qemu 10.0.0 now)",
		},
		{
			"what this host has is not known", 2, 1,
			[]vm.VM{running(1), saved(2, "qemu 7.2.22")},
			[]changes{saves, func(s *Situation) { s.Saver = "" }},
			"hand over web-2",
		},
		{
			"its memory is gone", 1, 1,
			[]vm.VM{running(1), off(2)},
			[]changes{saves},
			"remove web-2 (it is shut off, and its warm pool has other VMs)",
		},
		{
			"it is paused, where they are saved", 1, 1,
			[]vm.VM{running(1), warm(2)},
			[]changes{saves},
			"remove web-2 (it is paused, and its warm pool has other VMs)",
		},
		{
			"it is saved, where they are paused", 1, 1,
			[]vm.VM{running(1), saved(2, "qemu 10.0.0")},
			nil,
			"remove web-2 (it is saved, and its warm pool has other VMs)",
		},
		{"it is being saved", 1, 1, []vm.VM{running(1), in(2, bus.StateOther)}, []changes{saves}, ""},
		{"it runs, and is saved again", 1, 1, []vm.VM{running(1), in(2, bus.StateRunning)}, []changes{saves}, "park web-2"},
		{
			"handed over, and still saved", 2, 0,
			[]vm.VM{running(1), handed(2, bus.StateSaved)},
			[]changes{saves},
			"hand over web-2",
		},
		{
			"what is saved comes before what boots", 2, 2,
			[]vm.VM{running(1), resting(2), saved(3, "qemu 10.0.0")},
			[]changes{saves, two(2)},
			"hand over web-3",
		},
		{
			"and after what is paused", 2, 1,
			[]vm.VM{running(1), saved(2, ""), warm(3)},
			nil,
			"hand over web-3",
		},
		{"the one before could not wait", 1, 1, []vm.VM{running(1)}, []changes{restless}, ""},
		{"which keeps nothing else back", 2, 1, []vm.VM{running(1)}, []changes{restless}, "create web-2"},
		{
			"nor does one come back then", 1, 1,
			[]vm.VM{running(1), running(2)},
			[]changes{reuse, restless},
			"remove web-2 (scaling in, gracefully)",
		},
		{"one that boots", 2, 0, []vm.VM{running(1), preparing(2, bus.StateRunning)}, []changes{work(2, BringingUp)}, "promote web-2"},
		{"one that boots, and is not waited for", 2, 0, []vm.VM{running(1), preparing(2, bus.StateRunning)}, nil, "hand over web-2"},
		{
			"one that does not run yet comes so far first", 2, 0,
			[]vm.VM{running(1), preparing(2, bus.StateShutoff)},
			[]changes{work(2, BringingUp)},
			"",
		},
		{
			"nobody waits for one while it is saved", 2, 1,
			[]vm.VM{running(1), saving(2)},
			[]changes{saves, work(2, BringingUp), func(s *Situation) { s.BootSlots = 1 }},
			"create web-3",
		},
		{
			"one that is to be saved, and runs still", 2, 0,
			[]vm.VM{running(1), in(2, bus.StateRunning)},
			[]changes{saves, work(2, BringingUp)},
			"promote web-2",
		},
		{
			"in place of a sick one that max leaves no room beside", 2, 0,
			[]vm.VM{running(1), running(2), warm(3)},
			[]changes{highest(3), sick(1)},
			"hand over web-3",
		},
		{"it counts from then on", 2, 0, []vm.VM{running(1), handed(2, bus.StatePaused)}, []changes{work(2, BringingUp)}, ""},
		{"cut off, and gone on with", 2, 0, []vm.VM{running(1), handed(2, bus.StatePaused)}, nil, "hand over web-2"},
		{"as well if it runs", 2, 0, []vm.VM{running(1), handed(2, bus.StateRunning)}, nil, "hand over web-2"},
		{"and without a decision", Unknown, 0, []vm.VM{running(1), handed(2, bus.StatePaused)}, nil, "hand over web-2"},
		{
			"one that went off is replaced", 2, 0,
			[]vm.VM{running(1), handed(2, bus.StateShutoff)},
			nil,
			"create web-3; remove web-2 (its launch was interrupted)",
		},

		{"found running, and waits again", 1, 1, []vm.VM{running(1), in(2, bus.StateRunning)}, nil, "park web-2"},
		{"the same where it is shut down", 1, 1, []vm.VM{running(1), in(2, bus.StateRunning)}, []changes{stopped}, "park web-2"},
		{
			"destroyed by a person", 1, 1,
			[]vm.VM{running(1), off(2)},
			nil,
			"remove web-2 (it is shut off, and its warm pool has other VMs)",
		},
		{
			"paused, where the pool is stopped", 1, 1,
			[]vm.VM{running(1), warm(2)},
			[]changes{stopped},
			"remove web-2 (it is paused, and its warm pool has other VMs)",
		},
		{"broken", 1, 1, []vm.VM{running(1), broken(warm(2))}, nil, "remove web-2 (it is paused on an I/O error)"},
		{
			"its boot was interrupted", 1, 1,
			[]vm.VM{running(1), preparing(2, bus.StateShutoff)},
			nil,
			"remove web-2 (its way to the warm pool was interrupted)",
		},
		{"its boot goes on", 1, 1, []vm.VM{running(1), preparing(2, bus.StateRunning)}, nil, "await web-2"},
		{
			"its boot goes on before the first decision", 1, 1,
			[]vm.VM{running(1), preparing(2, bus.StateRunning)},
			[]changes{unheard},
			"await web-2",
		},
		{
			"outdated, and not handed over", 2, 1,
			[]vm.VM{running(1), warm(2)},
			[]changes{outdated},
			"create web-3; remove web-2 (it was made from template demo, and new ones are made from other)",
		},
		{
			"too old, one at a time", 1, 2,
			[]vm.VM{running(1), warm(2), warm(3)},
			[]changes{aged(3)},
			"remove web-2 (it is older than warm_pool.max_age 1h0m0s)",
		},
		{
			"older than any VM of the group may be", 1, 2,
			[]vm.VM{running(1), warm(2), warm(3)},
			[]changes{func(s *Situation) {
				s.Spec.MaxLifetime, s.Expired = time.Hour, warm(2).Meta.Created.Add(time.Millisecond)
			}},
			"remove web-2 (it is older than max_lifetime 1h0m0s)",
		},
		{"too old, and needed", 2, 1, []vm.VM{running(1), warm(2), warm(3)}, []changes{aged(3)}, "hand over web-2"},
		{
			"too old, and another is on its way", 1, 2,
			[]vm.VM{running(1), warm(2), preparing(3, bus.StateRunning)},
			[]changes{aged(2), work(3, BringingUp)},
			"",
		},
		{"a person wants it gone", 1, 1, []vm.VM{running(1), ordered(warm(2))}, nil, "prepare web-3; remove web-2 (removed by ann)"},
		{"it is none of those scaled in", 1, 1, []vm.VM{running(1), running(2), warm(3)}, nil, "remove web-2 (scaling in, gracefully)"},
		{
			"scaled in, and back", 1, 1,
			[]vm.VM{running(1), running(2)},
			[]changes{reuse},
			"remove web-2 (scaling in, and back to the warm pool, gracefully)",
		},
		{
			"one of two, as the pool has room for one", 1, 2,
			[]vm.VM{running(1), running(2), running(3), warm(4)},
			[]changes{reuse},
			"remove web-3 (scaling in, and back to the warm pool, gracefully); remove web-2 (scaling in, gracefully)",
		},
		{"the pool is full", 1, 1, []vm.VM{running(1), running(2), warm(3)}, []changes{reuse}, "remove web-2 (scaling in, gracefully)"},
		{
			"another is on its way there", 1, 1,
			[]vm.VM{running(1), running(2)},
			[]changes{reuse, preparingNames("web-3")},
			"remove web-2 (scaling in, gracefully)",
		},
		{
			"one that is too old does not come back", 1, 1,
			[]vm.VM{running(1), running(2)},
			[]changes{reuse, aged(2)},
			"remove web-2 (scaling in, gracefully)",
		},
		{"one that has just come is not too many", 1, 0, []vm.VM{running(1), warm(2)}, []changes{now(2 * time.Second)}, ""},
		{"of two kinds, the paused one is made first", 1, 2, []vm.VM{running(1)}, []changes{two(1)}, "prepare web-2"},
		{"then the other", 1, 2, []vm.VM{running(1), warm(2)}, []changes{two(1)}, "prepare web-3 to stop"},
		{"where they are saved, a saved one first", 1, 2, []vm.VM{running(1)}, []changes{saves, two(1)}, "prepare web-2 to save"},
		{"of one kind, as the pool says", 1, 1, []vm.VM{running(1)}, []changes{saves}, "prepare web-2 to save"},
		{"both are there", 1, 2, []vm.VM{running(1), warm(2), resting(3)}, []changes{two(1)}, ""},
		{
			"the paused one is handed over first", 2, 1,
			[]vm.VM{running(1), resting(2), warm(3)},
			[]changes{two(1)},
			"hand over web-3",
		},
		{
			"and what boots as there are slots", 3, 0,
			[]vm.VM{running(1), resting(2), warm(3)},
			[]changes{two(0), slots(0)},
			"hand over web-3",
		},
		{
			"of what is too many the right kind goes", 1, 1,
			[]vm.VM{running(1), warm(2), resting(3)},
			[]changes{two(0)},
			"remove web-3 (its warm pool has too many VMs)",
		},
		{
			"one of the wrong kind is exchanged", 1, 2,
			[]vm.VM{running(1), resting(2), resting(3)},
			[]changes{two(1)},
			"remove web-2 (it is shut off, and its warm pool has too many of these)",
		},
		{
			"not while another is made", 1, 2,
			[]vm.VM{running(1), resting(2), preparing(3, bus.StateRunning)},
			[]changes{two(0), work(3, BringingUp)},
			"",
		},
		{
			"one that was paused, and is off", 1, 2,
			[]vm.VM{running(1), off(2), resting(3)},
			[]changes{two(1)},
			"remove web-2 (it is shut off, and its warm pool has other VMs)",
		},
		{
			"of the kind that the config has no more", 1, 1,
			[]vm.VM{running(1), resting(2)},
			nil,
			"remove web-2 (it is shut off, and its warm pool has other VMs)",
		},
		{
			"scaled in, and back as the kind that is missing", 1, 2,
			[]vm.VM{running(1), running(2), warm(3)},
			[]changes{two(1), reuse},
			"remove web-2 (scaling in, and back to the warm pool, gracefully, stopped)",
		},
		{"all paused", 2, 1, []vm.VM{running(1), warm(2)}, []changes{paused(bus.ScopeOut, bus.ScopeIn, bus.ScopeRepair)}, ""},
		{"it is removed", 1, 1, []vm.VM{running(1), warm(2)}, []changes{work(2, Removing)}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := Situation{
				Spec: webSpec(func(g *bus.Group) { g.Max = 9; g.WarmPool.Size.VMs = 2 }), Desired: tt.desired, Warm: tt.warm,
				Owned: tt.owned, Work: map[string]Work{}, Taken: map[string]bool{}, BootSlots: 9, Numbers: upTo(20), ScaleIn: true,
				Sick: map[string]string{}, CPU: map[string]float64{}, Now: t0.Add(time.Minute),
			}
			for _, v := range tt.owned {
				s.Taken[v.Name] = true
			}
			for _, change := range tt.changes {
				change(&s)
			}
			got := strings.Split(show(Plan(s)), "; ")
			want := strings.Split(tt.want, "; ")
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("got  %s\nwant %s", strings.Join(got, "; "), tt.want)
			}
		})
	}
}

// A pool fills, whatever its kinds, and then nothing is made and nothing removed.
func TestPoolComesToRest(t *testing.T) {
	waits := map[bus.WarmState]bus.State{
		bus.WarmPaused: bus.StatePaused, bus.WarmSaved: bus.StateSaved, bus.WarmStopped: bus.StateShutoff,
	}
	for state := range waits {
		for _, two := range []bool{false, true} {
			if two && state == bus.WarmStopped {
				continue // which the config refuses
			}
			pool := bus.WarmPool{Size: bus.WarmSize{VMs: 2}, State: state, Reuse: true}
			warm, stopped := 2, 0
			if two {
				pool.Stopped.VMs, warm, stopped = 1, 3, 1
			}
			t.Run(fmt.Sprintf("%s, two kinds: %v", cmp.Or(state, "paused"), two), func(t *testing.T) {
				owned := []vm.VM{running(1)}
				for range warm {
					plan := Plan(poolSituation(pool, warm, stopped, owned))
					if len(plan.Prepare) != 1 || show(plan) != show(Actions{Prepare: plan.Prepare, PrepareAs: plan.PrepareAs}) {
						t.Fatalf("%d are there, and the plan is: %s", len(owned), show(plan))
					}
					v := vmOf(len(owned)+1, bus.PhaseWarm, waits[plan.PrepareAs])
					v.Meta.Stops = plan.PrepareAs == bus.WarmStopped
					if plan.PrepareAs == bus.WarmSaved {
						v.Meta.Saver = "qemu 10.0.0"
					}
					owned = append(owned, v)
				}
				if got := show(Plan(poolSituation(pool, warm, stopped, owned))); got != "" {
					t.Errorf("the pool is full, and the plan is: %s", got)
				}
			})
		}
	}
}

func poolSituation(pool bus.WarmPool, warm, stopped int, owned []vm.VM) Situation {
	s := Situation{
		Spec: webSpec(func(g *bus.Group) { g.Max, g.WarmPool = 9, pool }), Desired: 1, Warm: warm, WarmStopped: stopped,
		Owned: owned, Work: map[string]Work{}, Taken: map[string]bool{}, BootSlots: 9, Numbers: upTo(20), ScaleIn: true,
		Sick: map[string]string{}, CPU: map[string]float64{}, Now: t0.Add(time.Minute), Saver: "qemu 10.0.0",
	}
	for _, v := range owned {
		s.Taken[v.Name] = true
	}
	return s
}
