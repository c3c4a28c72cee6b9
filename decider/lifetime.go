package decider

import (
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// before is the moment before which VMs were made that are older than the group's max_lifetime; nil where it has none.
func before(spec bus.Group, now time.Time) *time.Time {
	if spec.MaxLifetime == 0 {
		return nil
	}
	return new(now.Add(-spec.MaxLifetime))
}

// overdue counts the VMs that are older than the group's max_lifetime, and not on their way out yet.
func (s situation) overdue() (n int) {
	build := bus.Build{Before: before(s.spec, s.now)}
	for _, h := range s.obs.Hosts {
		build := h.build(build)
		for _, vm := range h.VMs {
			if !vm.Phase.Leaving() && !vm.Phase.Pooled() && build.Outdated(bus.Made{Created: vm.Created}) {
				n++
			}
		}
	}
	return n
}

// replacement is what VMs are replaced by at present, and which: a refresh, and while none goes on the group's max_lifetime, as
// far as its maintenance lets them go at a time. Nil is none. build is what VMs are made from now.
func (s situation) replacement(r *bus.Refresh, build bus.Build) (*bus.Refresh, bus.Build) {
	if r.Active() || s.spec.MaxLifetime == 0 {
		return r, build
	}
	n := s.counts.kept
	return &bus.Refresh{
		Phase: bus.RefreshRunning, Strategy: bus.RefreshReplace, Total: n, MaxSurge: s.spec.Maintenance.Surge(max(n, 1)),
		MinHealthyPercent: s.spec.Maintenance.MinHealthyPercent,
	}, bus.Build{Before: before(s.spec, s.now)}
}

// lifetimeTrouble is why no VM that is older than the group's max_lifetime is replaced; "" where none is, or they are.
func lifetimeTrouble(spec bus.Group, d bus.Decision) string {
	n := d.Inputs.Overdue
	surge, spare := spec.Maintenance.Leeway(d.Desired, d.Inputs.Max)
	if n == 0 || d.Desired == 0 || surge+spare > 0 || d.Refresh.Active() {
		return ""
	}
	return fmt.Sprintf(
		"%s older than max_lifetime %s, and none is replaced, as the group is at max %d and none of its VMs may be missing: "+
			"raise max, or lower maintenance.min_healthy",
		bus.Count(n, "VM"),
		spec.MaxLifetime,
		d.Inputs.Max,
	)
}

// tooOld is that no VM is replaced that is older than the group's max_lifetime.
func (g *group) tooOld() (all bus.Troubles) {
	if g.decision == nil {
		return nil
	}
	if text := lifetimeTrouble(g.inForce, *g.decision); text != "" {
		all.Add(bus.ProblemLifetime, g.spec.Name, "group "+g.spec.Name+": "+text)
	}
	return all
}
