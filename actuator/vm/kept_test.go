package vm

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

func TestSheds(t *testing.T) {
	order := func(verb bus.VMVerb, shrinks bool) *bus.VMOrder { return &bus.VMOrder{Verb: verb, Shrinks: shrinks} }
	for _, tt := range []struct {
		name  string
		kind  RemoveKind
		order *bus.VMOrder
		began bool // to shed, by a removal that was cut off
		want  bool
	}{
		{"scaled in", ScaleIn, nil, false, true},
		{"taken down", Operator, nil, false, true},
		{"removed, one less", Ordered, order(bus.VMRemove, true), false, true},
		{"removed, another takes its place", Ordered, order(bus.VMRemove, false), false, false},
		{"drained", Ordered, order(bus.VMDrain, false), false, false},
		{"replaced", Ordered, order(bus.VMReplace, false), false, false},
		{"outdated", Outdated, nil, false, false},
		{"sick", Sick, nil, false, false},
		{"marked as unhealthy", Sick, order(bus.VMUnhealthy, false), false, false},
		{"died", Died, nil, false, false},
		{"died as one that was being scaled in", Died, nil, true, false},
		{"reimaged", Reimaged, nil, false, false},
		{"a launch that was cut off", Interrupted, nil, false, false},
		{"a scale-in that was cut off", Interrupted, nil, true, true},
		{"of the warm pool", Unneeded, nil, false, false},
		{"its host hears no decider", Isolated, nil, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := sheds(Removal{Kind: tt.kind, VM: VM{Order: tt.order}}, bus.Metadata{Sheds: tt.began}); got != tt.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestNamesOfVolumes(t *testing.T) {
	kept := func(host bus.HostID, vm string) string { return bus.KeptName(host, vm, 1) }
	inv := Inventory{Taken: map[string]bool{"web-7": true}, Kept: map[string]bool{}}
	inv.addVolumes([]string{
		"web-1.3f2a9c1e.qcow2", kept("kvm1", "web-1"), // undefined by a person
		kept("kvm1", "web-2"),         // its VM is gone
		kept("kvm2", "web-3"),         // of another host, in a pool that both have
		"web-4.3f2a9c1e.qcow2",        // of a group that keeps nothing
		"web-5.0badcafe.keep1.qcow2",  // like one, and not ours
		"web-6.qcow2", kept("", "db"), // no VM's name
	}, "kvm1")
	taken, names := slices.Sorted(maps.Keys(inv.Taken)), slices.Sorted(maps.Keys(inv.Kept))
	if got := strings.Join(taken, " "); got != "db web-3 web-4 web-5 web-6 web-7" {
		t.Errorf("taken are %s", got)
	}
	if got := strings.Join(names, " "); got != "web-1 web-2" {
		t.Errorf("kept are %s", got)
	}
}
