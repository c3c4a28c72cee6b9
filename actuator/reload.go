package actuator

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// Reload has other groups hold, and returns when they do. A group that is not among them is let go of: what is done about its
// VMs at that moment is given up as at the end of the process, and they stay as they are.
func (a *Actuator) Reload(ctx context.Context, r bus.Reload) error { return a.reloads.Reload(ctx, r) }

// reload takes other groups. Those that leave are planned for no more, and forgotten once nothing is done about their VMs.
func (a *Actuator) reload(r client.Handed) {
	for name, g := range a.groups {
		g.leaves = !r.Has(name)
	}
	for _, w := range a.workers {
		if a.groups[w.group].leaves {
			w.giveUp()
		}
	}
	for _, spec := range r.Groups {
		g := a.groups[spec.Name]
		if g == nil {
			if g = a.former[spec.Name]; g == nil { // else its budget, its breaker and its newest decision hold on
				g = newGroup(a.cfg.Now())
			}
			delete(a.former, spec.Name)
			g.leaves, g.joined = false, true
			a.contacts.join(spec.Name) // those who decided may not have had it
			a.groups[spec.Name] = g
		}
		if hash := spec.Hash(); hash != g.hash {
			g.mismatch = g.newest.Taken() // until a decision goes by it, too
			g.hash = hash
		}
		if spec.WarmPool.State != g.spec.WarmPool.State { // what could not wait as before may as others do
			g.restless = restless{}
		}
		g.spec = spec
		a.hooks.Keep(spec.Name, spec.Hooks)
	}
	a.orderBy()
	a.handed = append(a.handed, r.Done)
	a.letGo()
}

// giveUp ends what is done about a VM. One that is drained goes on serving.
func (w *worker) giveUp() {
	if w.drain.Open() && w.drain.CallOff() {
		w.cancel(vm.CalledOff{Why: "its group has left the config"})
		return
	}
	w.cancel(context.Canceled)
}

// orderBy notes what the groups need to know.
func (a *Actuator) orderBy() {
	a.byAge = false
	for _, g := range a.groups {
		a.byAge = a.byAge || slices.Contains(g.spec.ScaleIn, bus.ScaleInOutdated) || g.spec.WarmPool.On()
	}
}

// letGo forgets the groups that leave and about whose VMs nothing is done any more. Once there is none left, those who have
// handed the groups over are told.
func (a *Actuator) letGo() {
	if len(a.handed) == 0 {
		return
	}
	busy := map[string]bool{}
	for _, w := range a.workers {
		busy[w.group] = true
	}
	left := 0
	for name, g := range a.groups {
		switch {
		case !g.leaves:
		case busy[name] || g.asker.asking:
			left++
		default:
			delete(a.groups, name)
			a.former[name] = g
			maps.DeleteFunc(a.seen, func(_ string, v vm.VM) bool { return v.Meta.Group == name }) // not gone, but nobody's here
			maps.DeleteFunc(a.retries, func(_ string, r removalRetry) bool { return r.group == name })
			a.log.Info().Str("group", name).Msg("has left the config: its VMs stay as they are")
		}
	}
	if left > 0 {
		return
	}
	for _, done := range a.handed {
		done()
	}
	a.handed = nil
}

// adopted says that a VM was found, whose group is new here.
func (a *Actuator) adopted(v vm.VM) {
	e := bus.Event{
		Group: v.Meta.Group, VM: v.Name, Event: bus.EventAdopted,
		Sentence: fmt.Sprintf("found %s, phase %s", v.State, v.Meta.Phase),
	}
	if says := v.Protection.Sentence(); v.Protected && says != "" {
		e.Sentence += "; since " + v.Protection.Since.UTC().Format(time.DateTime) + " UTC " + says
	}
	a.tell(e)
}

// protected says who has protected a VM, or has taken that back, since it was seen last.
func (a *Actuator) protected(before, now vm.VM) {
	p := now.Protection
	if says := p.Sentence(); says != "" && p != before.Protection {
		a.tell(bus.Event{
			Group: now.Meta.Group, VM: now.Name, Event: bus.EventOrdered, Sentence: says, By: p.By, Reason: p.Reason,
		})
	}
}
