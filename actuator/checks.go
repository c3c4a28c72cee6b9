package actuator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/actuator/check"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// Tries of checks are bounded, so that slow guests take neither sockets without end nor each other's turn to be asked.
const (
	mostTries  = 16 // at a time
	mostAsking = 4  // of them those that ask guests, which take turns besides
)

// vitals are how a VM in service is by the checks of its group.
type vitals struct {
	vm      vm.VM
	restart time.Time     // when its guest last restarted without ending; zero: it did not
	tracks  []check.Track // by the group's checks; of one that is not for health nothing is known
	next    []time.Time   // when each is to be tried again
	// shared are the checks that it has failed together with most others, and alone how often it has failed one since: it counts as
	// failing by itself only once that is often enough, as those that recover do so one after another.
	shared []bool
	alone  []int
	// stale are the checks whose last result is of a time in which nobody was replaced for it: the next one counts.
	stale []bool
}

// checkups are the vitals of the VMs in service, by UUID. They are owned by Run's goroutine.
type checkups map[string]*vitals

// try names one try of a check.
type try struct {
	uuid  string
	index int // of the group's check
}

// tried is a try that is over.
type tried struct {
	try
	result check.Result
}

// look takes up the VMs that are in service now, and forgets those that are not: what was seen before somebody suspended a VM
// says nothing about it later.
func (c checkups) look(owned []vm.VM, groups map[string]*group, busy map[string]*worker, now time.Time) {
	there := map[string]bool{}
	for _, v := range owned {
		g := groups[v.Meta.Group]
		if g == nil || !slices.ContainsFunc(g.spec.Checks, bus.Check.ForHealth) || busy[v.UUID] != nil ||
			!v.Meta.Phase.Serves() || v.State != bus.StateRunning {
			continue
		}
		there[v.UUID] = true
		if c[v.UUID] == nil {
			n := len(g.spec.Checks)
			of := &vitals{tracks: make([]check.Track, n), shared: make([]bool, n), alone: make([]int, n), stale: make([]bool, n)}
			for range g.spec.Checks {
				of.next = append(of.next, now)
			}
			c[v.UUID] = of
		}
		c[v.UUID].vm = v
	}
	for uuid := range c {
		if !there[uuid] {
			delete(c, uuid)
		}
	}
}

// restarted records that a guest has restarted without ending.
func (c checkups) restarted(uuid string, at time.Time) {
	if of := c[uuid]; of != nil {
		of.restart = at
	}
}

// due are the tries to begin now, the one that is due for longest first, and as many as there is room for beside those that go
// on. Their next time is noted.
func (c checkups) due(groups map[string]*group, on map[try]bool, now time.Time) []try {
	asking := 0
	for t := range on {
		if of := c[t.uuid]; of == nil || of.check(groups, t.index).AsksGuest() { // of a VM that is gone it is not known
			asking++
		}
	}
	var all []try
	for uuid, of := range c {
		for i, next := range of.next {
			t := try{uuid, i}
			if of.check(groups, i).ForHealth() && !now.Before(next) && !on[t] {
				all = append(all, t)
			}
		}
	}
	at := func(t try) time.Time { return c[t.uuid].next[t.index] }
	slices.SortFunc(all, func(a, b try) int {
		if d := at(a).Compare(at(b)); d != 0 {
			return d
		}
		if d := strings.Compare(a.uuid, b.uuid); d != 0 {
			return d
		}
		return a.index - b.index
	})
	var begin []try
	for _, t := range all {
		of := c[t.uuid]
		asks := of.check(groups, t.index).AsksGuest()
		if len(on)+len(begin) >= mostTries || asks && asking >= mostAsking {
			continue
		}
		if asks {
			asking++
		}
		of.next[t.index] = now.Add(of.check(groups, t.index).Interval)
		begin = append(begin, t)
	}
	return begin
}

func (v *vitals) check(groups map[string]*group, i int) bus.Check {
	return groups[v.vm.Meta.Group].spec.Checks[i]
}

// take notes the result of a try, and is the event that says so, if it changes how the VM is by that check.
func (c checkups) take(groups map[string]*group, t try, r check.Result) (e bus.Event, changed bool) {
	of := c[t.uuid]
	if of == nil {
		return e, false // it is not in service any more
	}
	spec := groups[of.vm.Meta.Group].spec
	ck, before := spec.Checks[t.index], of.tracks[t.index]
	now := before.Fold(ck, check.Service{Ready: of.vm.Meta.Since, Restart: of.restart, BootTime: spec.BootTimeout}, r)
	of.tracks[t.index], of.stale[t.index] = now, false
	switch {
	case now.Verdict == check.Well:
		of.shared[t.index], of.alone[t.index] = false, 0
	case r.Outcome == check.Failing:
		of.alone[t.index]++
	}
	c.share(groups[spec.Name], t.index)
	e = bus.Event{Group: spec.Name, VM: of.vm.Name}
	switch {
	case now.Verdict == before.Verdict:
		return e, false
	case now.Verdict == check.Failing:
		e.Event = bus.EventFailing
		e.Sentence = fmt.Sprintf("it has failed its check %q %s in a row: %s", ck, bus.Count(now.Fails, "time"), now.Why)
	case before.Verdict == check.Failing:
		e.Event = bus.EventRecovered
		e.Sentence = fmt.Sprintf("it passes its check %q again, after %s", ck, r.At.Sub(before.Since).Round(time.Second))
	default:
		return e, false // it was not known, and is well
	}
	return e, true
}

