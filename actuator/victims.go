package actuator

import (
	"cmp"
	"fmt"
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

// joining reports whether a VM does not serve yet that a person has just returned or attached.
func joining(v vm.VM) bool { return v.Order.Joins() && !v.Serves() }

// victims are the VMs that may be scaled in, the first to go first: those that do not serve yet, then those beyond a canary, and
// then by the group's orders; those last that a person has just returned or attached, and not before they serve.
// Of those that serve, n at most are to go. Where one of the orders asks, there is a question, and only those go that the answer
// lets go.
func victims(s Situation, live []vm.VM, n int) ([]vm.VM, *Question) {
	if s.Controls.IsPaused(bus.ScopeIn) || bus.CheckScaleIn(s.Spec.ScaleIn) != nil { // which New refuses: then of a later version
		return nil, nil
	}
	var may []vm.VM
	for _, v := range live {
		if !v.Protected && !joining(v) {
			may = append(may, v)
		}
	}
	before, hook, after := split(s.Spec.ScaleIn)
	order := orderOf(slices.Concat(before, after))
	rank := func(v vm.VM) int {
		switch {
		case v.Order.Joins(): // a person has just said that it is to serve
			return 3
		case !v.Serves(), s.Sick[v.UUID] != "":
			return 0
		case s.busy(v):
			return 2
		}
		return 1
	}
	beyond := s.beyond(live, may, order)
	slices.SortStableFunc(may, func(a, b vm.VM) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		if rank(a) == 0 {
			return vm.NewestFirst(a, b)
		}
		switch extra, other := beyond[a.UUID], beyond[b.UUID]; {
		case extra && !other:
			return -1
		case other && !extra:
			return 1
		}
		return cmp.Or(s.compareOutdated(a, b), order(s, a, b))
	})
	if hook == "" {
		return may, nil
	}
	serving := slices.IndexFunc(may, func(v vm.VM) bool { return rank(v) > 0 })
	if serving < 0 {
		return may, nil
	}
	if n -= serving; n <= 0 {
		return may[:serving], nil
	}
	q := Question{hook, n, candidates(s, before, may[serving:], n)}
	if !s.Choice.covers(q) {
		return may[:serving], &q
	}
	return slices.DeleteFunc(may, func(v vm.VM) bool {
		asked := slices.ContainsFunc(q.Candidates, func(c vm.VM) bool { return c.UUID == v.UUID })
		return rank(v) > 0 && (!asked || !s.Choice.Skip && !s.Choice.May[v.UUID])
	}), &q
}

// split is a group's orders of removal before and after the one that asks, whose listener is hook; "" where none asks.
func split(list []bus.ScaleIn) (before []bus.ScaleIn, hook string, after []bus.ScaleIn) {
	for i, o := range list {
		if hook = o.Hook(); hook != "" {
			return list[:i], hook, list[i+1:]
		}
	}
	return list, "", nil
}

// candidates are those of the VMs that serve about which a listener is asked, the first to go first: as many as are to go by the
// orders before it, and all that are alike with the last of them.
func candidates(s Situation, before []bus.ScaleIn, serving []vm.VM, n int) []vm.VM {
	compare := strictly(before)
	all := slices.Clone(serving)
	slices.SortStableFunc(all, func(a, b vm.VM) int { return compare(s, a, b) })
	for n < len(all) && compare(s, all[n-1], all[n]) == 0 {
		n++
	}
	return all[:min(n, len(all))]
}

// comparison puts one of two VMs before the other, the first to go first; 0 is that they are alike.
type comparison func(s Situation, a, b vm.VM) int

// orders are the orders in which the VMs that serve are scaled in.
var orders = map[bus.ScaleIn]comparison{
	bus.ScaleInNewest:    func(_ Situation, a, b vm.VM) int { return b.Meta.Created.Compare(a.Meta.Created) },
	bus.ScaleInOldest:    func(_ Situation, a, b vm.VM) int { return a.Meta.Created.Compare(b.Meta.Created) },
	bus.ScaleInLeastBusy: Situation.compareCPU,
	bus.ScaleInOutdated:  Situation.compareOutdated,
}

// orderOf is a list of orders as one: each decides among the VMs that are alike for those before it. What is alike for all goes
// the newest first, and the oldest first where the list ends with outdated or oldest.
func orderOf(list []bus.ScaleIn) comparison {
	compare, oldestLast := strictly(list), false
	if len(list) > 0 {
		last := list[len(list)-1]
		oldestLast = last == bus.ScaleInOutdated || last == bus.ScaleInOldest
	}
	return func(s Situation, a, b vm.VM) int {
		if oldestLast {
			return cmp.Or(compare(s, a, b), vm.NewestFirst(b, a))
		}
		return cmp.Or(compare(s, a, b), vm.NewestFirst(a, b))
	}
}

// strictly is a list of orders as one, which says nothing of VMs that are alike for all of them.
func strictly(list []bus.ScaleIn) comparison {
	return func(s Situation, a, b vm.VM) int {
		for _, o := range list {
			if d := orders[o](s, a, b); d != 0 {
				return d
			}
		}
		return 0
	}
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

// outdated reports whether a VM was made from another template than a new one would be, or is too old.
func (s Situation) outdated(v vm.VM) bool {
	return s.Build.Outdated(v.Meta.Made()) || v.Meta.Created.Before(s.Replaced) ||
		v.Meta.Created.Before(s.Expired)
}

// compareCPU puts the VM that does less first, in whole percents, so that noise decides nothing; one that is unknown counts as
// busy.
func (s Situation) compareCPU(a, b vm.VM) int {
	use := func(v vm.VM) float64 {
		if cpu, known := s.CPU[v.UUID]; known {
			return math.Round(cpu)
		}
		return math.Inf(1)
	}
	return cmp.Compare(use(a), use(b))
}

// callOff reports why a removal that can still be called off is not to be done, "" if it is.
func callOff(s Situation, live []vm.VM, v vm.VM) string {
	switch {
	case len(live)+len(s.Creating) < s.Desired:
		return "it is needed again"
	case v.Protected:
		return "it is protected now"
	case s.busy(v) && !s.asks() && s.idle(live) > len(live)+len(s.Creating)-s.Desired:
		return fmt.Sprintf("it is busy, at %.0f %%, and others are not", s.CPU[v.UUID])
	}
	return ""
}

// asks reports whether a listener chooses who is scaled in: whether a VM is busy is for it to say then.
func (s Situation) asks() bool {
	_, hook, _ := split(s.Spec.ScaleIn)
	return hook != ""
}
