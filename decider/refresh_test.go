package decider

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vmscaler/vmscaler/bus"
)

// rollout is a group on one or two hosts whose actuators do what the decisions say, one step a second.
type rollout struct {
	spec     bus.Group
	now      time.Time
	state    State
	vms      map[bus.HostID][]bus.VM
	made     int
	failures map[bus.HostID]int
	boot     int // steps
	breaks   func(vm bus.VM) bool
	cpu      float64
	least    int // VMs that served, the fewest since the refresh began
	most     int // VMs owned, the most ever
	d        bus.Decision
	seen     Observation
	mute     bool       // no VM's CPU is known
	renewed  int        // VMs that got new disks
	old      string     // the machine that VMs had before
	metric   *Published // of the policy
}

func newRollout(g bus.Group, n int, ids ...bus.HostID) *rollout {
	f := &rollout{spec: g, now: t0, vms: map[bus.HostID][]bus.VM{}, failures: map[bus.HostID]int{}, boot: 3, least: n, cpu: 30}
	for i := range n {
		f.make(ids[i%len(ids)], bus.PhaseReady)
	}
	for _, id := range ids {
		f.vms[id] = append([]bus.VM{}, f.vms[id]...)
	}
	f.state.Controls.Desired, f.old = new(n), g.MachineHash()
	f.step()
	return f
}

func (f *rollout) make(id bus.HostID, phase bus.Phase) {
	f.makeOf(id, phase, f.state.Refresh.InForce(f.spec))
}

func (f *rollout) makeOf(id bus.HostID, phase bus.Phase, spec bus.Group) {
	f.made++
	f.vms[id] = append(f.vms[id], bus.VM{
		Name: bus.VMName("web", f.made), UUID: fmt.Sprint(f.made), State: bus.StateRunning, Phase: phase, Created: f.now,
		PhaseSince: f.now, Template: spec.Template, Machine: spec.MachineHash(), Storage: spec.StorageHash(),
	})
}

func (f *rollout) step() bus.Decision {
	f.now = f.now.Add(time.Second)
	var obs Observation
	for id, vms := range f.vms {
		for i := range vms {
			if vms[i].CPUPercent = new(f.cpu); f.mute {
				vms[i].CPUPercent = nil
			}
		}
		obs.Fresh++
		obs.Hosts = append(obs.Hosts, HostObservation{
			ID: id, Name: string(id), Time: f.now, VMs: slices.Clone(vms), Failures: f.failures[id],
		})
	}
	slices.SortFunc(obs.Hosts, func(a, b HostObservation) int { return len(a.ID) - len(b.ID) })
	if f.metric != nil {
		obs.Metrics = map[string]Published{"requests": *f.metric}
	}
	f.seen = obs
	f.d, f.state = Decide(f.spec, f.state, obs, f.now)
	for id := range f.vms {
		f.act(id, f.d.Shares[id])
	}
	serving, owned := 0, 0
	for _, vms := range f.vms {
		owned += len(vms)
		for _, vm := range vms {
			if vm.Phase.Serves() {
				serving++
			}
		}
	}
	f.least, f.most = min(f.least, serving), max(f.most, owned)
	return f.d
}

