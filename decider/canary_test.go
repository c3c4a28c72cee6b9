package decider

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// A canary keeps its size while its group grows and shrinks, and while VMs of either version die.
func TestCanaryKeepsItsShare(t *testing.T) {
	dies := func(template string) func(*rollout) {
		return func(f *rollout) {
			for id, vms := range f.vms {
				if i := slices.IndexFunc(vms, func(vm bus.VM) bool { return vm.Template == template }); i >= 0 {
					f.vms[id] = slices.Delete(vms, i, i+1)
					return
				}
			}
		}
	}
	to := func(desired int) func(*rollout) {
		return func(f *rollout) { f.state.Controls.Desired = &desired }
	}
	for name, tt := range map[string]struct {
		vms, canary, percent int
		then                 func(*rollout)
		before, after        int // VMs of the canary
		of                   int // VMs in the end
	}{
		"grows, of a number":       {vms: 4, canary: 1, then: to(8), before: 1, after: 1, of: 8},
		"grows, of a percentage":   {vms: 4, percent: 25, then: to(8), before: 1, after: 2, of: 8},
		"is rounded up":            {vms: 4, percent: 30, then: to(7), before: 2, after: 3, of: 7},
		"has one at least":         {vms: 4, percent: 1, then: to(8), before: 1, after: 1, of: 8},
		"shrinks, of a number":     {vms: 8, canary: 2, then: to(4), before: 2, after: 2, of: 4},
		"shrinks, of a percentage": {vms: 8, percent: 50, then: to(2), before: 4, after: 1, of: 2},
		"one of it dies":           {vms: 4, canary: 2, then: dies("web-2"), before: 2, after: 2, of: 4},
		"an old one dies":          {vms: 4, canary: 2, then: dies("web-1"), before: 2, after: 2, of: 4},
	} {
		for _, ids := range [][]bus.HostID{{"a"}, {"a", "bb"}, {"a", "bb", "ccc"}} {
			g := refreshed(func(r *bus.RefreshSpec) { r.Canary, r.CanaryPercent = tt.canary, tt.percent })
			f := newRollout(g, tt.vms, ids...)
			f.spec.Template = "web-2"
			f.until(t, bus.RefreshCanary)
			if n := f.templates(); n["web-2"] != tt.before || n["web-1"] != tt.vms-tt.before || f.d.Refresh.Canary != tt.before {
				t.Errorf("%s, on %v: waits with %v: %+v", name, ids, n, f.d.Refresh)
			}
			tt.then(f)
			for range 100 {
				f.step()
				if n := f.templates(); n["web-2"] > max(tt.before, tt.after) {
					t.Fatalf("%s, on %v: %v", name, ids, n)
				}
			}
			n := f.templates()
			if n["web-2"] != tt.after || n["web-1"] != tt.of-tt.after || f.d.Refresh.Phase != bus.RefreshCanary ||
				f.d.Refresh.Canary != tt.after {
				t.Errorf("%s, on %v: there are %v: %+v", name, ids, n, f.d.Refresh)
			}
		}
	}
}

