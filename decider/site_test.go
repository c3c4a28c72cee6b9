package decider

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vmscaler/vmscaler/bus"
)

// machine is a host of a fleet in virtual time, with the actuator's rules in short.
type machine struct {
	id  bus.HostID
	vms []bus.VM
	// heard: its samples arrive. alive: its health does. reached: decisions reach it. off: it does nothing at all.
	heard, alive, reached, off bool
	lied                       bool // at some time
	lost                       bool // and since then not up for good, so that others may have its VMs
	lies                       bool // it shows its VMs under other UUIDs at each sample, and one more
	order                      *bus.HostOrder
	domain                     string
	full                       bool // its actuator says that it has no room
	refuses                    bool // and finds that out only once it is told to make one; then it says so for a while
	fullUntil                  time.Time
	lag                        int        // by how many seconds its samples are late
	past                       [][]bus.VM // what it had at each second, the newest last
	sent                       time.Time  // of which time its last sample is
}

// site is a group on several hosts that do what the decisions say.
type site struct {
	t interface {
		Fatalf(format string, args ...any)
	}
	now   time.Time
	led   time.Time // since when this decider leads
	hosts []*machine
	g     group
	made  int
	kept  checkpoint
	pools bool // they have warm pools
}

func newSite(t interface {
	Fatalf(format string, args ...any)
}, hosts, vmsEach int, changes ...func(*bus.Group),
) *site {
	f := &site{t: t, now: t0, led: t0.Add(-time.Hour)}
	s := spec(append([]func(*bus.Group){bounds(1, hosts*vmsEach)}, changes...)...)
	f.g = *newGroup(s, t0)
	for i := range hosts {
		h := &machine{id: bus.HostID(fmt.Sprintf("kvm%d", i+1)), heard: true, alive: true, reached: true}
		for range vmsEach {
			h.make(f, "web-"+fmt.Sprint(f.made+1), f.now.Add(-time.Hour))
			h.vms[len(h.vms)-1].Phase = bus.PhaseReady
		}
		f.hosts = append(f.hosts, h)
	}
	return f
}

func (h *machine) make(f *site, name string, at time.Time) {
	f.made++
	h.vms = append(h.vms, bus.VM{
		Name: name, UUID: fmt.Sprint(f.made), State: bus.StateRunning, Phase: bus.PhaseLaunching, Created: at, PhaseSince: at,
		BootedAt: new(at), VCPUs: 1,
	})
}

// step is a second later.
func (f *site) step() bus.Decision {
	f.now = f.now.Add(time.Second)
	for _, h := range f.hosts {
		for i := range h.vms {
			vm := &h.vms[i]
			if vm.Phase == bus.PhaseLaunching && !h.off && f.now.Sub(vm.Created) >= 4*time.Second {
				vm.Phase, vm.PhaseSince, vm.Handed = bus.PhaseReady, f.now, false
			}
			if vm.Phase == bus.PhasePreparing && !h.off && f.now.Sub(vm.Created) >= 4*time.Second {
				vm.Phase, vm.PhaseSince, vm.State = bus.PhaseWarm, f.now, bus.StatePaused
			}
			vm.CPUPercent = new(50.0)
		}
		h.past = append(h.past, slices.Clone(h.vms))
		if h.heard && !h.off {
			f.sample(h)
		}
	}
	obs := f.g.window.Take(f.now, 5*time.Second)
	obs.Settling = f.now.Sub(f.led) < f.g.spec.LostAfter
	for i := range obs.Hosts {
		if j := slices.IndexFunc(f.hosts, func(h *machine) bool { return h.id == obs.Hosts[i].ID }); j >= 0 {
			obs.Hosts[i].Alive = f.hosts[j].alive && !f.hosts[j].off
			obs.Hosts[i].Order = f.hosts[j].order
			obs.Hosts[i].Full = f.hosts[j].full || f.now.Before(f.hosts[j].fullUntil)
		}
	}
	var d bus.Decision
	d, f.g.state = Decide(f.g.spec, f.g.state, obs, f.now)
	f.g.decision = &d
	for _, h := range f.hosts {
		if h.reached && !h.off {
			f.act(h, d)
		}
	}
	return d
}

