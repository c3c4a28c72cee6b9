package actuator

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

const (
	firstRest   = 5 * time.Second // after a removal that failed; doubled with each further one
	longestRest = 5 * time.Minute
	saidFor     = time.Hour // for so long one cause is not said again
)

// removalRetry is a VM whose removal failed and is retried later.
type removalRetry struct {
	vm, group string
	tries     int
	cause     string
	until     time.Time
	said      time.Time // when it was last published
}

// retryAfter is the pause after the n-th failed try in a row to remove a VM: 5 s, 10 s, 20 s ... up to 5 minutes.
func retryAfter(n int) time.Duration {
	wait := firstRest
	for ; n > 1 && wait < longestRest; n-- {
		wait *= 2
	}
	return min(wait, longestRest)
}

// failed counts one more try, and reports whether it is to be published: the first one is, another cause is, and the same
// one once an hour. A removal that cannot succeed must not push everything else out of the history.
func (r removalRetry) failed(cause string, now time.Time) (next removalRetry, say bool) {
	say = cause != r.cause || now.Sub(r.said) >= saidFor
	r.tries++
	r.cause = cause
	r.until = now.Add(retryAfter(r.tries))
	if say {
		r.said = now
	}
	return r, say
}

// event reports that a removal failed.
func (r removalRetry) event() bus.Event {
	times := ""
	if r.tries > 1 {
		times = fmt.Sprintf(" %d times in a row", r.tries)
	}
	return bus.Event{
		Group: r.group, VM: r.vm, Event: bus.EventFailed, Error: r.cause,
		Sentence: fmt.Sprintf("removing failed%s, next try in %s", times, retryAfter(r.tries)),
	}
}

// namedAtMost is how many VMs of one trouble a message names.
const namedAtMost = 3

// retryTroubles is what is wrong with a group's VMs that cannot be removed. They go on to count toward max, so they can keep the
// group below what is desired.
func retryTroubles(group string, retries []removalRetry, desired, most int) (all bus.Troubles) {
	byCause := map[string][]removalRetry{}
	for _, r := range retries {
		byCause[r.cause] = append(byCause[r.cause], r)
	}
	for _, cause := range slices.Sorted(maps.Keys(byCause)) {
		same := byCause[cause]
		slices.SortFunc(same, func(a, b removalRetry) int { return strings.Compare(a.vm, b.vm) })
		var names []string
		tries, next := 0, same[0].until
		for i, r := range same {
			if i < namedAtMost {
				names = append(names, r.vm)
			}
			tries = max(tries, r.tries)
			if r.until.Before(next) {
				next = r.until
			}
		}
		who := strings.Join(names, ", ")
		if more := len(same) - namedAtMost; more > 0 {
			who += fmt.Sprintf(" and %d more", more)
		}
		all.Add(bus.ProblemRemovalFailed, who, fmt.Sprintf("group %s: cannot remove %s (tries: %d, next at %s): %s",
			group, who, tries, next.Local().Format(time.TimeOnly), cause))
	}
	if can := max(most-len(retries), 0); len(retries) > 0 && can < desired {
		all.Add(bus.ProblemAtMax, group, fmt.Sprintf(
			"group %s: VMs that cannot be removed count toward max %d: no more than %d of the %d wanted here can be there",
			group, most, can, desired))
	}
	return all
}

// retryTroubles are those of all groups.
func (a *Actuator) retryTroubles() (all bus.Troubles) {
	for _, name := range slices.Sorted(maps.Keys(a.groups)) {
		var retries []removalRetry
		for _, r := range a.retries {
			if r.group == name {
				retries = append(retries, r)
			}
		}
		g := a.groups[name]
		all = append(all, retryTroubles(name, retries, g.desired, g.most)...)
	}
	return all
}

// couldNotRemove records that a removal failed.
func (a *Actuator) couldNotRemove(uuid string, w *worker, err error) {
	r, say := a.retries[uuid].failed(vm.ErrorText(err), a.cfg.Now())
	r.vm, r.group = w.name, w.group
	a.retries[uuid], a.retryAt[uuid] = r, r.until
	if say {
		a.tell(r.event())
	}
}

// forgetRetries forgets the VMs that are gone, and those that nobody wants to remove any more.
func (a *Actuator) forgetRetries(there map[string]vm.VM) {
	maps.DeleteFunc(a.retries, func(uuid string, r removalRetry) bool {
		_, is := there[uuid]
		return !is && a.workers[uuid] == nil || a.workers[uuid] == nil && a.cfg.Now().Sub(r.until) > longestRest
	})
}