// act is what an actuator does, with removals that take no time.
func (f *rollout) act(id bus.HostID, share bus.Share) {
	build, goes := f.d.Refresh.Build(f.spec), f.d.Refresh.Active() || f.spec.MaxLifetime > 0
	if !f.d.Refresh.Active() && goes {
		build = bus.Build{Before: before(f.spec, f.now)}
	}
	var left []bus.VM
	retiring, live := 0, 0
	for _, vm := range f.vms[id] {
		switch {
		case vm.Phase == bus.PhaseLaunching && f.now.Sub(vm.PhaseSince) >= time.Duration(f.boot)*time.Second:
			if f.breaks != nil && f.breaks(vm) {
				f.failures[id]++
				if !vm.Restarting {
					continue
				}
				vm.Machine = f.old // it boots with the definition before
				vm.Reimaging, vm.Restarting, vm.PhaseSince = false, false, f.now
			}
			if vm.Restarting {
				vm.RestartedAt = new(f.now)
			}
			vm.Phase, vm.PhaseSince, vm.Reimaging, vm.Restarting = bus.PhaseReady, f.now, false, false
		case vm.Retiring && share.Release > 0:
			share.Release--
			continue
		}
		if vm.Retiring && (!goes || !build.Outdated(vm.Made())) {
			vm.Retiring = false
		}
		if vm.Retiring {
			retiring++
		}
		left = append(left, vm)
	}
	reimaging, missing := 0, share.VMs
	for i := range left {
		vm := &left[i]
		if vm.Phase.Serves() && vm.State == bus.StateRunning {
			missing--
		}
		if vm.Reimaging && vm.Phase.Leaving() { // its launch begins
			spec := f.d.Refresh.InForce(f.spec)
			vm.Phase, vm.PhaseSince, vm.Machine = bus.PhaseLaunching, f.now, spec.MachineHash()
			if !vm.Restarting {
				vm.Created, vm.Template, vm.Storage = f.now, spec.Template, spec.StorageHash()
				f.renewed++
			}
		}
		if vm.Reimaging {
			reimaging++
		}
	}
	for i := range left {
		vm := &left[i]
		needs, may := build.Needs(vm.Made()), vm.Phase.Serves() && !vm.Retiring && !vm.Reimaging && !vm.Protected
		switch out := max(reimaging, missing); {
		case may && needs == bus.UpdateRestart && out < share.Restart,
			may && needs == bus.UpdateReplace && f.d.Refresh.Reimages() && out < share.Retire:
			vm.Reimaging, vm.Restarting, vm.Phase = true, needs == bus.UpdateRestart, bus.PhaseDraining
			reimaging, missing = reimaging+1, missing+1
		case may && needs == bus.UpdateReplace && !f.d.Refresh.Reimages() && retiring < share.Retire:
			vm.Retiring = true
			retiring++
		}
		if !vm.Retiring {
			live++
		}
	}
	fresh := func(vm bus.VM) bool { return !vm.Retiring && !build.Outdated(vm.Made()) }
	updated := func() int { return len(left) - len(slices.DeleteFunc(slices.Clone(left), fresh)) }
	for f.d.Direction == bus.In && live > share.VMs { // those beyond the canary first, then the outdated
		i := slices.IndexFunc(left, func(vm bus.VM) bool { return !vm.Retiring && build.Outdated(vm.Made()) })
		if share.Updated != nil && updated() > *share.Updated {
			i = slices.IndexFunc(left, fresh)
		}
		if i < 0 {
			i = slices.IndexFunc(left, func(vm bus.VM) bool { return !vm.Retiring })
		}
		left, live = slices.Delete(left, i, i+1), live-1
	}
	has := updated()
	f.vms[id] = left
	for ; live < share.VMs; live++ {
		spec := f.d.Refresh.InForce(f.spec)
		if share.Updated != nil && share.VMs-live > *share.Updated-has { // what is beyond the canary first
			spec.Template = f.d.Refresh.From
		} else {
			has++
		}
		f.makeOf(id, bus.PhaseLaunching, spec)
	}
}

func (f *rollout) all() (vms []bus.VM) {
	for _, on := range f.vms {
		vms = append(vms, on...)
	}
	return vms
}

// until steps until the refresh is in a phase.
func (f *rollout) until(t testing.TB, phase bus.RefreshPhase) {
	t.Helper()
	for range 300 {
		if f.step(); f.d.Refresh != nil && f.d.Refresh.Phase == phase {
			return
		}
	}
	t.Fatalf("never %s: %+v, %+v", phase, f.d.Refresh, f.all())
}

func (f *rollout) templates() map[string]int {
	n := map[string]int{}
	for _, vm := range f.all() {
		n[vm.Template]++
	}
	return n
}

func refreshed(change func(*bus.RefreshSpec)) bus.Group {
	return spec(bounds(1, 9), warmup(0), func(g *bus.Group) {
		g.Template = "web-1"
		if change != nil {
			change(&g.Refresh)
		}
	})
}

// Where there is room in max, a new VM serves before an old one goes, on whichever host has the room.
func TestRefreshReplacesOneAfterAnother(t *testing.T) {
	for _, ids := range [][]bus.HostID{{"a"}, {"a", "bb"}} {
		f := newRollout(refreshed(nil), 5, ids...)
		f.spec.Template = "web-2"
		f.until(t, bus.RefreshDone)
		if n := f.templates(); n["web-2"] != 5 || len(n) != 1 {
			t.Errorf("ended with %v", n)
		}
		if f.least < 5 || f.most > 6 {
			t.Errorf("%d served at the least, and %d were owned at the most", f.least, f.most)
		}
		if r := f.d.Refresh; r.By != "config" || r.Total != 5 || r.Updated != 5 || r.Outdated != 0 {
			t.Errorf("said %+v", r)
		}
		for range 20 {
			if f.step(); f.d.Refresh.Phase != bus.RefreshDone {
				t.Fatalf("began again: %+v", f.d.Refresh)
			}
		}
	}
}

// VMs that get new disks are the same afterwards, and one at a time is without.
func TestReimage(t *testing.T) {
	for _, ids := range [][]bus.HostID{{"a"}, {"a", "bb"}} {
		f := newRollout(refreshed(func(r *bus.RefreshSpec) { r.Strategy = bus.RefreshReimage }), 4, ids...)
		made := f.made
		f.spec.Template = "web-2"
		f.until(t, bus.RefreshDone)
		if n := f.templates(); n["web-2"] != 4 || len(n) != 1 {
			t.Errorf("ended with %v", n)
		}
		if f.made != made || f.least != 3 || f.most != 4 {
			t.Errorf("%d were made, %d served at the least, and %d were owned at the most", f.made-made, f.least, f.most)
		}
	}
}

// restarting is a group whose VMs restart where that is enough.
func restarting(change func(*bus.RefreshSpec)) bus.Group {
	return refreshed(func(r *bus.RefreshSpec) {
		r.MinimalAction = bus.UpdateRestart
		if change != nil {
			change(r)
		}
	})
}

