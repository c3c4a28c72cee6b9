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
	all := 0
	for _, h := range obs.Hosts {
		all += len(h.VMs) + len(h.Gone) + len(n[h.ID]) + spareNumbers
	}
	dealt, used, live := make(Numbers, len(obs.Hosts)), newNumberSet(all), newNumberSet(all)
	own := func(id bus.HostID, number int) {
		if used.add(number) {
			dealt[id] = append(dealt[id], number)
		}
	}
	missing := make(map[bus.HostID]int, len(obs.Hosts))
	for _, h := range obs.Hosts { // what is in use comes first
		share := shares[h.ID]
		missing[h.ID] = h.lacks(share) + max(0, share.Warm-h.pooled())
		dealt[h.ID] = make([]int, 0, max(len(h.VMs), len(n[h.ID]))+spareNumbers)
		for i := range h.VMs {
			if number, ok := bus.VMNumber(group, h.VMs[i].Name); ok {
				own(h.ID, number)
				live.add(number)
			}
		}
		for i := range h.Gone {
			if number, ok := bus.VMNumber(group, h.Gone[i].Name); ok {
				own(h.ID, number)
			}
		}
	}
	for _, h := range obs.Hosts {
		for _, number := range n[h.ID] {
			own(h.ID, number)
		}
	}
	free := func(h *HostObservation) []int { // its own that neither its VMs nor anybody else uses there
		numbers := make([]int, 0, missing[h.ID]+2*spareNumbers)
		for _, number := range dealt[h.ID] {
			if !live.has(number) && !slices.Contains(h.Taken, number) {
				numbers = append(numbers, number)
			}
		}
		return numbers
	}
	for _, spare := range []int{0, spareNumbers} { // what is needed at once gets the smallest
		for i := range obs.Hosts {
			h, next := &obs.Hosts[i], 1
			for lacks := missing[h.ID] + spare - len(free(h)); lacks > 0; lacks-- {
				for used.has(next) || slices.Contains(h.Taken, next) {
					next++
				}
				own(h.ID, next)
			}
		}
	}
	for i := range obs.Hosts {
		h := &obs.Hosts[i]
		slices.Sort(dealt[h.ID])
		if share, ok := shares[h.ID]; ok {
			numbers := free(h)
			share.Numbers = numbers[:min(len(numbers), missing[h.ID]+spareNumbers)]
			if h.Order != nil { // so that its actuator makes none in place of one that dies
				share.Numbers = []int{}
			}
			shares[h.ID] = share
		}
	}
	return dealt
}

// numberSet is a set of numbers above 0, most of them small.
type numberSet struct {
	small []bool // by number
	large map[int]bool
}

// newNumberSet is an empty set for about so many numbers.
func newNumberSet(n int) *numberSet { return &numberSet{small: make([]bool, 2*n+64)} }

func (s *numberSet) has(n int) bool {
	if uint(n) < uint(len(s.small)) { // what was kept may say anything
		return s.small[n]
	}
	return s.large[n]
}

// add puts a number in, and reports whether it was not there.
func (s *numberSet) add(n int) bool {
	switch {
	case s.has(n):
		return false
	case uint(n) < uint(len(s.small)):
		s.small[n] = true
	case s.large == nil:
		s.large = map[int]bool{n: true}
	default:
		s.large[n] = true
	}
	return true
}
