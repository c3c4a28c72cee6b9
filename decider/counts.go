package decider

import (
	"math"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
)

// counts sorts a group's VMs by what they mean for a decision.
type counts struct {
	owned     int     // all, whatever their phase and state, and the domains that are about to be
	kept      int     // not on their way out, and not suspended
	protected int     // of those kept, by a person from scaling in
	ready     int     // ready, running and past the warm-up
	readings  int     // of the ready ones, those with a known CPU
	full      int     // of these, those at full use
	sum       float64 // of the readings, in percent, each at most 100
	wanted    float64 // sum over the same of what they would use if their host had a core for them whenever they want one
	leaving   int     // whose removal has begun
	launching int     // on their way to ready, within the boot time-out
	warming   int     // ready, but not for long: capacity that does not count in the average yet
	warm      int     // of the warm pool, or on their way there: owned, and no capacity
	pending   int     // desired, but not yet owned
	retiring  int     // ready ones whose place others are about to take
	suspended int     // by a person: owned, and no capacity
	standby   int     // a person has them stand by: the same
	memory    float64 // sum over the ready ones of what their guests use, in percent
	memories  int     // of the ready ones, those where that is known
	load      tally   // sum over the ready ones of their guests' load averages, in percent of their vCPUs
	moved     moved   // by the ready ones
	delay     float64 // sum of the time that they waited for a host core, in percent
	delays    int     // of the ready ones, those where that is known
}

// moved are sums of rates, in MiB/s, and of how many VMs each is.
type moved struct{ rx, tx, read, write tally }

type tally struct {
	sum float64
	n   int
}

func (t *tally) add(rate *float64) {
	if rate != nil {
		t.sum, t.n = t.sum+*rate, t.n+1
	}
}

// mean is over so many VMs; nil where one of them is not known, or there is none.
func (t tally) mean(vms int) *float64 {
	if t.n != vms || vms == 0 {
		return nil
	}
	return new(t.sum / float64(vms))
}

func (m *moved) add(r *bus.Rates) {
	if r != nil {
		m.rx.add(r.NetworkRx)
		m.tx.add(r.NetworkTx)
		m.read.add(r.DiskRead)
		m.write.add(r.DiskWrite)
	}
}

func (m moved) mean(vms int) bus.Rates {
	return bus.Rates{
		NetworkRx: m.rx.mean(vms), NetworkTx: m.tx.mean(vms), DiskRead: m.read.mean(vms), DiskWrite: m.write.mean(vms),
	}
}

func count(spec bus.Group, st State, obs Observation) counts {
	c := counts{owned: len(st.Attach.coming(obs))}
	for _, h := range obs.Hosts {
		for i := range h.VMs {
			vm := &h.VMs[i]
			c.owned++
			c.leaving += one(vm.Phase.Leaving() && !vm.Reimaging)
			if kept(vm) {
				c.kept++
				if vm.Protected {
					c.protected++
				}
			}
			switch {
			case vm.Phase.Pooled():
				c.warm++
			case h.Trouble == Silent: // owned, and nothing else is known
			case vm.State.Suspended() && !handed(vm):
				c.suspended++
			case vm.Phase.StandsBy():
				c.standby++
			case vm.Order.Is(bus.VMDetach):
			case vm.Phase.Pending(), vm.Reimaging:
				if h.Time.Sub(vm.PhaseSince) <= spec.BootTimeout {
					c.launching++
				}
			case vm.Phase.Serves() && vm.State == bus.StateRunning: // else dead, suspended or unreadable: no number at all
				if st.Warmup.warming(spec, st.BootTimes, *vm, h.Time) {
					c.warming++
				} else {
					c.addReady(*vm, obs)
				}
			}
		}
	}
	if st.HasSample {
		c.pending = max(0, st.Desired-c.kept)
	}
	return c
}

// addReady counts a VM that serves, with what is known of it.
func (c *counts) addReady(vm bus.VM, obs Observation) {
	c.ready++
	if vm.Retiring {
		c.retiring++
	}
	if vm.CPUPercent != nil {
		c.readings++
		c.sum += min(*vm.CPUPercent, 100)
		if *vm.CPUPercent >= policy.FullPercent {
			c.full++
		}
		c.wanted += min(wantedCPU(vm), 100)
	}
	if vm.MemoryUsedMiB != nil && vm.MemoryMiB > 0 {
		c.memories++
		c.memory += min(100*float64(*vm.MemoryUsedMiB)/float64(vm.MemoryMiB), 100)
	}
	c.moved.add(vm.Rates)
	c.load.add(obs.load(vm.UUID))
	if vm.RunDelayPercent != nil {
		c.delays++
		c.delay += min(*vm.RunDelayPercent, 100)
	}
}

// coming is the capacity on its way, less what only takes the place of VMs that serve.
func (c counts) coming() int { return max(0, c.launching+c.warming+c.pending-c.retiring) }

func (c counts) inputs(spec bus.Group) bus.Inputs {
	in := bus.Inputs{
		UpperPercent: spec.Policy.UpperPercent, LowerPercent: spec.Policy.LowerPercent, Min: spec.Min, Max: spec.Max,
		Owned: c.owned, Ready: c.ready, Launching: c.launching, Warming: c.warming, Unknown: c.unknown(), Protected: c.protected,
		Warm: c.warm, Leaving: c.leaving,
	}
	if p := spec.Policy; policy.TargetsCPU(p) && !policy.HasThresholds(p) {
		in.TargetPercent = p.TargetPercent
	}
	if c.readings > 0 {
		avg := round1(c.sum / float64(c.readings))
		projected := round1(c.sum / float64(c.ready+c.coming()))
		in.AveragePercent, in.ProjectedPercent = &avg, &projected
	}
	in.RunDelayPercent = c.runDelay()
	return in
}

// mostly reports whether the CPU of at least half of the ready VMs is known.
func (c counts) mostly() bool { return 2*c.readings >= c.ready }

// average is the use of the ready VMs in percent, of which at least one must be known. A few that are not known are taken for
// what the others do; where most are not they count as no load.
func (c counts) average() float64 {
	if c.mostly() {
		return c.sum / float64(c.readings)
	}
	return c.sum / float64(c.ready)
}

// atMost is the work of the ready VMs in percent of one, with those that are not known at full use.
func (c counts) atMost() float64 { return c.sum + 100*float64(c.unknown()) }

// unknown are the ready VMs without a CPU reading.
func (c counts) unknown() int { return c.ready - c.readings }

// runDelay is the share of time that the ready VMs wait for a host core, in percent; nil is unknown.
func (c counts) runDelay() *float64 {
	if c.delays == 0 {
		return nil
	}
	return new(round1(c.delay / float64(c.delays)))
}

func round1(x float64) float64 { return math.Round(x*10) / 10 }
