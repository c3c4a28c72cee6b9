package decider

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// serving is a VM that serves, with what a person wants of it.
func serving(n int, verb bus.VMVerb) bus.VM {
	vm := ready(50)
	vm.Name, vm.UUID = bus.VMName("web", n), fmt.Sprint(n)
	if verb != "" {
		vm.Order = &bus.VMOrder{Verb: verb, At: t0}
	}
	return vm
}

func launchingVM(n int) bus.VM {
	vm := serving(n, "")
	vm.Phase, vm.CPUPercent = bus.PhaseLaunching, nil
	return vm
}

// only is an observation of one host with these VMs.
func only(vms ...bus.VM) Observation {
	return Observation{Hosts: []HostObservation{{ID: "kvm1", Name: "kvm1", Time: t0, VMs: vms}}, Fresh: 1}
}

// What hosts are to have, and what they may let go, of a group that wants three VMs.
func TestSharesOfOrderedVMs(t *testing.T) {
	const replace, remove, drain, unhealthy = bus.VMReplace, bus.VMRemove, bus.VMDrain, bus.VMUnhealthy
	const standby, exit, detach = bus.VMStandby, bus.VMExitStandby, bus.VMDetach
	standing := func(n int, verb bus.VMVerb) bus.VM {
		vm := serving(n, verb)
		vm.Phase = bus.PhaseStandby
		return vm
	}
	resting := func(n int, state bus.State) bus.VM {
		vm := standing(n, exit)
		vm.State = state
		return vm
	}
	paused := func(scopes ...bus.Scope) func(*bus.Group, *State) {
		return func(_ *bus.Group, st *State) { st.Controls.Paused = scopes }
	}
	most := func(n int) func(*bus.Group, *State) { return func(g *bus.Group, _ *State) { g.Max = n } }
	for _, tt := range []struct {
		name string
		set  func(*bus.Group, *State)
		a, b []bus.VM
		want string // VMs of each host, and how many may go
	}{
		{"nothing", nil, []bus.VM{serving(1, ""), serving(2, "")}, []bus.VM{serving(3, "")}, "2 1"},
		{"another comes first", nil, []bus.VM{serving(1, replace), serving(2, "")}, []bus.VM{serving(3, "")}, "2 1"},
		{"wherever there is room", nil, []bus.VM{serving(1, ""), serving(2, "")}, []bus.VM{serving(3, replace)}, "2 1"},
		{
			"it stays until that serves", nil,
			[]bus.VM{serving(1, replace), serving(2, "")},
			[]bus.VM{serving(3, ""), launchingVM(4)},
			"1 2",
		},
		{"and then goes", nil, []bus.VM{serving(1, replace), serving(2, "")}, []bus.VM{serving(3, ""), serving(4, "")}, "1 (1) 2"},
		{"at max it goes first", most(3), []bus.VM{serving(1, replace), serving(2, "")}, []bus.VM{serving(3, "")}, "1 (1) 1"},
		{"one at a time", most(3), []bus.VM{serving(1, replace), serving(2, replace)}, []bus.VM{serving(3, "")}, "0 (1) 1"},
		{
			"as many come first as maintenance lets", nil,
			[]bus.VM{serving(1, replace), serving(2, replace)},
			[]bus.VM{serving(3, "")},
			"1 1",
		},
		{
			"it goes first where maintenance lets none be there beside it", func(g *bus.Group, _ *State) {
				g.Maintenance.MaxHealthyPercent = 100
			},
			[]bus.VM{serving(1, replace), serving(2, "")},
			[]bus.VM{serving(3, "")},
			"1 (1) 1",
		},
		{
			"several may where maintenance lets them be missing", func(g *bus.Group, _ *State) {
				g.Maintenance = bus.Maintenance{MinHealthyPercent: 30, MaxHealthyPercent: 100}
			},
			[]bus.VM{serving(1, replace), serving(2, replace)},
			[]bus.VM{serving(3, "")},
			"0 (2) 1",
		},
		{
			"and no other before the first one's place is taken", most(3),
			[]bus.VM{serving(2, replace)},
			[]bus.VM{serving(3, ""), launchingVM(4)},
			"0 2",
		},
		{
			"while replacing is paused none goes", paused(bus.ScopeRepair),
			[]bus.VM{serving(1, replace), serving(2, "")},
			[]bus.VM{serving(3, "")},
			"2 1",
		},
		{"one that is not ready yet waits", nil, []bus.VM{func() bus.VM {
			vm := launchingVM(1)
			vm.Order = &bus.VMOrder{Verb: replace, At: t0}
			return vm
		}(), serving(2, "")}, []bus.VM{serving(3, "")}, "2 1"},
		{"one that is to go counts in nothing", nil, []bus.VM{serving(1, drain), serving(2, "")}, []bus.VM{serving(3, "")}, "2 1"},
		{"nor does one that is removed", nil, []bus.VM{serving(1, ""), serving(2, "")}, []bus.VM{serving(3, remove)}, "2 1"},
		{"at max none comes before it is gone", most(3), []bus.VM{serving(1, drain), serving(2, "")}, []bus.VM{serving(3, "")}, "1 1"},
		{"an unhealthy one is its actuator's", nil, []bus.VM{serving(1, unhealthy), serving(2, "")}, []bus.VM{serving(3, "")}, "2 1"},
		{
			"one that stands by and rests is woken to serve, and no other is made", nil,
			[]bus.VM{resting(1, bus.StateShutoff), serving(2, ""), resting(3, bus.StatePaused)},
			nil,
			"3 0",
		},
		{
			"one that is to stand by counts in nothing",
			nil,
			[]bus.VM{serving(1, standby), serving(2, "")},
			[]bus.VM{serving(3, "")},
			"2 1",
		},
		{"nor does one that does", nil, []bus.VM{standing(1, standby), serving(2, "")}, []bus.VM{serving(3, "")}, "2 1"},
		{"but one that is to serve again", nil, []bus.VM{standing(1, exit), serving(2, "")}, []bus.VM{serving(3, "")}, "2 1"},
		{
			"which then is one too many no more than others",
			nil,
			[]bus.VM{standing(1, exit), serving(2, "")},
			[]bus.VM{serving(3, ""), serving(4, "")},
			"1 2",
		},
		{
			"one that is to be detached counts in nothing",
			nil,
			[]bus.VM{serving(1, detach), serving(2, "")},
			[]bus.VM{serving(3, "")},
			"2 1",
		},
		{
			"at max none comes for one that stands by",
			most(3),
			[]bus.VM{standing(1, standby), serving(2, "")},
			[]bus.VM{serving(3, "")},
			"1 1",
		},
		{
			"two, of which one has its place taken",
			nil,
			[]bus.VM{serving(1, replace), serving(2, replace)},
			[]bus.VM{serving(3, ""), serving(4, "")},
			"0 (1) 2",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g, st := spec(
				bounds(1, 5),
			), State{
				HasSample: true,
				Desired:   3,
				Hosts:     []bus.HostID{"a", "b"},
				Controls:  bus.Controls{Desired: new(3)},
			}
			if tt.set != nil {
				tt.set(&g, &st)
			}
			obs := Observation{Fresh: 2, Hosts: []HostObservation{
				{ID: "a", Name: "a", Time: t0, VMs: tt.a}, {ID: "b", Name: "b", Time: t0, VMs: tt.b},
			}}
			d, _ := Decide(g, st, obs, t0)
			var got []string
			for _, id := range []bus.HostID{"a", "b"} {
				text := fmt.Sprint(d.Shares[id].VMs)
				if n := d.Shares[id].Release; n > 0 {
					text += fmt.Sprintf(" (%d)", n)
				}
				got = append(got, text)
			}
			if s := strings.Join(got, " "); s != tt.want {
				t.Errorf("%s, want %s: %s", s, tt.want, d.Sentence)
			}
		})
	}
}

