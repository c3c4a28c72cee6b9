package decider

import (
	"cmp"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// split shares desired among the hosts: each keeps what it has, and a new VM goes to the host with the fewest of those that
// can have it. Only in a decision to scale in a surplus leaves the host with the VM that is first in the order of removal. What
// of that order only an actuator knows (protection, load, templates) counts on its own host; see removalOrders.
func split(order order, direction bus.Direction, desired int, obs Observation) map[bus.HostID]bus.Share {
	shares, total := make(map[bus.HostID]bus.Share, len(obs.Hosts)), 0
	for _, h := range obs.Hosts {
		n := h.kept()
		shares[h.ID] = bus.Share{Host: h.Name, VMs: n, Numbers: []int{}}
		total += n
	}
	add := func(id bus.HostID, n int) {
		share := shares[id]
		share.VMs += n
		shares[id] = share
	}
	total += fromPool(order.pool, shares, obs, desired-total)
	open := obs.open()
	for ; total < desired && len(open) > 0; total++ {
		add(slices.MinFunc(open, func(a, b bus.HostID) int { return cmp.Compare(shares[a].VMs, shares[b].VMs) }), 1)
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
	for _, h := range o.Hosts {
		for _, vm := range h.VMs {
			if kept(vm) {
				all = append(all, placed{h.ID, vm.Created, order.build.Outdated(vm.Machine, vm.Template, vm.Created)})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b placed) int { return cmp.Or(outdatedFirst(a, b), order.byAge(a, b)) })
	return all[:min(n, len(all))]
}

// open are the hosts that can have another VM; where there is none, those that might have one once their actuator, or room,
// is there.
func (o Observation) open() []bus.HostID {
	var open, later []bus.HostID
	for _, h := range o.Hosts {
		switch {
		case h.Trouble == "" && !h.Full:
			open = append(open, h.ID)
		case h.Trouble == "" || h.Trouble == Unattended:
			later = append(later, h.ID)
		}
	}
	if open == nil {
		return later
	}
	return open
}

// placed is a VM on its host.
type placed struct {
	host     bus.HostID
	created  time.Time
	outdated bool
}

// order is in which VMs are scaled in: those first that were not made from what new ones are made from, and then as the group
// says.
type order struct {
	scaleIn []bus.ScaleIn
	build   bus.Build
	pool    bus.WarmPool // whose VMs serve before others are made
}

func outdatedFirst(a, b placed) int {
	switch {
	case a.outdated == b.outdated:
		return 0
	case a.outdated:
		return -1
	}
	return 1
}

// byAge orders two VMs by the first order of removal that is known without looking at the hosts; where there is none, the oldest
// goes first.
func (o order) byAge(a, b placed) int {
	for _, s := range o.scaleIn {
		switch s {
		case bus.ScaleInNewest:
			return b.created.Compare(a.created)
		case bus.ScaleInOldest:
			return a.created.Compare(b.created)
		case bus.ScaleInLeastBusy, bus.ScaleInOutdated: // only an actuator knows its load, and outdated ones go first anyway
		}
	}
	return a.created.Compare(b.created)
}
