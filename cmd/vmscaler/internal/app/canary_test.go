package app

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vmscaler/vmscaler/actuator"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider"
)

// canaryFleet is a group on several hosts in virtual time, in which samples and decisions take their time, and so does each step
// of a worker: what a decision is of, and what an actuator has, are of different moments.
type canaryFleet struct {
	spec   bus.Group
	now    time.Time
	window decider.Window
	state  decider.State
	d      bus.Decision
	hosts  []*canaryHost
	ticks  int
	made   int
	draw   func(n int) int // one of n
	late   int             // by how many ticks a message is late at most
	lost   int             // one of so many messages is lost; 0: none
	old    map[string]int  // how many VMs of the template before were made since the refresh began
	fail   func(format string, args ...any)
}

type canaryHost struct {
	id       bus.HostID
	vms      []*vm.VM
	jobs     map[string]*job
	decision bus.Decision // the newest that has come
	coming   []delayed[bus.Decision]
	samples  []delayed[bus.Sample]
}

type delayed[T any] struct {
	at      int
	message T
}

// job is what a worker does about a VM, in steps of some ticks each.
type job struct {
	work   actuator.Work
	name   string // of one that creates a VM that is not defined yet
	former bool
	at     int // when the next step is
	steps  []func()
}

const canaryTick = 250 * time.Millisecond

func newCanaryFleet(spec bus.Group, vms, hosts int, draw func(n int) int, fail func(format string, args ...any)) *canaryFleet {
	f := &canaryFleet{
		spec: spec, now: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC), draw: draw, fail: fail, old: map[string]int{},
	}
	f.spec.Template = "before"
	for i := range hosts {
		f.hosts = append(f.hosts, &canaryHost{id: bus.HostID(fmt.Sprintf("id-%d", i)), jobs: map[string]*job{}})
	}
	for i := range vms {
		h := f.hosts[i%hosts]
		h.vms = append(h.vms, f.newVM(bus.VMName("web", i+1), f.spec))
		h.vms[len(h.vms)-1].Meta.Phase = bus.PhaseReady
	}
	f.scale(vms)
	f.spec.Template = "next"
	f.window.SpecHash = f.spec.Hash()
	for _, h := range f.hosts { // a decider waits for those that are known
		_ = f.window.Add(f.sample(h), f.now)
	}
	return f
}

func (f *canaryFleet) scale(n int) { f.state.Controls.Desired = &n }

func (f *canaryFleet) newVM(name string, spec bus.Group) *vm.VM {
	f.made++
	uuid := fmt.Sprintf("%08d", f.made)
	return &vm.VM{Name: name, UUID: uuid, State: bus.StateRunning, Meta: bus.Metadata{
		Group: "web", UUID: uuid, Created: f.now, Since: f.now, Phase: bus.PhaseLaunching, Template: spec.Template,
		Machine: spec.MachineHash(), Storage: spec.StorageHash(),
	}}
}

// seconds lets time pass.
func (f *canaryFleet) seconds(n int) {
	for range n * int(time.Second/canaryTick) {
		f.tick()
	}
}

func (f *canaryFleet) tick() {
	f.ticks++
	f.now = f.now.Add(canaryTick)
	perSecond := int(time.Second / canaryTick)
	for i, h := range f.hosts {
		h.work(f)
		if (f.ticks+i)%2 == 0 && f.arrives() {
			h.samples = append(h.samples, delayed[bus.Sample]{f.ticks + f.draw(f.late+1), f.sample(h)})
		}
		for len(h.samples) > 0 && h.samples[0].at <= f.ticks {
			_ = f.window.Add(h.samples[0].message, f.now) // one that is older than the last is refused
			h.samples = h.samples[1:]
		}
	}
	if f.ticks%perSecond == 0 {
		f.d, f.state = decider.Decide(f.spec, f.state, f.window.Take(f.now, 5*time.Second), f.now)
		for _, h := range f.hosts {
			if f.arrives() {
				h.coming = append(h.coming, delayed[bus.Decision]{f.ticks + f.draw(f.late+1), f.d})
			}
		}
	}
	for _, h := range f.hosts {
		for len(h.coming) > 0 && h.coming[0].at <= f.ticks {
			h.decision, h.coming = h.coming[0].message, h.coming[1:]
		}
		if h.decision.HasSample {
			f.act(h)
		}
	}
	owned := 0
	for _, h := range f.hosts {
		owned += len(h.vms)
	}
	if owned > f.spec.Max {
		f.fail("%d VMs are owned, and max is %d", owned, f.spec.Max)
	}
}

