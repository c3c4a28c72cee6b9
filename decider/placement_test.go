package decider

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// place is a host with so many VMs, cores that are busy so much, and memory of which so much is free.
func place(id string, vms int, cpu float64, freeMiB int) HostObservation {
	h := HostObservation{ID: bus.HostID(id), Name: id, Time: t0, Load: bus.Host{
		CPUPercent: &cpu, Cores: 8, MemoryMiB: 8192, MemoryFreeMiB: &freeMiB,
	}}
	for i := range vms {
		vm := ready(50)
		vm.Name, vm.UUID = fmt.Sprint("web-", id, i), fmt.Sprint(id, i)
		h.VMs = append(h.VMs, vm)
	}
	return h
}

// changed is a host with something else.
func changed(h HostObservation, change func(*HostObservation)) HostObservation {
	change(&h)
	return h
}

// rack is a host in a failure domain.
func rack(name string, h HostObservation) HostObservation {
	return changed(h, func(h *HostObservation) { h.Load.Domain = name })
}

// The list of places says which domain each is in, in the order in which the next VM would go.
func TestPlacesSayTheirDomains(t *testing.T) {
	got := places(spec(bounds(1, 9)), Observation{Hosts: []HostObservation{
		rack("r1", place("a", 1, 0, 0)), rack("r1", place("b", 0, 0, 0)), rack("r2", place("c", 0, 0, 0)), place("d", 1, 0, 0),
	}})
	var text []string
	for _, p := range got {
		text = append(text, fmt.Sprintf("%s %q %d", p.Host, p.Domain, p.DomainVMs))
	}
	if want := `c "r2" 0, b "r1" 1, `; !strings.HasPrefix(strings.Join(text, ", "), want) {
		t.Errorf("got %s, want %s first", strings.Join(text, ", "), want)
	}
}

