package decider

import (
	"cmp"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// split shares desired among the hosts: each keeps what it has, and a new VM goes to the best of those that can have it, as
// [candidates.best] says. Only in a decision to scale in a surplus leaves the host with the VM that is first in the order of
// removal. What of that order only an actuator knows (protection, load, templates) counts on its own host; see removalOrders.
func split(spec bus.Group, order order, direction bus.Direction, desired int, obs Observation) map[bus.HostID]bus.Share {
	shares, total := make(map[bus.HostID]bus.Share, len(obs.Hosts)), 0
	for _, h := range obs.Hosts {
		n := h.kept()
		shares[h.ID] = bus.Share{Host: h.Name, VMs: n + h.gone(), Numbers: []int{}} // nothing is removed there unseen
		total += n
	}
	add := func(id bus.HostID, n int) {
		share := shares[id]
		share.VMs += n
		shares[id] = share
	}
	places := candidatesOf(spec, obs)
	place := func(c *candidate) {
		c.vms, c.added, total = c.vms+1, c.added+1, total+1
		add(c.ID, 1)
	}
	for c := places.told(); c != nil && total < desired; c = places.told() {
		place(c)
	}
	total += fromPool(spec, shares, obs, desired-total)
	for _, c := range places {
		c.vms = shares[c.ID].VMs - c.gone()
	}
	for c := places.best(spec); c != nil && total < desired; c = places.best(spec) {
		place(c)
	}
	if surplus := total - desired; surplus > 0 && direction == bus.In {
		for _, vm := range obs.firstToGo(order, surplus) {
			add(vm.host, -1)
		}
	}
	return shares
}

// firstToGo are so many VMs that leave first; none in an order that is not known, which New has refused.
func (o Observation) firstToGo(order order, n int) []placed {
	if bus.CheckScaleIn(order.scaleIn) != nil {
		return nil
	}
	var all []placed
	beyond := order.canary.beyond(order, o)
	returning := slices.ContainsFunc(o.Hosts, func(h HostObservation) bool { return h.State == bus.HostReturning })
	for _, h := range o.Hosts {
		for _, vm := range h.VMs {
			if kept(&vm) {
				sick := returning && (!vm.Phase.Serves() || vm.State != bus.StateRunning)
				all = append(all, placed{h.ID, vm.Created, order.build.Outdated(vm.Made()), sick, beyond[vm.UUID]})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b placed) int {
		return cmp.Or(first(a.sick, b.sick), first(a.beyond, b.beyond), first(a.outdated, b.outdated), order.byAge(a, b))
	})
	return all[:min(n, len(all))]
}

// placed is a VM on its host.
type placed struct {
	host     bus.HostID
	created  time.Time
	outdated bool
	sick     bool // it does not serve, while a host has come back whose VMs others have replaced
	beyond   bool // it is up to date, and more than a refresh's canary is to have
}

// order is in which VMs are scaled in: those first that are beyond the canary, then those that were not made from what new ones
// are made from, and then as the group says.
type order struct {
	scaleIn []bus.ScaleIn
	build   bus.Build
	canary  *canary // nil: none is kept
}

// first orders what is so before what is not.
func first(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// byAge orders two VMs by the first order of removal that is known without looking at the hosts; where there is none, the oldest
// goes first.
func (o order) byAge(a, b placed) int {
	for _, s := range o.scaleIn {
		if age := s.Age(); age != 0 { // of the others only an actuator knows a VM's load, and outdated ones go first anyway
			return age * a.created.Compare(b.created)
		}
	}
	return a.created.Compare(b.created)
}
