package decider

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// TestAllocations is the gate on what an evaluation costs: nothing is allocated for each VM, neither where samples are gathered
// nor where they are decided by.
func TestAllocations(t *testing.T) {
	const vms, most = 1000, 200
	list := make([]bus.VM, vms)
	for i := range list {
		list[i] = ready(float64(30 + i%40))
	}
	obs := see(list...)
	var w Window
	second := 0
	g, st, now := spec(bounds(1, vms)), State{}, t0
	_, st = Decide(g, st, obs, now)
	for what, do := range map[string]func(){
		"gather": func() {
			second++
			if err := w.Add(sampleOf("kvm1", second, list...), now); err != nil {
				t.Fatal(err)
			}
			if o := w.Take(now, time.Minute); len(o.Hosts[0].VMs) != vms {
				t.Fatalf("%d VMs are seen, want %d", len(o.Hosts[0].VMs), vms)
			}
		},
		"decide": func() {
			now = now.Add(time.Second)
			_, st = Decide(g, st, obs, now)
		},
	} {
		if n := testing.AllocsPerRun(10, do); n > most {
			t.Errorf("to %s takes %.0f allocations with %d VMs, want at most %d", what, n, vms, most)
		}
	}
}

// TestWindowFollowsItsLists: what was read of a VM, and where it is, does not depend on its place in a list.
func TestWindowFollowsItsLists(t *testing.T) {
	var w Window
	second := 0
	add := func(host string, vms ...bus.VM) {
		t.Helper()
		second++
		if err := w.Add(sampleOf(host, second, vms...), t0); err != nil {
			t.Fatal(err)
		}
	}
	see := func(want ...string) {
		t.Helper()
		var got []string
		for _, h := range w.Take(t0, time.Minute).Hosts {
			for _, vm := range h.VMs {
				cpu := "?"
				if vm.CPUPercent != nil {
					cpu = fmt.Sprint(*vm.CPUPercent)
				}
				got = append(got, fmt.Sprintf("%s %s %s%s", h.ID, vm.UUID, cpu, h.Trouble))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("seen %q, want %q", got, want)
		}
	}
	add("a", reading("1", 20), reading("2", 40))
	add("b", reading("3", 10))
	add("a", reading("2", 60), reading("4", 30)) // 1 is gone, 4 is new, and 2 has another place
	see("a 2 50", "a 4 30", "b 3 10")
	add("a", reading("2", 70), reading("4", -1))
	see("a 2 70", "a 4 ?", "b 3 ?")
	add("b", reading("3", 10), reading("2", 80)) // of a
	see("a 2 ?contradicted", "a 4 ?contradicted", "b 3 10contradicted")
	add("b", reading("3", 20))
	see("a 2 ?", "a 4 ?", "b 3 20")
	add("b", reading("3", 20), reading("3", 30)) // twice
	see("a 2 ?", "a 4 ?", "b 3 20")
}
