package app

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vmscaler/vmscaler/actuator"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider"
)

// fleet is a host and a group on it in virtual time: the decider's and the actuator's own rules, and VMs to which
// everything can happen.
type fleet struct {
	spec    bus.Group
	now     time.Time
	load    float64 // of the whole group, in percent of one VM
	vms     []*simVM
	made    int
	state   decider.State
	wanted  bus.Decision
	holds   int // steps for which wanted still holds
	foreign map[string]bool
	// miscounted is that a VM counted as ready that does not serve, such as one of the warm pool.
	miscounted string
	excess     int // VMs that were there when a reload lowered max, and are since
}

// simVM is a VM and the worker that is busy with it.
type simVM struct {
	vm.VM
	up, down int  // steps until it is ready, or gone; 0: no such worker
	drains   bool // the removal can be called off
	sick     bool
}

func newFleet(t *rapid.T) *fleet {
	spec := bus.DefaultGroup()
	spec.Name, spec.Min = "web", rapid.IntRange(0, 3).Draw(t, "min")
	spec.Max = max(1, spec.Min+rapid.IntRange(0, 4).Draw(t, "room"))
	spec.IdleToZero = time.Duration(rapid.IntRange(0, 10).Draw(t, "idle to zero")) * time.Second
	spec.WakeFor = time.Duration(rapid.IntRange(0, 10).Draw(t, "wake for")) * time.Second
	spec.ScaleIn = rapid.SliceOfNDistinct(rapid.SampledFrom(bus.ScaleIns()), 1, 3, rapid.ID[bus.ScaleIn]).Draw(t, "orders")
	spec.Drain = time.Duration(rapid.IntRange(0, 5).Draw(t, "drain")) * time.Second
	spec.WarmPool = drawPool(t)
	spec.Policy.LowerPercent = 10 // far enough from upper for all of these groups
	return &fleet{spec: spec, now: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC), foreign: map[string]bool{"web-2": true}}
}

// drawPool is a warm pool, or none.
func drawPool(t *rapid.T) bus.WarmPool {
	return bus.WarmPool{
		Size: bus.WarmSize{
			VMs: rapid.IntRange(0, 3).Draw(t, "warm"), Rest: rapid.IntRange(0, 3).Draw(t, "rest") == 0,
		},
		State:  rapid.SampledFrom([]bus.WarmState{bus.WarmPaused, bus.WarmSaved, bus.WarmStopped}).Draw(t, "waits"),
		MaxAge: time.Duration(rapid.IntRange(0, 1).Draw(t, "max age")) * 5 * time.Minute,
	}
}

// work lets a second pass in which workers go on.
func (f *fleet) work() {
	f.now = f.now.Add(time.Second)
	for _, vm := range f.vms {
		switch {
		case vm.up > 1:
			if vm.up--; vm.up == 1 && !vm.Meta.Handed.IsZero() {
				vm.State = bus.StateRunning
			}
		case vm.up == 1:
			vm.up = 0
			vm.Meta.Since, vm.Meta.Handed = f.now, time.Time{}
			if vm.Meta.Phase != bus.PhasePreparing {
				vm.Meta.Phase = bus.PhaseReady
				continue
			}
			vm.Meta.Phase = bus.PhaseWarm
			f.park(vm)
		case vm.down > 0:
			vm.down--
			vm.drains = vm.drains && vm.down > 2
			if vm.down == 1 {
				vm.Meta.Phase, vm.State = bus.PhaseStopping, bus.StateShutoff
			}
		}
	}
	f.vms = slices.DeleteFunc(f.vms, func(vm *simVM) bool { return vm.Meta.Phase == bus.PhaseStopping && vm.down == 0 })
}

// park has a VM of the warm pool stand still.
func (f *fleet) park(vm *simVM) {
	vm.State = map[bus.WarmState]bus.State{
		bus.WarmPaused: bus.StatePaused, bus.WarmSaved: bus.StateSaved, bus.WarmStopped: bus.StateShutoff,
	}[f.spec.WarmPool.State]
}

// cpu is what the collector reads of a VM; nil is unknown.
func (f *fleet) cpu(vm *simVM) *float64 {
	serving := 0
	for _, other := range f.vms {
		if other.Meta.Phase == bus.PhaseReady && other.State == bus.StateRunning {
			serving++
		}
	}
	switch {
	case vm.State != bus.StateRunning:
		return nil
	case vm.Meta.Phase != bus.PhaseReady && vm.Meta.Phase != bus.PhaseDraining: // it boots, or shuts down
		return new(100.0)
	}
	return new(min(100, f.load/float64(max(1, serving))))
}

