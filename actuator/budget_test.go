package actuator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// After some failures in a row launching stops for longer, then goes on with one trial, and a success ends it.
func TestLaunchFailures(t *testing.T) {
	spec := webSpec(func(g *bus.Group) { g.Brakes.LaunchFailures, g.Brakes.LaunchPause = 3, 5*time.Minute })
	now := t0
	a, err := New(Config{
		Groups: []bus.Group{spec}, Now: func() time.Time { return now },
		Dial: func(context.Context) (*libvirt.Connect, error) { return nil, errors.New("no") }, Identify: here,
	}, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	g, w := a.groups["web"], &worker{group: "web", name: "web-1"}
	for i, want := range []struct {
		wait  time.Duration
		trial bool
	}{{time.Second, false}, {2 * time.Second, false}, {5 * time.Minute, true}, {5 * time.Minute, true}} {
		events := g.failed(w, errors.New("no space left"), now)
		if e := events[0]; e.Event != bus.EventFailed || e.VM != "web-1" || e.Error != "no space left" {
			t.Errorf("failure %d: %+v", i+1, e)
		}
		if braked := len(events) == 2 && events[1].Event == bus.EventBraked && events[1].VM == ""; braked != want.trial {
			t.Errorf("failure %d: %+v", i+1, events)
		}
		if want.trial { // another that was begun before
			before := g.retryAt
			if later := g.failed(w, errors.New("no space left"), now.Add(time.Second)); len(later) != 1 || !g.retryAt.Equal(before) {
				t.Errorf("failure %d, and another: next try %s later, %+v", i+1, g.retryAt.Sub(before), later)
			}
		}
		s := a.situation(g, 4, vm.Inventory{Taken: map[string]bool{}})
		if wait := g.retryAt.Sub(now); wait != want.wait || !s.Backoff || s.Trial != want.trial {
			t.Errorf("failure %d: next try after %s, backoff %t, trial %t", i+1, wait, s.Backoff, s.Trial)
		}
		if want.trial { // what nobody misses is no problem
			g.standing.lacks = 1
		}
		why := a.problem()
		if (why != nil) != want.trial || why != nil && !strings.Contains(why.Error(), "failures in a row: no space left") {
			t.Errorf("failure %d: reported %v", i+1, why)
		}
		now = g.retryAt
		if s = a.situation(g, 4, vm.Inventory{Taken: map[string]bool{}}); s.Backoff {
			t.Errorf("failure %d: no next try at its time", i+1)
		}
	}
	g.launched()
	g.began = time.Time{}
	if s := a.situation(g, 4, vm.Inventory{Taken: map[string]bool{}}); s.Trial || a.problem() != nil {
		t.Errorf("after a success: %+v, %v", s, a.problem())
	}
}

func TestIll(t *testing.T) {
	spec := webSpec(func(g *bus.Group) {
		g.Brakes.LaunchFailures, g.Brakes.EarlyDeath, g.BootTimeout = 3, 10*time.Minute, 2*time.Minute
	})
	booted := func(at time.Duration) vm.VM {
		v := running(1)
		v.Meta.Booted = t0.Add(at)
		return v
	}
	unnoted := booted(0)
	unnoted.Meta.Booted, unnoted.Meta.Since = time.Time{}, t0.Add(time.Minute)
	for _, tt := range []struct {
		name   string
		vms    []vm.VM
		since  time.Duration // from which they did not serve
		before group
		deaths int
		wait   time.Duration
		braked bool
	}{
		{"none", nil, 0, group{}, 0, 0, false},
		{"soon after its boot", []vm.VM{booted(0)}, 3 * time.Second, group{}, 1, time.Second, false},
		{"at the end of an early one", []vm.VM{booted(0)}, 10*time.Minute - 1, group{}, 1, time.Second, false},
		{"after that", []vm.VM{booted(0)}, 10 * time.Minute, group{}, 0, 0, false},
		{"a clock that was set back", []vm.VM{booted(time.Hour)}, 0, group{}, 1, time.Second, false},
		{"when it had booted is not noted", []vm.VM{unnoted}, 11*time.Minute - 1, group{}, 1, time.Second, false},
		{"when it had booted is not noted, later", []vm.VM{unnoted}, 11 * time.Minute, group{}, 0, 0, false},
		{
			"several at once, as when their host fails",
			[]vm.VM{booted(0), booted(0), booted(0)},
			time.Second,
			group{},
			1, time.Second,
			false,
		},
		{"an old one and a new one", []vm.VM{booted(-time.Hour), booted(0)}, time.Second, group{}, 1, time.Second, false},
		{"the second in a row", []vm.VM{booted(0)}, time.Second, group{deaths: 1}, 2, 2 * time.Second, false},
		{"the third", []vm.VM{booted(0)}, time.Second, group{deaths: 2}, 3, 5 * time.Minute, true},
		{"after launches that failed", []vm.VM{booted(0)}, time.Second, group{failures: 2}, 1, 5 * time.Minute, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := tt.before
			g.spec = spec
			now := t0.Add(tt.since)
			events := g.ill(tt.vms, "it is shut off", now, now)
			wait := time.Duration(0)
			if !g.retryAt.IsZero() {
				wait = g.retryAt.Sub(now)
			}
			if g.deaths != tt.deaths || wait != tt.wait || (len(events) == 1 && events[0].Event == bus.EventBraked) != tt.braked {
				t.Errorf("%d deaths, next launch in %s, %+v", g.deaths, wait, events)
			}
			if tt.deaths > tt.before.deaths && !strings.Contains(g.cause, "web-1 lasted for") {
				t.Errorf("cause %q", g.cause)
			}
			g.forgive(now.Add(12*time.Minute - 1))
			if g.deaths != tt.deaths {
				t.Error("forgiven too soon")
			}
			if g.forgive(now.Add(wait + 12*time.Minute)); g.deaths != 0 {
				t.Error("never forgiven")
			}
		})
	}
	g := group{spec: webSpec(func(g *bus.Group) { g.Brakes.EarlyDeath = 0 })}
	if g.ill([]vm.VM{booted(0)}, "it is shut off", t0, t0); g.deaths != 0 {
		t.Error("counted, although that is off")
	}
}