func (f *site) sample(h *machine) {
	lag := min(h.lag, len(h.past)-1)
	at := f.now.Add(-time.Duration(lag) * time.Second)
	if !at.After(h.sent) {
		return
	}
	h.sent = at
	s := bus.Sample{
		V: bus.Version, Group: "web", HostID: h.id, Host: string(h.id), Instance: "collector-" + string(h.id),
		Time: at, VMs: slices.Clone(h.past[len(h.past)-1-lag]), SpecHash: f.g.hash,
		HostLoad: bus.Host{Domain: h.domain},
	}
	if h.lies {
		for i := range s.VMs {
			s.VMs[i].UUID += fmt.Sprint("-", f.now.Unix())
		}
		s.VMs = append(s.VMs, bus.VM{Name: "web-99", UUID: "invented", State: bus.StateRunning, Phase: bus.PhaseReady, VCPUs: 1})
	}
	if err := f.g.window.Add(s, f.now); err != nil {
		f.t.Fatalf("%v", err)
	}
}

// act is what an actuator does by a decision: it makes what its share lacks, with the numbers and the room that it has, and
// removes a surplus in a decision to scale in alone, and those that retire when it is told to.
func (f *site) act(h *machine, d bus.Decision) {
	share, ok := d.Shares[h.id]
	if !ok || !d.HasSample {
		return
	}
	for i := range h.vms {
		vm := &h.vms[i]
		if order, is := d.Orders[vm.UUID]; is {
			vm.Order = &order
		}
		vm.Retiring = vm.Retiring || vm.Order.Is(bus.VMReplace) && vm.Phase.Serves()
	}
	release := share.Release
	h.vms = slices.DeleteFunc(h.vms, func(vm bus.VM) bool {
		if vm.Retiring && release > 0 {
			release--
			return true
		}
		return false
	})
	if f.pools {
		f.actWarm(h, d)
	}
	here := HostObservation{VMs: h.vms}
	for _, n := range share.Numbers {
		if here.kept() >= share.VMs || len(h.vms) >= f.most(d, share) {
			break
		}
		if h.refuses {
			h.fullUntil = f.now.Add(20 * time.Second)
			break
		}
		name := fmt.Sprintf("web-%d", n)
		if slices.ContainsFunc(h.vms, func(vm bus.VM) bool { return vm.Name == name }) {
			continue
		}
		h.make(f, name, f.now)
		here.VMs = h.vms
	}
	if surplus := here.kept() - share.VMs; surplus > 0 && d.Direction == bus.In {
		slices.SortFunc(h.vms, func(a, b bus.VM) int {
			return cmp.Or(cmp.Compare(one(kept(&b)), one(kept(&a))), cmp.Compare(one(a.Phase.Serves()), one(b.Phase.Serves())),
				b.Created.Compare(a.Created))
		})
		h.vms = h.vms[surplus:]
	}
}

// most is how many VMs a host may have by a decision.
func (f *site) most(d bus.Decision, share bus.Share) int {
	if share.Most == nil {
		return d.Inputs.Max
	}
	return min(*share.Most, d.Inputs.Max)
}

// another is another decider that takes over: it knows what was kept, and nothing else.
func (f *site) another() {
	if f.g.state.HasSample { // else nothing was kept by this one either
		f.kept = newCheckpoint(f.g.state, f.now)
	}
	data, err := json.Marshal(f.kept)
	var kept checkpoint
	if err == nil {
		err = json.Unmarshal(data, &kept)
	}
	if err != nil {
		f.t.Fatalf("%v", err)
	}
	f.g = *newGroup(f.g.spec, f.now)
	f.g.state, f.led = recall(kept, nil, bus.Controls{}, f.now), f.now
	f.g.expect(f.now)
}

func (f *site) total() (n int) {
	for _, h := range f.hosts {
		n += len(h.vms)
	}
	return n
}

// until steps until a condition holds, for so many seconds at most.
func (f *site) until(what string, seconds int, holds func(bus.Decision) bool) bus.Decision {
	var d bus.Decision
	for range seconds {
		if d = f.step(); holds(d) {
			return d
		}
	}
	f.t.Fatalf("not within %d s: %s: %+v", seconds, what, d)
	return d
}

