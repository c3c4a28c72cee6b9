package actuator

import (
	"fmt"
	"slices"
	"strings"
	"time"

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

// open says whether launching has failed so often that it stopped; then one VM at a time is tried.
func (g *group) open() bool { return g.failures >= g.spec.Brakes.LaunchFailures }

// failed counts a launch that failed, and is the event that says so.
func (g *group) failed(w *worker, err error, now time.Time) bus.Event {
	g.failures++
	g.cause = ErrorText(err)
	wait, event := backoff(g.failures), bus.EventFailed
	sentence := fmt.Sprintf("launching failed, next try in %s", wait)
	if g.open() {
		wait, event = g.spec.Brakes.LaunchPause, bus.EventBraked
		sentence = fmt.Sprintf("launching failed %d times in a row, next try of one VM at %s", g.failures, now.Add(wait).Local().Format(time.TimeOnly))
	}
	g.retryAt = now.Add(wait)
	return bus.Event{Group: w.group, VM: w.name, Event: event, Error: g.cause, Sentence: sentence}
}

// removed is how many VMs that served were removed within the window up to now.
func (g *group) removed(now time.Time) int {
	g.removals = slices.DeleteFunc(g.removals, func(at time.Time) bool { return now.Sub(at) >= g.spec.Brakes.RemovalWindow })
	return len(g.removals)
}

// brake counts the removals of a plan that is about to be done, and says once that others wait.
func (a *Actuator) brake(g *group, plan Actions) {
	for _, r := range plan.Remove {
		if r.counts() {
			g.removals = append(g.removals, a.cfg.Now())
		}
	}
	if kept := plan.Kept > 0; kept != g.braked {
		g.braked = kept
		if kept {
			a.tell(bus.Event{
				Group: g.spec.Name, Event: bus.EventBraked,
				Sentence: fmt.Sprintf("%d VMs too many are kept for now: %d were removed within %s", plan.Kept, len(g.removals), g.spec.Brakes.RemovalWindow),
			})
		}
	}
}

// counts says whether the removal is of a VM that served and was not interrupted: only that can be put off.
func (r Removal) counts() bool { return r.Graceful && r.VM.Meta.Phase == bus.PhaseReady }

// rehearse says what would be done, once until that changes.
func (a *Actuator) rehearse(g *group, plan Actions) {
	var parts []string
	if len(plan.Create) > 0 {
		parts = append(parts, "launch "+strings.Join(plan.Create, ", "))
	}
	for _, r := range slices.Concat(plan.Remove, plan.Cancel) {
		parts = append(parts, fmt.Sprintf("remove %s (%s)", r.VM.Name, r.Reason))
	}
	would := strings.Join(parts, "; ")
	if would != g.would && would != "" {
		a.tell(bus.Event{Group: g.spec.Name, Event: bus.EventDryRun, Sentence: "would " + would})
	}
	g.would = would
}