// decide is one evaluation by a sample of now, or of what came instead of one.
func (f *fleet) decide(sampled, known bool) {
	var d bus.Decision
	d, f.state = decider.Decide(f.spec, f.state, f.observe(sampled, known), f.now)
	f.wanted, f.holds = d, 5
	ready := 0
	for _, vm := range f.vms {
		if vm.Serves() {
			ready++
		}
	}
	if in := d.Inputs; in.Ready+in.Warming > ready {
		f.miscounted = fmt.Sprintf("%d count as ready, of %d that serve: %s", in.Ready+in.Warming, ready, f)
	}
}

// ask is what a person wants of a VM.
func (f *fleet) ask(v *simVM, verb bus.VMVerb, keepSize bool) {
	if !f.wanted.HasSample {
		return
	}
	verdict, d, next := decider.OrderVM(f.spec, f.state, f.observe(true, true), f.wanted, decider.VMRequest{
		UUID: v.UUID, Order: bus.VMOrder{Verb: verb, At: f.now}, KeepSize: keepSize,
	}, f.now)
	if verdict.Outcome == bus.OutcomeBegun || verdict.Outcome == bus.OutcomeQueued {
		f.wanted, f.holds, f.state = d, 5, next
	}
}

func (f *fleet) observe(sampled, known bool) decider.Observation {
	obs := decider.Observation{Hosts: []decider.HostObservation{{ID: "kvm1", Name: "kvm1", Time: f.now}}, Fresh: 1}
	for _, vm := range f.vms {
		v := bus.VM{
			Name: vm.Name, UUID: vm.UUID, State: vm.State, Phase: vm.Meta.Phase, Created: vm.Meta.Created, PhaseSince: vm.Meta.Since,
			Order: vm.Order, Protected: vm.Protected, Handed: !vm.Meta.Handed.IsZero(),
		}
		if known {
			v.CPUPercent = f.cpu(vm)
		}
		obs.Hosts[0].VMs = append(obs.Hosts[0].VMs, v)
	}
	for name := range f.foreign {
		if n, ok := bus.VMNumber("web", name); ok {
			obs.Hosts[0].Taken = append(obs.Hosts[0].Taken, n)
		}
	}
	if !sampled {
		obs.Fresh, obs.Hosts[0].Trouble = 0, decider.Silent
	}
	return obs
}

// act does what the actuator would.
func (f *fleet) act() {
	s := actuator.Situation{
		Spec: f.spec, Desired: actuator.Unknown, Work: map[string]actuator.Work{}, Sick: map[string]string{},
		Taken: map[string]bool{}, CPU: map[string]float64{}, BootSlots: 2, Controls: f.wanted.Controls,
		Orders: f.wanted.Orders, Now: f.now,
	}
	if f.holds--; f.holds > 0 && f.wanted.HasSample {
		s.Desired = min(max(f.wanted.Shares["kvm1"].VMs, f.spec.Min), f.spec.Max)
		s.Numbers, s.ScaleIn = f.wanted.Shares["kvm1"].Numbers, f.wanted.Direction == bus.In
		s.Refresh.Release = f.wanted.Shares["kvm1"].Release
		s.Warm = f.wanted.Shares["kvm1"].Warm
	}
	for name := range f.foreign {
		s.Taken[name] = true
	}
	for _, vm := range f.vms {
		s.Owned = append(s.Owned, vm.VM)
		s.Taken[vm.Name] = true
		if vm.up > 0 || vm.down > 0 {
			switch {
			case vm.up > 0:
				s.Work[vm.UUID] = actuator.BringingUp
			case vm.drains:
				s.Work[vm.UUID] = actuator.Draining
			default:
				s.Work[vm.UUID] = actuator.Removing
			}
		}
		if cpu := f.cpu(vm); cpu != nil {
			s.CPU[vm.UUID] = *cpu
		}
		if (vm.sick || vm.Order.Is(bus.VMUnhealthy)) && vm.Meta.Phase.Serves() && vm.State == bus.StateRunning {
			s.Sick[vm.UUID] = "silent"
		}
	}
	plan := actuator.Plan(s)
	for _, n := range plan.Note {
		if f.vm(n.VM.UUID).Order = &n.Order; n.Order.Verb == "" {
			f.vm(n.VM.UUID).Order = nil
		}
	}
	for _, vm := range plan.StandBy {
		f.vm(vm.UUID).Meta.Phase = bus.PhaseStandby
	}
	for _, v := range plan.Return {
		vm := f.vm(v.UUID)
		vm.up, vm.Meta.Phase, vm.Meta.Since = 4, bus.PhaseLaunching, f.now
	}
	for _, v := range plan.Detach { // and its name is taken from then on
		f.foreign[v.Name] = true
		f.vms = slices.DeleteFunc(f.vms, func(vm *simVM) bool { return vm.UUID == v.UUID })
	}
	for _, r := range plan.Keep {
		vm := f.vm(r.VM.UUID)
		vm.down, vm.drains, vm.Meta.Phase = 0, false, bus.PhaseReady
	}
	for _, vm := range plan.Await {
		f.vm(vm.UUID).up = 3
	}
	f.warm(plan)
	for _, r := range slices.Concat(plan.Cancel, plan.Remove) {
		calledOff := r.Kind != vm.Sick
		vm := f.vm(r.VM.UUID)
		vm.up, vm.down = 0, 2
		if r.Graceful && vm.State == bus.StateRunning {
			vm.Meta.Phase, vm.down = bus.PhaseDraining, 3+int(f.spec.Drain/time.Second)
			vm.drains = calledOff
		}
	}
	for _, name := range plan.Create {
		f.create(name, bus.PhaseLaunching)
	}
	for _, name := range plan.Prepare {
		f.create(name, bus.PhasePreparing)
	}
}