// The VMs of a host that is gone are replaced on the others, a few at a time, and desired stays; when it comes back the surplus
// goes.
func TestLostHost(t *testing.T) {
	f := newSite(t, 3, 4, bounds(1, 12))
	start := f.step()
	lost := f.hosts[2]
	lost.off = true
	silent := f.until("it is silent", 7, func(d bus.Decision) bool { return d.Hosts["kvm3"].State == bus.HostSilent })
	if silent.Desired != start.Desired || silent.Inputs.Owned != 12 || silent.Inputs.Ready != 8 || f.total() != 12 {
		t.Errorf("silent: %+v", silent)
	}
	d := f.until("it is lost", 8, func(d bus.Decision) bool { return d.Hosts["kvm3"].State == bus.HostLost })
	most := 0
	for range 40 {
		launching := 0
		for _, h := range f.hosts[:2] {
			for _, vm := range h.vms {
				if vm.Phase == bus.PhaseLaunching {
					launching++
				}
			}
		}
		most = max(most, launching)
		d = f.step()
		if d.Direction != bus.Hold || d.Desired != 12 {
			t.Fatalf("after the loss: %+v", d)
		}
	}
	if most != 1 { // a quarter of four
		t.Errorf("%d were launched at once, want 1", most)
	}
	in := d.Inputs
	if f.total() != 16 || d.Hosts["kvm3"].Replaced != 4 || in.Lost != 4 || in.Owned != 12 || in.Ready+in.Warming != 12 {
		t.Fatalf("replaced: %d VMs, %+v", f.total(), d)
	}
	lost.off = false
	for range 10 { // it may go again at once
		if d = f.step(); d.Hosts["kvm3"].State != bus.HostReturning || f.total() != 16 || d.Desired != 12 {
			t.Fatalf("back: %+v", d)
		}
	}
	d = f.until("the surplus is gone", 20, func(d bus.Decision) bool { return len(d.Hosts) == 0 })
	if f.total() != 12 || d.Desired != 12 || len(lost.vms) != 4 {
		t.Errorf("%d VMs, %d on the host that came back: %+v", f.total(), len(lost.vms), d)
	}
}

// What is not sure to be a loss replaces nothing.
func TestNotLost(t *testing.T) {
	for _, tt := range []struct {
		name   string
		hosts  int
		change func(*site)
		state  bus.HostState
		reason string
	}{
		{"its stages live", 3, func(f *site) { f.hosts[2].heard = false }, bus.HostSilent, "signs of life"},
		{"a partition", 3, func(f *site) { f.hosts[1].off, f.hosts[2].off = true, true }, bus.HostSilent, "partition"},
		{"all at once", 3, func(f *site) {
			for _, h := range f.hosts {
				h.off = true
			}
		}, bus.HostSilent, "partition"},
		{"one of two", 2, func(f *site) { f.hosts[1].off = true }, bus.HostLost, "of two hosts"},
		{"hold", 3, func(f *site) { f.hosts[2].off, f.g.spec.HostLoss = true, bus.LossHold }, bus.HostLost, "on_host_loss"},
		{
			"no fence yet", 3, func(f *site) { f.hosts[2].off, f.g.spec.HostLoss = true, bus.LossReplaceAfterFence },
			bus.HostLost, "fence command",
		},
		{
			"another decider has just begun", 3, func(f *site) { f.hosts[2].off = true; f.g.spec.LostAfter = time.Hour },
			bus.HostSilent, "no sign of life",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newSite(t, tt.hosts, 2)
			f.step()
			before := f.total()
			tt.change(f)
			var d bus.Decision
			for range 60 {
				d = f.step()
			}
			h := d.Hosts[f.hosts[tt.hosts-1].id]
			if h.State != tt.state || !strings.Contains(h.Reason, tt.reason) || f.total() != before || d.Desired != before {
				t.Errorf("%d VMs, want %d: %+v", f.total(), before, d)
			}
		})
	}
}

// Fewer than min: all are replaced at once.
func TestLostHostBelowMin(t *testing.T) {
	f := newSite(t, 3, 4, bounds(10, 12))
	f.step()
	f.hosts[2].off = true
	f.until("it is lost", 20, func(d bus.Decision) bool { return d.Hosts["kvm3"].Replaced == 4 })
	if f.total() != 16 {
		t.Errorf("%d VMs, want all four replaced at once", f.total())
	}
}

// Once a lost host is replaced, the group goes on as any other: it may shrink, and loses none on the host that nobody sees.
func TestLostHostHoldsNothingForEver(t *testing.T) {
	f := newSite(t, 3, 2)
	f.step()
	f.hosts[2].off = true
	f.until("all are replaced", 60, func(d bus.Decision) bool { return d.Inputs.Ready == 6 })
	f.g.state.Controls.Desired = new(2)
	d := f.until("it shrinks", 20, func(d bus.Decision) bool { return d.Desired == 2 && f.total() == 4 })
	if d.Shares["kvm3"].VMs != 2 || len(f.hosts[2].vms) != 2 {
		t.Errorf("%+v", d)
	}
}

