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

// deal gives every host the numbers that it needs for its share, those first for which it keeps disks, and then the smallest that
// are free. Where disks outlive VMs a host has the numbers of its VMs before all, for those that take their places.
func (n Numbers) deal(spec bus.Group, shares map[bus.HostID]bus.Share, obs Observation) Numbers {
	d := n.inUse(spec.Name, shares, obs)
	for _, spare := range []int{0, spareNumbers} { // what is needed at once gets the smallest
		for i := range obs.Hosts {
			d.fill(&obs.Hosts[i], spare)
		}
	}
	for i := range obs.Hosts {
		h := &obs.Hosts[i]
		slices.Sort(d.dealt[h.ID])
		if share, ok := shares[h.ID]; ok {
			numbers := h.keptFirst(d.free(h))
			numbers = numbers[:min(len(numbers), d.missing[h.ID]+spareNumbers)]
			if spec.Stateful() { // the place of a VM is taken before one that is vacant
				numbers = append(h.ownNumbers(spec.Name, d.dealt[h.ID]), numbers...)
			}
			share.Numbers = numbers
			if h.Order != nil { // so that its actuator makes none in place of one that dies
				share.Numbers = []int{}
			}
			shares[h.ID] = share
		}
	}
	return d.dealt
}

// dealing are the numbers of a group while they are dealt.
type dealing struct {
	dealt   Numbers
	used    *numberSet         // by any host
	live    *numberSet         // by VMs
	missing map[bus.HostID]int // how many a host needs
}

// inUse has what is in use already: by VMs first, then by what the hosts were dealt before, then by disks that are kept, and
// at last by what hosts were dealt whose VMs are others' now.
func (n Numbers) inUse(group string, shares map[bus.HostID]bus.Share, obs Observation) dealing {
	all := 0
	for _, h := range obs.Hosts {
		all += len(h.VMs) + len(h.Gone) + len(n[h.ID]) + len(h.Kept) + spareNumbers
	}
	d := dealing{
		make(Numbers, len(obs.Hosts)), newNumberSet(all), newNumberSet(all), make(map[bus.HostID]int, len(obs.Hosts)),
	}
	for _, h := range obs.Hosts {
		share := shares[h.ID]
		d.missing[h.ID] = h.lacks(share) + max(0, share.Warm-h.pooled())
		d.dealt[h.ID] = make([]int, 0, max(len(h.VMs), len(n[h.ID]))+spareNumbers)
		for i := range h.VMs {
			if number, ok := bus.VMNumber(group, h.VMs[i].Name); ok {
				d.own(h.ID, number)
				d.live.add(number)
			}
		}
		for i := range h.Gone {
			if number, ok := bus.VMNumber(group, h.Gone[i].Name); ok {
				d.own(h.ID, number)
			}
		}
	}
	for _, h := range obs.Hosts {
		for _, number := range n[h.ID] {
			d.own(h.ID, number)
		}
	}
	for _, h := range obs.Hosts { // which the decider before may not have known
		for _, number := range h.Kept {
			d.own(h.ID, number)
		}
	}
	for _, id := range obs.Moved {
		for _, number := range n[id] {
			d.own(id, number)
		}
	}
	return d
}

// own gives a number to a host, unless one has it.
func (d dealing) own(id bus.HostID, number int) {
	if d.used.add(number) {
		d.dealt[id] = append(d.dealt[id], number)
	}
}

// free are a host's own that neither its VMs nor anybody else uses there.
func (d dealing) free(h *HostObservation) []int {
	numbers := make([]int, 0, d.missing[h.ID]+2*spareNumbers)
	for _, number := range d.dealt[h.ID] {
		if !d.live.has(number) && !slices.Contains(h.Taken, number) {
			numbers = append(numbers, number)
		}
	}
	return numbers
}

// fill gives a host the smallest that are free, until it has what it needs and some to spare.
func (d dealing) fill(h *HostObservation, spare int) {
	next := 1
	for lacks := d.missing[h.ID] + spare - len(d.free(h)); lacks > 0; lacks-- {
		for d.used.has(next) || slices.Contains(h.Taken, next) {
			next++
		}
		d.own(h.ID, next)
	}
}

// keepOwn leaves each host only those of the numbers it keeps disks for that it would be dealt: another host has the VMs of the
// others, and none is made here with their disks.
func (n Numbers) keepOwn(group string, obs Observation) {
	d := n.inUse(group, nil, obs)
	for i := range obs.Hosts {
		h := &obs.Hosts[i]
		var own []int
		for _, number := range h.Kept {
			if slices.Contains(d.dealt[h.ID], number) {
				own = append(own, number)
			}
		}
		h.Kept = own
	}
}

// keptFirst are free numbers of the host, those first for which it keeps disks.
func (h *HostObservation) keptFirst(free []int) []int {
	slices.SortStableFunc(free, func(a, b int) int { return first(slices.Contains(h.Kept, a), slices.Contains(h.Kept, b)) })
	return free
}

// ownNumbers are those of a host's numbers that its VMs have.
func (h *HostObservation) ownNumbers(group string, numbers []int) (own []int) {
	for _, vm := range h.VMs {
		if number, ok := bus.VMNumber(group, vm.Name); ok && slices.Contains(numbers, number) {
			own = append(own, number)
		}
	}
	return own
}

// vacant is how many VMs the host keeps disks for that are not there, or on their way out: a new VM finds them nowhere else. No
// VM is made with those whose name anything else has there.
func (h *HostObservation) vacant(group string) (n int) {
	for _, number := range h.Kept {
		name := bus.VMName(group, number)
		there := slices.ContainsFunc(h.VMs, func(vm bus.VM) bool { return vm.Name == name && !replaced(&vm) })
		if !there && !slices.Contains(h.Taken, number) {
			n++
		}
	}
	return n
}

// replaced reports whether another VM is to take the place of one, or already does.
func replaced(vm *bus.VM) bool {
	return vm.Retiring || vm.Phase.Leaving() && !vm.Reimaging ||
		vm.Order.Is(bus.VMReplace, bus.VMDrain, bus.VMUnhealthy, bus.VMRemove)
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
