package decider

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
	"github.com/vmscaler/vmscaler/decider/schedule"
)

// State is what an evaluation needs to know of the ones before it.
type State struct {
	Known       bool // false until the first complete list of VMs
	Desired     int
	BreachesOut int // evaluations in a row above upper
	BreachesIn  int // evaluations in a row below lower
	LastOut     time.Time
	LastChange  time.Time
	Hosts       []bus.HostID // whose VMs are in Desired
	Numbers     Numbers
	// Before is what another decider wanted until a moment ago; 0 where nobody did. It only matters while Known is false.
	Before   int
	LastData time.Time // of the last evaluation that had all that it needs
	Boots    Boots
	Warmup   Warmup
	// Policy is what a policy other than the threshold remembers; nil before its first reading. Decide changes it: the
	// state that it was given is used up.
	Policy Memory
	Guards Guards
	// Scheduled is until when the schedule's actions were seen; one sets Desired once.
	Scheduled time.Time
	timetable schedule.Timetable // of the spec that was decided with last
	Controls  bus.Controls
}

// Decide is one evaluation of a group: what the rules ask for, unless that direction is paused. Min and max hold all the
// same.
//
// The result has no id, term, expiry or spec hash: those are the stage's.
func Decide(spec bus.Group, st State, obs Observation, now time.Time) (bus.Decision, State) {
	before := st.Scheduled
	spec, scheduled := onSchedule(spec, &st, now)
	d, c := ask(spec, &st, obs, scheduled, now)
	hint(&d)
	why := obs.incomplete()
	held := d.Desired < d.Current && why != ""
	if held {
		d.Guard, d.Desired, d.Sentence = bus.GuardHost, min(d.Current, spec.Max), "holding, as "+why+": "+d.Sentence
		st.Scheduled = before // what the schedule has said comes later
	}
	paused := d.Desired > d.Current && st.Controls.Has(bus.ScopeOut) || d.Desired < d.Current && st.Controls.Has(bus.ScopeIn)
	if stays := min(max(d.Current, spec.Min), spec.Max); paused && stays != d.Desired {
		d.Guard, d.Sentence = bus.GuardPaused, "paused, else "+d.Sentence
		d.Desired = stays
	}
	if d.Known {
		st.Guards.changed(spec.Policy.Limits, d.Desired-d.Current, now)
	}
	switch {
	case d.Desired > d.Current:
		d.Direction = bus.Out
		st.LastOut, st.LastChange = now, now
	case d.Desired < d.Current && !held:
		d.Direction = bus.In
		st.LastChange = now
	}
	if d.Direction != bus.Hold {
		st.BreachesOut, st.BreachesIn = 0, 0
	}
	// A decision can be lost, and a VM come back that was suspended: so what is too many is said until it is gone.
	surplus := d.Direction == bus.Hold && d.Known && c.kept > d.Desired && why == "" && obs.Fresh > 0 && obs.Awaited == nil
	if surplus && !st.Controls.Has(bus.ScopeIn) {
		d.Direction = bus.In
	}
	st.Desired = d.Desired
	if d.Known {
		st.Hosts = obs.hostIDs() // one that was forgotten joins anew when it comes back
		d.Shares = split(spec.ScaleIn, d.Direction, d.Desired, obs)
		st.Numbers = st.Numbers.deal(spec.Name, d.Shares, obs)
	}
	d.Controls = shown(spec, st.Controls)
	return d, st
}

// shown is what holds for a group: what a person said, and a dry run of the config, which no request takes back.
func shown(spec bus.Group, c bus.Controls) bus.Controls {
	c.DryRun = c.DryRun || spec.DryRun
	if c.Paused == nil {
		c.Paused = []bus.Scope{}
	}
	return c
}

// saturated is the share of time that VMs wait for a host core, in percent, from which more VMs are no help.
const saturated = 30

// hint says when a group that wants to grow is short of its host, and not of VMs.
func hint(d *bus.Decision) {
	wantsMore := d.Direction == bus.Out || d.Rule == bus.RuleAboveUpper || d.Rule == bus.RulePolicy && mostWanted(d.Wishes) > d.Current
	if delay := d.Inputs.RunDelayPercent; wantsMore && delay != nil && *delay >= saturated {
		d.Sentence += fmt.Sprintf("; the host is saturated, its VMs wait %.0f %% of the time for a core: more VMs there do not help", *delay)
	}
}