// What a canary lacks is for the hosts that are to make a VM, first for those that were told so before and may have begun; one
// host alone may have all of it.
func TestCanaryIsDealt(t *testing.T) {
	type host struct {
		old, updated, reimaging int
		vms, retire             int // of its share
		told, toldUpdated       int
		want                    int
	}
	for name, tt := range map[string]struct {
		desired, size int
		reimages      bool
		hosts         []host
	}{
		"one host":                  {3, 2, false, []host{{old: 3, vms: 2, told: 3, want: 2}}},
		"one host, with one of it":  {3, 2, false, []host{{old: 2, updated: 1, vms: 3, told: 3, want: 2}}},
		"one host, with too many":   {2, 1, false, []host{{updated: 2, vms: 2, told: 2, want: 1}}},
		"none makes one":            {3, 1, false, []host{{old: 1, vms: 1}, {old: 1, vms: 1}}},
		"the first that lacks one":  {3, 1, false, []host{{old: 1, vms: 2, want: 1}, {old: 1, vms: 2}}},
		"as many as each lacks":     {3, 3, false, []host{{vms: 1, want: 1}, {vms: 2, want: 2}}},
		"there are enough":          {3, 1, false, []host{{vms: 1}, {updated: 1, vms: 2, want: 1}}},
		"others come first":         {4, 2, false, []host{{updated: 1, vms: 1, want: 1}, {vms: 1}}},
		"one that was told before":  {2, 1, false, []host{{vms: 1}, {vms: 1, told: 1, toldUpdated: 1, want: 1}}},
		"one that may have begun":   {2, 1, false, []host{{vms: 1}, {told: 1, toldUpdated: 1, want: 1}}},
		"one that has made it":      {2, 2, false, []host{{vms: 1, want: 1}, {updated: 1, told: 1, toldUpdated: 1, want: 1}}},
		"one is given new disks":    {2, 2, true, []host{{old: 1, reimaging: 1, vms: 2, retire: 1, told: 2, want: 1}}},
		"one is about to get them":  {2, 1, true, []host{{old: 2, vms: 2, retire: 1, told: 2}}},
		"one that retires is no VM": {2, 1, false, []host{{old: 2, vms: 1, retire: 1, told: 2, want: 1}}},
	} {
		c, shares := &canary{tt.desired, tt.size, bus.Build{Template: "web-2"}, tt.reimages}, map[bus.HostID]bus.Share{}
		var obs Observation
		for i, h := range tt.hosts {
			o := HostObservation{ID: bus.HostID(fmt.Sprint(i)), Told: h.told, ToldUpdated: h.toldUpdated}
			for n := range h.old + h.reimaging + h.updated {
				vm := bus.VM{
					UUID: fmt.Sprint(i, n), Phase: bus.PhaseReady, State: bus.StateRunning, Template: "web-1",
					Created: t0.Add(time.Duration(n) * time.Second), Reimaging: n >= h.old && n < h.old+h.reimaging,
				}
				if n >= h.old+h.reimaging {
					vm.Template = "web-2"
				}
				o.VMs = append(o.VMs, vm)
			}
			obs.Hosts, shares[o.ID] = append(obs.Hosts, o), bus.Share{VMs: h.vms, Retire: h.retire}
		}
		c.deal(order{build: c.build}, obs, shares)
		for i, h := range tt.hosts {
			if got := *shares[obs.Hosts[i].ID].Updated; got != h.want {
				t.Errorf("%s: host %d may have %d up to date, want %d", name, i, got, h.want)
			}
		}
	}
}

// A canary that is all of a group that has shrunk waits on, also while it has no VM, and is not over by itself.
func TestCanaryOfASmallGroup(t *testing.T) {
	g := refreshed(func(r *bus.RefreshSpec) { r.Canary = 2 })
	g.Min = 0
	f := newRollout(g, 4, "a")
	f.spec.Template = "web-2"
	f.until(t, bus.RefreshCanary)
	for _, desired := range []int{2, 0, 1, 4} {
		f.state.Controls.Desired = new(desired)
		for range 30 {
			if f.step(); !f.d.Refresh.Active() {
				t.Fatalf("with %d VMs it is over: %+v", desired, f.d.Refresh)
			}
		}
		n := f.templates()
		if n["web-2"] != min(2, desired) || len(f.all()) != desired || f.d.Refresh.Phase != bus.RefreshCanary {
			t.Errorf("of %d VMs there are %v: %+v", desired, n, f.d.Refresh)
		}
	}
}

// A group that is scaled to 0 before its canary is new does not stand there until one of it serves. A decider that knows no
// percentage has a number to go by all the time.
func TestCanaryThatHasNotServed(t *testing.T) {
	for name, change := range map[string]func(*bus.RefreshSpec){
		"a number":     func(r *bus.RefreshSpec) { r.Canary = 1 },
		"a percentage": func(r *bus.RefreshSpec) { r.CanaryPercent = 50 },
	} {
		g := refreshed(change)
		g.Min = 0
		f := newRollout(g, 4, "a")
		f.spec.Template = "web-2"
		f.until(t, bus.RefreshRunning)
		entered := false
		for _, desired := range []int{0, 1} {
			f.state.Controls.Desired = new(desired)
			for range 30 {
				f.step()
				r := f.d.Refresh
				stands := r.Phase == bus.RefreshCanary
				if stands && !entered && r.Updated == 0 || r.Canary == 0 {
					t.Fatalf("%s: with %d VMs: %+v", name, desired, r)
				}
				entered = entered || stands
			}
		}
		if r := f.d.Refresh; r.Phase != bus.RefreshCanary || r.Updated != 1 {
			t.Errorf("%s: it is %+v", name, r)
		}
	}
}

