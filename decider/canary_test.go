package decider

import (
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
			if n := f.templates(); n["web-2"] != tt.before || n["web-1"] != tt.vms-tt.before {
				t.Errorf("%s, on %v: waits with %v", name, ids, n)
			}
			tt.then(f)
			for range 100 {
				f.step()
				if n := f.templates(); n["web-2"] > max(tt.before, tt.after) {
					t.Fatalf("%s, on %v: %v", name, ids, n)
				}
			}
			n := f.templates()
			if n["web-2"] != tt.after || n["web-1"] != tt.of-tt.after || f.d.Refresh.Phase != bus.RefreshCanary {
				t.Errorf("%s, on %v: there are %v: %+v", name, ids, n, f.d.Refresh)
			}
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
