package decider

import (
	"slices"

	"github.com/vmscaler/vmscaler/bus"
)

// canary is how many of a group's VMs are to be up to date while a refresh waits for a person.
type canary struct {
	size  int
	build bus.Build
}

// canaryOf is the canary that a refresh keeps at its size; nil: it keeps none. VMs of a warm pool are up to date, so that what is
// handed over would be beyond it.
func canaryOf(spec bus.Group, r *bus.Refresh, build bus.Build, desired int) *canary {
	if !r.KeepsShare() || spec.WarmPool.On() {
		return nil
	}
	return &canary{r.CanaryOf(desired), build}
}

// beyond are the VMs that are up to date and more than the canary is to have, the first to go first.
func (c *canary) beyond(order order, obs Observation) map[string]bool {
	if c == nil {
		return nil
	}
	type updated struct {
		placed
		uuid string
	}
	var all []updated
	for _, h := range obs.Hosts {
		for _, vm := range h.VMs {
			if kept(&vm) && !c.build.Outdated(vm.Made()) {
				all = append(all, updated{placed{host: h.ID, created: vm.Created}, vm.UUID})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b updated) int { return order.byAge(a.placed, b.placed) })
	beyond := map[string]bool{}
	for _, vm := range all[:max(0, len(all)-c.size)] {
		beyond[vm.uuid] = true
	}
	return beyond
}

// deal says how many VMs of each host may be up to date: those that it has, but for those beyond the canary, and of what the
// canary lacks as many as the host is to make.
func (c *canary) deal(order order, obs Observation, shares map[bus.HostID]bus.Share) {
	if c == nil {
		return
	}
	beyond, has, left := c.beyond(order, obs), map[bus.HostID]int{}, c.size
	for _, h := range obs.Hosts {
		for _, vm := range h.VMs {
			switch updated := !c.build.Outdated(vm.Made()); {
			case !kept(&vm):
			case updated && !beyond[vm.UUID]:
				has[h.ID]++
				left--
			case vm.Reimaging && !updated: // it will be
				left--
			}
		}
	}
	for _, h := range obs.Hosts {
		share, ok := shares[h.ID]
		if !ok {
			continue
		}
		more := max(0, min(left, h.lacks(share)))
		share.Updated, left = new(has[h.ID]+more), left-more
		shares[h.ID] = share
	}
}