// arrives reports whether a message is not lost.
func (f *canaryFleet) arrives() bool { return f.lost == 0 || f.draw(f.lost) > 0 }

func (f *canaryFleet) sample(h *canaryHost) bus.Sample {
	s := bus.Sample{
		V: bus.Version, Group: "web", HostID: h.id, Host: string(h.id), Instance: "c", Time: f.now, SpecHash: f.window.SpecHash,
	}
	for _, v := range h.vms {
		s.VMs = append(s.VMs, bus.VM{
			Name: v.Name, UUID: v.UUID, State: v.State, Phase: v.Meta.Phase, Created: v.Meta.Created, PhaseSince: v.Meta.Since,
			Template: v.Meta.Template, Machine: v.Meta.Machine, Storage: v.Meta.Storage, Retiring: v.Retiring(),
			CPUPercent: new(30.0),
		})
	}
	return s
}

// act is one look of an actuator.
func (f *canaryFleet) act(h *canaryHost) {
	d := h.decision
	s := actuator.Situation{
		Spec: f.spec, Now: f.now, Work: map[string]actuator.Work{}, Sick: map[string]string{}, Taken: map[string]bool{},
		CPU: map[string]float64{}, BootSlots: 3, Controls: d.Controls, Build: d.Refresh.Build(f.spec),
	}
	s.Follow(d, h.id)
	for _, v := range h.vms {
		s.Owned = append(s.Owned, *v)
		s.Taken[v.Name] = true
	}
	for uuid, j := range h.jobs {
		if j.name == "" {
			s.Work[uuid] = j.work
			continue
		}
		s.Creating, s.Taken[j.name] = append(s.Creating, j.name), true
		if j.former {
			s.Former++
		}
	}
	f.carryOut(h, d, actuator.Plan(s))
}

// carryOut starts workers.
func (f *canaryFleet) carryOut(h *canaryHost, d bus.Decision, plan actuator.Actions) {
	build := d.Refresh.Build(f.spec)
	for _, v := range plan.Retire {
		if !build.Outdated(v.Meta.Made()) {
			f.fail("%s is up to date, and retires", v.Name)
		}
		v := h.vm(v.UUID)
		f.start(h, v.UUID, job{work: actuator.Marking}, func() { v.Meta.Retiring = f.now })
	}
	for _, v := range plan.Unretire {
		v := h.vm(v.UUID)
		f.start(h, v.UUID, job{work: actuator.Marking}, func() { v.Meta.Retiring = time.Time{} })
	}
	for _, r := range plan.Keep {
		delete(h.jobs, r.VM.UUID)
		f.enter(h, r.VM.UUID, bus.PhaseReady)
	}
	for _, r := range slices.Concat(plan.Remove, plan.Cancel) {
		work := actuator.Removing
		if r.Kind == vm.ScaleIn && r.Graceful {
			work = actuator.Draining
		}
		f.start(h, r.VM.UUID, job{work: work},
			func() { f.enter(h, r.VM.UUID, bus.PhaseDraining) },
			func() { h.jobs[r.VM.UUID].work = actuator.Removing },
			func() {
				h.vms = slices.DeleteFunc(h.vms, func(v *vm.VM) bool { return v.UUID == r.VM.UUID })
			})
	}
	for _, name := range plan.Create {
		spec, former := d.Refresh.InForce(f.spec), slices.Contains(plan.Former, name)
		if former {
			spec = d.Refresh.Former(f.spec)
			f.old[name]++
		}
		v := f.newVM(name, spec)
		f.start(h, v.UUID, job{work: actuator.BringingUp, name: name, former: former},
			func() { h.vms, h.jobs[v.UUID].name = append(h.vms, v), "" },
			func() {}, func() {},
			func() { f.enter(h, v.UUID, bus.PhaseReady) })
	}
}

