package decider

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vmscaler/vmscaler/bus"
)

// uneven is a group that is rebalanced, on hosts that have so many VMs, and have been up for long.
func uneven(t interface {
	Fatalf(format string, args ...any)
}, vms []int, changes ...func(*bus.Group),
) *site {
	on := func(g *bus.Group) { g.Rebalance = bus.RebalanceOn }
	f := newSite(t, len(vms), slices.Max(vms), append([]func(*bus.Group){on, bounds(0, 20)}, changes...)...)
	f.g.state.Standings = Standings{}
	for i, h := range f.hosts {
		h.vms = h.vms[:vms[i]]
		f.g.state.Standings[h.id] = Standing{Name: string(h.id), State: bus.HostUp, Since: t0.Add(-time.Hour)}
	}
	return f
}

// spread is how many VMs each host has.
func (f *site) spread() (vms []int) {
	for _, h := range f.hosts {
		vms = append(vms, HostObservation{VMs: h.vms}.kept())
	}
	return vms
}

// moves counts the VMs that are ordered elsewhere while it steps so often, and fails where fewer serve than are desired, or more
// are owned than one beyond that.
func (f *site) moves(t *testing.T, steps int) (n int) {
	t.Helper()
	seen := map[string]bool{}
	for range steps {
		d := f.step()
		for uuid, o := range d.Orders {
			if o.Cause == bus.CauseRebalance && !seen[uuid] {
				seen[uuid] = true
				n++
			}
		}
		serving, aside := 0, 0
		for _, h := range f.hosts {
			for _, vm := range h.vms {
				serving += one(vm.Phase.Serves() && vm.State == bus.StateRunning)
				aside += one(vm.State.Suspended())
			}
		}
		if serving < d.Desired || f.total() > d.Desired+1+aside || d.Direction != bus.Hold {
			t.Fatalf("%d serve, %d are owned: %+v", serving, f.total(), d)
		}
	}
	return n
}

// VMs move from the fullest host, or failure domain, to the emptiest, one at a time and the new one first, and no further than it
// takes.
func TestRebalance(t *testing.T) {
	for _, tt := range []struct {
		name   string
		vms    []int
		change func(*site)
		want   []int
		moves  int
	}{
		{"a host has joined", []int{4, 0}, nil, []int{2, 2}, 2},
		{"one more is even", []int{3, 2}, nil, []int{3, 2}, 0},
		{"two more are not", []int{3, 1}, nil, []int{2, 2}, 1},
		{"three hosts", []int{5, 4, 0}, nil, []int{3, 3, 3}, 3},
		{"off", []int{4, 0}, func(f *site) { f.g.spec.Rebalance = bus.RebalanceOff }, []int{4, 0}, 0},
		{"pack", []int{4, 0}, func(f *site) { f.g.spec.Placement = bus.PlacePack }, []int{4, 0}, 0},
		{
			"domains come first",
			[]int{3, 1, 1},
			func(f *site) { f.hosts[1].domain, f.hosts[2].domain = "rack1", "rack1" },
			[]int{3, 1, 1},
			0,
		},
		{
			"from one domain to another",
			[]int{0, 3, 2},
			func(f *site) { f.hosts[1].domain, f.hosts[2].domain = "rack1", "rack1" },
			[]int{2, 2, 1},
			2,
		},
		{
			"within a domain",
			[]int{3, 4, 0},
			func(f *site) { f.hosts[1].domain, f.hosts[2].domain = "rack1", "rack1" },
			[]int{3, 2, 2},
			2,
		},
		{
			"protected ones stay", []int{4, 0}, func(f *site) {
				for i := range f.hosts[0].vms {
					f.hosts[0].vms[i].Protected = i < 3
				}
			}, []int{3, 1}, 1,
		},
		{"per_host_max", []int{4, 1}, func(f *site) { f.g.spec.PerHostMax = 1 }, []int{4, 1}, 0},
		{"no room", []int{4, 0}, func(f *site) { f.hosts[1].full = true }, []int{4, 0}, 0},
		{"no room on the emptiest", []int{5, 0, 1}, func(f *site) { f.hosts[1].full = true }, []int{3, 0, 3}, 2},
		{"at max", []int{4, 0}, func(f *site) { f.g.spec.Max = 4 }, []int{4, 0}, 0},
		{"none may be beside", []int{4, 0}, func(f *site) { f.g.spec.Maintenance.MaxHealthyPercent = 100 }, []int{4, 0}, 0},
		{
			"paused", []int{4, 0}, func(f *site) { f.g.state.Controls.Paused = []bus.Scope{bus.ScopeOut} }, []int{4, 0}, 0,
		},
		{
			"a refresh is paused", []int{4, 0}, func(f *site) {
				f.g.state.Refresh = &bus.Refresh{Phase: bus.RefreshPaused, Machine: f.g.spec.MachineHash()}
				for i := range f.hosts[0].vms {
					f.hosts[0].vms[i].Template, f.hosts[0].vms[i].Machine = "web-1", "another"
				}
			}, []int{4, 0}, 0,
		},
		{
			"a VM is wanted gone that has not gone", []int{4, 0, 1}, func(f *site) {
				f.hosts[2].reached = false
				f.hosts[2].vms[0].Order = &bus.VMOrder{Verb: bus.VMDrain, At: t0}
			}, []int{4, 0, 0}, 0,
		},
		{"a dry run", []int{4, 0}, func(f *site) { f.g.spec.DryRun = true }, []int{4, 0}, 0},
		{
			"another host is cordoned",
			[]int{4, 0, 2},
			func(f *site) { f.hosts[2].order = &bus.HostOrder{Action: bus.HostCordon} },
			[]int{4, 0, 2},
			0,
		},
		{
			"the emptiest is cordoned",
			[]int{4, 0},
			func(f *site) { f.hosts[1].order = &bus.HostOrder{Action: bus.HostCordon} },
			[]int{4, 0},
			0,
		},
		{
			"what a person has suspended counts nowhere",
			[]int{3, 1},
			func(f *site) { f.hosts[0].vms[0].State = bus.StatePaused },
			[]int{2, 1},
			0,
		},
		{
			"one is launching all the time", []int{4, 0}, func(f *site) {
				f.hosts[0].vms[0].Phase, f.hosts[0].vms[0].Created = bus.PhaseLaunching, t0.Add(time.Hour)
			}, []int{4, 0}, -1,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := uneven(t, tt.vms)
			if tt.change != nil {
				tt.change(f)
			}
			if tt.moves < 0 { // not all serve
				for range 900 {
					if d := f.step(); len(d.Orders) > 0 || d.Balance.State != bus.BalanceWaiting {
						t.Fatalf("moved: %+v", d)
					}
				}
				return
			}
			if n := f.moves(t, 900); n != tt.moves || !slices.Equal(f.spread(), tt.want) {
				t.Errorf("%d moves, want %d; hosts have %v, want %v: %+v", n, tt.moves, f.spread(), tt.want, f.g.decision.Balance)
			}
		})
	}
}

