package decider

import (
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// loadAge is how long what a guest said of its load is known: three rounds of asking and some more.
const loadAge = 40 * time.Second

// GuestLoad is what was said last of a VM's load.
type GuestLoad struct {
	Percent *float64 // of its vCPUs; nil is unknown
	Why     string   // in words, where it is not known
}

// heardLoad is a host's newest message.
type heardLoad struct {
	bus.GuestLoad
	arrived time.Time
}

// hearLoad takes what the guests of a host have said.
func (g *group) hearLoad(l bus.GuestLoad, now time.Time) {
	if _, known := g.loads[l.HostID]; known || len(g.loads) < bus.MaxHosts {
		g.loads[l.HostID] = heardLoad{l, now}
	}
}

// guestLoads are those that are young enough, by the VM's UUID.
func (g *group) guestLoads(now time.Time) map[string]GuestLoad {
	all := map[string]GuestLoad{}
	for id, l := range g.loads {
		if age := now.Sub(l.arrived); age < 0 || age >= loadAge {
			delete(g.loads, id)
			continue
		}
		for uuid, percent := range l.Percent {
			all[uuid] = GuestLoad{Percent: &percent}
		}
		for uuid, why := range l.Unknown {
			all[uuid] = GuestLoad{Why: why}
		}
	}
	return all
}

// whyNoLoad is why one of the VMs' guests does not say its load; "" where all do, or none was asked.
func (o Observation) whyNoLoad() string {
	for _, h := range o.Hosts {
		for _, vm := range h.VMs {
			if why := o.Loads[vm.UUID].Why; why != "" {
				return vm.Name + ": " + why
			}
		}
	}
	return ""
}

// load is the load of a VM's guest; nil is unknown.
func (o Observation) load(uuid string) *float64 { return o.Loads[uuid].Percent }