// A removal lowers desired in the decision that carries the order, also where a person has said how many, and the order is
// carried until a sample shows it.
func TestOrderVM(t *testing.T) {
	g := spec(bounds(1, 5))
	st := State{HasSample: true, Desired: 3, Hosts: []bus.HostID{"kvm1"}, Controls: bus.Controls{Desired: new(3)}}
	vms := []bus.VM{serving(1, ""), serving(2, ""), serving(3, "")}
	obs := only(vms...)
	newest, st := Decide(g, st, obs, t0)
	ask := func(uuid string, verb bus.VMVerb) bus.Verdict {
		var v bus.Verdict
		v, newest, st = OrderVM(g, st, obs, newest, VMRequest{UUID: uuid, Order: bus.VMOrder{Verb: verb, By: "ann", At: t0}}, t0)
		return v
	}
	if v := ask("2", bus.VMRemove); v.Outcome != bus.OutcomeBegun || newest.Desired != 2 || newest.Direction != bus.In ||
		newest.Rule != bus.RuleRemoved || *newest.Controls.Desired != 2 || newest.Shares["kvm1"].VMs != 2 ||
		newest.Orders["2"].Verb != bus.VMRemove || newest.Orders["2"].VM != "web-2" {
		t.Fatalf("%+v, %+v", v, newest)
	}
	if v := ask("2", bus.VMRemove); v.Outcome != bus.OutcomeNoOp || newest.Desired != 2 {
		t.Errorf("the second time: %+v, desired %d", v, newest.Desired)
	}
	d, st := Decide(g, st, obs, t0.Add(time.Second))
	if len(d.Orders) != 1 || d.Desired != 2 || d.Shares["kvm1"].VMs != 2 || d.Direction != bus.Hold {
		t.Errorf("before a sample shows it: %+v", d)
	}
	order := st.Orders["2"]
	vms[1].Order = &order
	d, st = Decide(g, st, only(vms...), t0.Add(2*time.Second))
	if len(st.Orders) != 0 || len(d.Orders) != 1 || d.Desired != 2 || d.Shares["kvm1"].VMs != 2 {
		t.Errorf("once it does: %+v, pending %v", d, st.Orders)
	}
	d, st = Decide(g, st, only(vms[0], vms[2]), t0.Add(3*time.Second))
	if len(d.Orders) != 0 || d.Desired != 2 || d.Shares["kvm1"].VMs != 2 {
		t.Errorf("once it is gone: %+v", d)
	}
	st.Orders = Orders{"gone": order}
	if _, st = Decide(g, st, only(vms[0], vms[2]), t0.Add(4*time.Second)); len(st.Orders) != 0 {
		t.Errorf("an order for a VM that is gone: %v", st.Orders)
	}
	st.Desired = 1
	remove := VMRequest{UUID: "1", Order: bus.VMOrder{Verb: bus.VMRemove}}
	if v, _, _ := OrderVM(g, st, only(vms[0]), d, remove, t0); v.Refusal != bus.RefusalMin {
		t.Errorf("at min: %+v", v)
	}
}