// VMs whose disks are what the spec says restart with them, one at a time, and the others are replaced after that, by whichever
// strategy.
func TestRestart(t *testing.T) {
	for _, strategy := range bus.RefreshStrategies() {
		for _, ids := range [][]bus.HostID{{"a"}, {"a", "bb"}} {
			f := newRollout(restarting(func(r *bus.RefreshSpec) { r.Strategy = strategy }), 4, ids...)
			made := f.made
			f.spec.MemoryMiB++
			f.until(t, bus.RefreshDone)
			if f.made != made || f.renewed != 0 || f.least != 3 || f.most != 4 || f.d.Refresh.Updated != 4 {
				t.Errorf("%s: %d were made and %d got new disks, %d served at the least, and %d were owned at the most: %+v",
					strategy, f.made-made, f.renewed, f.least, f.most, f.d.Refresh)
			}
			odd := &f.vms["a"][0]
			odd.Storage, odd.Machine = "0", "0" // somebody made it before that
			f.spec.VCPUs++
			f.until(t, bus.RefreshDone)
			if n := f.made - made + f.renewed; n != 1 {
				t.Errorf("%s: %d were given new disks, want one", strategy, n)
			}
		}
	}
}

// A refresh that may only restart VMs fails before it does anything where one needs more, and is refused to a person.
func TestMostDisruptive(t *testing.T) {
	f := newRollout(restarting(func(r *bus.RefreshSpec) { r.MostDisruptive = bus.UpdateRestart }), 2, "a")
	f.spec.MemoryMiB++
	f.until(t, bus.RefreshDone)
	made := f.made
	f.spec.Template = "web-2"
	f.until(t, bus.RefreshFailed)
	for range 20 {
		f.step()
	}
	if n := f.templates(); n["web-1"] != 2 || f.made != made || f.renewed != 0 {
		t.Errorf("ended with %v, %d made", n, f.made-made)
	}
	want := "2 VMs would have to be replaced (web-1, web-2: it was made from template web-1, and new ones are made from " +
		"web-2), and only restarts"
	if !strings.Contains(f.d.Refresh.Sentence, want) {
		t.Errorf("said %q, want %q in it", f.d.Refresh.Sentence, want)
	}
	s := look(f.spec, f.state, f.seen, f.now)
	order := func(o bus.RefreshOrder) (*bus.Refresh, error) {
		o.Action = bus.RefreshBegin
		return s.ordered(bus.Query{By: "ann", Refresh: &o})
	}
	if _, err := order(bus.RefreshOrder{}); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("a request is answered with %v", err)
	}
	_, err := order(bus.RefreshOrder{MinimalAction: bus.UpdateReplace})
	if err == nil || !strings.Contains(err.Error(), "want minimal_action restart") {
		t.Errorf("one that contradicts itself is answered with %v", err)
	}
	if r, err := order(bus.RefreshOrder{MostDisruptive: bus.UpdateReplace}); err != nil || r.Outdated != 2 {
		t.Errorf("one that allows it is answered with %+v, %v", r, err)
	}
}

// A VM that does not come up with its new definition serves on with the one before, and fails the refresh after so many.
func TestRestartFails(t *testing.T) {
	f := newRollout(restarting(nil), 3, "a", "bb")
	made := f.made
	f.spec.MemoryMiB++
	f.breaks = func(vm bus.VM) bool { return vm.Restarting }
	f.until(t, bus.RefreshFailed)
	for range 20 {
		f.step()
	}
	if f.made != made || f.renewed != 0 || f.least < 2 || f.d.Refresh.Failures != 3 {
		t.Errorf("%d were made, %d served at the least: %+v", f.made-made, f.least, f.d.Refresh)
	}
}

// All VMs restart once, also those that are up to date, and none gets other disks.
func TestRollingRestart(t *testing.T) {
	f := newRollout(refreshed(nil), 3, "a", "bb")
	s := look(f.spec, f.state, f.seen, f.now)
	r, err := s.ordered(bus.Query{By: "ann", Refresh: &bus.RefreshOrder{
		Action: bus.RefreshBegin, All: true, MinimalAction: bus.UpdateRestart,
	}})
	if err != nil {
		t.Fatal(err)
	}
	f.state.Refresh = r
	made := f.made
	f.until(t, bus.RefreshDone)
	for _, vm := range f.all() {
		if vm.RestartedAt == nil {
			t.Errorf("%s was not restarted", vm.Name)
		}
	}
	if f.made != made || f.renewed != 0 || f.least != 2 {
		t.Errorf("%d were made, %d served at the least", f.made-made, f.least)
	}
}

