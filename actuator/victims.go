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

// busy says whether a VM alone is above the threshold from which its group would grow.
func (s Situation) busy(v vm.VM) bool {
	cpu, known := s.CPU[v.UUID]
	return known && cpu > s.Spec.Policy.UpperPercent
}

// victims are the VMs that may be scaled in, the first to go first: those that do not serve yet, and then by the
// group's order.
func victims(s Situation, live []vm.VM) []vm.VM {
	if s.Controls.Has(bus.ScopeIn) {
		return nil
	}
	var may []vm.VM
	for _, v := range live {
		if !v.Protected {
			may = append(may, v)
		}
	}
	rank := func(v vm.VM) int {
		switch {
		case !v.Serves(), s.Sick[v.UUID] != "":
			return 0
		case s.busy(v):
			return 3
		case s.Spec.ScaleIn == bus.ScaleInOutdated && s.outdated(v):
			return 1
		}
		return 2
	}
	slices.SortStableFunc(may, func(a, b vm.VM) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		if rank(a) == 0 {
			return vm.NewestFirst(a, b)
		}
		switch s.Spec.ScaleIn {
		case bus.ScaleInLeastBusy:
			return cmp.Or(s.compareCPU(a, b), vm.NewestFirst(a, b))
		case bus.ScaleInOldest, bus.ScaleInOutdated:
			return vm.NewestFirst(b, a)
		case bus.ScaleInNewest:
		}
		return vm.NewestFirst(a, b)
	})
	return may
}

// outdated says whether a VM was made from another template than a new one would be.
func (s Situation) outdated(v vm.VM) bool {
	return v.Meta.Template != s.Spec.Template || v.Meta.Created.Before(s.Replaced)
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