// ask is what the rules want, in their order. Only the CPU of ready VMs counts. An unknown CPU is never a number: it
// counts as no load when the group asks for more, and forbids scaling in.
func ask(spec bus.Group, st *State, obs Observation, scheduled *int, now time.Time) (bus.Decision, counts) {
	st.Boots.Add(obs)
	st.Warmup.See(spec, st.Boots, obs)
	c := count(spec, *st, obs)
	d := bus.Decision{
		V: bus.Version, Group: spec.Name, Direction: bus.Hold, Current: st.Desired, Desired: st.Desired,
		Known: st.Known, Inputs: c.inputs(spec),
	}

	if st.LastData.IsZero() {
		st.LastData = now
	}
	switch mismatched := obs.with(Mismatched); {
	case len(obs.Awaited) > 0:
		st.noData(spec, &d, now, "no fresh sample from "+strings.Join(obs.Awaited, ", "))
	case len(obs.Hosts) == 0:
		st.noData(spec, &d, now, "waiting for the first sample")
	case !obs.speaks():
		st.noData(spec, &d, now, "no fresh sample from "+strings.Join(obs.with(Silent), ", "))
	case len(mismatched) > 0:
		d.Rule = bus.RuleMismatch
		d.Sentence = fmt.Sprintf("holding: the collector on %s reads another config of this group than the decider", strings.Join(mismatched, ", "))
		st.BreachesOut, st.BreachesIn = 0, 0
	case obs.Fresh == 0:
		d.Rule, d.Sentence = bus.RuleNoData, "waiting for a new sample"
	case !st.Known:
		start(spec, st, &d, c.kept)
		st.Hosts = obs.hostIDs()
	case len(st.Hosts) > 0 && len(obs.joined(st.Hosts)) > 0: // a host speaks for the first time: what it has is not surplus
		for _, h := range obs.joined(st.Hosts) {
			d.Current += h.kept()
		}
		d.Rule, d.Desired = bus.RuleStart, min(max(d.Current, spec.Min), spec.Max)
		d.Sentence = fmt.Sprintf("starting with %s: another host has joined", plural(d.Desired))
		st.Hosts = obs.hostIDs()
	case st.Desired < spec.Min:
		d.Rule, d.Desired = bus.RuleBelowMin, spec.Min
		d.Sentence = fmt.Sprintf("scaling out to min %d", spec.Min)
	case st.Desired > spec.Max:
		d.Rule, d.Desired = bus.RuleAboveMax, spec.Max
		d.Sentence = fmt.Sprintf("scaling in to max %d", spec.Max)
	case st.Controls.Desired != nil:
		d.Rule, d.Desired = bus.RuleManual, min(max(*st.Controls.Desired, spec.Min), spec.Max)
		d.Sentence = "scaled to " + plural(d.Desired) + " by hand"
		st.BreachesOut, st.BreachesIn = 0, 0
	case scheduled != nil:
		d.Rule, d.Desired = bus.RuleScheduled, min(max(*scheduled, spec.Min), spec.Max)
		d.Sentence = "scaled to " + plural(d.Desired) + " by the schedule"
		st.BreachesOut, st.BreachesIn = 0, 0
	case c.readings == 0 && policy.NeedsCPU(spec.Policy):
		noneReady(st, &d, c)
	case len(spec.Policy.Types) == 1 && spec.Policy.Has(bus.PolicyThreshold):
		want := threshold(spec, st, &d, c)
		judge(spec, st, &d, c, want, now)
	default:
		follow(spec, st, &d, c, obs.Metric, now)
	}
	if spec.Policy.FollowsMetric() {
		d.Inputs.Metric = spec.Policy.Metric
		d.Inputs.MetricValue, _ = obs.Metric.known(spec.Policy, now)
	}
	d.Inputs.BootMS = st.Boots.Mean.Milliseconds()
	if warmup, known := st.Warmup.inForce(spec); known {
		d.Inputs.WarmupMS = new(warmup.Milliseconds())
	}
	if d.Rule != bus.RuleNoData && d.Rule != bus.RuleBlind {
		st.LastData = now
	}
	return d, c
}