// A dry run says of each VM what it needs, and why.
func TestRefreshWould(t *testing.T) {
	f := newRollout(restarting(nil), 4, "a")
	f.vms["a"][1].Storage, f.vms["a"][1].Machine = "", "0"
	f.spec.Refresh.Start, f.spec.MemoryMiB = bus.RefreshManual, f.spec.MemoryMiB+1
	f.step()
	for strategy, want := range map[bus.RefreshStrategy]string{
		bus.RefreshReplace: "would restart 3 VMs with their disks (web-1, web-3, web-4): its definition is not what the config " +
			"says now, but its disks are; would replace 1 VM (web-2): an earlier version made it, which did not note what its " +
			"disks were made from",
		bus.RefreshReimage: "would give new disks to 1 VM (web-2): ",
	} {
		s := look(f.spec, f.state, f.seen, f.now)
		r, err := s.begun(bus.Query{Refresh: &bus.RefreshOrder{Strategy: strategy, DryRun: true}})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.refreshFacts(r.Build(f.spec)).would(*r); !strings.Contains(got, want) {
			t.Errorf("says %q, want %q in it", got, want)
		}
	}
}

// A VM that is without service for another reason counts as missing: the last one that serves keeps its disks.
func TestReimageKeepsServing(t *testing.T) {
	f := newRollout(refreshed(func(r *bus.RefreshSpec) { r.Strategy = bus.RefreshReimage }), 2, "a")
	f.spec.Max, f.spec.Template = 2, "broken"
	f.breaks = func(vm bus.VM) bool { return vm.Template == "broken" }
	f.until(t, bus.RefreshFailed)
	for range 20 {
		f.step()
	}
	if n := f.templates(); n["web-1"] != 2 || f.least < 1 {
		t.Errorf("ended with %v, %d served at the least", n, f.least)
	}

	f = newRollout(refreshed(func(r *bus.RefreshSpec) { r.Strategy = bus.RefreshReimage }), 2, "a")
	f.vms["a"][0].State = bus.StateShutoff // it died, and is replaced by nobody here
	f.least = 2
	f.spec.Template = "web-2"
	for range 20 {
		f.step()
	}
	if vm := f.vms["a"][1]; !vm.Phase.Serves() || vm.Reimaging {
		t.Errorf("the one that serves is given new disks: %+v", vm)
	}
}

func TestRefreshAtMax(t *testing.T) {
	t.Run("waits, and says so", func(t *testing.T) {
		f := newRollout(refreshed(nil), 5, "a")
		f.spec.Max, f.spec.Template = 5, "web-2"
		f.until(t, bus.RefreshRunning)
		for range 30 {
			f.step()
		}
		if n := f.templates(); n["web-1"] != 5 {
			t.Errorf("replaced %v", n)
		}
		want := "0 of 5 VMs are up to date; waits, as the group is at max 5 and none of its VMs may be missing: " +
			"raise max, or lower min_healthy"
		if f.d.Refresh.Sentence != want {
			t.Errorf("said %q", f.d.Refresh.Sentence)
		}
	})
	t.Run("as the maintenance says", func(t *testing.T) {
		f := newRollout(refreshed(func(*bus.RefreshSpec) {}), 4, "a")
		f.spec.Max, f.spec.Template = 9, "web-2"
		f.spec.Maintenance = bus.Maintenance{MinHealthyPercent: 100, MaxHealthyPercent: 150}
		f.until(t, bus.RefreshDone)
		if r := f.d.Refresh; r.MaxSurge != 2 || r.MinHealthyPercent != 100 || f.least < 4 || f.most != 6 {
			t.Errorf("ended with %+v, %d served at the least and %d were owned at the most", r, f.least, f.most)
		}
	})
	t.Run("terminate and launch, of a group that is small", func(t *testing.T) {
		f := newRollout(refreshed(func(*bus.RefreshSpec) {}), 2, "a")
		f.spec.Max, f.spec.Template = 9, "web-2"
		f.spec.Maintenance = bus.Maintenance{MinHealthyPercent: 90, MaxHealthyPercent: 100}
		f.until(t, bus.RefreshDone)
		if f.least < 1 || f.most > 3 { // the one that drains among them
			t.Errorf("%d served at the least and %d were owned at the most", f.least, f.most)
		}
	})
	t.Run("with fewer healthy the old go first", func(t *testing.T) {
		f := newRollout(refreshed(func(r *bus.RefreshSpec) { r.MinHealthyPercent = 60 }), 5, "a")
		f.spec.Max, f.spec.Template = 5, "web-2"
		f.until(t, bus.RefreshDone)
		if n := f.templates(); n["web-2"] != 5 || f.least < 3 || f.most > 5 {
			t.Errorf("ended with %v, %d served at the least and %d were owned at the most", n, f.least, f.most)
		}
	})
}

