package actuator

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// neededFor is for how long no VM of a name is tried again whose kept disk anything else needs.
const neededFor = 5 * time.Minute

// neededDisk is why no VM of a name is made for now.
type neededDisk struct {
	cause string
	until time.Time
}

// keptIsNeeded sets the name of a VM aside whose launch has found that anything else needs its kept disk, and reports whether
// that was it: others are launched meanwhile.
func (g *group) keptIsNeeded(w *worker, err error, now time.Time) bool {
	var needed *vm.KeptNeededError
	if w.reimages || !errors.As(err, &needed) {
		return false
	}
	if g.needed == nil {
		g.needed = map[string]neededDisk{}
	}
	g.needed[w.name] = neededDisk{vm.ErrorText(err), now.Add(neededFor)}
	return true
}

// keptNeeded is the event of a name that is set aside.
func keptNeeded(w *worker, err error) bus.Event {
	return bus.Event{
		Group: w.group, VM: w.name, Event: bus.EventFailed, Error: vm.ErrorText(err),
		Sentence: fmt.Sprintf("no VM can have its disk: no other is made of this name for %s", neededFor),
	}
}

// setAsideNames has the names that are set aside among those that are taken, until their time is over.
func (a *Actuator) setAsideNames(inv vm.Inventory) {
	for _, g := range a.groups {
		maps.DeleteFunc(g.needed, func(_ string, n neededDisk) bool { return !a.cfg.Now().Before(n.until) })
		for name := range g.needed {
			inv.Taken[name] = true
		}
	}
}

// neededTroubles are those of the names that are set aside.
func (g *group) neededTroubles(now time.Time) (all bus.Troubles) {
	for _, name := range slices.Sorted(maps.Keys(g.needed)) {
		if n := g.needed[name]; now.Before(n.until) {
			all.Add(bus.ProblemKeptDisk, name, fmt.Sprintf("group %s: no VM is made as %s until %s: %s",
				g.spec.Name, name, n.until.Local().Format(time.TimeOnly), n.cause))
		}
	}
	return all
}