// renew has each check of a group's VMs tried at once; what they have failed before counts only if they fail again.
func (c checkups) renew(g *group, now time.Time) {
	for _, of := range c {
		if of.vm.Meta.Group != g.spec.Name {
			continue
		}
		for i := range of.next {
			of.next[i], of.stale[i] = now, true
		}
	}
}

// share notes that VMs fail a check together, if they do. What they have failed meanwhile is nobody's own failure.
func (c checkups) share(g *group, index int) {
	for _, f := range c.failures(g) {
		if f.index != index || !f.common {
			continue
		}
		for _, of := range f.suspects {
			of.shared[index], of.alone[index] = true, 0
		}
	}
}

// failure is one check of a group that VMs fail.
type failure struct {
	check    bus.Check
	failing  []*vitals // for as often as counts, by their names
	suspects []*vitals // that failed it lately, whether it counts or not, by their names
	serving  int
	common   bool // by what they share: none is replaced
	index    int
}

// failures are the checks of a group that at least one VM fails.
func (c checkups) failures(g *group) (all []failure) {
	for i, ck := range g.spec.Checks {
		f := failure{check: ck, index: i}
		for _, of := range c {
			if of.vm.Meta.Group != g.spec.Name {
				continue
			}
			f.serving++
			if of.tracks[i].Suspect() {
				f.suspects = append(f.suspects, of)
			}
			if of.tracks[i].Verdict == check.Failing {
				f.failing = append(f.failing, of)
			}
		}
		f.common = check.Common(len(f.suspects), f.serving)
		for _, list := range [][]*vitals{f.failing, f.suspects} {
			slices.SortFunc(list, func(a, b *vitals) int { return strings.Compare(a.vm.Name, b.vm.Name) })
		}
		if len(f.failing) > 0 {
			all = append(all, f)
		}
	}
	return all
}

// sick are the VMs of a group that fail a check by themselves, by UUID, with the first of those checks.
func (c checkups) sick(g *group) map[string]illness {
	sick := map[string]illness{}
	for _, f := range c.failures(g) {
		for _, of := range f.failing {
			t := of.tracks[f.index]
			own := !f.common && !of.stale[f.index] && (!of.shared[f.index] || of.alone[f.index] >= f.check.Failures)
			if _, known := sick[of.vm.UUID]; !known && own {
				sick[of.vm.UUID] = illness{fmt.Sprintf("it fails its check %q: %s", f.check, t.Why), t.Since}
			}
		}
	}
	return sick
}

// illness is why a VM does not serve, and since when.
type illness struct {
	why   string
	since time.Time
}

// troubles are what health says of a group's checks.
func (c checkups) troubles(g *group) (all bus.Troubles) {
	for _, f := range c.failures(g) {
		who, track := f.failing, f.failing[0].tracks[f.index]
		if f.common {
			who = f.suspects
		}
		var names []string
		for i, of := range who {
			if i < namedAtMost {
				names = append(names, of.vm.Name)
			}
		}
		named := strings.Join(names, ", ")
		if more := len(who) - namedAtMost; more > 0 {
			named += fmt.Sprintf(" and %d more", more)
		}
		since := track.Since.Local().Format(time.TimeOnly)
		if f.common {
			all.Add(bus.ProblemCheckFailsAll, g.spec.Name, fmt.Sprintf(
				"group %s: %d of %d VMs here fail the check %q (%s) since %s, so they share its cause, and none is replaced: %s",
				g.spec.Name, len(who), f.serving, f.check, named, since, track.Why,
			))
			continue
		}
		all.Add(bus.ProblemCheckFails, strings.Join(names, ", "), fmt.Sprintf(
			"group %s: the check %q fails on %s since %s: %s", g.spec.Name, f.check, named, since, track.Why,
		))
	}
	return all
}

// beginTries begins the tries of checks that are due.
func (s *session) beginTries(ctx context.Context) error {
	for _, t := range s.checkups.due(s.groups, s.trying, s.cfg.Now()) {
		if err := s.lv.Ref(); err != nil {
			return fmt.Errorf("try the checks: %w", err)
		}
		of := s.checkups[t.uuid]
		spec, ck, v := s.groups[of.vm.Meta.Group].spec, of.check(s.groups, t.index), of.vm
		s.trying[t] = true
		go func() { s.tried <- tried{t, s.manager.TryCheck(ctx, spec, v, ck)} }() // it has room for all of them
	}
	return nil
}

// endTry takes the result of a try.
func (s *session) endTry(ctx context.Context, t tried) error {
	delete(s.trying, t.try)
	t.result.At = s.cfg.Now()
	if e, changed := s.checkups.take(s.groups, t.try, t.result); changed {
		s.tell(e)
		s.again = true
	}
	return s.beginTries(ctx)
}
