package actuator

import (
	"cmp"
	"math"
	"slices"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// idle counts the VMs that could go in place of a busy one.
func (s Situation) idle(live []vm.VM) (n int) {
	for _, v := range live {
		if v.Serves() && !v.Protected && !s.busy(v) {
			n++
		}
	}
	return n
}

// busy reports whether a VM alone is above the threshold from which its group would grow.
func (s Situation) busy(v vm.VM) bool {
	cpu, known := s.CPU[v.UUID]
	return known && cpu > s.Spec.Policy.UpperPercent
}

// victims are the VMs that may be scaled in, the first to go first: those that do not serve yet, and then by the
// group's order.
func victims(s Situation, live []vm.VM) []vm.VM {
	if s.Controls.IsPaused(bus.ScopeIn) {
		return nil
	}
	var may []vm.VM
	for _, v := range live {
		if !v.Protected {
			may = append(may, v)
		}
	}
	order, known := orders[s.Spec.ScaleIn]
	if !known {
		return nil // New refuses it, so that this is a group of a later version
	}
	rank := func(v vm.VM) int {
		switch {
		case !v.Serves(), s.Sick[v.UUID] != "":
			return 0
		case s.busy(v):
			return 2
		}
		return 1
	}
	slices.SortStableFunc(may, func(a, b vm.VM) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		if rank(a) == 0 {
			return vm.NewestFirst(a, b)
		}
		return cmp.Or(s.compareOutdated(a, b), order(s, a, b))
	})
	return may
}

// orders are the orders in which the VMs that serve are scaled in: each compares two of them, the first to go first.
var orders = map[bus.ScaleIn]func(s Situation, a, b vm.VM) int{
	bus.ScaleInNewest: func(_ Situation, a, b vm.VM) int { return vm.NewestFirst(a, b) },
	bus.ScaleInOldest: func(_ Situation, a, b vm.VM) int { return vm.NewestFirst(b, a) },
	bus.ScaleInLeastBusy: func(s Situation, a, b vm.VM) int {
		return cmp.Or(s.compareCPU(a, b), vm.NewestFirst(a, b))
	},
	bus.ScaleInOutdated: func(s Situation, a, b vm.VM) int {
		return cmp.Or(s.compareOutdated(a, b), vm.NewestFirst(b, a))
	},
}

// compareOutdated puts the VM first that was made from another template than a new one would be.
func (s Situation) compareOutdated(a, b vm.VM) int {
	switch old, other := s.outdated(a), s.outdated(b); {
	case old == other:
		return 0
	case old:
		return -1
	}
	return 1
}

// outdated reports whether a VM was made from another template than a new one would be.
func (s Situation) outdated(v vm.VM) bool {
	return s.Build.Outdated(v.Meta.Machine, v.Meta.Template, v.Meta.Created) || v.Meta.Created.Before(s.Replaced)
}

// compareCPU puts the VM that does less first; one that is unknown counts as busy.
func (s Situation) compareCPU(a, b vm.VM) int {
	use := func(v vm.VM) float64 {
		if cpu, known := s.CPU[v.UUID]; known {
			return cpu
		}
		return math.Inf(1)
	}
	return cmp.Compare(use(a), use(b))
}