// start has a worker do some steps.
func (f *canaryFleet) start(h *canaryHost, uuid string, j job, steps ...func()) {
	j.at, j.steps = f.ticks+1+f.draw(3), steps
	h.jobs[uuid] = &j
}

// work does what is due of the host's workers.
func (h *canaryHost) work(f *canaryFleet) {
	for _, uuid := range h.working() {
		j := h.jobs[uuid]
		if j.at > f.ticks {
			continue
		}
		step := j.steps[0]
		step()
		j.at, j.steps = f.ticks+1+f.draw(8), j.steps[1:]
		if len(j.steps) == 0 {
			delete(h.jobs, uuid)
		}
	}
}

// working are the UUIDs of VMs that something is being done to.
func (h *canaryHost) working() (uuids []string) {
	for uuid := range h.jobs {
		uuids = append(uuids, uuid)
	}
	slices.Sort(uuids)
	return uuids
}

func (h *canaryHost) vm(uuid string) *vm.VM {
	i := slices.IndexFunc(h.vms, func(v *vm.VM) bool { return v.UUID == uuid })
	return h.vms[i]
}

func (f *canaryFleet) enter(h *canaryHost, uuid string, phase bus.Phase) {
	v := h.vm(uuid)
	v.Meta.Phase, v.Meta.Since = phase, f.now
}

// count is how many VMs of each template there are that stay.
func (f *canaryFleet) count() (before, next int) {
	for _, h := range f.hosts {
		for _, v := range h.vms {
			switch {
			case v.Meta.Phase.Leaving() || v.Retiring() || v.Off():
			case v.Meta.Template == "next":
				next++
			default:
				before++
			}
		}
	}
	return before, next
}

// comes sees that there are so many VMs, from least to most of them of the new template, with the refresh in a phase, and that
// the group rests then.
func (f *canaryFleet) comes(desired, least, most int, phase bus.RefreshPhase) {
	is := func() bool {
		before, next := f.count()
		return before+next == desired && next >= least && next <= most && f.d.Refresh.Phase == phase
	}
	for range 240 {
		if f.seconds(1); is() {
			break
		}
	}
	made := f.made
	if f.seconds(15); !is() || f.made != made {
		before, next := f.count()
		f.fail("there are %d VMs of before and %d of next, want %d, of next %d to %d, and %d were made: %+v",
			before, next, desired, least, most, f.made-made, f.d.Refresh)
	}
}

// resume lets the refresh go on, as a person does.
func (f *canaryFleet) resume() {
	r := *f.state.Refresh
	r.Canary, r.CanaryPercent, r.Phase = 0, 0, bus.RefreshRunning
	f.state.Refresh = &r
}

func canaryGroup(least, most int) bus.Group {
	spec := bus.DefaultGroup()
	spec.Name, spec.Min, spec.Max = "web", least, most
	spec.Brakes.Removals, spec.Policy.Warmup = most, 0
	return spec
}