func TestPlacement(t *testing.T) {
	cordoned := func(h *HostObservation) { h.Order = &bus.HostOrder{Action: bus.HostCordon} }
	full := func(h *HostObservation) { h.Full = true }
	bare := func(h *HostObservation) { h.NoTemplate = "it has no template web:3, and no host offers it" }
	for _, tt := range []struct {
		name      string
		placement bus.Placement
		most      int // per host
		desired   int
		hosts     []HostObservation
		want      string
	}{
		{"spread", bus.PlaceSpread, 0, 6, []HostObservation{place("a", 3, 0, 8000), place("b", 1, 90, 100)}, "a3 b3"},
		{"pack", bus.PlacePack, 0, 6, []HostObservation{place("a", 3, 0, 8000), place("b", 1, 90, 100)}, "a5 b1"},
		{
			"pack, but one is full", bus.PlacePack, 0, 6,
			[]HostObservation{changed(place("a", 3, 0, 8000), full), place("b", 1, 0, 800)},
			"a3 b3",
		},
		{
			"pack up to the most of a host", bus.PlacePack, 4, 6,
			[]HostObservation{place("a", 3, 0, 8000), place("b", 1, 0, 800)},
			"a4 b2",
		},
		{
			"all have the most of a host", bus.PlaceSpread, 2, 6,
			[]HostObservation{place("a", 2, 0, 8000), place("b", 1, 0, 800)},
			"a2 b2",
		},
		{"weighted, by memory", bus.PlaceWeighted, 0, 3, []HostObservation{place("a", 1, 10, 2000), place("b", 1, 10, 8000)}, "a1 b2"},
		{"weighted, by cores", bus.PlaceWeighted, 0, 3, []HostObservation{place("a", 1, 90, 4000), place("b", 1, 10, 4000)}, "a1 b2"},
		{"weighted, what is not known is taken", bus.PlaceWeighted, 0, 3, []HostObservation{
			changed(place("a", 1, 10, 0), func(h *HostObservation) { h.Load = bus.Host{} }), place("b", 1, 50, 4000),
		}, "a1 b2"},
		{"cordoned", bus.PlaceSpread, 0, 3, []HostObservation{changed(place("a", 0, 0, 0), cordoned), place("b", 1, 0, 0)}, "a0 b3"},
		{"one without the template", bus.PlaceSpread, 0, 3, []HostObservation{
			changed(place("a", 0, 0, 0), bare), place("b", 1, 0, 0),
		}, "a0 b3"},
		{"one without the template that has VMs", bus.PlaceSpread, 0, 4, []HostObservation{
			changed(place("a", 2, 0, 0), bare), place("b", 1, 0, 0),
		}, "a2 b2"},
		{"all without the template", bus.PlaceSpread, 0, 2, []HostObservation{changed(place("a", 0, 0, 0), bare)}, "a2"},
		{"all cordoned", bus.PlaceSpread, 0, 3, []HostObservation{changed(place("a", 0, 0, 0), cordoned)}, "a0"},
		{"returning", bus.PlaceSpread, 0, 3, []HostObservation{
			changed(place("a", 0, 0, 0), func(h *HostObservation) { h.State = bus.HostReturning }), place("b", 1, 0, 0),
		}, "a0 b3"},
		{"told to make them already", bus.PlaceSpread, 0, 4, []HostObservation{
			changed(place("a", 1, 0, 0), func(h *HostObservation) { h.Told = 3 }), place("b", 1, 0, 0),
		}, "a3 b1"},
		{"told to have one that retires", bus.PlaceSpread, 0, 4, []HostObservation{
			changed(place("a", 3, 0, 0), func(h *HostObservation) { h.Told, h.VMs[0].Retiring = 3, true }), place("b", 1, 0, 0),
		}, "a2 b2"},
		{"spread over racks before hosts", bus.PlaceSpread, 0, 4, []HostObservation{
			rack("r1", place("a", 0, 0, 0)), rack("r1", place("b", 0, 0, 0)), rack("r1", place("c", 0, 0, 0)),
			rack("r2", place("d", 0, 0, 0)),
		}, "a1 b0 c1 d2"},
		{"a rack with fewer, on a host with more", bus.PlaceSpread, 0, 6, []HostObservation{
			rack("r1", place("a", 2, 0, 0)), rack("r1", place("b", 2, 0, 0)), rack("r2", place("c", 1, 0, 0)),
		}, "a2 b2 c2"},
		{"a rack's only host is cordoned", bus.PlaceSpread, 0, 4, []HostObservation{
			rack("r1", place("a", 2, 0, 0)), rack("r1", place("b", 0, 0, 0)), changed(rack("r2", place("c", 0, 0, 0)), cordoned),
		}, "a2 b2 c0"},
		{"a rack's only host has its most", bus.PlaceSpread, 2, 6, []HostObservation{
			rack("r1", place("a", 0, 0, 0)), rack("r1", place("b", 2, 0, 0)), rack("r2", place("c", 2, 0, 0)),
		}, "a2 b2 c2"},
		{"one of no rack is a rack of its own", bus.PlaceSpread, 0, 4, []HostObservation{
			rack("r1", place("a", 1, 0, 0)), rack("r1", place("b", 1, 0, 0)), place("c", 0, 0, 0), place("d", 1, 0, 0),
		}, "a1 b1 c1 d1"},
		{"pack does not look at racks", bus.PlacePack, 0, 4, []HostObservation{
			rack("r1", place("a", 2, 0, 0)), rack("r2", place("b", 1, 0, 0)),
		}, "a3 b1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := spec(bounds(1, 9))
			g.Placement, g.PerHostMax = tt.placement, tt.most
			shares := split(g, order{scaleIn: g.ScaleIn}, bus.Out, tt.desired, Observation{Hosts: tt.hosts})
			var got []string
			for _, h := range tt.hosts {
				got = append(got, fmt.Sprint(h.ID, shares[h.ID].VMs))
			}
			if text := strings.Join(got, " "); text != tt.want {
				t.Errorf("%s, want %s", text, tt.want)
			}
		})
	}
}

// Not all groups begin on the same one of hosts that are alike, and each does so every time.
func TestPlacementOfSeveralGroups(t *testing.T) {
	obs := Observation{Hosts: []HostObservation{place("kvm1", 0, 0, 0), place("kvm2", 0, 0, 0), place("kvm3", 0, 0, 0)}}
	first := map[bus.HostID]int{}
	for i := range 60 {
		g := spec(func(g *bus.Group) { g.Name = strings.Repeat(string(rune('a'+i%26)), 1+i/26) })
		best := candidatesOf(g, obs).best(g)
		if again := candidatesOf(g, obs).best(g); again.ID != best.ID {
			t.Fatalf("group %s: %s, and then %s", g.Name, best.ID, again.ID)
		}
		first[best.ID]++
	}
	for _, h := range obs.Hosts {
		if first[h.ID] < 10 {
			t.Errorf("%d of 60 groups begin on %s: %v", first[h.ID], h.ID, first)
		}
	}
}