func (f *fleet) create(name string, phase bus.Phase) {
	f.made++
	uuid := fmt.Sprintf("%08d", f.made)
	f.vms = append(f.vms, &simVM{up: 4, VM: vm.VM{Name: name, UUID: uuid, State: bus.StateRunning, Meta: bus.Metadata{
		Group: "web", Template: f.spec.Template, UUID: uuid, Created: f.now, Since: f.now, Phase: phase,
	}}})
}

// warm does what a plan says of the warm pool. A VM that is handed over runs a step later, so that it is seen standing still.
func (f *fleet) warm(plan actuator.Actions) {
	for _, v := range plan.HandOver {
		vm := f.vm(v.UUID)
		vm.up, vm.Meta.Phase, vm.Meta.Since, vm.Meta.Handed = 3, bus.PhaseLaunching, f.now, f.now
		if vm.State == bus.StateShutoff {
			vm.State = bus.StateRunning
		}
	}
	for _, v := range plan.Promote {
		f.vm(v.UUID).up = 0
	}
	for _, v := range plan.Park {
		f.park(f.vm(v.UUID))
	}
}

func (f *fleet) vm(uuid string) *simVM {
	return f.vms[slices.IndexFunc(f.vms, func(vm *simVM) bool { return vm.UUID == uuid })]
}

// happen is one thing that happens to a fleet from outside.
func (f *fleet) happen(t *rapid.T) {
	var vm *simVM
	if len(f.vms) > 0 {
		vm = rapid.SampledFrom(f.vms).Draw(t, "vm")
	}
	switch what := rapid.SampledFrom([]string{
		"load", "died", "undefined", "suspended", "resumed", "sick", "well", "protected", "unprotected", "paused", "actuator",
		"decider", "foreign", "asked", "asked", "woken", "reloaded",
	}).Draw(t, "what"); {
	case what == "load":
		f.load = rapid.Float64Range(0, 600).Draw(t, "load")
	case what == "paused":
		f.state.Controls.Paused = rapid.SliceOfNDistinct(rapid.SampledFrom(bus.Scopes()), 0, 3, rapid.ID).Draw(t, "scopes")
	case what == "decider": // another one takes over
		f.state = decider.State{PreviousDesired: new(f.state.Desired), Controls: f.state.Controls}
	case what == "actuator": // killed and started again
		for _, vm := range f.vms {
			vm.up, vm.down, vm.drains = 0, 0, false
		}
	case what == "woken":
		f.state.Wake = decider.Wake{Until: f.now.Add(f.spec.WakeFor), By: "ann"}
	case what == "reloaded":
		f.reload(t)
	case what == "foreign":
		f.foreign[fmt.Sprintf("web-%d", rapid.IntRange(1, 9).Draw(t, "number"))] = true
	case vm == nil:
	case what == "died":
		vm.State, vm.up = bus.StateShutoff, 0
	case what == "undefined":
		f.vms = slices.DeleteFunc(f.vms, func(other *simVM) bool { return other == vm })
	case what == "suspended" && vm.State == bus.StateRunning:
		vm.State = bus.StatePaused
	case what == "resumed" && vm.State == bus.StatePaused:
		vm.State = bus.StateRunning
	case what == "asked":
		f.ask(vm, rapid.SampledFrom(bus.VMVerbs()).Draw(t, "verb"), rapid.Bool().Draw(t, "keep size"))
	case what == "sick":
		vm.sick = true
	case what == "well":
		vm.sick = false
	case what == "protected":
		vm.Protected = true
	case what == "unprotected":
		vm.Protected = false
	}
}

