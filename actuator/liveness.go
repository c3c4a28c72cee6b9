package actuator

import (
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// probeEvery is the time between two rounds of asking the guest agents.
const probeEvery = 5 * time.Second

// liveness is what is known of whether a VM that runs also serves.
type liveness struct {
	silent   time.Time // since when its agent does not answer; zero: it does, or was not asked
	asked    time.Time // the last time that it did not answer
	ioError  time.Time // since when it is paused on an I/O error; zero: it is not
	rebooted time.Time // when its guest last restarted without ending; zero: it did not
	asleep   time.Time // since when it neither runs nor is paused nor off: it sleeps, or hangs in its shutdown
	state    bus.State // the last one, of those
	reported bool
}

// sick reports why a VM is to be replaced, "" if it is not. An agent's silence only counts up to the last time that it
// was probed without an answer: while nothing is probed, nothing is known. A guest that restarts has the time of a boot more,
// counted from the beginning of its silence, so that one which does nothing but restart is replaced in the end.
func (p liveness) sick(spec bus.Group, now time.Time) string {
	grace := spec.Repair.HealthGrace
	if grace == 0 {
		return ""
	}
	silence := p.asked.Sub(p.silent)
	speak := grace
	if !p.rebooted.IsZero() && p.rebooted.After(p.silent.Add(-grace)) {
		speak += spec.BootTimeout
	}
	wake := grace
	if p.state == bus.StateShutdown {
		wake += spec.ShutdownTimeout
	}
	switch {
	case !p.ioError.IsZero() && now.Sub(p.ioError) >= grace:
		return fmt.Sprintf("it has been paused on an I/O error for %s", now.Sub(p.ioError).Round(time.Second))
	case !p.asleep.IsZero() && now.Sub(p.asleep) >= wake:
		return fmt.Sprintf("it has been %q, and not running, for %s", p.state, now.Sub(p.asleep).Round(time.Second))
	case !p.silent.IsZero() && silence >= speak:
		return fmt.Sprintf("its guest agent has not answered for %s", silence.Round(time.Second))
	}
	return ""
}

// since is the moment from which a sick VM did not serve.
func (p liveness) since() time.Time {
	for _, at := range []time.Time{p.ioError, p.asleep} {
		if !at.IsZero() {
			return at
		}
	}
	return p.silent
}

// livenessByVM is the liveness of the VMs that are in service, by UUID.
type livenessByVM map[string]*liveness

// inService reports whether a VM is in service, by its state, or should be: a person may have suspended one, and one that is
// off is replaced at once.
func inService(v vm.VM) bool {
	switch v.State {
	case bus.StatePaused:
		return v.IOError
	case bus.StateShutoff, bus.StateSaved, bus.StateCrashed, bus.StateUnknown:
		return false
	case bus.StateRunning, bus.StateShutdown, bus.StateAsleep, bus.StateOther:
		return true
	}
	return true // a state newer than this program
}

// observe records what a snapshot of libvirt shows, and forgets VMs that are gone or not in service.
func (p livenessByVM) observe(owned []vm.VM, now time.Time) {
	there := map[string]bool{}
	for _, v := range owned {
		if !v.Meta.Phase.Serves() || !inService(v) {
			continue
		}
		there[v.UUID] = true
		if p[v.UUID] == nil {
			p[v.UUID] = &liveness{}
		}
		of := p[v.UUID]
		since := func(at *time.Time, is bool) {
			switch {
			case !is:
				*at = time.Time{}
			case at.IsZero():
				*at = now
			}
		}
		since(&of.ioError, v.IOError)
		since(&of.asleep, v.State != bus.StateRunning && v.State != bus.StatePaused)
		of.state = v.State
	}
	for uuid := range p {
		if !there[uuid] {
			delete(p, uuid)
		}
	}
}

// restarted records that a guest has restarted without ending.
func (p livenessByVM) restarted(uuid string, at time.Time) {
	if of := p[uuid]; of != nil {
		of.rebooted = at
	}
}

// record records what agents answered.
func (p livenessByVM) record(got vm.Answers) {
	for uuid, answered := range got.VMs {
		of := p[uuid]
		switch {
		case of == nil:
		case answered:
			of.silent, of.asked = time.Time{}, time.Time{}
		case of.silent.IsZero():
			of.silent, of.asked = got.At, got.At
		default:
			of.asked = got.At
		}
	}
}

// sick are the VMs of a group that are to be replaced, with why, by UUID.
func (a *Actuator) sick(g *group, owned []vm.VM) map[string]string {
	sick := map[string]string{}
	paused := g.newest.Decision.Controls.IsPaused(bus.ScopeHealth)
	if g.healthPaused && !paused {
		a.checkups.renew(g, a.cfg.Now())
	}
	g.healthPaused = paused
	failing := a.checkups.sick(g)
	for _, v := range owned {
		p := a.liveness[v.UUID]
		if p == nil {
			continue
		}
		why, since := p.sick(g.spec, a.cfg.Now()), p.since()
		if why == "" {
			why, since = failing[v.UUID].why, failing[v.UUID].since
		}
		if paused {
			why = "" // it is watched all the same, and counts as sick again afterwards, if it is then
		}
		e := bus.Event{Group: g.spec.Name, VM: v.Name, Event: bus.EventUnhealthy}
		if why == "" && v.Order.Is(bus.VMUnhealthy) {
			why, since = v.Order.Sentence(), v.Order.At
			e.By, e.Reason = v.Order.By, v.Order.Reason
		}
		if why != "" {
			sick[v.UUID] = why
		}
		if why != "" && !p.reported {
			e.Sentence = why
			a.tell(e)
			for _, e := range g.ill([]vm.VM{v}, why, since, a.cfg.Now()) {
				a.tell(e)
			}
		}
		p.reported = why != ""
	}
	return sick
}

// agentsToProbe are the VMs, of the last snapshot, whose agents are to be asked.
func (a *Actuator) agentsToProbe() []vm.VM {
	var vms []vm.VM
	for _, v := range a.seen {
		g := a.groups[v.Meta.Group]
		if g != nil && g.spec.ReadyWhen == bus.ReadyAgent && g.spec.Repair.HealthGrace > 0 &&
			v.Meta.Phase.Serves() && v.State == bus.StateRunning && a.workers[v.UUID] == nil {
			vms = append(vms, v)
		}
	}
	return vms
}