// The answer to explain has the hosts as places, the best first, and why the others are none.
func TestPlaces(t *testing.T) {
	g := spec(bounds(1, 9), func(g *bus.Group) { g.PerHostMax = 2 })
	full := changed(place("d", 0, 0, 0), func(h *HostObservation) { h.Full = true })
	bare := changed(place("e", 0, 0, 0), func(h *HostObservation) { h.NoTemplate = "template web:3 comes from a: 40 %" })
	hosts := []HostObservation{place("a", 2, 0, 0), place("b", 1, 0, 0), place("c", 0, 0, 0), full, bare}
	got := places(g, Observation{Hosts: hosts})
	if len(got) != 5 || got[0].Host != "c" || got[1].Host != "b" || got[0].Why != "" {
		t.Fatalf("%+v", got)
	}
	why := got[2].Why + got[3].Why + got[4].Why
	if !strings.Contains(why, "per_host_max") || !strings.Contains(why, "room") || !strings.Contains(why, bare.NoTemplate) {
		t.Errorf("%+v", got)
	}
}

func TestRisk(t *testing.T) {
	for _, tt := range []struct {
		name  string
		least int
		hosts []HostObservation
		want  string
	}{
		{"the others have room", 4, []HostObservation{place("a", 3, 0, 100), place("b", 1, 0, 4096)}, ""},
		{
			"they have not", 4,
			[]HostObservation{place("a", 3, 0, 100), place("b", 1, 0, 600)},
			"without host a, which has 3 VMs, the others have places for 3 of min 4",
		},
		{"not known", 4, []HostObservation{
			place("a", 3, 0, 100), changed(place("b", 1, 0, 0), func(h *HostObservation) { h.Load = bus.Host{} }),
		}, ""},
		{"one host", 4, []HostObservation{place("a", 4, 0, 100)}, ""},
	} {
		g := spec(bounds(tt.least, 9), func(g *bus.Group) { g.HostLoss = bus.LossHold })
		if got := risk(g, Observation{Hosts: tt.hosts}); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		g.HostLoss = bus.LossReplace
		if got := risk(g, Observation{Hosts: tt.hosts}); strings.Contains(got, "of two hosts") != (len(tt.hosts) == 2) {
			t.Errorf("%s, with nothing but replace: %q", tt.name, got)
		}
	}
}

// Where max takes new VMs back, those stay that a host was told to have before, and may have begun.
func TestTakenBackLastWhatHasBegun(t *testing.T) {
	told := changed(place("a", 1, 0, 0), func(h *HostObservation) { h.Told = 2 })
	g := spec(bounds(1, 4))
	s := situation{spec: g, obs: Observation{Hosts: []HostObservation{told, place("b", 2, 0, 0)}}}
	shares := map[bus.HostID]bus.Share{"a": {VMs: 2}, "b": {VMs: 3}}
	s.withinMax(shares)
	if shares["a"].VMs != 2 || shares["b"].VMs != 2 {
		t.Errorf("%+v", shares)
	}
}

// What a host may have begun counts toward max, also where it is to have no new VM any more.
func TestBegunVMsCountToMax(t *testing.T) {
	g := spec(bounds(1, 4))
	obs := Observation{Hosts: []HostObservation{place("a", 1, 0, 0), place("b", 1, 0, 0)}, Fresh: 2}
	st := State{HasSample: true, Desired: 2, Hosts: obs.hostIDs(), LastData: t0, Controls: bus.Controls{Desired: new(4)}}
	d, st := Decide(g, st, obs, t0)
	if d.Shares["a"].VMs != 2 || d.Shares["b"].VMs != 2 {
		t.Fatalf("%+v", d.Shares)
	}
	obs.Hosts[0].Order = &bus.HostOrder{Action: bus.HostCordon, Since: t0}
	if d, st = Decide(g, st, obs, t0.Add(time.Second)); d.Shares["b"].VMs != 2 {
		t.Errorf("not shown yet: %+v", d.Shares)
	}
	_, st = Decide(g, st, obs, t0.Add(10*time.Second))
	if d, _ = Decide(g, st, obs, t0.Add(11*time.Second)); d.Shares["b"].VMs != 3 {
		t.Errorf("not begun after all: %+v", d.Shares)
	}
}