// A decider that begins when the host is gone already has never heard it. It waits as long as any other, and replaces as any
// other.
func TestLostHostUnderAnotherDecider(t *testing.T) {
	f := newSite(t, 3, 4)
	f.step()
	f.hosts[2].off = true
	f.another()
	for range 11 {
		if d := f.step(); d.Direction != bus.Hold || f.total() != 12 || d.Inputs.Owned != 12 {
			t.Fatalf("at once: %d VMs, %+v", f.total(), d)
		}
	}
	d := f.until("all are replaced", 60, func(d bus.Decision) bool { return d.Hosts["kvm3"].Replaced == 4 && f.total() == 16 })
	if d.Desired != 12 {
		t.Errorf("%+v", d)
	}
	f.another() // and the next one knows it, too
	for range 30 {
		if d = f.step(); f.total() != 16 || d.Desired != 12 {
			t.Fatalf("%d VMs: %+v", f.total(), d)
		}
	}
	f.hosts[2].off = false
	d = f.until("the surplus is gone", 60, func(bus.Decision) bool { return f.total() == 12 })
	if d.Desired != 12 {
		t.Errorf("%+v", d)
	}
}

// A host that is cordoned has no new VM, also in place of one that dies; one that is drained hands its VMs over, the new ones
// first, and as many at a time as maintenance lets be replaced.
func TestCordonAndDrain(t *testing.T) {
	f := newSite(t, 3, 4, bounds(1, 16))
	f.step()
	host := f.hosts[2]
	host.order = &bus.HostOrder{Action: bus.HostCordon, By: "ann", Since: f.now}
	f.until("it is cordoned", 3, func(d bus.Decision) bool { return d.Hosts["kvm3"].State == bus.HostCordoned })
	host.vms = host.vms[1:] // one dies
	for range 20 {
		f.step()
	}
	if len(host.vms) != 3 || f.total() != 12 {
		t.Fatalf("cordoned: %d VMs there, %d in all", len(host.vms), f.total())
	}
	host.order = &bus.HostOrder{Action: bus.HostDrain, By: "ann", Since: f.now}
	for range 120 {
		before := len(host.vms)
		d := f.step()
		ready := 0
		for _, h := range f.hosts {
			for _, vm := range h.vms {
				if vm.Phase == bus.PhaseReady {
					ready++
				}
			}
		}
		if ready < 12 || f.total() > 12+2 || d.Desired != 12 || len(host.vms) > before || d.Direction == bus.In {
			t.Fatalf("draining: %d serve of %d: %+v", ready, f.total(), d)
		}
	}
	d := f.step()
	if len(host.vms) != 0 || d.Hosts["kvm3"].State != bus.HostDrained || f.total() != 12 {
		t.Fatalf("drained: %d VMs there: %+v", len(host.vms), d.Hosts)
	}
	host.order = nil
	f.g.state.Controls.Desired = new(14)
	f.until("it has new VMs again", 10, func(bus.Decision) bool { return len(host.vms) > 0 })
}

// Without another host for them nothing is taken away.
func TestDrainOfTheOnlyHost(t *testing.T) {
	f := newSite(t, 1, 4)
	f.step()
	f.hosts[0].order = &bus.HostOrder{Action: bus.HostDrain, Since: f.now}
	for range 60 {
		if d := f.step(); len(f.hosts[0].vms) != 4 || d.Hosts["kvm1"].State != bus.HostDraining {
			t.Fatalf("%d VMs: %+v", len(f.hosts[0].vms), d)
		}
	}
}

// Whatever hosts do, fall silent, are lost, return, lie, and whoever decides: no more VMs than max but for those on lost hosts,
// none is removed but by a decision to scale in, and desired is the group's, not the hosts'.
func TestSiteInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(2, 5).Draw(t, "hosts")
		each := rapid.IntRange(1, 4).Draw(t, "VMs each")
		f := newSite(t, n, each, bounds(1, n*each+rapid.IntRange(0, 2).Draw(t, "beyond")))
		f.g.spec.Rebalance = rapid.SampledFrom([]bus.Rebalance{bus.RebalanceOff, bus.RebalanceOn}).Draw(t, "rebalance")
		f.g.spec.HostLoss = rapid.SampledFrom([]bus.HostLoss{bus.LossReplace, bus.LossReplace, bus.LossHold}).Draw(t, "on loss")
		start := f.step()
		liars := false
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			switch h := f.hosts[rapid.IntRange(0, n-1).Draw(t, "host")]; f.befalls(t, h) {
			case 5:
				f.another()
			case 12, 13:
				liars = true // another decider may find none
			case 6:
				h.lies, h.lied, liars = rapid.Bool().Draw(t, "lies"), true, true
			case 7, 8:
				for range 15 {
					f.checked(start, liars)
				}
			}
			f.checked(start, liars)
		}
		lost := n >= 3 && f.g.spec.HostLoss == bus.LossReplace && rapid.Bool().Draw(t, "the last stays off")
		for i, h := range f.hosts {
			h.off, h.heard, h.alive, h.reached, h.lies, h.order = lost && i == n-1, true, true, true, false, nil
			for j := range h.vms {
				h.vms[j].State = bus.StateRunning
			}
		}
		var d bus.Decision
		for range 200 {
			d = f.step()
		}
		if f.g.spec.Rebalances() && d.Desired < f.g.spec.Max && !lost {
			d = f.evens(t, d)
		}
		kept := 0
		for _, h := range f.hosts {
			if !h.off {
				kept += HostObservation{VMs: h.vms}.kept()
			}
		}
		if kept != d.Desired {
			t.Fatalf("%d VMs in the end, want %d: %+v", kept, d.Desired, d)
		}
	})
}

