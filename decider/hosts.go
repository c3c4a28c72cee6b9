package decider

import (
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

func (o Observation) hostIDs() []bus.HostID {
	var ids []bus.HostID
	for _, h := range o.Hosts {
		ids = append(ids, h.ID)
	}
	return ids
}

// joined are the hosts that are not among those known.
func (o Observation) joined(known []bus.HostID) (hosts []HostObservation) {
	for _, h := range o.Hosts {
		if !slices.Contains(known, h.ID) {
			hosts = append(hosts, h)
		}
	}
	return hosts
}

// anyOrdered reports whether something is wanted of any VM by itself.
func (o Observation) anyOrdered() bool {
	for _, h := range o.Hosts {
		if slices.ContainsFunc(h.VMs, func(vm bus.VM) bool { return vm.Order != nil }) {
			return true
		}
	}
	return false
}

// noted reports whether any VM says what it was made from.
func (o Observation) noted() bool {
	for _, h := range o.Hosts {
		for _, vm := range h.VMs {
			if vm.Template != "" || vm.Machine != "" {
				return true
			}
		}
	}
	return false
}

// heard is when its last sample came; zero where it is silent.
func (h HostObservation) heard(now time.Time) time.Time {
	if h.Trouble == Silent {
		return time.Time{}
	}
	return now.Add(-h.Quiet)
}

// unordered is a host that is lost: what was wanted of its VMs means nothing now, and others take the places of all.
func (h HostObservation) unordered() HostObservation {
	h.VMs, h.counts = slices.Clone(h.VMs), hostCounts{}
	for i := range h.VMs {
		h.VMs[i].Order, h.VMs[i].Retiring = nil, false
	}
	return h
}

// hostCounts are numbers of a host's VMs that many ask for.
type hostCounts struct {
	known                        bool
	kept, gone, pooled, retiring int
}

// counted is the host with its counts, once nothing changes its VMs any more.
func (h HostObservation) counted() HostObservation {
	c := hostCounts{known: true}
	for i := range h.VMs {
		vm := &h.VMs[i]
		c.kept += one(kept(vm))
		c.pooled += one(inPool(vm))
		c.retiring += one(vm.Retiring && vm.Phase.Serves())
	}
	for i := range h.Gone {
		c.gone += one(kept(&h.Gone[i]))
	}
	h.counts = c
	return h
}

// count has all hosts know their counts, until their VMs change.
func (o Observation) count() {
	for i, h := range o.Hosts {
		if !h.counts.known {
			o.Hosts[i] = h.counted()
		}
	}
}

// numbers are the host's counts.
func (h HostObservation) numbers() hostCounts {
	if !h.counts.known {
		h = h.counted()
	}
	return h.counts
}

func one(is bool) int {
	if is {
		return 1
	}
	return 0
}

// kept is how many VMs the host keeps.
func (h HostObservation) kept() int { return h.numbers().kept }

// gone is how many VMs the host would keep if it was not lost.
func (h HostObservation) gone() int { return h.numbers().gone }

// pooled is how many VMs of the group's warm pool the host has, those included that are on their way there.
func (h HostObservation) pooled() int { return h.numbers().pooled }

// retiring is how many VMs serve there only until others have taken their places.
func (h HostObservation) retiring() int { return h.numbers().retiring }

// kept reports whether a VM is one of those that desired counts: it is not on its way out, or only to get new disks, none is to
// take its place, and nobody has suspended it, has it stand by, or wants it gone. One of the warm pool is none.
func kept(vm *bus.VM) bool {
	return (!vm.Phase.Leaving() || vm.Reimaging) && (!vm.State.Suspended() || handed(vm)) && !vm.Retiring &&
		!vm.Order.Leaves() && !vm.Phase.StandsBy() && !vm.Phase.Pooled()
}

// handed reports whether a VM leaves the warm pool to serve: that it still stands still is no person's doing.
func handed(vm *bus.VM) bool { return vm.Handed && vm.Phase.Pending() }

// failures are the launches that have failed, as each host's actuator counts them; one that is silent keeps what it said last.
func (o Observation) failures(before map[bus.HostID]int) map[bus.HostID]int {
	now := map[bus.HostID]int{}
	for _, h := range o.Hosts {
		if now[h.ID] = h.Failures; h.Trouble == Silent || h.Trouble == Unattended {
			now[h.ID] = before[h.ID]
		}
	}
	return now
}