// A percentage goes before the number beside it, and what an order begins has that of the group as it is.
func TestCanaryPercentOfAnOrder(t *testing.T) {
	o := bus.RefreshOrder{Canary: new(1), CanaryPercent: new(50)}
	r := newRefresh(refreshed(nil), &o, "ann", refreshFacts{kept: 7, retiring: 1}, t0)
	if r.Canary != 4 || r.CanaryPercent != 50 || r.CanaryOf(4) != 2 {
		t.Errorf("it is %+v", r)
	}
}

// Of a host whose clock is not known no VM is outdated for when it was made.
func TestCanaryByAnUnknownClock(t *testing.T) {
	c := &canary{desired: 3, size: 1, build: bus.Build{Template: "web-2", Before: new(t0)}}
	for unclocked, want := range map[bool]int{false: 0, true: 1} {
		h := HostObservation{ID: "a", Unclocked: unclocked}
		for n := range 3 {
			h.VMs = append(h.VMs, bus.VM{
				UUID: fmt.Sprint(n), Phase: bus.PhaseReady, State: bus.StateRunning, Template: "web-2",
				Created: t0.Add(-time.Hour),
			})
		}
		obs := Observation{Hosts: []HostObservation{h}}
		if got := len(c.beyond(order{}, obs)); got != 2*want {
			t.Errorf("unclocked %t: %d are beyond", unclocked, got)
		}
		if has, former, _ := c.count(order{}, obs, nil); has["a"] != want || former != 3-3*want {
			t.Errorf("unclocked %t: of the canary it has %d, and others %d", unclocked, has["a"], former)
		}
	}
}

// Where no VM can be made as before, what a group grows by is new, and the refresh says so.
func TestCanaryWithoutAShare(t *testing.T) {
	for why, change := range map[string]func(*bus.Group){
		"more than the template has changed": func(g *bus.Group) { g.VCPUs++ },
		"it has a warm pool":                 func(g *bus.Group) { g.WarmPool.Size.Percent = 1 },
	} {
		f := newRollout(refreshed(func(r *bus.RefreshSpec) { r.Canary = 1 }), 2, "a")
		f.spec.Template = "web-2"
		change(&f.spec)
		f.until(t, bus.RefreshCanary)
		f.state.Controls.Desired = new(4)
		for range 20 {
			f.step()
		}
		if n := f.templates(); n["web-1"] != 1 || f.d.Refresh.Phase != bus.RefreshCanary ||
			!strings.Contains(f.d.Refresh.Sentence, why) {
			t.Errorf("there are %v: %s", n, f.d.Refresh.Sentence)
		}
	}
}

// A canary waits on while a VM of it is replaced, and a group that shrank meanwhile gets past its checkpoints.
func TestCanaryIsLetGo(t *testing.T) {
	f := newRollout(refreshed(func(r *bus.RefreshSpec) {
		r.Canary, r.Checkpoints, r.CheckpointDelay, r.MinHealthyPercent = 1, []int{50}, time.Second, 60
	}), 9, "a")
	f.spec.Template = "web-2"
	f.until(t, bus.RefreshCanary)
	f.vms["a"] = slices.DeleteFunc(f.vms["a"], func(vm bus.VM) bool { return vm.Template == "web-2" })
	f.make("a", bus.PhaseLaunching)
	f.state.Controls.Desired = new(5)
	for range 20 {
		if f.step(); f.d.Refresh.Phase != bus.RefreshCanary {
			t.Fatalf("it is %+v", f.d.Refresh)
		}
	}
	next, err := look(f.spec, f.state, f.seen, f.now).ordered(bus.Query{Refresh: &bus.RefreshOrder{Action: bus.RefreshGoOn}})
	if err != nil {
		t.Fatal(err)
	}
	f.state.Refresh = next
	f.until(t, bus.RefreshDone)
	if n := f.templates(); n["web-2"] != 5 || len(n) != 1 {
		t.Errorf("ended with %v", n)
	}
}