// start is the first evaluation that knows what there is. A group that another decider led until a moment ago goes on
// as that wanted it, unless all of its VMs are gone.
func start(spec bus.Group, st *State, d *bus.Decision, kept int) {
	st.Known, d.Known = true, true
	d.Current = kept
	want := kept
	if kept > 0 && st.Before > 0 {
		want = st.Before
	}
	d.Rule, d.Desired = bus.RuleStart, min(max(want, spec.Min), spec.Max)
	d.Sentence = fmt.Sprintf("starting with %s", plural(d.Desired))
	switch {
	case kept == d.Desired:
	case want == d.Desired:
		d.Sentence += fmt.Sprintf(", as before: %d found", kept)
	default:
		d.Sentence += fmt.Sprintf(": %d found, min %d, max %d", want, spec.Min, spec.Max)
	}
}

// noData holds for a reason; after a while that is called blind.
func (st *State) noData(spec bus.Group, d *bus.Decision, now time.Time, why string) {
	st.BreachesOut, st.BreachesIn = 0, 0
	d.Rule, d.Sentence = bus.RuleNoData, "holding: "+why
	if without := now.Sub(st.LastData); without >= spec.BlindAfter {
		d.Rule, d.Sentence = bus.RuleBlind, fmt.Sprintf("blind for %s: %s", seconds(without), why)
	}
}

// noneReady waits for a first number.
func noneReady(st *State, d *bus.Decision, c counts) {
	d.Rule = bus.RuleNoneReady
	st.BreachesOut, st.BreachesIn = 0, 0
	d.Sentence = "waiting: no ready VM has a CPU reading yet"
	if n := c.launching + c.pending; n > 0 {
		d.Sentence = fmt.Sprintf("waiting for %s to be ready", plural(n))
	} else if c.warming > 0 {
		d.Sentence = fmt.Sprintf("waiting for %s to warm up", plural(c.warming))
	}
}

// threshold is the rule on the average CPU: above upper, one VM more; below lower, one fewer. It returns what is wanted
// once that has lasted for long enough.
func threshold(spec bus.Group, st *State, d *bus.Decision, c counts) (want int) {
	p := spec.Policy
	avg := c.sum / float64(c.readings)
	projected := c.sum / float64(c.ready+c.coming())
	switch {
	case avg > p.UpperPercent:
		d.Rule, st.BreachesIn = bus.RuleAboveUpper, 0
		st.BreachesOut++
		d.Inputs.Breaches, d.Inputs.BreachesNeeded = st.BreachesOut, p.BreachesOut
		above := fmt.Sprintf("average %.0f %% > %g %%", avg, p.UpperPercent)
		switch {
		case st.Desired >= spec.Max:
			d.Guard, d.Sentence = bus.GuardAtMax, fmt.Sprintf("at max %d: %s", spec.Max, above)
		case projected <= p.UpperPercent:
			// What counts is how long the load is too high for the capacity that will be there: a VM that enters
			// the average with the rest of its boot in its first readings must not tip an old breach over.
			st.BreachesOut, d.Inputs.Breaches = 0, 0
			d.Guard = bus.GuardComing
			d.Sentence = fmt.Sprintf("%s, but %s on the way will make it %.0f %%", above, plural(c.coming()), projected)
			if c.coming() == 0 { // unknown readings count as no load
				d.Guard = bus.GuardUnknownCPU
				d.Sentence = fmt.Sprintf("holding: %s, but the CPU of %s is unknown", above, plural(c.ready-c.readings))
			}
		case st.BreachesOut < p.BreachesOut:
			d.Guard = bus.GuardBreaches
			d.Sentence = fmt.Sprintf("%s, %d of %d samples", above, st.BreachesOut, p.BreachesOut)
		default:
			d.Sentence = fmt.Sprintf("%s for %s", above, seconds(time.Duration(st.BreachesOut)*p.Interval))
			return st.Desired + 1
		}
	case avg < p.LowerPercent:
		d.Rule, st.BreachesOut = bus.RuleBelowLower, 0
		st.BreachesIn++
		d.Inputs.Breaches, d.Inputs.BreachesNeeded = st.BreachesIn, p.BreachesIn
		below := fmt.Sprintf("average %.0f %% < %g %%", avg, p.LowerPercent)
		switch {
		case st.Desired <= spec.Min:
			d.Guard, d.Sentence = bus.GuardAtMin, fmt.Sprintf("idle at min %d: %s", spec.Min, below)
		case c.ready > c.readings:
			d.Guard = bus.GuardUnknownCPU
			d.Sentence = fmt.Sprintf("holding: %s, but the CPU of %s is unknown", below, plural(c.ready-c.readings))
			st.BreachesIn, d.Inputs.Breaches = 0, 0
		case st.BreachesIn < p.BreachesIn:
			d.Guard = bus.GuardBreaches
			d.Sentence = fmt.Sprintf("%s, %d of %d samples", below, st.BreachesIn, p.BreachesIn)
		default:
			d.Sentence = fmt.Sprintf("%s for %s", below, seconds(time.Duration(st.BreachesIn)*p.Interval))
			return st.Desired - 1
		}
	default:
		d.Rule = bus.RuleStable
		d.Sentence = fmt.Sprintf("stable: average %.0f %%", avg)
		st.BreachesOut, st.BreachesIn = 0, 0
	}
	return st.Desired
}

