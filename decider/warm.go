package decider

import (
	"cmp"
	"slices"

	"github.com/vmscaler/vmscaler/bus"
)

// inPool reports whether a VM is of the warm pool, and nobody wants it gone.
func inPool(vm *bus.VM) bool { return vm.Phase.Pooled() && !vm.Order.Leaves() }

// handsOver is how many VMs of the warm pool may be handed over on the host: one that is silent, or that no actuator acts on, has
// none, nor has one without room for VMs that take memory again, or where a person wants no new one.
func (h HostObservation) handsOver(pool bus.WarmPool) int {
	if h.Trouble != "" || h.Order != nil || h.Full && !pool.State.TakesMemory() {
		return 0
	}
	if h.Full && pool.TwoKinds() {
		return h.pooled() - h.stopped()
	}
	return h.pooled()
}

// stopped counts the VMs of the group's warm pool on the host that wait shut down.
func (h HostObservation) stopped() (n int) {
	for i := range h.VMs {
		if vm := &h.VMs[i]; inPool(vm) && vm.State.Off() {
			n++
		}
	}
	return n
}

// lacks is how many VMs of its share the host does not have yet.
func (h HostObservation) lacks(share bus.Share) int { return max(0, share.VMs-h.kept()-h.gone()) }

// handedOver is how many of those its warm pool hands over.
func (h HostObservation) handedOver(pool bus.WarmPool, share bus.Share) int {
	return min(h.lacks(share), h.handsOver(pool))
}

// waiting is how many VMs of the warm pool the host has, or makes already, beside those that are handed over now. Beyond max it
// is no more than it was told to have: what it shows may have been handed over since.
func (h HostObservation) waiting(handed int, beyondMax bool) int {
	left := h.pooled() - handed
	switch {
	case h.Order.Is(bus.HostDrain):
		return 0
	case h.State == bus.HostLost:
		return left
	case beyondMax && h.Trouble == Silent:
		return h.ToldWarm
	case beyondMax:
		return min(left, h.ToldWarm)
	case h.Trouble == Silent, h.fills():
		return max(left, h.ToldWarm)
	}
	return left
}

// fills reports whether VMs may be made for the warm pool on the host.
func (h HostObservation) fills() bool {
	return h.Trouble == "" && !h.Full && h.NoTemplate == "" && h.Order == nil
}

// resting counts those that wait and keep what is in their memory.
func (h HostObservation) resting() (n int) {
	for i := range h.VMs {
		if vm := &h.VMs[i]; inPool(vm) && vm.Phase == bus.PhaseWarm && !vm.State.Off() {
			n++
		}
	}
	return n
}

// fromPool places up to so many new VMs where the warm pool has some for them, on the host with the fewest VMs first, and on none
// more than it may have. It returns how many it has placed.
func fromPool(spec bus.Group, shares map[bus.HostID]bus.Share, obs Observation, missing int) (placed int) {
	left := make(map[bus.HostID]int, len(obs.Hosts))
	for _, h := range obs.Hosts {
		if n := min(h.handsOver(spec.WarmPool), mostOnHost(spec)-shares[h.ID].VMs); n > 0 {
			left[h.ID] = n
		}
	}
	for ; placed < missing && len(left) > 0; placed++ {
		var ids []bus.HostID
		for _, h := range obs.Hosts {
			if left[h.ID] > 0 {
				ids = append(ids, h.ID)
			}
		}
		id := slices.MinFunc(ids, func(a, b bus.HostID) int { return cmp.Compare(shares[a].VMs, shares[b].VMs) })
		share := shares[id]
		share.VMs++
		shares[id] = share
		if left[id]--; left[id] == 0 {
			delete(left, id)
		}
	}
	return placed
}

// wantsWarm is how many VMs the group's warm pool is to have while so many are desired. VMs that a person has taken out of
// service count toward max, and leave the pool less.
func (s situation) wantsWarm(desired int) int {
	taken := 0
	for _, h := range s.obs.Hosts {
		for _, vm := range h.VMs {
			aside := vm.State.Suspended() && !handed(&vm) || vm.Phase.StandsBy()
			if !vm.Phase.Pooled() && !vm.Phase.Leaving() && aside || vm.Phase == bus.PhaseRetained {
				taken++
			}
		}
	}
	return s.sizedPool().Wants(desired, s.spec.Max, taken)
}

// sizedPool is the group's warm pool, with as many VMs as are forecast where its size says so.
func (s situation) sizedPool() bus.WarmPool {
	if !s.spec.WarmPool.Size.Forecast {
		return s.spec.WarmPool
	}
	return s.spec.WarmPool.Sized(s.state.predictive(s.spec).Rise())
}