// Each state is said.
func TestBalanceStates(t *testing.T) {
	f := uneven(t, []int{2, 0})
	for _, want := range []struct {
		state    bus.BalanceState
		sentence string
	}{
		{bus.BalanceWaiting, "kvm1 has 2 VMs, and kvm2 0: a VM moves once nothing else is done about the group for 60 s; " +
			"nothing was done until 2026-05-04T12:00:02Z"},
		{bus.BalanceMoving, "web-1 on kvm1 is replaced elsewhere: kvm1 has 2 VMs, and kvm2 0"},
		{bus.BalanceEven, "no host has two VMs more than another"},
	} {
		d := f.until(string(want.state), 90, func(d bus.Decision) bool {
			return d.Balance.State == want.state && d.Balance.Sentence == want.sentence
		})
		for _, o := range d.Orders {
			if o.By != "" || o.Verb != bus.VMReplace || o.Cause != bus.CauseRebalance {
				t.Errorf("ordered %+v", o)
			}
		}
	}
	f = uneven(t, []int{2, 0})
	f.hosts[1].full = true
	d := f.until("held", 90, func(d bus.Decision) bool { return d.Balance.State == bus.BalanceHeld })
	if want := "kvm1 has 2 VMs, and kvm2 0: no host with fewer can have another one"; d.Balance.Sentence != want {
		t.Errorf("%q, want %q", d.Balance.Sentence, want)
	}
}

// A host that comes and goes is not filled before it has been there for a while, and what another decider does meanwhile counts.
func TestRebalanceWaitsForAHostThatIsBack(t *testing.T) {
	f := uneven(t, []int{4, 4, 0})
	for range 5 {
		for range 2 {
			f.hosts[2].off = !f.hosts[2].off
			if n := f.moves(t, 40); n != 0 {
				t.Fatalf("%d moves: %+v", n, f.g.decision)
			}
		}
	}
	f.another()
	if n := f.moves(t, 50); n != 0 {
		t.Errorf("%d moves right after another decider began", n)
	}
	if n := f.moves(t, 600); n != 2 || !slices.Equal(f.spread(), []int{3, 3, 2}) {
		t.Errorf("%d moves, to %v", n, f.spread())
	}
}

// Where a host turns out to have no room only when it is to have a VM, that is made elsewhere; it is tried again, ever less
// often.
func TestRebalanceInVain(t *testing.T) {
	f := uneven(t, []int{4, 0}, func(g *bus.Group) { g.LostAfter = time.Second })
	f.hosts[1].refuses = true
	if n := f.moves(t, 1500); n < 3 || n > 9 {
		t.Errorf("%d moves in vain", n)
	}
	f.hosts[1].refuses = false
	f.moves(t, 700)
	if got := f.spread(); !slices.Equal(got, []int{2, 2}) {
		t.Errorf("in the end they have %v", got)
	}
}

// Whatever there is on however many hosts, moves end, and end even: each takes a VM to where there are two fewer.
func TestRebalanceEnds(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		vms := rapid.SliceOfN(rapid.IntRange(0, 5), 2, 5).Draw(rt, "VMs")
		placement := rapid.SampledFrom([]bus.Placement{bus.PlaceSpread, bus.PlaceSpread, bus.PlaceWeighted}).Draw(rt, "placement")
		f := uneven(rt, vms, bounds(0, 40), func(g *bus.Group) { g.Placement, g.LostAfter = placement, time.Second })
		for _, h := range f.hosts {
			h.domain = rapid.SampledFrom([]string{"", "rack1", "rack2"}).Draw(rt, "domain")
		}
		least := slices.Min(vms)
		for _, n := range vms { // the most that it could take
			least += n
		}
		n := 0
		for range least + 2 {
			if n += f.moves(t, 15); f.g.decision.Balance.State == bus.BalanceEven {
				break
			}
		}
		again := f.moves(t, 15)
		state := f.g.decision.Balance.State
		if again > 0 || n > least || state != bus.BalanceEven && placement == bus.PlaceSpread {
			rt.Fatalf("%d moves, to %v: %+v", n, f.spread(), f.g.decision.Balance)
		}
	})
}
