package actuator

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// backoff is the wait after the n-th failure in a row: 1 s, 2 s, 4 s ... up to a minute.
func backoff(n int) time.Duration {
	wait := firstBackoff
	for ; n > 1 && wait < longestBackoff; n-- {
		wait *= 2
	}
	return min(wait, longestBackoff)
}

// open reports whether launching has failed so often that it stopped; then one VM at a time is tried.
func (g *group) open() bool { return g.failures+g.deaths >= g.spec.Brakes.LaunchFailures }

// failed counts a launch that failed, and is the events that say so.
func (g *group) failed(w *worker, err error, now time.Time) []bus.Event {
	g.failures++
	g.failedLaunches++
	stopped := g.putOff(vm.ErrorText(err), now)
	next := g.retryAt.Sub(now).Round(time.Second)
	events := []bus.Event{{
		Group: w.group, VM: w.name, Event: bus.EventFailed, Error: g.cause, Console: vm.ConsoleOf(err),
		Sentence: fmt.Sprintf("launching failed, next try in %s", next),
	}}
	if stopped {
		events = append(events, g.braking(now))
	}
	return events
}

// launched counts a launch that succeeded: launches go on at once, unless VMs died soon after their boot.
func (g *group) launched() {
	g.failures = 0
	g.stopped = g.open()
	if g.deaths == 0 {
		g.retryAt = time.Time{}
	}
}

// putOff sets the time of the next launch, and reports whether launching stops with that. A failure of what was begun
// before it stopped does not put the next try off.
func (g *group) putOff(cause string, now time.Time) (stops bool) {
	waits := g.stopped && now.Before(g.retryAt)
	g.cause, g.failedAt = cause, now
	if waits {
		return false
	}
	g.stopped = g.open()
	wait := backoff(g.failures + g.deaths)
	if g.stopped {
		wait = g.spec.Brakes.LaunchPause
	}
	g.retryAt = now.Add(wait)
	return g.stopped
}

func (g *group) braking(now time.Time) bus.Event {
	next := g.retryAt.Sub(now).Round(time.Second)
	e := bus.Event{
		Group: g.spec.Name, Event: bus.EventBraked, Error: g.cause,
		Sentence: fmt.Sprintf("launching failed %s in a row, next try of one VM in %s", bus.Count(g.failures, "time"), next),
	}
	if g.deaths > 0 {
		e.Sentence = fmt.Sprintf("%d VMs in a row were not launched or died within %s of their boot, next try of one in %s",
			g.failures+g.deaths, g.spec.Brakes.EarlyDeath, next)
	}
	return e
}

// ill counts VMs that died, or serve no more since a moment: each soon after its boot is a launch that failed after all, but
// several in one look are one failure, as that of a host. Whether a VM that was ready has proven anything shows later.
func (g *group) ill(vms []vm.VM, why string, since, now time.Time) []bus.Event {
	for _, vm := range vms {
		booted := vm.Meta.Booted
		if booted.IsZero() { // made by a program that did not note it
			booted = vm.Meta.Since
		}
		lasted := since.Sub(booted)
		if lasted >= g.spec.Brakes.EarlyDeath {
			continue
		}
		g.deaths++
		g.diedAt = now
		if g.putOff(fmt.Sprintf("%s lasted for %s after its boot: %s", vm.Name, max(lasted, 0).Round(time.Second), why), now) {
			return []bus.Event{g.braking(now)}
		}
		return nil
	}
	return nil
}

// forgive forgets the deaths once none has come for as long as a VM needs to boot and to be past an early one, while VMs
// could be launched.
func (g *group) forgive(now time.Time) {
	last := g.diedAt
	if g.retryAt.After(last) {
		last = g.retryAt
	}
	if g.deaths > 0 && now.Sub(last) >= g.spec.Brakes.EarlyDeath+g.spec.BootTimeout {
		g.deaths = 0
	}
}

// removed is how many VMs that served were removed within the window up to now.
func (g *group) removed(now time.Time) int {
	g.removals = slices.DeleteFunc(g.removals, func(at time.Time) bool { return now.Sub(at) >= g.spec.Brakes.RemovalWindow })
	return len(g.removals)
}

// recallRemovals counts, once, what an earlier process has removed.
func (a *Actuator) recallRemovals() {
	if a.recalled {
		return
	}
	a.recalled = true
	for name, at := range a.sweeper.records.Removals() {
		if g := a.groups[name]; g != nil {
			g.removals = slices.DeleteFunc(at, func(t time.Time) bool { return t.After(a.cfg.Now()) }) // by a clock that was wrong
		}
	}
}

// countRemovals counts the removals of a plan that is about to be done, and says once that others wait.
func (a *Actuator) countRemovals(g *group, plan Actions) {
	before := len(g.removals)
	for _, r := range plan.Remove {
		if r.Kind == vm.ScaleIn && r.VM.Serves() {
			g.removals = append(g.removals, a.cfg.Now())
		}
	}
	if len(g.removals) > before {
		all := map[string][]time.Time{}
		for _, groups := range []map[string]*group{a.former, a.groups} {
			for name, g := range groups {
				all[name] = g.removals
			}
		}
		a.sweeper.records.KeepRemovals(all)
	}
	if kept := plan.Kept > 0; kept != g.removalsHeld {
		g.removalsHeld = kept
		if kept {
			a.tell(bus.Event{
				Group: g.spec.Name, Event: bus.EventBraked,
				Sentence: fmt.Sprintf(
					"%d VMs too many are kept for now: %d were removed within %s",
					plan.Kept,
					len(g.removals),
					g.spec.Brakes.RemovalWindow,
				),
			})
		}
	}
}

// reportDryRun reports what would be done, once until that changes.
func (a *Actuator) reportDryRun(g *group, plan Actions) {
	var parts []string
	if len(plan.Create) > 0 {
		parts = append(parts, "launch "+strings.Join(plan.Create, ", "))
	}
	if len(plan.Prepare) > 0 {
		parts = append(parts, "launch "+strings.Join(plan.Prepare, ", ")+" for the warm pool")
	}
	for _, v := range slices.Concat(plan.HandOver, plan.Promote) {
		parts = append(parts, "have "+v.Name+" of the warm pool serve")
	}
	for _, v := range plan.Retire {
		parts = append(parts, "replace "+v.Name+" (outdated, or too old)")
	}
	for _, r := range slices.Concat(plan.Remove, plan.Cancel) {
		parts = append(parts, fmt.Sprintf("remove %s (%s)", r.VM.Name, r.Reason))
	}
	if plan.Ask != nil {
		parts = append(parts, fmt.Sprintf("ask hook:%s which %d of %d may go", plan.Ask.Hook, plan.Ask.Count, len(plan.Ask.Candidates)))
	}
	would := strings.Join(parts, "; ")
	if would != g.dryRun && would != "" {
		a.tell(bus.Event{Group: g.spec.Name, Event: bus.EventDryRun, Sentence: "would " + would})
	}
	g.dryRun = would
}