// A VM that stands by counts in no number, and is none that the average is of; when it serves again desired has one more, as far
// as max lets it.
func TestStandby(t *testing.T) {
	g := spec(bounds(1, 4))
	busy := func(vm bus.VM, cpu float64) bus.VM { vm.CPUPercent = &cpu; return vm }
	vms := []bus.VM{busy(serving(1, ""), 100), busy(serving(2, ""), 40), busy(serving(3, ""), 50)}
	newest, st := Decide(g, State{HasSample: true, Desired: 3, Hosts: []bus.HostID{"kvm1"}}, only(vms...), t0)
	ask := func(verb bus.VMVerb, keepSize bool) bus.Verdict {
		var v bus.Verdict
		order := bus.VMOrder{Verb: verb, At: t0.Add(time.Duration(len(string(verb))) * time.Millisecond)}
		v, newest, st = OrderVM(g, st, only(vms...), newest, VMRequest{"1", order, keepSize}, t0)
		return v
	}
	if v := ask(bus.VMStandby, true); v.Outcome != bus.OutcomeBegun || newest.Desired != 3 || newest.Shares["kvm1"].VMs != 3 {
		t.Fatalf("%+v: desired %d, share %+v", v, newest.Desired, newest.Shares["kvm1"])
	}
	var d bus.Decision
	d, st = Decide(g, st, only(vms...), t0.Add(time.Second)) // which no sample shows yet
	if d.Inputs.Ready != 2 || d.Inputs.Owned != 3 || *d.Inputs.AveragePercent != 45 || d.Desired != 3 {
		t.Errorf("before it stands by: %+v, desired %d", d.Inputs, d.Desired)
	}
	order := st.Orders["1"]
	vms[0].Order, vms[0].Phase = &order, bus.PhaseStandby
	vms = append(vms, busy(serving(4, ""), 45))
	d, st = Decide(g, st, only(vms...), t0.Add(2*time.Second))
	if d.Inputs.Ready != 3 || d.Inputs.Owned != 4 || *d.Inputs.AveragePercent != 45 || d.Desired != 3 || d.Direction != bus.Hold {
		t.Errorf("with another in its place: %+v, desired %d, %s", d.Inputs, d.Desired, d.Direction)
	}
	newest = d
	if v := ask(bus.VMExitStandby, false); v.Outcome != bus.OutcomeBegun || newest.Desired != 4 || newest.Rule != bus.RuleReturned ||
		newest.Direction != bus.Out || newest.Shares["kvm1"].VMs != 4 {
		t.Errorf("%+v: desired %d, %s, %s", v, newest.Desired, newest.Rule, newest.Direction)
	}
	d, st = Decide(g, st, only(vms...), t0.Add(3*time.Second))
	if d.Inputs.Launching != 1 || d.Desired != 4 {
		t.Errorf("on its way: %+v, desired %d", d.Inputs, d.Desired)
	}
	order = st.Orders["1"]
	vms[0].Order, vms[0].Phase = &order, bus.PhaseReady
	if d, st = Decide(g, st, only(vms...), t0.Add(4*time.Second)); d.Inputs.Ready != 4 || d.Desired != 4 || len(st.Orders) != 0 {
		t.Errorf("it serves: %+v, desired %d", d.Inputs, d.Desired)
	}
}

