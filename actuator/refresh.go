package actuator

import (
	"context"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// RefreshShare is what a decision lets a refresh do on this host.
type RefreshShare struct {
	Active  bool // a refresh goes on, even if it lets nothing go for now
	Unsure  bool // which VMs are outdated by when they were made is not known
	Reimage bool // VMs get new disks, else others take their places
	// Retire is how many VMs may be retiring, beside those that Release lets go now, as others have taken their places; or how
	// many may be without their disks.
	Retire, Release int
	Serving         *int // how many serve once Release is done; nil: not said
	// Restart is how many VMs may be out of service to restart with their disks.
	Restart int
	// Updated is how many VMs may be up to date while a canary is kept: others are made from the template before, which is in
	// the decision's refresh. nil: all.
	Updated *int
}

// former are those of the names of new VMs that are made from the template before, of so many that are missing in all: these come
// first, and then what the canary lacks.
func (s Situation) former(live []vm.VM, names []string, missing int) []string {
	if s.Refresh.Updated == nil {
		return nil
	}
	lacks := max(0, *s.Refresh.Updated-len(s.updated(live))-(len(s.Creating)-s.Former))
	return names[:max(0, min(missing-lacks, len(names)))]
}

// updated are the VMs that are made as the group's spec says.
func (s Situation) updated(live []vm.VM) (all []vm.VM) {
	for _, v := range live {
		if !s.Build.Outdated(v.Meta.Made()) {
			all = append(all, v)
		}
	}
	return all
}

// beyond are those of may that are up to date and more than the canary is to have, the first to be scaled in first.
func (s Situation) beyond(live, may []vm.VM, order comparison) map[string]bool {
	if s.Refresh.Updated == nil {
		return nil
	}
	all, n := s.updated(may), len(s.updated(live))-*s.Refresh.Updated
	slices.SortStableFunc(all, func(a, b vm.VM) int { return order(s, a, b) })
	beyond := map[string]bool{}
	for _, v := range all[:max(0, min(n, len(all)))] {
		beyond[v.UUID] = true
	}
	return beyond
}

// refresh lets VMs go whose places others have taken, and chooses those that retire next, which are not live any more.
func (a *Actions) refresh(s Situation, p *parts) {
	released := min(len(p.retiring), s.mayRelease(p.leaving))
	for _, v := range p.retiring[:released] {
		a.Remove = append(a.Remove, s.release(v))
	}
	a.Unretire = s.unretire(p.live)
	a.inPlace(s, p)
	if s.Refresh.Reimage {
		return
	}
	a.Retire, p.live = s.retire(p.live, bus.UpdateReplace, s.Refresh.Retire-(len(p.retiring)-released)-p.marking)
}

// mayRelease is how many retiring VMs may go, beside those that are on their way out. One that is gone already is not seen any
// more, and is known by those that serve still.
func (s Situation) mayRelease(leaving int) int {
	n := max(0, s.Refresh.Release-leaving)
	if s.Refresh.Serving != nil {
		n = min(n, max(0, s.serving()-*s.Refresh.Serving))
	}
	return n
}

// serving is how many VMs serve, as the decider counts them.
func (s Situation) serving() (n int) {
	for _, v := range s.Owned {
		order, _ := s.order(v)
		work := s.Work[v.UUID]
		young := !v.Retiring() && s.Now.Sub(v.Meta.Since) < s.Spec.MinReady
		if v.Serves() && !young && !v.Reimaging() && !order.Leaves() && work != Removing && work != Draining {
			n++
		}
	}
	return n
}

// inPlace goes on with VMs that were cut off while they were given new disks or restarted, and chooses those that are next.
func (a *Actions) inPlace(s Situation, p *parts) {
	slots := freeSlots(s, p.booting)
	if slots <= 0 {
		return
	}
	for _, v := range p.reimage[:min(slots, len(p.reimage))] {
		if v.Restarting() {
			a.Restart = append(a.Restart, v)
		} else {
			a.Reimage = append(a.Reimage, v)
		}
	}
	out, slots := max(p.reimaging, s.missing(p.live)), slots-len(a.Reimage)-len(a.Restart)
	switch {
	case s.Refresh.Restart > 0:
		next, _ := s.retire(p.live, bus.UpdateRestart, min(s.Refresh.Restart-out, slots))
		a.Restart = append(a.Restart, next...)
	case s.Refresh.Reimage:
		next, _ := s.retire(p.live, bus.UpdateReplace, min(s.Refresh.Retire-out, slots))
		a.Reimage = append(a.Reimage, next...)
	}
	p.booting += len(a.Reimage) + len(a.Restart)
}

// missing is how many VMs of the host's share do not serve, for whatever reason.
func (s Situation) missing(live []vm.VM) int {
	missing := s.Desired
	for _, v := range live {
		if v.Serves() && s.Work[v.UUID] != Reimaging {
			missing--
		}
	}
	return missing
}

// release is the removal of a VM whose place others have taken.
func (s Situation) release(v vm.VM) vm.Removal {
	if v.Order.Is(bus.VMReplace) {
		return vm.Removal{VM: v, Kind: vm.Ordered, Reason: removalReason(*v.Order), Graceful: true}
	}
	return vm.Removal{VM: v, Kind: vm.Outdated, Reason: "others have taken its place", Graceful: true}
}

// retiring reports whether a VM only serves until another has taken its place. One that is protected stays, and one that is what
// new ones are made as, after all, unless a person wants it replaced.
func (s Situation) retiring(v vm.VM) bool {
	if v.Order.Is(bus.VMReplace) {
		return v.Meta.Phase.Serves() && !s.Controls.IsPaused(bus.ScopeRepair)
	}
	return v.Retiring() && !v.Protected && (s.Refresh.Unsure || s.goes(v))
}

// goes reports whether a VM is to be replaced, or restarted: by a refresh, and while none goes on when it is older than the
// group's max_lifetime.
func (s Situation) goes(v vm.VM) bool { return s.needs(v) != bus.UpdateNone }

// needs is what is to become of a VM by a refresh, or by its age.
func (s Situation) needs(v vm.VM) bus.UpdateAction {
	switch {
	case s.Refresh.Active:
		return s.Build.Needs(v.Meta.Made())
	case v.Meta.Created.Before(s.Expired):
		return bus.UpdateReplace
	}
	return bus.UpdateNone
}

// expired is before when VMs were made that are older than a group's max_lifetime, by this host's clock; zero: it has none.
func expired(spec bus.Group, now time.Time) time.Time {
	if spec.MaxLifetime == 0 {
		return time.Time{}
	}
	return now.Add(-spec.MaxLifetime)
}

// retire are up to n of the VMs that need an action, those that are not busy first, then the oldest; rest are the others.
func (s Situation) retire(live []vm.VM, action bus.UpdateAction, n int) (retire, rest []vm.VM) {
	if n <= 0 || s.Backoff || s.Trial {
		return nil, live
	}
	var may []vm.VM
	for _, v := range live {
		if s.Work[v.UUID] == Idle && v.Serves() && !v.Protected && !v.Retiring() && !v.Reimaging() && v.Order == nil &&
			s.Sick[v.UUID] == "" && s.needs(v) == action {
			may = append(may, v)
		}
	}
	slices.SortStableFunc(may, func(a, b vm.VM) int {
		switch busy, other := s.busy(a), s.busy(b); {
		case busy == other:
			return vm.NewestFirst(b, a)
		case busy:
			return 1
		}
		return -1
	})
	retire = may[:min(n, len(may))]
	for _, v := range live {
		if !slices.ContainsFunc(retire, func(r vm.VM) bool { return r.UUID == v.UUID }) {
			rest = append(rest, v)
		}
	}
	return retire, rest
}

// unretire are the VMs that are noted as retiring and stay after all: the refresh is over, or they are protected.
func (s Situation) unretire(live []vm.VM) (stay []vm.VM) {
	for _, v := range live {
		if v.Retiring() && s.Work[v.UUID] == Idle {
			stay = append(stay, v)
		}
	}
	return stay
}

// build is what new VMs of the group are made from, and before when those were made, by this host's clock, that are replaced
// whatever they were made from. unsure reports that the latter is not known: then none is, for that.
func (g *group) build(id bus.HostID) (b bus.Build, unsure bool) {
	b = g.newest.Decision.Refresh.Build(g.spec)
	if b.Before == nil {
		return b, false
	}
	before, known := g.newest.Decision.Shares[id].Here(*b.Before)
	if b.Before = &before; !known {
		b.Before = nil
	}
	return b, !known
}

// mark notes which VMs retire from now on, and which do not any more.
func (a *Actuator) mark(ctx context.Context, h vm.Manager, g *group, plan Actions) {
	build, _ := g.build(a.hostID)
	start := func(v vm.VM, retiring bool, sentence string) {
		decision := g.newest.Decision.ID
		a.work(ctx, worker{name: v.Name, group: g.spec.Name, marks: true}, v.UUID, func(ctx context.Context) error {
			done, err := h.SetRetiring(ctx, v, retiring)
			if done {
				h.Tell(bus.Event{Group: g.spec.Name, VM: v.Name, Event: bus.EventRetiring, DecisionID: decision, Sentence: sentence})
			}
			return err
		})
	}
	for _, v := range plan.Retire {
		why := "it is older than max_lifetime " + g.spec.MaxLifetime.String()
		if g.newest.Decision.Refresh.Active() {
			why = build.Why(v.Meta.Made())
		}
		start(v, true, "another is to take its place: "+why)
	}
	for _, v := range plan.Unretire {
		start(v, false, "it stays, as no other takes its place")
	}
}

// failedLaunches are, by group, how many launches have failed since the stage started.
func (a *Actuator) failedLaunches() map[string]int {
	failed := map[string]int{}
	for name, g := range a.groups {
		if g.failedLaunches > 0 {
			failed[name] = g.failedLaunches
		}
	}
	return failed
}