func TestRefreshWaitsAtCheckpoints(t *testing.T) {
	f := newRollout(refreshed(func(r *bus.RefreshSpec) {
		r.Checkpoints, r.CheckpointDelay, r.Bake = []int{20, 60}, 40*time.Second, 30*time.Second
	}), 5, "a")
	f.spec.Template = "web-2"
	for _, want := range []int{1, 3} {
		f.until(t, bus.RefreshCheckpoint)
		since := f.now
		for f.d.Refresh.Phase == bus.RefreshCheckpoint {
			if n := f.templates(); n["web-2"] != want || n["web-1"] != 5-want {
				t.Fatalf("at the checkpoint there are %v", n)
			}
			f.step()
		}
		if waited := f.now.Sub(since); waited < 39*time.Second || waited > 42*time.Second {
			t.Errorf("waited for %s", waited)
		}
	}
	f.until(t, bus.RefreshBaking)
	since := f.now
	f.until(t, bus.RefreshDone)
	if waited := f.now.Sub(since); waited < 29*time.Second || waited > 32*time.Second {
		t.Errorf("baked for %s", waited)
	}
}

// A canary is kept for as long as nobody says otherwise, is made again if it is lost, and is followed or taken back.
func TestRefreshKeepsACanary(t *testing.T) {
	for action, want := range map[bus.RefreshAction]string{bus.RefreshGoOn: "web-2", bus.RefreshReturn: "web-1"} {
		t.Run(string(action), func(t *testing.T) {
			f := newRollout(refreshed(func(r *bus.RefreshSpec) {
				r.Canary, r.Checkpoints, r.CheckpointDelay = 2, []int{60, 80}, time.Second
			}), 5, "a")
			f.spec.Template = "web-2"
			kept := func() {
				t.Helper()
				f.until(t, bus.RefreshCanary)
				for range 200 {
					if n := f.templates(); n["web-2"] != 2 || n["web-1"] != 3 || f.d.Refresh.Phase != bus.RefreshCanary {
						t.Fatalf("there are %v, %s: %s", n, f.d.Refresh.Phase, f.d.Refresh.Sentence)
					}
					f.step()
				}
			}
			kept()
			lost := slices.IndexFunc(f.vms["a"], func(vm bus.VM) bool { return vm.Template == "web-2" })
			f.vms["a"] = slices.Delete(f.vms["a"], lost, lost+1)
			f.step()
			kept()
			obs := Observation{Fresh: 1, Hosts: []HostObservation{{ID: "a", Time: f.now, VMs: f.vms["a"]}}}
			q := bus.Query{Refresh: &bus.RefreshOrder{Action: action}, By: "ann"}
			next, err := look(f.spec, f.state, obs, f.now).ordered(q)
			if err != nil {
				t.Fatal(err)
			}
			f.state.Refresh = next
			f.until(t, map[bus.RefreshAction]bus.RefreshPhase{
				bus.RefreshGoOn: bus.RefreshDone, bus.RefreshReturn: bus.RefreshFailed,
			}[action])
			if n := f.templates(); n[want] != 5 {
				t.Errorf("ended with %v", n)
			}
		})
	}
}

// New VMs that do not come up fail it, while all old ones serve on; then the group makes new ones from what it had.
func TestRefreshFails(t *testing.T) {
	f := newRollout(refreshed(nil), 3, "a")
	f.spec.Template = "broken"
	f.breaks = func(vm bus.VM) bool { return vm.Template == "broken" }
	f.until(t, bus.RefreshFailed)
	for range 10 {
		f.step()
	}
	if n := f.templates(); n["web-1"] != 3 || len(n) != 1 || f.least < 3 {
		t.Errorf("ended with %v, %d served at the least", n, f.least)
	}
	if r := f.d.Refresh; r.Failures != 3 || !r.Returned || r.From != "web-1" {
		t.Errorf("said %+v", r)
	}
	for _, vm := range f.all() {
		if vm.Retiring {
			t.Errorf("%s is retiring still", vm.Name)
		}
	}
	f.state.Controls.Desired = new(4) // and it grows from what it had
	for range 10 {
		f.step()
	}
	if n := f.templates(); n["web-1"] != 4 {
		t.Errorf("grew to %v", n)
	}
	if !f.d.Refresh.Unresolved(f.d.Machine) {
		t.Errorf("it counts as resolved: %+v, machine %s", f.d.Refresh, f.d.Machine)
	}
	f.spec.Template = "web-1" // a person takes the change back
	if f.step(); f.d.Refresh != nil {
		t.Errorf("after the change was taken back there is %+v", f.d.Refresh)
	}
	f.spec.Template, f.breaks = "web-3", nil // and a new spec is tried anew
	f.until(t, bus.RefreshDone)
	if n := f.templates(); n["web-3"] != 4 || len(n) != 1 {
		t.Errorf("ended with %v", n)
	}
}

// Some are new already when it fails: they go back, too.
func TestRefreshReturns(t *testing.T) {
	f := newRollout(refreshed(func(r *bus.RefreshSpec) { r.MaxFailures = 0 }), 4, "a")
	f.spec.Template = "web-2"
	n := 0
	f.breaks = func(vm bus.VM) bool {
		if vm.Template == "web-2" {
			n++
		}
		return vm.Template == "web-2" && n > 2
	}
	f.until(t, bus.RefreshFailed)
	if n := f.templates(); n["web-1"] != 4 || len(n) != 1 || f.least < 4 {
		t.Errorf("ended with %v, %d served at the least", n, f.least)
	}
}