// A request for a VM is answered by the decider that leads, and what it has begun outlives it.
func TestVMRequests(t *testing.T) {
	f := startFleet(t)
	f.spec.Policy.Interval = 50 * time.Millisecond
	f.spec.Policy.LowerPercent = 0
	acts := func() {
		t.Helper()
		h := bus.Health{
			V: bus.Version, Stage: "actuator", Instance: "a", OK: true, Time: time.Now(), Since: time.Now(),
			Acts: &bus.Acts{HostID: "kvm1", Full: []string{}, Taken: map[string][]int{}},
		}
		if err := f.conn.Publish(&h); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(verb bus.VMVerb, q bus.Query) (bus.VMAnswer, bus.Refusal) {
		t.Helper()
		a, err := client.Ask[bus.VMAnswer](t.Context(), f.connect("operator"), string(verb), q)
		var refused *bus.RefusedError
		if err != nil && !errors.As(err, &refused) {
			t.Fatal(err)
		}
		if refused != nil {
			return a, refused.Why
		}
		return a, ""
	}
	stop := f.start("one")
	f.until("three VMs", 3, func(d bus.Decision) bool { return d.Desired == 3 })
	if _, why := ask(bus.VMRemove, bus.Query{VM: "nosuch"}); why != bus.RefusalUnknownVM {
		t.Errorf("a VM that is not there: %q", why)
	}
	if _, why := ask(bus.VMRemove, bus.Query{VM: "web-1"}); why != bus.RefusalAmbiguous { // they are all called so here
		t.Errorf("a name that several have: %q", why)
	}
	if _, why := ask(bus.VMRemove, bus.Query{VM: "1"}); why != bus.RefusalUnattended {
		t.Errorf("no actuator: %q", why)
	}
	attended := func(d bus.Decision) bool { acts(); return d.HasSample && d.Guard != bus.GuardHost && d.Desired == 3 }
	f.until("an actuator is heard", 3, attended)
	for {
		if a, why := ask(bus.VMRemove, bus.Query{VM: "1", By: "ann", Reason: "slow"}); why == "" {
			if a.Outcome != bus.OutcomeBegun || a.Group != "web" || a.UUID != "1" || a.Host != "kvm1" {
				t.Errorf("%+v", a)
			}
			break
		} else if why != bus.RefusalUnattended {
			t.Fatal(why)
		}
		acts()
	}
	f.until("it is said", 3, func(d bus.Decision) bool { return d.Rule == bus.RuleRemoved && d.Desired == 2 && len(d.Orders) == 1 })
	stop()
	defer f.start("two")()
	d := f.until("another goes on", 3, func(d bus.Decision) bool { acts(); return d.HasSample && d.Seq < 3 })
	if o := d.Orders["1"]; d.Desired != 2 || o.Verb != bus.VMRemove || o.By != "ann" || o.Reason != "slow" {
		t.Errorf("desired %d, orders %+v", d.Desired, d.Orders)
	}
}

// What a policy was content with before a person changed the group's size does not undo the change until it is asked again.
func TestPoliciesFollowAPerson(t *testing.T) {
	g := spec(bounds(1, 4), func(g *bus.Group) {
		g.Policy.Types, g.Policy.Signal = []bus.PolicyType{bus.PolicyThreshold, bus.PolicyTarget}, bus.SignalLoad // which nobody says
	})
	vms := []bus.VM{serving(1, ""), serving(2, ""), serving(3, "")}
	newest, st := Decide(g, State{HasSample: true, Desired: 3, Hosts: []bus.HostID{"kvm1"}}, only(vms...), t0)
	order := bus.VMOrder{Verb: bus.VMRemove, At: t0}
	v, newest, st := OrderVM(g, st, only(vms...), newest, VMRequest{"1", order, false}, t0)
	if v.Outcome != bus.OutcomeBegun || newest.Desired != 2 {
		t.Fatalf("%+v", v)
	}
	var d bus.Decision
	if d, st = Decide(g, st, only(vms...), t0.Add(time.Second)); d.Desired != 2 {
		t.Errorf("a second later: %d, %s", d.Desired, d.Sentence)
	}
	st = st.grown(g.Policy.Limits, bus.Saying{Since: t0.Add(time.Second)})
	if d, _ = Decide(g, st, only(vms...), t0.Add(20*time.Second)); d.Desired != 3 {
		t.Errorf("after it had one more: %d, %s", d.Desired, d.Sentence)
	}
}

// Who has changed the size of a group that was scaled by hand is said, and not who scaled it before.
func TestWhoRescaled(t *testing.T) {
	bob := bus.Saying{By: "bob", Reason: "too many", Since: t0.Add(time.Minute)}
	st := State{Desired: 3, Controls: bus.Controls{
		Desired: new(3), By: "ann", Said: map[bus.Control]bus.Saying{bus.ControlDesired: {By: "ann", Since: t0}},
	}}
	for what, is := range map[string]State{"shrunk": st.shrunk(bus.Limits{}, bob), "grown": st.grown(bus.Limits{}, bob)} {
		if c := is.Controls; *c.Desired != is.Desired || c.SaidOf(bus.ControlDesired) != bob || c.By != "bob" {
			t.Errorf("%s: %+v", what, c)
		}
	}
	if st.Controls.By != "ann" || *st.Controls.Desired != 3 {
		t.Errorf("the state before has changed: %+v", st.Controls)
	}
}