// TestCanaryLoop: a canary is made once, keeps its size while its group grows and shrinks, and is let go, whatever a decision and
// the hosts' VMs have of each other at a moment.
func TestCanaryLoop(t *testing.T) {
	for name, tt := range map[string]struct {
		vms, least, canary, percent int
		grown, of, shrunk, left     int // VMs, and of them those of the canary
	}{
		"one, at min":         {vms: 2, least: 2, canary: 1, grown: 4, of: 1, shrunk: 2, left: 1},
		"one, above min":      {vms: 3, least: 1, canary: 1, grown: 8, of: 1, shrunk: 2, left: 1},
		"two":                 {vms: 4, least: 4, canary: 2, grown: 8, of: 2, shrunk: 4, left: 2},
		"20 percent":          {vms: 5, least: 2, percent: 20, grown: 8, of: 2, shrunk: 3, left: 1},
		"half of it, at min":  {vms: 4, least: 4, percent: 50, grown: 8, of: 4, shrunk: 4, left: 2},
		"a small share is 1":  {vms: 3, least: 3, percent: 1, grown: 6, of: 1, shrunk: 3, left: 1},
		"rounded up, at min":  {vms: 2, least: 2, percent: 30, grown: 4, of: 2, shrunk: 2, left: 1},
		"all of it":           {vms: 2, least: 2, canary: 2, grown: 4, of: 2, shrunk: 2, left: 2},
		"more than there are": {vms: 1, least: 0, canary: 2, grown: 3, of: 2, shrunk: 0, left: 0},
	} {
		for hosts := 1; hosts <= 3; hosts++ {
			spec := canaryGroup(tt.least, 9)
			spec.Refresh.Canary, spec.Refresh.CanaryPercent = tt.canary, tt.percent
			f := newCanaryFleet(spec, tt.vms, hosts, func(n int) int { return n / 2 }, func(format string, args ...any) {
				t.Helper()
				t.Errorf("%s, on %d hosts: %s", name, hosts, fmt.Sprintf(format, args...))
			})
			f.late = 2
			first := min(tt.vms, max(tt.canary, (tt.vms*tt.percent+99)/100))
			f.comes(tt.vms, first, first, bus.RefreshCanary)
			if len(f.old) > 0 {
				t.Errorf("%s, on %d hosts: of the template before were made: %v", name, hosts, f.old)
			}
			f.scale(tt.grown)
			f.comes(tt.grown, tt.of, tt.of, bus.RefreshCanary)
			if made := f.made - tt.vms - first; made != tt.grown-tt.vms {
				t.Errorf("%s, on %d hosts: %d were made to grow by %d", name, hosts, made, tt.grown-tt.vms)
			}
			f.scale(tt.shrunk)
			f.comes(tt.shrunk, tt.left, tt.left, bus.RefreshCanary)
			f.resume()
			f.comes(tt.shrunk, tt.shrunk, tt.shrunk, bus.RefreshDone)
		}
	}
}

// TestCanaryLoopInvariants: the same of any group, with messages that are late or lost and VMs that die. When it shrinks, VMs
// that do not serve go first, so that more than its share may be left of the canary.
func TestCanaryLoopInvariants(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		least := rapid.IntRange(0, 4).Draw(t, "min")
		most := rapid.IntRange(least+2, 9).Draw(t, "max")
		spec := canaryGroup(least, most)
		if spec.Refresh.Canary = rapid.IntRange(0, 3).Draw(t, "canary"); spec.Refresh.Canary == 0 {
			spec.Refresh.CanaryPercent = rapid.IntRange(1, 100).Draw(t, "percent")
		}
		desired := rapid.IntRange(max(1, least), most-1).Draw(t, "VMs")
		chance := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		f := newCanaryFleet(spec, desired, rapid.IntRange(1, 3).Draw(t, "hosts"), chance.IntN, t.Fatalf)
		f.late, f.lost = rapid.IntRange(0, 5).Draw(t, "late"), rapid.SampledFrom([]int{0, 4, 10}).Draw(t, "lost")
		f.seconds(5) // it begins
		refresh := bus.Refresh{Phase: bus.RefreshCanary, Canary: spec.Refresh.Canary, CanaryPercent: spec.Refresh.CanaryPercent}
		largest := 0 // that the canary was since, if it is smaller now
		for range rapid.IntRange(1, 8).Draw(t, "changes") {
			switch rapid.IntRange(0, 3).Draw(t, "change") {
			case 0:
				largest = max(largest, refresh.CanaryOf(desired))
				desired = rapid.IntRange(least, most-1).Draw(t, "desired")
				f.scale(desired)
			case 1:
				f.kill()
			}
			f.seconds(rapid.IntRange(0, 30).Draw(t, "seconds"))
		}
		f.late, f.lost = 1, 0 // so that each decision is of a new sample
		canary, phase := refresh.CanaryOf(desired), bus.RefreshCanary
		if f.seconds(60); desired == 0 && f.d.Refresh.Phase == bus.RefreshRunning { // as it has not stood there before
			phase = bus.RefreshRunning
		}
		f.comes(desired, canary, min(desired, max(canary, largest)), phase)
		f.resume()
		f.comes(desired, desired, desired, bus.RefreshDone)
	})
}

// kill has a VM that serves die.
func (f *canaryFleet) kill() {
	h := f.hosts[f.draw(len(f.hosts))]
	if len(h.vms) == 0 {
		return
	}
	if v := h.vms[f.draw(len(h.vms))]; h.jobs[v.UUID] == nil && v.Serves() {
		v.State = bus.StateShutoff
	}
}