func TestRefreshFailsByItsAlarm(t *testing.T) {
	f := newRollout(refreshed(func(r *bus.RefreshSpec) { r.AlarmPercent, r.Return = 60, false }), 3, "a")
	f.spec.Template = "web-2"
	f.until(t, bus.RefreshRunning)
	f.cpu = 65
	f.until(t, bus.RefreshFailed)
	if !slices.ContainsFunc(f.all(), func(vm bus.VM) bool { return vm.Template == "web-1" }) {
		t.Error("all were replaced before")
	}
}

// What more than the template has changed cannot go back by the template's name.
func TestRefreshOfTheMachine(t *testing.T) {
	f := newRollout(refreshed(nil), 3, "a")
	f.spec.VCPUs, f.spec.Template = 4, "web-2"
	f.until(t, bus.RefreshRunning)
	if f.d.Refresh.From != "" {
		t.Errorf("would go back to %q", f.d.Refresh.From)
	}
	f.until(t, bus.RefreshDone)
}

func TestLoadComesBeforeRefresh(t *testing.T) {
	f := newRollout(refreshed(nil), 3, "a")
	f.spec.Template = "web-2"
	f.until(t, bus.RefreshRunning)
	f.boot = 1000
	f.state.Controls.Desired = new(6)
	for range 20 {
		f.step()
	}
	retiring := 0
	for _, vm := range f.all() {
		if vm.Retiring {
			retiring++
		}
	}
	if len(f.all()) < 6 || retiring > 1 {
		t.Errorf("%d VMs, %d of them retiring", len(f.all()), retiring)
	}
}

// One change of the spec has the group grow and refreshes it: what serves stays until the group has grown, and only what is
// outdated is said to be replaced.
func TestGroupGrowsBeforeItIsRefreshed(t *testing.T) {
	f := newRollout(refreshed(nil), 1, "a")
	f.boot = 20
	f.state.Controls.Desired = nil
	f.spec.Min, f.spec.Max, f.spec.Template = 2, 3, "web-2"
	f.state = f.state.Under(f.spec)
	f.make("a", bus.PhaseLaunching) // as the decision of the change itself had it
	f.step()
	if said := refreshEvent(f.d.Refresh); said != "refresh running: 1 VM to bring up to date; begun by config" {
		t.Errorf("said %q", said)
	}
	f.step()
	if want := "0 of 1 VMs are up to date; waits, as the group grows by 1 VM"; f.d.Refresh.Sentence != want {
		t.Errorf("said %q", f.d.Refresh.Sentence)
	}
	for range 100 {
		f.step()
		serving, retiring := 0, 0
		for _, vm := range f.all() {
			if vm.Phase.Serves() {
				serving++
			}
			if vm.Retiring {
				retiring++
			}
		}
		if serving < 2 && retiring > 0 {
			t.Fatalf("one retires while %d serve: %+v", serving, f.all())
		}
	}
	if n := f.templates(); f.d.Refresh.Phase != bus.RefreshDone || n["web-2"] != 2 || len(n) != 1 {
		t.Errorf("ended %+v with %v", f.d.Refresh, n)
	}
}

// A pause that comes before the first look at VMs that a change has made outdated holds the refresh that would begin.
func TestRefreshIsPausedBeforeItBegins(t *testing.T) {
	f := newRollout(refreshed(nil), 3, "a")
	f.step()
	f.spec.Template = "web-2"
	q := bus.Query{Refresh: &bus.RefreshOrder{Action: bus.RefreshHold}, By: "ann"}
	next, err := look(f.spec, f.state, f.seen, f.now).ordered(q)
	if err != nil {
		t.Fatal(err)
	}
	f.state.Refresh = next
	for range 30 {
		f.step()
	}
	if n := f.templates(); n["web-1"] != 3 || f.d.Refresh.Phase != bus.RefreshPaused || f.d.Refresh.ID != next.ID {
		t.Errorf("there are %v: %+v", n, f.d.Refresh)
	}
	if next, err = look(f.spec, f.state, f.seen, f.now).ordered(bus.Query{
		Refresh: &bus.RefreshOrder{Action: bus.RefreshCancel},
	}); err != nil {
		t.Fatal(err)
	}
	f.state.Refresh = next
	if _, err := look(f.spec, f.state, f.seen, f.now).ordered(q); err == nil {
		t.Error("one that was canceled is paused")
	}
}

// What is begun ends while a refresh is paused, and with it the refresh where nothing is left.
func TestPausedRefreshEnds(t *testing.T) {
	for _, bake := range []time.Duration{0, 10 * time.Second} {
		f := newRollout(refreshed(func(r *bus.RefreshSpec) { r.Bake = bake }), 1, "a")
		f.spec.Template = "web-2"
		for f.step(); !f.all()[0].Retiring; f.step() {
			if f.now.Sub(t0) > time.Minute {
				t.Fatal("none retires")
			}
		}
		next, err := look(f.spec, f.state, f.seen, f.now).ordered(bus.Query{Refresh: &bus.RefreshOrder{Action: bus.RefreshHold}})
		if err != nil {
			t.Fatal(err)
		}
		f.state.Refresh = next
		f.until(t, bus.RefreshDone)
		if n := f.templates(); n["web-2"] != 1 || len(n) != 1 {
			t.Errorf("ended with %v", n)
		}
	}
}