// counts sorts a group's VMs by what they mean for a decision.
type counts struct {
	owned     int     // all, whatever their phase and state
	kept      int     // not on their way out, and not suspended
	ready     int     // ready, running and past the warm-up
	readings  int     // of the ready ones, those with a known CPU
	sum       float64 // of the readings, in percent, each at most 100
	launching int     // on their way to ready, within the boot time-out
	warming   int     // ready, but not for long: capacity that does not count in the average yet
	pending   int     // desired, but not yet owned
	memory    float64 // sum over the ready ones of what their guests use, in percent
	memories  int     // of the ready ones, those where that is known
	delay     float64 // sum of the time that they waited for a host core, in percent
	delays    int     // of the ready ones, those where that is known
}

func count(spec bus.Group, st State, obs Observation) counts {
	var c counts
	for _, h := range obs.Hosts {
		for _, vm := range h.VMs {
			c.owned++
			if kept(vm) {
				c.kept++
			}
			if h.Trouble == Silent || vm.State.Suspended() {
				continue // owned, and nothing else is known, or no capacity
			}
			age := h.Time.Sub(vm.PhaseSince)
			switch vm.Phase {
			case bus.PhaseDraining, bus.PhaseStopping, bus.PhaseFailed:
			case bus.PhaseCreating, bus.PhaseLaunching:
				if age <= spec.BootTimeout {
					c.launching++
				}
			case bus.PhaseReady:
				switch {
				case vm.State != bus.StateRunning: // dead, suspended or unreadable: no number at all
				case st.Warmup.warming(spec, st.Boots, vm, h.Time):
					c.warming++
				default:
					c.ready++
					if vm.CPUPercent != nil {
						c.readings++
						c.sum += min(*vm.CPUPercent, 100)
					}
					if vm.MemoryUsedMiB != nil && vm.MemoryMiB > 0 {
						c.memories++
						c.memory += min(100*float64(*vm.MemoryUsedMiB)/float64(vm.MemoryMiB), 100)
					}
					if vm.RunDelayPercent != nil {
						c.delays++
						c.delay += min(*vm.RunDelayPercent, 100)
					}
				}
			}
		}
	}
	if st.Known {
		c.pending = max(0, st.Desired-c.kept)
	}
	return c
}

// coming is the capacity on its way.
func (c counts) coming() int { return c.launching + c.warming + c.pending }

func (c counts) inputs(spec bus.Group) bus.Inputs {
	in := bus.Inputs{
		UpperPercent: spec.Policy.UpperPercent, LowerPercent: spec.Policy.LowerPercent, Min: spec.Min, Max: spec.Max,
		Owned: c.owned, Ready: c.ready, Launching: c.launching, Warming: c.warming, Unknown: c.ready - c.readings,
	}
	if p := spec.Policy; p.Has(bus.PolicyTarget) && p.Signal == bus.SignalCPU && !p.Has(bus.PolicyThreshold) && !p.Has(bus.PolicyStep) {
		in.TargetPercent = p.TargetPercent
	}
	if c.readings > 0 {
		avg := round1(c.sum / float64(c.readings))
		projected := round1(c.sum / float64(c.ready+c.coming()))
		in.AveragePercent, in.ProjectedPercent = &avg, &projected
	}
	if c.delays > 0 {
		delay := round1(c.delay / float64(c.delays))
		in.RunDelayPercent = &delay
	}
	return in
}

func remaining(since time.Time, cooldown time.Duration, now time.Time) time.Duration {
	if since.IsZero() {
		return 0
	}
	return max(0, cooldown-now.Sub(since))
}

func round1(x float64) float64 { return math.Round(x*10) / 10 }

func seconds(d time.Duration) string { return fmt.Sprintf("%.0f s", math.Ceil(d.Seconds())) }

func plural(n int) string {
	if n == 1 {
		return "1 VM"
	}
	return fmt.Sprintf("%d VMs", n)
}