// warm says how many VMs of the warm pool each host has beside its share. What is too many goes at any time; another is made only
// while nothing else is to do: the group does not grow, all that it wants serve, no refresh goes on, and all of its hosts are
// heard. Together with what the shares want there are never more than max.
func (s situation) warm(d *bus.Decision) {
	pool := s.spec.WarmPool
	if !pool.On() && s.counts.warm == 0 {
		return
	}
	wanted, there, coming, owned := s.wantsWarm(d.Desired), 0, 0, s.counts.owned
	d.Inputs.WarmWanted = wanted
	for _, h := range s.obs.Hosts {
		lacks := max(h.begun(), h.lacks(d.Shares[h.ID]))
		owned += max(0, lacks-h.handsOver(pool))
	}
	for _, h := range s.obs.Hosts {
		share := d.Shares[h.ID]
		lacks, handed := h.lacks(share), h.handedOver(pool, share)
		if share.Warm = h.waiting(handed, owned > s.spec.Max); s.incomplete == "" {
			share.Warm = min(share.Warm, max(0, mostOnHost(s.spec)-share.VMs)) // another could not serve there
		}
		there, coming = there+share.Warm, coming+lacks-handed
		share.Warm += HostObservation{VMs: h.Gone}.pooled() // nothing is removed there unseen
		d.Shares[h.ID] = share
	}
	there += s.reused(d, wanted-there)
	for ; there > wanted && s.incomplete == ""; there-- {
		s.addWarm(d.Shares, -1, func(h HostObservation) bool {
			return d.Shares[h.ID].Warm > 0 && h.State != bus.HostLost
		})
	}
	room := min(wanted-there, s.spec.Max-owned)
	for ; room > 0 && s.settled(*d, coming); room-- {
		if !s.addWarm(d.Shares, 1, func(h HostObservation) bool {
			share := d.Shares[h.ID]
			return h.fills() && share.VMs+share.Warm < mostOnHost(s.spec)
		}) {
			return
		}
	}
}

// warmKinds says how many of each host's warm VMs wait shut down, where the pool has both kinds. Those that are paused or saved
// stay where they are, as far as there are to be so many, and others are spread over the hosts; what is off is exchanged for one
// of these only while the pool has all that it is to have.
func (s situation) warmKinds(d *bus.Decision) {
	pool := s.spec.WarmPool
	if !pool.TwoKinds() {
		return
	}
	all := 0
	for id, share := range d.Shares {
		share.WarmStopped = share.Warm
		d.Shares[id] = share
		all += share.Warm
	}
	wanted := s.wantsWarm(d.Desired)
	pause := s.sizedPool().Pauses(wanted, d.Desired)
	give := func(may func(HostObservation) int) {
		for left := -1; left != pause; {
			left = pause
			for _, h := range s.obs.Hosts {
				if share := d.Shares[h.ID]; pause > 0 && share.WarmStopped > 0 && may(h) > share.Warm-share.WarmStopped {
					share.WarmStopped--
					pause--
					d.Shares[h.ID] = share
				}
			}
		}
	}
	give(func(h HostObservation) int { return h.resting() - h.lacks(d.Shares[h.ID]) })
	give(func(h HostObservation) int { return d.Shares[h.ID].Warm - h.stopped() }) // to be made, or it is made now
	if all >= wanted {                                                             // else one that is off is better than none
		give(func(h HostObservation) int { return d.Shares[h.ID].Warm })
	}
}

// reused lets up to so many of the VMs that are scaled in return to the warm pools of their hosts, and returns how many. None
// returns to one where a person wants no new VM, as it could not be handed over.
func (s situation) reused(d *bus.Decision, most int) (n int) {
	if !s.spec.WarmPool.Reuse || d.Direction != bus.In {
		return 0
	}
	for _, h := range s.obs.Hosts {
		if h.Order != nil {
			continue
		}
		share := d.Shares[h.ID]
		back := max(0, min(most-n, h.kept()-share.VMs))
		share.Warm += back
		d.Shares[h.ID] = share
		n += back
	}
	return n
}

// returning reports whether a VM leaves service that may return to the warm pool.
func (s situation) returning() bool {
	return s.spec.WarmPool.Reuse && slices.ContainsFunc(s.obs.Hosts, func(h HostObservation) bool {
		return slices.ContainsFunc(h.VMs, func(vm bus.VM) bool { return vm.Phase.Leaving() })
	})
}

// settled reports whether a group has nothing else to do than to fill its warm pool.
func (s situation) settled(d bus.Decision, coming int) bool {
	c := s.counts
	return d.Direction == bus.Hold && coming == 0 && c.kept >= d.Desired && c.launching == 0 && c.retiring == 0 &&
		s.incomplete == "" && s.obs.Fresh > 0 && s.obs.Awaited == nil && !d.Refresh.Active() &&
		!s.state.Controls.IsPaused(bus.ScopeOut) && !s.returning()
}

// addWarm changes the warm VMs of one of the hosts that may have more or fewer, the one with the fewest or the most VMs. It
// reports whether there is one.
func (s situation) addWarm(shares map[bus.HostID]bus.Share, n int, may func(HostObservation) bool) bool {
	var best *bus.Share
	var id bus.HostID
	for _, h := range s.obs.Hosts {
		if share := shares[h.ID]; may(h) && (best == nil || n*(share.VMs+share.Warm) < n*(best.VMs+best.Warm)) {
			best, id = &share, h.ID
		}
	}
	if best == nil {
		return false
	}
	best.Warm += n
	shares[id] = *best
	return true
}