// reload is another spec of the group from now on, as of a config that was changed. No decision goes by it before the collector
// does, too.
func (f *fleet) reload(t *rapid.T) {
	f.spec.Min = rapid.IntRange(0, 3).Draw(t, "new min")
	f.spec.Max = max(1, f.spec.Min+rapid.IntRange(0, 4).Draw(t, "new room"))
	f.spec.Drain = time.Duration(rapid.IntRange(0, 5).Draw(t, "new drain")) * time.Second
	f.spec.WarmPool = drawPool(t)
	f.excess = len(f.vms)
	obs := f.observe(true, true)
	obs.Hosts[0].Trouble = decider.Mismatched
	f.wanted, f.state = decider.Decide(f.spec, f.state.Under(f.spec), obs, f.now)
	if f.holds = 5; f.wanted.Direction == bus.In {
		t.Fatalf("scales in by another config's samples: %+v", f.wanted)
	}
}

// check is what holds at every moment.
func (f *fleet) check(t *rapid.T) {
	f.excess = min(f.excess, len(f.vms)) // never more again
	if n := len(f.vms); n > max(f.spec.Max, f.excess) {
		t.Fatalf("%d VMs are owned, max is %d", n, f.spec.Max)
	}
	if d := f.wanted; d.HasSample && (d.Desired < f.spec.Min || d.Desired > f.spec.Max) {
		t.Fatalf("desired %d, min %d, max %d", d.Desired, f.spec.Min, f.spec.Max)
	}
	names := map[string]bool{}
	for _, vm := range f.vms {
		if names[vm.Name] {
			t.Fatalf("two VMs are called %s", vm.Name)
		}
		names[vm.Name] = true
	}
	if f.miscounted != "" {
		t.Fatal(f.miscounted)
	}
}

// TestLoopSettles: whatever happens to VMs, samples, stages and people's minds, min <= desired <= max and owned <= max
// hold at every moment; and when nothing happens any more the group comes to rest, with as many VMs as desired.
func TestLoopSettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := newFleet(t)
		for range rapid.IntRange(0, 80).Draw(t, "steps") {
			for range rapid.IntRange(0, 2).Draw(t, "events") {
				f.happen(t)
			}
			f.work()
			if rapid.IntRange(0, 9).Draw(t, "decides") > 0 {
				f.decide(rapid.IntRange(0, 9).Draw(t, "sampled") > 0, rapid.IntRange(0, 9).Draw(t, "known") > 0)
			}
			f.act()
			f.check(t)
		}
		// Nothing happens any more, and nobody stands in the way.
		f.state.Controls = bus.Controls{}
		for _, vm := range f.vms {
			vm.sick, vm.Protected = false, false
			if vm.State == bus.StatePaused && vm.Meta.Phase != bus.PhaseWarm {
				vm.State = bus.StateRunning
			}
		}
		rest := 0
		for step := 0; rest < 30; step++ {
			if step > 300 {
				t.Fatalf("no rest after %d s: desired %d, %q; VMs %s", step, f.wanted.Desired, f.wanted.Sentence, f)
			}
			before := f.wanted.Desired
			for _, vm := range f.vms {
				if vm.Meta.Phase.StandsBy() {
					f.ask(vm, bus.VMRemove, true)
				}
			}
			f.work()
			f.decide(true, true)
			f.act()
			f.check(t)
			if f.wanted.Desired != before || !f.quiet() {
				rest = 0
			}
			rest++
		}
	})
}

// quiet reports whether there are as many VMs as desired, all ready, as many in the warm pool as it is to have, and nobody is
// busy.
func (f *fleet) quiet() bool {
	warm := f.spec.WarmPool.Wants(f.wanted.Desired, f.spec.Max, 0)
	return len(f.vms) == f.wanted.Desired+warm && !slices.ContainsFunc(f.vms, func(vm *simVM) bool {
		if vm.Meta.Phase == bus.PhaseWarm {
			warm--
			return vm.State == bus.StateRunning || vm.down > 0 || vm.Order != nil
		}
		return vm.Meta.Phase != bus.PhaseReady || vm.State != bus.StateRunning || vm.up > 0 || vm.down > 0 || vm.Order != nil
	}) && warm == 0
}

func (f *fleet) String() string {
	text := ""
	for _, vm := range f.vms {
		text += fmt.Sprintf("%s %s %s up %d down %d; ", vm.Name, vm.Meta.Phase, vm.State, vm.up, vm.down)
	}
	return text
}
