package actuator

import (
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// restless is how often in a row VMs that could serve could not wait in the warm pool, as where their memory has no room on the
// disk. That says nothing of launches, and puts off the pool alone.
type restless struct {
	times int
	cause string
	until time.Time // until when none is made for it
}

// again is one more.
func (r restless) again(cause string, now time.Time) restless {
	r.times++
	r.cause, r.until = cause, now.Add(retryAfter(r.times))
	return r
}

// couldNotWait counts a VM that could not wait in the warm pool and goes, and is the event that says so.
func (g *group) couldNotWait(w *worker, err error, now time.Time) bus.Event {
	g.restless = g.restless.again(vm.ErrorText(err), now)
	return bus.Event{
		Group: w.group, VM: w.name, Event: bus.EventFailed, Error: g.restless.cause,
		Sentence: fmt.Sprintf("it could serve, and goes; another is made for the warm pool in %s",
			g.restless.until.Sub(now).Round(time.Second)),
	}
}

// settle takes a look at the group, after which nothing keeps its warm pool from being filled that was before: as many VMs wait
// as are to, in whatever way they came there.
func (g *group) settle(s Situation) {
	if s.Desired != Unknown && s.waiting() >= s.Warm {
		g.restless = restless{}
	}
}

// waiting is how many VMs wait in the warm pool.
func (s Situation) waiting() (n int) {
	for _, v := range s.Owned {
		if v.Meta.Phase == bus.PhaseWarm && (v.State.Suspended() || v.Off()) && s.unfitForPool(v) == "" {
			n++
		}
	}
	return n
}

// restlessTroubles are what keeps the warm pool from being filled.
func (g *group) restlessTroubles() (all bus.Troubles) {
	if r := g.restless; r.times > 0 && g.spec.WarmPool.On() {
		all.Add(bus.ProblemWarmPool, g.spec.Name, fmt.Sprintf(
			"group %s: its warm pool is not filled: %s could not wait there, the next is made at %s: %s",
			g.spec.Name, bus.Count(r.times, "VM"), r.until.Local().Format(time.TimeOnly), r.cause))
	}
	if g.saveShort != "" {
		all.Add(bus.ProblemWarmPool, g.spec.Name,
			fmt.Sprintf("group %s: its warm pool is not filled: %s", g.spec.Name, g.saveShort))
	}
	return all
}