func TestProtectedVMsWait(t *testing.T) {
	f := newRollout(refreshed(nil), 3, "a")
	f.vms["a"][1].Protected = true
	f.spec.Template = "web-2"
	for range 60 {
		f.step()
	}
	if n := f.templates(); n["web-2"] != 2 || n["web-1"] != 1 || f.d.Refresh.Phase != bus.RefreshRunning {
		t.Errorf("there are %v: %+v", n, f.d.Refresh)
	}
	if want := "2 of 3 VMs are up to date; waits for 1 protected VM"; f.d.Refresh.Sentence != want {
		t.Errorf("said %q", f.d.Refresh.Sentence)
	}
}

func TestRefreshOrders(t *testing.T) {
	f := newRollout(refreshed(func(r *bus.RefreshSpec) { r.Start = bus.RefreshManual }), 3, "a")
	f.spec.Template = "web-2"
	for range 10 {
		f.step()
	}
	if f.d.Refresh != nil || f.templates()["web-1"] != 3 {
		t.Fatalf("began by itself: %+v", f.d.Refresh)
	}
	order := func(o bus.RefreshOrder) error {
		obs := Observation{Fresh: 1, Hosts: []HostObservation{{ID: "a", Time: f.now, VMs: f.vms["a"]}}}
		next, err := look(f.spec, f.state, obs, f.now).ordered(bus.Query{Refresh: &o, By: "ann"})
		if err == nil {
			f.state.Refresh = next
		}
		return err
	}
	for _, action := range []bus.RefreshAction{bus.RefreshHold, bus.RefreshGoOn, bus.RefreshCancel, bus.RefreshReturn} {
		if err := order(bus.RefreshOrder{Action: action}); err == nil || err.Error() != "no refresh goes on" {
			t.Errorf("%s: %v", action, err)
		}
	}
	if err := order(bus.RefreshOrder{Action: bus.RefreshBegin, MaxSurge: new(2)}); err != nil {
		t.Fatal(err)
	}
	f.step()
	if err := order(bus.RefreshOrder{Action: bus.RefreshHold}); err != nil {
		t.Fatal(err)
	}
	for range 30 {
		f.step()
	}
	if n := f.templates(); n["web-1"] == 0 || f.d.Refresh.Phase != bus.RefreshPaused {
		t.Errorf("went on while paused: %v", n)
	}
	if err := order(bus.RefreshOrder{Action: bus.RefreshGoOn}); err != nil {
		t.Fatal(err)
	}
	f.until(t, bus.RefreshDone)
	if err := order(bus.RefreshOrder{Action: bus.RefreshBegin}); err == nil ||
		err.Error() != "all 3 VMs of the group are up to date; --all replaces them anyway" {
		t.Error(err)
	}
	made := f.made
	if err := order(bus.RefreshOrder{Action: bus.RefreshBegin, All: true}); err != nil {
		t.Fatal(err)
	}
	f.until(t, bus.RefreshDone)
	if f.made != made+3 {
		t.Errorf("made %d", f.made-made)
	}
}

