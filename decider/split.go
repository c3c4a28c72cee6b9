package decider

import (
	"cmp"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// split shares desired among the hosts: each keeps what it has, and a new VM goes to the host with the fewest of those that
// can have it. Only in a decision to scale in a surplus leaves the host with the VM that is first in the order of removal. What of
// that order only an actuator can tell (protection, load, templates) counts on its own host; see removalOrders.
func split(order bus.ScaleIn, direction bus.Direction, desired int, obs Observation) map[bus.HostID]bus.Share {
	shares, total := map[bus.HostID]bus.Share{}, 0
	var all []placed
	for _, h := range obs.Hosts {
		shares[h.ID] = bus.Share{Host: h.Name, VMs: h.kept(), Numbers: []int{}}
		total += h.kept()
		for _, vm := range h.VMs {
			if kept(vm) {
				all = append(all, placed{h.ID, vm.Created})
			}
		}
	}
	add := func(id bus.HostID, n int) {
		share := shares[id]
		share.VMs += n
		shares[id] = share
	}
	open := obs.open()
	for ; total < desired && len(open) > 0; total++ {
		add(slices.MinFunc(open, func(a, b bus.HostID) int { return cmp.Compare(shares[a].VMs, shares[b].VMs) }), 1)
	}
	if surplus := total - desired; surplus > 0 && direction == bus.In {
		first, known := removalOrders[order]
		if !known {
			return shares // New has refused it: nothing leaves
		}
		slices.SortStableFunc(all, first)
		for _, vm := range all[:min(surplus, len(all))] {
			add(vm.host, -1)
		}
	}
	return shares
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
	host    bus.HostID
	created time.Time
}

// removalOrders are the orders of removal, as far as they can be told without a look at the hosts: where it takes one, the
// oldest goes first.
var removalOrders = map[bus.ScaleIn]func(a, b placed) int{
	bus.ScaleInNewest:    func(a, b placed) int { return b.created.Compare(a.created) },
	bus.ScaleInOldest:    oldestFirst,
	bus.ScaleInLeastBusy: oldestFirst,
	bus.ScaleInOutdated:  oldestFirst,
}

func oldestFirst(a, b placed) int { return a.created.Compare(b.created) }