// fate is what becomes of each VM of a group, some time after its boot.
type fate struct {
	name  string
	after time.Duration
	does  func(a *Actuator, vm *vm.VM, now time.Time)
	most  int // VMs made in the first half hour
}

// A VM that comes up and then dies, or falls silent, again and again is replaced at the brake's pace, and health says so. Its
// group goes on as before once that has ended.
func TestCrashLoopIsBraked(t *testing.T) {
	const half = 30 * time.Minute
	for _, f := range []fate{
		{"it goes off", 3 * time.Second, func(_ *Actuator, v *vm.VM, _ time.Time) { v.State = bus.StateShutoff }, 12},
		{"it crashes after a while", 5 * time.Minute, func(_ *Actuator, v *vm.VM, _ time.Time) { v.State = bus.StateCrashed }, 8},
		{"its agent falls silent", 10 * time.Second, func(a *Actuator, v *vm.VM, now time.Time) {
			a.liveness.record(vm.Answers{At: now, VMs: map[string]bool{v.UUID: false}})
		}, 13},
		{"it goes to sleep", time.Minute, func(_ *Actuator, v *vm.VM, _ time.Time) { v.State = bus.StateAsleep }, 13},
		{"nothing", time.Hour, func(*Actuator, *vm.VM, time.Time) {}, 1},
	} {
		for _, highest := range []int{1, 3} { // with room for a replacement first, and without
			t.Run(fmt.Sprintf("%s, max %d", f.name, highest), func(t *testing.T) {
				outbox, _ := listen(t)
				now := t0
				spec := webSpec(func(g *bus.Group) { g.Max, g.ReadyWhen, g.Repair.HealthGrace = highest, bus.ReadyAgent, 30*time.Second })
				a := &Actuator{
					cfg: Config{Now: func() time.Time { return now }}, outbox: outbox, liveness: livenessByVM{}, workers: map[string]*worker{},
					retryAt: map[string]time.Time{}, groups: map[string]*group{"web": {spec: spec}}, host: "here",
					contacts: newContacts("", func() time.Duration { return 0 }, zerolog.Nop()),
				}
				g := a.groups["web"]
				var owned []vm.VM
				made, well, braked := 0, false, false
				step := func() {
					now = now.Add(time.Second)
					for i := range owned {
						v := &owned[i]
						if v.Meta.Phase == bus.PhaseLaunching && now.Sub(v.Meta.Created) >= 5*time.Second {
							v.Meta.Phase, v.Meta.Since, v.Meta.Booted = bus.PhaseReady, now, now
							g.failures = 0 // as a worker that has brought it up
						}
						if v.Meta.Phase == bus.PhaseReady && now.Sub(v.Meta.Booted) >= f.after && !well {
							f.does(a, v, now)
						}
					}
					inv := vm.Inventory{Owned: slices.Clone(owned), Taken: map[string]bool{}}
					a.reportChanges(inv)
					a.liveness.observe(inv.Owned, now)
					s := a.situation(g, 2, inv)
					s.Desired, s.Unheard, s.Numbers = 1, false, []int{1, 2, 3, 4}
					for _, v := range owned {
						if v.Meta.Phase == bus.PhaseLaunching {
							s.Work[v.UUID] = BringingUp
						}
					}
					plan := Plan(s)
					g.standing = g.standing.next(s, plan, now)
					for _, r := range plan.Remove {
						owned = slices.DeleteFunc(owned, func(v vm.VM) bool { return v.UUID == r.VM.UUID })
						delete(a.seen, r.VM.UUID)
					}
					for _, name := range plan.Create {
						made++
						v := running(1)
						v.Name, v.UUID, v.Meta.Created = name, fmt.Sprintf("%08d", made), now
						v.Meta.Phase, v.Meta.Since = bus.PhaseLaunching, now
						owned = append(owned, v)
					}
					if why := a.problem(); why != nil && strings.Contains(why.Error(), "failures in a row: web-") {
						braked = true
					}
				}
				for now.Before(t0.Add(half)) {
					step()
				}
				if loops := f.most > 1; made > f.most || loops && made < 4 || braked != loops {
					t.Errorf("%d VMs in %s, want at most %d; health named the brake: %v", made, half, f.most, braked)
				}
				well = true
				for range int((half + spec.Brakes.LaunchPause) / time.Second) {
					step()
				}
				if g.open() || a.problem() != nil || len(owned) != 1 || owned[0].State != bus.StateRunning {
					t.Errorf("it does not end: %d failures, %v, %+v", g.failures+g.deaths, a.problem(), owned)
				}
			})
		}
	}
}

func TestRemovalsWithinTheWindow(t *testing.T) {
	g := &group{spec: webSpec(func(g *bus.Group) { g.Brakes.RemovalWindow = 10 * time.Minute })}
	g.removals = []time.Time{t0, t0.Add(5 * time.Minute), t0.Add(10 * time.Minute)}
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{10*time.Minute - 1, 3}, {10 * time.Minute, 2}, {15 * time.Minute, 1}, {time.Hour, 0}} {
		if got := g.removed(t0.Add(c.after)); got != c.want {
			t.Errorf("after %s: %d, want %d", c.after, got, c.want)
		}
	}
}
