package decider

import "github.com/vmscaler/vmscaler/bus"

// leeway is how many VMs a refresh may have beyond desired, and how many of desired may be missing. In place, a VM does not serve
// while it gets its disks or restarts, so that one at least may be missing for that.
func leeway(r bus.Refresh, inPlace bool, most, desired int) (surge, spare int) {
	surge, spare = bus.Leeway(desired, most, r.MaxSurge, r.MinHealthyPercent)
	if inPlace {
		return 0, max(1, spare)
	}
	return surge, spare
}

// allot says on which hosts VMs may retire, of those that build says are outdated, and how many of those that do may go now. A
// host's share is without those that it may retire, so that none takes their place before the next decision has said where. Load
// comes first: no further VM retires while the group grows or shrinks, or lacks others than those that take the place of retiring
// ones. VMs that a person wants replaced retire without a refresh, too.
func (s situation) allot(r *bus.Refresh, build bus.Build, direction bus.Direction, desired int, shares map[bus.HostID]bus.Share) {
	if !r.Active() && !s.obs.anyOrdered() || s.incomplete != "" {
		return
	}
	f := s.refreshFacts(build)
	more, spare := 0, 0
	if r.Active() {
		more, spare = s.retireMore(*r, f, direction, desired)
	}
	wants := bus.UpdateReplace
	if f.restartNext() {
		wants = bus.UpdateRestart
	}
	reimages := r.Reimages()
	s.withinMax(shares)
	if s.obs.anyOrdered() {
		spare = max(spare, s.replacing(r, f, desired, shares))
	}
	release := min(max(0, f.serving+f.standing-(desired-spare)), f.standing)
	for _, h := range s.obs.Hosts {
		share, ok := shares[h.ID]
		if !ok {
			continue
		}
		serving, standing, reimaging, may := 0, 0, 0, 0
		for _, vm := range h.VMs {
			serving += one(s.servesOn(&h, &vm))
			switch {
			case vm.Order.Leaves():
			case vm.Reimaging:
				reimaging++
			case vm.Retiring && vm.Phase.Serves():
				standing++
			case kept(&vm) && !vm.Protected && vm.Phase.Serves() && build.Needs(vm.Made()) == wants:
				may++
			}
		}
		now := max(0, min(more, may))
		if share.Release = min(release, standing); share.Release > 0 {
			share.Serving = new(serving - share.Release)
		}
		switch {
		case r.Active() && wants == bus.UpdateRestart:
			share.Restart, share.Retire = reimaging+now, standing-share.Release
		case reimages:
			share.Retire = reimaging + now
		default:
			share.Retire = standing - share.Release + now
			share.VMs -= now
		}
		more, release = more-now, release-share.Release
		shares[h.ID] = share
	}
}

// young reports whether a VM serves for less than the group's min_ready. One that is to serve only in a while began to by a clock
// that was set back since, and has done so for longer.
func (s situation) young(vm *bus.VM) bool {
	age := s.now.Sub(vm.PhaseSince)
	return age < s.spec.MinReady && age > -clocksDiffer
}

// serves reports whether a VM serves and is to for now, also one that retires. One that has just come counts once it has served
// for the group's min_ready; one that retires has. Whether its host is heard is for the caller to say.
func (s situation) serves(vm *bus.VM) bool {
	young := !vm.Retiring && s.young(vm)
	return vm.Phase.Serves() && vm.State == bus.StateRunning && !young && !vm.Reimaging && !vm.Order.Leaves()
}

// servesOn is the same of a VM of a host. Which ones have just come is not known of one while it is not how far its clock is off.
func (s situation) servesOn(h *HostObservation, vm *bus.VM) bool {
	return s.serves(vm) && (vm.Retiring || !h.Unclocked || s.spec.MinReady == 0)
}

// replacing takes back new VMs that would take the places of more VMs than the group's maintenance lets be there beside others,
// and is how many of desired may be missing while a person has VMs replaced. Where none may be, and none has room beside them, as
// many go first as may be in repair.
func (s situation) replacing(r *bus.Refresh, f refreshFacts, desired int, shares map[bus.HostID]bus.Share) (spare int) {
	surge, spare := s.spec.Maintenance.Leeway(desired, s.spec.Max)
	if s.counts.owned >= s.spec.Max && f.kept+f.halted < desired || surge == 0 {
		spare = max(spare, s.spec.Repair.AtOnce)
	}
	if r.Active() {
		more, _ := leeway(*r, f.inPlace(*r), s.spec.Max, desired)
		surge = max(surge, more)
	}
	there, wanted := 0, 0
	for _, h := range s.obs.Hosts {
		wanted += h.lacks(shares[h.ID])
		for _, vm := range h.VMs {
			if kept(&vm) || vm.Retiring && vm.Order.Is(bus.VMReplace) {
				there++
			}
		}
	}
	s.takeBack(shares, there+wanted-desired-surge, func(HostObservation) int { return 0 })
	return spare
}

// retireMore is how many more VMs a refresh has retire now, and how many of desired it may have missing.
func (s situation) retireMore(r bus.Refresh, f refreshFacts, direction bus.Direction, desired int) (more, spare int) {
	surge, spare := leeway(r, f.inPlace(r), s.spec.Max, desired)
	whole := f.kept+f.retiring >= desired && f.growing(spare) == 0 && f.complete && direction == bus.Hold
	if !whole || !r.Phase.Replaces() || s.state.Controls.IsPaused(bus.ScopeRepair) {
		return 0, spare
	}
	more = min(surge+spare-f.retiring, upTo(r, desired)-f.fresh()-f.retiring, f.staying-f.held)
	if f.restartNext() {
		more = min(more, f.restarts)
	}
	if f.inPlace(r) { // each takes one out of service, and others may be out already
		more = min(more, f.serving-(desired-spare))
	}
	return more, spare
}

// withinMax takes back new VMs from the hosts' shares for which old ones must go first, or for which others have room that were
// begun. Those of the warm pool that are handed over need none.
func (s situation) withinMax(shares map[bus.HostID]bus.Share) {
	owned, wanted := len(s.state.Attach.coming(s.obs)), 0
	for _, h := range s.obs.Hosts {
		if h.State == bus.HostLost {
			owned += s.committed(h)
			continue
		}
		owned += len(h.VMs)
		lacks := max(h.begun(), h.lacks(shares[h.ID]))
		wanted += max(0, lacks-h.handsOver(s.spec.WarmPool))
	}
	s.takeBack(shares, owned+wanted-s.spec.Max, func(h HostObservation) int { return h.handsOver(s.spec.WarmPool) })
}

// takeBack takes back up to so many new VMs from the hosts' shares, beside those that each host is spared; those last that a host
// was told to have before, and may have begun.
func (s situation) takeBack(shares map[bus.HostID]bus.Share, excess int, spared func(HostObservation) int) {
	for _, begun := range []func(HostObservation) int{HostObservation.begun, func(HostObservation) int { return 0 }} {
		for _, h := range s.obs.Hosts {
			share := shares[h.ID]
			less := max(0, min(excess, share.VMs-h.kept()-h.gone()-max(spared(h), begun(h))))
			share.VMs -= less
			excess -= less
			shares[h.ID] = share
		}
	}
}
