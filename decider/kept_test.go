package decider

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// keepsDisks is a group whose VMs have a disk that outlives them.
func keepsDisks(g *bus.Group) {
	g.Disks = []bus.Disk{{SizeMiB: 1, Keep: bus.KeepReplace}}
	g.Maintenance = bus.Maintenance{MinHealthyPercent: 90, MaxHealthyPercent: 100}
}

// keeps is a host with VMs that keeps disks for VMs of those numbers.
func keeps(id string, kept []int, vms ...bus.VM) HostObservation {
	return HostObservation{ID: bus.HostID(id), Name: id, Time: t0, VMs: vms, Kept: kept}
}

func retired(n int) bus.VM {
	vm := serving(n, "")
	vm.Retiring = true
	return vm
}

// A VM is made where the disks of the one that it follows are, under its number, whatever else the placement says.
func TestSharesWithKeptDisks(t *testing.T) {
	for _, tt := range []struct {
		name    string
		set     func(*bus.Group)
		desired int
		before  Numbers
		hosts   []HostObservation
		want    string // of each host: VMs and numbers
	}{
		{
			"nothing is kept", func(*bus.Group) {}, 3,
			Numbers{"a": {1, 2}, "b": {3}},
			[]HostObservation{keeps("a", nil, serving(1, "")), keeps("b", nil, serving(3, ""))},
			"a 2: 2 4 5 6; b 1: 7 8 9",
		},
		{
			"its own numbers, for those that die", keepsDisks, 3,
			Numbers{"a": {1, 2}, "b": {3}},
			[]HostObservation{keeps("a", []int{1, 2}, serving(1, ""), serving(2, "")), keeps("b", []int{3}, serving(3, ""))},
			"a 2: 1 2 4 5 6; b 1: 3 7 8 9",
		},
		{
			"one has died", keepsDisks, 4,
			Numbers{"a": {1, 2, 5}, "b": {3}},
			[]HostObservation{keeps("a", []int{1, 2, 5}, serving(1, ""), serving(2, "")), keeps("b", []int{3}, serving(3, ""))},
			"a 3: 1 2 5 4 6 7; b 1: 3 8 9 10",
		},
		{
			"one is going", keepsDisks, 3,
			Numbers{"a": {1}, "b": {2, 3}},
			[]HostObservation{keeps("a", []int{1}, serving(1, "")), keeps("b", []int{2, 3}, retired(2), serving(3, ""))},
			"a 1: 1 5 6 7; b 2: 2 3 4 8 9 10",
		},
		{
			"nothing is known of before", keepsDisks, 2, nil,
			[]HostObservation{keeps("a", []int{7}), keeps("b", []int{1}, serving(1, ""))},
			"a 1: 7 2 3 4; b 1: 1 5 6 8",
		},
		{
			"another host has the number by now", keepsDisks, 2,
			Numbers{"a": {1}, "b": {2}},
			[]HostObservation{keeps("a", []int{1, 2}, serving(1, "")), keeps("b", []int{2}, serving(2, ""))},
			"a 1: 1 3 4 5; b 1: 2 6 7 8",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := spec(bounds(1, 9), tt.set)
			obs := Observation{Hosts: tt.hosts, Fresh: len(tt.hosts)}
			shares := split(g, order{scaleIn: g.ScaleIn}, bus.Hold, tt.desired, obs)
			tt.before.deal(g, shares, obs)
			var parts []string
			for _, h := range tt.hosts {
				share := shares[h.ID]
				parts = append(parts, fmt.Sprintf("%s %d: %s", h.ID, share.VMs, strings.Trim(fmt.Sprint(share.Numbers), "[]")))
			}
			if got := strings.Join(parts, "; "); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// Only disks that a new VM on the host would get draw one there: not those of numbers that another host has, or that are taken.
func TestVacantPlaces(t *testing.T) {
	g := spec(bounds(1, 9), keepsDisks)
	a := keeps("a", []int{1, 2, 3, 4, 5}, serving(1, ""))
	a.Taken = []int{4}
	obs := Observation{Hosts: []HostObservation{a, keeps("b", []int{2}, serving(2, ""))}, Fresh: 2}
	s := look(g, State{HasSample: true, Desired: 3, Numbers: Numbers{"a": {1}, "b": {2, 3}}}, obs, t0)
	for i, want := range []int{1, 0} {
		if h := &s.obs.Hosts[i]; h.vacant(g.Name) != want {
			t.Errorf("%s keeps disks of %v, of which %d are vacant, want %d", h.ID, h.Kept, h.vacant(g.Name), want)
		}
	}
	if len(a.Kept) != 5 || a.Kept[1] != 2 {
		t.Errorf("the caller's are %v now", a.Kept)
	}
}

// A refresh of a group with kept disks may have no VM beside the desired ones.
func TestRefreshOfKeptDisks(t *testing.T) {
	g := spec(bounds(1, 9), keepsDisks)
	s := look(g, State{HasSample: true, Desired: 2}, only(serving(1, ""), serving(2, "")), t0)
	for surge, refused := range map[int]bool{0: false, 1: true} {
		begin := &bus.RefreshOrder{Action: bus.RefreshBegin, All: true, MaxSurge: &surge}
		_, err := s.ordered(bus.Query{Refresh: begin, By: "ann"})
		if (err != nil) != refused || err != nil && !strings.Contains(err.Error(), "max_surge: found 1, want 0") {
			t.Errorf("max_surge %d: %v", surge, err)
		}
	}
}

// Only a removal by which the group has one VM less says so.
func TestOrderSaysThatTheGroupShrinks(t *testing.T) {
	g := spec(bounds(1, 9), keepsDisks)
	for _, tt := range []struct {
		verb     bus.VMVerb
		keepSize bool
		want     bool
	}{{bus.VMRemove, false, true}, {bus.VMRemove, true, false}, {bus.VMReplace, false, false}, {bus.VMDrain, false, false}} {
		r := VMRequest{"2", bus.VMOrder{Verb: tt.verb, By: "ann", At: t0}, tt.keepSize}
		obs := only(serving(1, ""), serving(2, ""))
		newest, st := Decide(g, State{HasSample: true, Desired: 2, Hosts: []bus.HostID{"kvm1"}}, obs, t0)
		verdict, d, _ := OrderVM(g, st, obs, newest, r, t0)
		if d.Orders["2"].Shrinks != tt.want {
			t.Errorf("%s, keep size %v: %+v, %+v", tt.verb, tt.keepSize, verdict, d.Orders)
		}
	}
}

// Disks are of the host that has them, also where the numbers were dealt to a host whose VMs are its own now.
func TestKeptDisksOutliveTheirHost(t *testing.T) {
	n := Numbers{"a": {1, 2, 3, 4, 5}}
	b := keeps("b", []int{1, 2, 3}, serving(1, ""), serving(2, ""))
	obs := Observation{Moved: []bus.HostID{"a"}, Hosts: []HostObservation{b}}
	if n.keepOwn("web", obs); !slices.Equal(obs.Hosts[0].Kept, []int{1, 2, 3}) {
		t.Errorf("b keeps disks of %v", obs.Hosts[0].Kept)
	}
	shares := map[bus.HostID]bus.Share{"b": {VMs: 3}}
	dealt := n.deal(spec(keepsDisks), shares, obs)
	if got := shares["b"].Numbers; !slices.Equal(got, []int{1, 2, 3, 6, 7, 8}) || !slices.Equal(dealt["a"], []int{4, 5}) {
		t.Errorf("b may use %v of %v", got, dealt)
	}
}
