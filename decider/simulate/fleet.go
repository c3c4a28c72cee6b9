package simulate

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider"
	"github.com/vmscaler/vmscaler/decider/policy"
)

// Params are what is the same for all policies of a comparison. VMs have one vCPU.
type Params struct {
	Boot     time.Duration // from a VM's creation to ready
	Handover time.Duration // from the decision to have a VM of the warm pool serve until it does; whole seconds, 1 s at least
	Delete   time.Duration // until a VM that is removed costs nothing any more
	Min, Max int           // Min is 1 at least: what wakes a group that has no VM is not in a trace
	Noise    float64       // standard deviation of a VM's CPU reading of one second, in points
	World
	Seed  uint64
	Start time.Time  // when the trace begins, for schedules; zero is a Monday
	Own   *bus.Group // of the policy "own"; nil is not known
	Base  bus.Group  // of the group's own policies, but for which one it is; its warm pool's VMs wait paused
}

// World is what is harder than the reference. Its zero value adds nothing.
type World struct {
	BootSpread float64 // standard deviation of the boot times, as a share of Params.Boot
	Failing    float64 // share of the launches that fail, at the time when they would be ready
	Missing    float64 // share of the VMs' CPU readings of one second that get lost
	Uneven     float64 // standard deviation of what each VM gets of the load, as a share of the mean
}

// Reference are the parameters that policies are compared in.
func Reference() Params {
	return Params{
		Boot: 30 * time.Second, Handover: time.Second, Delete: 2 * time.Second, Min: 1, Max: 25, Noise: 5, Seed: 1,
		Base: bus.DefaultGroup(),
	}
}

// Controller decides for the simulated group.
type Controller interface {
	// Decide returns the desired number of VMs.
	Decide(f *Fleet, now time.Time) int
	Interval() time.Duration
}

// monday is when a simulation begins that does not say so.
var monday = time.Date(2026, 1, 5, 0, 0, 0, 0, time.UTC)

// at is a second of a simulation.
func (p Params) at(second int) time.Time {
	start := p.Start
	if start.IsZero() {
		start = monday
	}
	return start.Add(time.Duration(second) * time.Second)
}

// Fleet is the simulated group.
type Fleet struct {
	params  Params
	vms     []vm  // by age, the oldest first
	pool    []vm  // of the warm pool, by age
	warm    int   // how many of these were decided last
	deleted []int // seconds at which VMs that are removed are gone
	second  int   // that comes next, or is served
	desired int
	boot    time.Duration // measured
	count   int           // of VMs made so far
	random  *rand.Rand
	sum     float64 // of the ready VMs' readings since the last decision
	n       int
	seen    []bus.VM  // of the last observation
	means   []float64 // what its VMs used
}

type vm struct {
	bus.VM
	ready int // second from which on it serves
	fails bool
	share float64 // of the load, beside those of the others
	sum   float64
	n     int
}

func newFleet(w Params, vms int) *Fleet {
	f := &Fleet{params: w, desired: vms, random: rand.New(rand.NewPCG(w.Seed, 7))}
	for range vms {
		v := f.made()
		v.ready = 0
		f.vms = append(f.vms, v)
	}
	f.step(0)
	return f
}

// made is another VM, which boots.
func (f *Fleet) made() vm {
	f.count++
	now := f.params.at(f.second)
	boot := f.params.Boot.Seconds()
	fails, share := false, 1.
	if w := f.params.World; w != (World{}) {
		boot = max(1, boot*(1+w.BootSpread*f.random.NormFloat64()))
		share = max(.1, 1+w.Uneven*f.random.NormFloat64())
		fails = f.random.Float64() < w.Failing
	}
	return vm{
		fails: fails, share: share,
		VM: bus.VM{
			Name: fmt.Sprintf("sim-%d", f.count), UUID: fmt.Sprintf("%08d-0000-4000-8000-000000000000", f.count),
			State: bus.StateRunning, Phase: bus.PhaseLaunching, PhaseSince: now, Created: now, VCPUs: 1,
		},
		ready: f.second + int(math.Round(boot)),
	}
}

// step moves the fleet to a second, and returns how many VMs serve.
func (f *Fleet) step(second int) (ready int) {
	f.second = second
	f.stepPool(second)
	for i := len(f.vms) - 1; i >= 0; i-- {
		if f.vms[i].fails && f.vms[i].ready <= second {
			f.vms = slices.Delete(f.vms, i, i+1)
		}
	}
	for i := range f.vms {
		v := &f.vms[i]
		if v.ready > second {
			continue
		}
		if v.Phase != bus.PhaseReady {
			v.Phase, v.PhaseSince, v.Handed = bus.PhaseReady, f.params.at(second), false
			if v.BootedAt == nil { // else in the warm pool
				v.BootedAt = new(v.PhaseSince)
			}
			took := v.BootedAt.Sub(v.Created)
			if took > 0 {
				f.boot = measured(f.boot, took)
			}
		}
		ready++
	}
	for len(f.deleted) > 0 && f.deleted[0] <= second {
		f.deleted = f.deleted[1:]
	}
	return ready
}

// measured is the mean boot time with one more: new ones count for a fifth.
func measured(before, now time.Duration) time.Duration {
	if before == 0 {
		return now
	}
	return before + (now-before)/5
}