// Whatever the group, its load and its refresh do: never more than max are owned, what must be healthy is, nothing that is up
// to date is replaced, and in the end all VMs are what the spec says, or what they were.
func TestRefreshInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := refreshed(func(r *bus.RefreshSpec) {
			r.Strategy = rapid.SampledFrom(bus.RefreshStrategies()).Draw(t, "strategy")
			r.MinimalAction = rapid.SampledFrom([]bus.UpdateAction{"", bus.UpdateRestart}).Draw(t, "minimal")
			r.MaxSurge = rapid.IntRange(bus.FromMaintenance, 3).Draw(t, "surge")
			r.MinHealthyPercent = rapid.SampledFrom([]int{bus.FromMaintenance, 0, 50, 90, 100}).Draw(t, "healthy")
			r.Bake = drawSeconds(t, 0, 10, "bake")
			r.Checkpoints = rapid.SampledFrom([][]int{{}, {50}, {1, 99}}).Draw(t, "checkpoints")
			r.CheckpointDelay = drawSeconds(t, 0, 10, "delay")
			r.MaxFailures = rapid.IntRange(0, 2).Draw(t, "failures")
			r.Canary = rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "canary")
			if r.Canary == 0 {
				r.CanaryPercent = rapid.SampledFrom([]int{0, 20, 50}).Draw(t, "canary percent")
			}
		})
		g.Max = rapid.IntRange(3, 9).Draw(t, "max")
		n := rapid.IntRange(1, g.Max).Draw(t, "VMs")
		ids := [][]bus.HostID{{"a"}, {"a", "bb"}, {"a", "bb", "ccc"}}[rapid.IntRange(0, 2).Draw(t, "hosts")]
		f := newRollout(g, n, ids...)
		f.spec.Template = "web-2"
		mild := 0 // VMs for which another definition is enough
		for _, vms := range f.vms {
			for i := range vms {
				if rapid.IntRange(0, 2).Draw(t, "mild") == 0 {
					vms[i].Template, vms[i].Storage = "web-2", f.spec.StorageHash()
					mild++
				}
			}
		}
		broken := rapid.SampledFrom([]string{"", "", "web-2"}).Draw(t, "broken")
		if mild > 0 { // then no template leads back
			broken = ""
		}
		f.breaks = func(vm bus.VM) bool { return vm.Template == broken }
		desired := n
		for range 200 {
			if rapid.IntRange(0, 20).Draw(t, "scale") == 0 {
				desired = rapid.IntRange(1, g.Max).Draw(t, "desired")
				f.state.Controls.Desired = new(desired)
				f.least = g.Max
			}
			f.step()
			if f.most > g.Max {
				t.Fatalf("%d owned of max %d", f.most, g.Max)
			}
		}
		for range 20 { // what was wanted last boots
			f.step()
		}
		f.letGo(t, desired)
		f.least = g.Max
		for range 200 {
			f.step()
			_, spare := bus.Leeway(desired, g.Max, f.d.Refresh.MaxSurge, f.d.Refresh.MinHealthyPercent)
			healthy := desired - spare
			if f.d.Refresh.Strategy == bus.RefreshReimage || g.Refresh.MinimalAction == bus.UpdateRestart {
				healthy = min(healthy, desired-1)
			}
			if f.least < healthy {
				t.Fatalf("%d serve of %d that must, of %d", f.least, healthy, desired)
			}
		}
		r := f.d.Refresh
		surge, spare := bus.Leeway(desired, g.Max, r.MaxSurge, r.MinHealthyPercent)
		stuck := r.Strategy == bus.RefreshReplace && surge+spare == 0
		switch templates := f.templates(); {
		case r.Phase == bus.RefreshDone && (len(templates) != 1 || templates["web-2"] == 0),
			r.Phase == bus.RefreshFailed && (len(templates) != 1 || templates["web-1"] == 0),
			r.Phase.Active() && !stuck:
			t.Fatalf("ended %s with %v: %+v", r.Phase, templates, r)
		}
	})
}

// Who pauses, resumes or cancels a refresh is in its event, beside who has begun it and how far it has come.
func TestRefreshEventSaysWho(t *testing.T) {
	f := newRollout(refreshed(nil), 3, "a")
	f.spec.Template = "web-2"
	f.until(t, bus.RefreshRunning)
	for _, tt := range []struct {
		action bus.RefreshAction
		want   string
	}{
		{bus.RefreshHold, `refresh paused: 0 of 3 VMs are up to date; paused by ann ("lunch"); begun by config`},
		{bus.RefreshGoOn, `refresh running: 0 of 3 VMs are up to date; resumed by ann ("lunch"); begun by config`},
		{
			bus.RefreshCancel,
			`refresh canceled: 0 of 3 VMs are up to date; canceled by ann ("lunch"): new VMs that serve stay, and old ones ` +
				"serve on; begun by config",
		},
	} {
		q := bus.Query{By: "ann", Reason: "lunch", Refresh: &bus.RefreshOrder{Action: tt.action}}
		r, err := look(f.spec, f.state, f.seen, f.now).ordered(q)
		if err != nil {
			t.Fatal(err)
		}
		if got := refreshEvent(r); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.action, got, tt.want)
		}
		f.state.Refresh = r
	}
}

// letGo lets a refresh go on that waits at its canary, and sees that this had its size.
func (f *rollout) letGo(t *rapid.T, desired int) {
	for range 60 { // the canary's VMs come one after another
		f.step()
	}
	if r := f.d.Refresh; r.Phase == bus.RefreshCanary && r.KeepsShare(f.spec) {
		if n, want := f.templates()["web-2"], r.CanaryOf(desired); n != want {
			t.Fatalf("%d of %d are new at a canary of %d: %+v", n, desired, want, f.all())
		}
	}
	if !f.d.Refresh.Active() {
		return
	}
	q := bus.Query{Refresh: &bus.RefreshOrder{Action: bus.RefreshGoOn}}
	next, err := look(f.spec, f.state, f.seen, f.now).ordered(q)
	if err != nil {
		t.Fatal(err)
	}
	f.state.Refresh = next
	for range 20 {
		f.step()
	}
}

// What is not to be replaced is said of the VMs that there are, and not of none.
func TestNothingToRefresh(t *testing.T) {
	for want, f := range map[string]refreshFacts{
		"all 3 VMs of the group are up to date; --all replaces them anyway": {kept: 3},
		"the group's only VM is up to date; --all replaces it anyway":       {kept: 1},
		"the group has no VM that could be replaced":                        {},
		"the group has no VM that could be replaced; on its way out, by an order or as another takes its place: 2 VMs": {
			leaving: 1, retiring: 1,
		},
	} {
		if got := f.nothing(); got != want {
			t.Errorf("%+v: %q, want %q", f, got, want)
		}
	}
}
