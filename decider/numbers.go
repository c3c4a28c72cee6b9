package decider

import (
	"slices"

	"github.com/vmscaler/vmscaler/bus"
)

// spareNumbers is how many numbers a host has beyond those of the VMs that it lacks: for replacements that it begins before
// the next decision, and for names that files in its pool take.
const spareNumbers = 3

// Numbers are the numbers of each host's VMs, in use or free. A number is of one host until that is gone, so that no two
// hosts make VMs of the same name, whatever each has heard.
type Numbers map[bus.HostID][]int

// deal gives every host the numbers that it needs for its share, the smallest that are free.
func (n Numbers) deal(group string, shares map[bus.HostID]bus.Share, obs Observation) Numbers {
	vms := 0
	for _, h := range obs.Hosts {
		vms += len(h.VMs) + len(n[h.ID])
	}
	dealt, used := Numbers{}, make(map[int]bool, vms)
	own := func(id bus.HostID, number int) {
		if !used[number] {
			used[number] = true
			dealt[id] = append(dealt[id], number)
		}
	}
	missing, taken := map[bus.HostID]int{}, map[bus.HostID][]int{} // sorted
	for _, h := range obs.Hosts {                                  // what is in use comes first
		lacks, here := shares[h.ID].VMs-h.gone(), slices.Concat(make([]int, 0, len(h.Taken)+len(h.VMs)), h.Taken)
		dealt[h.ID] = make([]int, 0, max(len(h.VMs), len(n[h.ID]))+spareNumbers)
		for _, vm := range h.VMs {
			if number, ok := bus.VMNumber(group, vm.Name); ok {
				own(h.ID, number)
				here = append(here, number)
			}
			if kept(vm) {
				lacks--
			}
		}
		lacks = max(0, lacks) + max(0, shares[h.ID].Warm-h.pooled())
		for _, vm := range h.Gone {
			if number, ok := bus.VMNumber(group, vm.Name); ok {
				own(h.ID, number)
			}
		}
		slices.Sort(here)
		missing[h.ID], taken[h.ID] = max(0, lacks), here
	}
	for _, h := range obs.Hosts {
		for _, number := range n[h.ID] {
			own(h.ID, number)
		}
	}
	for _, spare := range []int{0, spareNumbers} { // what is needed at once gets the smallest
		for _, h := range obs.Hosts {
			next, here := 1, taken[h.ID]
			for n := missing[h.ID] + spare - len(dealt.free(h.ID, here)); n > 0; n-- {
				for used[next] || contains(here, next) {
					next++
				}
				own(h.ID, next)
			}
		}
	}
	for _, h := range obs.Hosts {
		slices.Sort(dealt[h.ID])
		if share, ok := shares[h.ID]; ok {
			free := dealt.free(h.ID, taken[h.ID])
			share.Numbers = free[:min(len(free), missing[h.ID]+spareNumbers)]
			if h.Order != nil { // so that its actuator makes none in place of one that dies
				share.Numbers = []int{}
			}
			shares[h.ID] = share
		}
	}
	return dealt
}

// free are a host's numbers that neither its VMs nor anybody else uses there; taken is sorted.
func (n Numbers) free(id bus.HostID, taken []int) []int {
	free := []int{}
	for _, number := range n[id] {
		if !contains(taken, number) {
			free = append(free, number)
		}
	}
	return free
}

func contains(sorted []int, n int) bool {
	_, found := slices.BinarySearch(sorted, n)
	return found
}
