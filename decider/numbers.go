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
	dealt, used, taken := Numbers{}, map[int]bool{}, map[bus.HostID]map[int]bool{}
	own := func(id bus.HostID, number int) {
		if !used[number] {
			used[number] = true
			dealt[id] = append(dealt[id], number)
		}
	}
	missing := map[bus.HostID]int{}
	for _, h := range obs.Hosts { // what is in use comes first
		missing[h.ID], taken[h.ID] = shares[h.ID].VMs, map[int]bool{}
		for _, number := range h.Taken {
			taken[h.ID][number] = true
		}
		for _, vm := range h.VMs {
			if number, ok := bus.VMNumber(group, vm.Name); ok {
				own(h.ID, number)
				taken[h.ID][number] = true
			}
			if kept(vm) {
				missing[h.ID]--
			}
		}
	}
	for _, h := range obs.Hosts {
		for _, number := range n[h.ID] {
			own(h.ID, number)
		}
	}
	for _, spare := range []int{0, spareNumbers} { // what is needed at once gets the smallest
		for _, h := range obs.Hosts {
			next := 1
			for n := max(0, missing[h.ID]) + spare - len(dealt.free(h.ID, taken[h.ID])); n > 0; n-- {
				for used[next] || taken[h.ID][next] {
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
			share.Numbers = free[:min(len(free), max(0, missing[h.ID])+spareNumbers)]
			shares[h.ID] = share
		}
	}
	return dealt
}

// free are a host's numbers that neither its VMs nor anybody else uses there.
func (n Numbers) free(id bus.HostID, taken map[int]bool) []int {
	free := []int{}
	for _, number := range n[id] {
		if !taken[number] {
			free = append(free, number)
		}
	}
	return free
}