// evens checks that moves make the hosts even, and come to an end, once nothing else is done, and returns the last decision.
func (f *site) evens(t *rapid.T, d bus.Decision) bus.Decision {
	moved := map[string]bool{}
	for steps := 0; d.Balance.State != bus.BalanceEven; steps++ {
		f.checked(d, false)
		d = *f.g.decision
		for uuid, o := range d.Orders {
			if moved[uuid] = true; o.Cause != bus.CauseRebalance {
				t.Fatalf("ordered %+v", o)
			}
		}
		if steps > 6000 || len(moved) > d.Desired {
			t.Fatalf("after %d steps and %d moves hosts have %v: %+v", steps, len(moved), f.spread(), d.Balance)
		}
	}
	spread := f.spread()
	if slices.Max(spread)-slices.Min(spread) > 1 {
		t.Fatalf("said to be even: %v", spread)
	}
	return d
}

// befalls draws what happens, does what happens to a host alone, and returns the number that was drawn.
func (f *site) befalls(t *rapid.T, h *machine) (what int) {
	switch what = rapid.IntRange(0, 25).Draw(t, "what"); what {
	case 0:
		h.off = true
	case 1:
		h.heard, h.alive = false, rapid.Bool().Draw(t, "alive")
		h.reached = rapid.Bool().Draw(t, "reached")
	case 2, 3, 4:
		h.off, h.heard, h.alive, h.reached = false, true, true, true
	case 12: // by a person, who lets it go on later
		i := slices.IndexFunc(h.vms, func(vm bus.VM) bool { return vm.Phase == bus.PhaseReady })
		if i >= 0 && f.g.spec.PerHostMax == 0 {
			state := map[bool]bus.State{true: bus.StateRunning, false: bus.StatePaused}[h.vms[i].State.Suspended()]
			h.vms[i].State = state
		}
	case 13:
		h.vms = h.vms[min(1, len(h.vms)):] // one dies
	case 10:
		h.lag = rapid.SampledFrom([]int{0, 1, 1, 2}).Draw(t, "lag")
	case 9:
		h.order = rapid.SampledFrom([]*bus.HostOrder{
			nil, {Action: bus.HostCordon, Since: f.now}, {Action: bus.HostDrain, Since: f.now},
		}).Draw(t, "order")
	}
	return what
}

// checked is a step after which all must hold.
func (f *site) checked(start bus.Decision, liars bool) {
	before := map[string]bool{}
	for _, h := range f.hosts {
		for _, vm := range h.vms {
			before[vm.UUID] = !h.lied && !vm.Phase.Pooled()
		}
	}
	maps.DeleteFunc(before, func(_ string, honest bool) bool { return !honest })
	d := f.step()
	for uuid := range d.Orders { // others take their places
		delete(before, uuid)
	}
	for id, share := range d.Shares {
		if share.VMs < 0 || share.Warm < 0 {
			f.t.Fatalf("host %s is to have %+v: %+v", id, share, d)
		}
	}
	most, removed := d.Inputs.Max, len(before)
	for _, h := range f.hosts {
		if h.lied { // only what the others have counts
			most += len(h.vms)
		}
		if s := d.Hosts[h.id]; !s.State.Troubled() {
			h.lost = false
		} else if h.lost = h.lost || s.State == bus.HostLost; h.lost {
			most += len(h.vms)
		}
		for _, vm := range h.vms {
			if before[vm.UUID] {
				removed--
			}
		}
	}
	switch {
	case d.HasSample && f.total() > most:
		f.t.Fatalf("%d VMs, at most %d may be: %+v", f.total(), most, d)
	case d.Direction != bus.In && removed > 0:
		f.t.Fatalf("%d VMs are removed in a decision to %s: %+v", removed, d.Direction, d)
	case d.HasSample && !liars && d.Desired != start.Desired:
		f.t.Fatalf("desired is %d, was %d: %+v", d.Desired, start.Desired, d)
	}
}
