package decider

import (
	"slices"

	"github.com/vmscaler/vmscaler/bus"
)

// canary is how many of a group's VMs are to be up to date while a refresh waits for a person.
type canary struct {
	desired  int
	size     int
	build    bus.Build
	reimages bool // its VMs get new disks, and none is made for it
}

// canaryOf is the canary that a refresh keeps at its size; nil: it keeps none.
func canaryOf(spec bus.Group, r *bus.Refresh, build bus.Build, desired int) *canary {
	if !r.KeepsShare(spec) {
		return nil
	}
	return &canary{desired, r.CanaryOf(desired), build, r.Reimages()}
}

// number notes beside a canary in percent how many of desired VMs it is, for a decider that knows no percentage.
func number(r *bus.Refresh, desired int) {
	if r.CanaryPercent > 0 {
		r.Canary = max(1, r.CanaryOf(desired))
	}
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
		build := h.build(c.build)
		for _, vm := range h.VMs {
			if kept(&vm) && !build.Outdated(vm.Made()) {
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

// deal says how many VMs of each host may be up to date, those included that it may have begun to make: the canary's that it has,
// and of what the canary lacks as many as it is to make. What the group lacks beyond it is made first, so that a group that does
// not grow after all has no more than its share. One host alone may have all of the canary, as it need not wait for a decision to
// make another VM in the place of one that retires or dies.
func (c *canary) deal(order order, obs Observation, shares map[bus.HostID]bus.Share) {
	if c == nil {
		return
	}
	has, former, coming := c.count(order, obs, shares)
	given, left, lacks := map[bus.HostID]int{}, c.size-coming, 0
	for _, h := range obs.Hosts {
		left, lacks = left-has[h.ID], lacks+h.lacks(shares[h.ID])
	}
	give := func(most int, wants func(HostObservation) int) (n int) {
		for _, h := range obs.Hosts {
			more := max(0, min(left, most-n, wants(h)-given[h.ID]))
			given[h.ID], left, n = given[h.ID]+more, left-more, n+more
		}
		return n
	}
	told := give(c.size, func(h HostObservation) int {
		return min(max(h.begun(), h.lacks(shares[h.ID])), h.ToldUpdated-has[h.ID])
	})
	give(lacks-told-max(0, c.desired-c.size-former), func(h HostObservation) int { return h.lacks(shares[h.ID]) })
	if len(obs.Hosts) == 1 {
		give(c.size, func(HostObservation) int { return c.size })
	}
	for id, share := range shares {
		share.Updated = new(has[id] + given[id])
		shares[id] = share
	}
}

// count is how many VMs of the canary each host has, how many others the group has, and how many of those are about to be of it,
// as they are given new disks.
func (c *canary) count(
	order order, obs Observation, shares map[bus.HostID]bus.Share,
) (has map[bus.HostID]int, former, coming int) {
	beyond := c.beyond(order, obs)
	has = map[bus.HostID]int{}
	for _, h := range obs.Hosts {
		build, reimaging := h.build(c.build), 0
		for _, vm := range h.VMs {
			updated := !build.Outdated(vm.Made())
			switch {
			case !kept(&vm):
			case updated && !beyond[vm.UUID]:
				has[h.ID]++
			case !updated:
				former++
				reimaging += one(vm.Reimaging)
			}
		}
		if c.reimages { // those that are next are among them
			reimaging = max(reimaging, shares[h.ID].Retire)
		}
		coming += reimaging
	}
	return has, former, coming
}