// serve lets the ready VMs work for one second. It returns what of the demand they could not do, and what VMs above 90 % CPU were
// asked for, in vCPUs.
func (f *Fleet) serve(demand float64) (lost, high float64) {
	shares := 0.
	for i := range f.vms {
		if f.vms[i].Phase == bus.PhaseReady {
			shares += f.vms[i].share
		}
	}
	if shares == 0 {
		return demand, demand
	}
	for i := range f.vms {
		v := &f.vms[i]
		if v.Phase != bus.PhaseReady {
			continue
		}
		asked := demand * v.share / shares
		lost += max(0, asked-1)
		if asked > .9 {
			high += asked
		}
		reading := min(100, max(0, 100*min(1, asked)+f.params.Noise*f.random.NormFloat64()))
		if f.params.Missing > 0 && f.random.Float64() < f.params.Missing {
			continue
		}
		v.sum, v.n = v.sum+reading, v.n+1
		f.sum, f.n = f.sum+reading, f.n+1
	}
	return lost, high
}

// scale makes the fleet have that many VMs, of its warm pool before others. Those that are not ready go first, and then the
// newest.
func (f *Fleet) scale(desired int) (changes int) {
	f.desired = desired
	for len(f.vms) < desired {
		if f.handOver() {
			continue
		}
		f.vms = append(f.vms, f.made())
		changes++
	}
	for len(f.vms) > desired {
		f.vms = slices.Delete(f.vms, f.last(), f.last()+1)
		f.deleted = append(f.deleted, f.second+int(f.params.Delete/time.Second))
		changes++
	}
	return changes
}

// last is the VM that goes first: the newest, which is one that boots if there is any.
func (f *Fleet) last() int {
	for i := len(f.vms) - 1; i >= 0; i-- {
		if f.vms[i].Phase != bus.PhaseReady {
			return i
		}
	}
	return len(f.vms) - 1
}

// reading is what a policy sees.
func (f *Fleet) reading(now time.Time) policy.Reading {
	r := policy.Reading{Now: now, Boot: f.boot, Desired: f.desired, Min: f.params.Min, Max: f.params.Max}
	for i := range f.vms {
		if f.vms[i].Phase == bus.PhaseReady {
			r.Ready++
		} else {
			r.Coming++
		}
	}
	if f.n > 0 {
		mean := f.sum / float64(f.n)
		r.CPUPercent = &mean
	}
	f.sum, f.n = 0, 0
	return r
}

// observation is what the decider sees; it holds until the next one.
func (f *Fleet) observation(now time.Time) decider.Observation {
	f.seen, f.means = slices.Grow(f.seen[:0], len(f.vms)+len(f.pool)), slices.Grow(f.means[:0], len(f.vms))
	for i := range f.vms {
		v := &f.vms[i]
		f.seen, f.means = append(f.seen, v.VM), append(f.means, v.sum/float64(v.n))
		if v.n > 0 {
			f.seen[i].CPUPercent = &f.means[i]
		}
		v.sum, v.n = 0, 0
	}
	for i := range f.pool {
		f.seen = append(f.seen, f.pool[i].VM)
	}
	h := decider.HostObservation{Name: "sim", Time: now, VMs: f.seen}
	return decider.Observation{Hosts: []decider.HostObservation{h}, Fresh: 1}
}

// deciderController is the decider's own code.
type deciderController struct {
	spec  bus.Group
	state decider.State
}

func (c *deciderController) Interval() time.Duration { return c.spec.Policy.Interval }

func (c *deciderController) Decide(f *Fleet, now time.Time) int {
	var d bus.Decision
	d, c.state = decider.Decide(c.spec, c.state, f.observation(now), now)
	f.warm = 0
	for _, share := range d.Shares {
		f.warm += share.Warm
	}
	return d.Desired
}

// policyOnly is a policy without the decider around it.
type policyOnly struct{ policy.Policy }

func (p policyOnly) Decide(f *Fleet, now time.Time) int {
	return min(max(p.Recommend(f.reading(now)).Desired, f.params.Min), f.params.Max)
}

// defaultController is the decider with a policy, and else what all of a comparison have.
func defaultController(w Params, p bus.PolicyType, setting bus.PolicySetting) *deciderController {
	spec := w.Base
	spec.Name, spec.Min, spec.Max = "sim", w.Min, w.Max
	spec.BootTimeout = 10*w.Boot + time.Minute
	spec.Policy.Types, spec.Policy.Setting = []bus.PolicyType{p}, setting
	return &deciderController{spec: warm(spec)}
}

// ownController is the decider with a group's own policy.
func ownController(w Params) *deciderController {
	spec := *w.Own
	spec.Name, spec.Min, spec.Max, spec.DryRun, spec.IdleToZero = "sim", w.Min, w.Max, false, 0
	spec.Policy.Shadow = nil // they change nothing, and take their time
	spec.WarmPool.Stopped = bus.WarmSize{}
	if spec.WarmPool.State == bus.WarmStopped { // how much sooner these boot is not known
		spec.WarmPool = bus.WarmPool{}
	}
	return &deciderController{spec: warm(spec)}
}

// warm gives a spec whose warm-up is learned one to simulate with: simulated VMs come under load in the second in which they
// are ready, so there is nothing to learn from.
func warm(spec bus.Group) bus.Group {
	if spec.Policy.Warmup == bus.WarmupLearned {
		spec.Policy.Warmup = 5 * time.Second
	}
	return spec
}
