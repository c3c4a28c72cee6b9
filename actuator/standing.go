package actuator

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

const (
	// unheardAfter is for how long no decision may come after the start: an election takes up to 20 s.
	unheardAfter = 30 * time.Second
	// standsAfter is for how long a group may be below what is desired, with nothing in progress and no cause that is known,
	// until that is a problem: what only passes by, as a VM on its way out that counts toward max, is over by then.
	standsAfter = time.Minute
	// stuckAfter is how much longer a step may take than what its group's time-outs allow. What it does beside waiting is
	// libvirt's and the storage's work, which takes seconds.
	stuckAfter = 5 * time.Minute
)

// standing is how far a group is from what is desired, as its last plan saw it.
type standing struct {
	lacks     int // VMs of desired that do not serve here
	launching int // are on their way
	hold      Hold
	// holdSince is since when hold applies, and idleSince since when the group lacks VMs and nothing is done about it; zero: not
	// now.
	holdSince, idleSince time.Time
}

// next is the standing after another plan.
// Of one in which a person has paused everything, or nothing may be done, there is nothing to say.
func (st standing) next(s Situation, a Actions, now time.Time) standing {
	if s.rests() {
		return standing{}
	}
	n := standing{lacks: s.Desired, launching: len(s.Creating), hold: a.Hold, holdSince: st.holdSince, idleSince: st.idleSince}
	moves := s.Controls.IsPaused(bus.ScopeRepair) // then what is off is left so
	for _, v := range s.Owned {
		if v.Serves() && v.State == bus.StateRunning && s.Sick[v.UUID] == "" {
			n.lacks--
		}
		if v.Meta.Phase.Pooled() {
			continue
		}
		switch s.Work[v.UUID] {
		case BringingUp, Reimaging:
			n.launching++
		case Removing, Draining, SettingAside:
			moves = true
		case Idle, Resting, Marking:
		}
	}
	n.lacks = max(n.lacks, 0) // also where desired is not known
	if a.Hold != st.hold || a.Hold == "" || st.holdSince.IsZero() {
		n.holdSince = now
	}
	moves = moves || n.launching+len(a.Create)+len(a.Await)+len(a.Reimage)+len(a.Restart)+len(a.HandOver)+len(a.Promote)+
		len(a.Remove)+len(a.Cancel) > 0
	switch {
	case n.lacks == 0 || moves:
		n.idleSince = time.Time{}
	case st.idleSince.IsZero():
		n.idleSince = now
	}
	return n
}

// standstill is what keeps a group below desired that is no other trouble of the group's.
func (g *group) standstill(now time.Time) (all bus.Troubles) {
	st := g.standing
	add := func(code bus.ProblemCode, format string, args ...any) {
		all.Add(code, g.spec.Name, "group "+g.spec.Name+": "+fmt.Sprintf(format, args...))
	}
	unheard := !g.began.IsZero() && !g.newest.Taken() && !g.mismatch && g.newest.Refused(now) == nil
	if since := now.Sub(g.began); unheard && since >= unheardAfter {
		add(bus.ProblemDecisionExpired, "no decision has come for %s: no decider is heard", since.Round(time.Second))
	}
	failed, waits := g.failures+g.deaths, now.Before(g.retryAt)
	switch {
	case g.open() && waits && st.lacks > 0:
		add(bus.ProblemLaunchBreaker, "no launch until %s after %s in a row: %s",
			g.retryAt.Local().Format(time.DateTime), bus.Count(failed, "failure"), g.cause)
	case g.open() && st.lacks > 0:
		add(bus.ProblemLaunchBreaker, "one VM at a time is launched after %s in a row, the last at %s: %s",
			bus.Count(failed, "failure"), g.failedAt.Local().Format(time.DateTime), g.cause)
	case failed > 0 && st.lacks > 0:
		add(bus.ProblemLaunchFails, "%d of %s missing, as launching failed %s in a row, %s: %s",
			st.lacks, bus.Count(g.desired, "VM"), bus.Count(failed, "time"), g.nextTry(now), g.cause)
	}
	if held := now.Sub(st.holdSince); st.hold == HoldNumbers && held >= standsAfter {
		add(bus.ProblemNoNumber, "%d of %s missing for %s, as the decider has given no number for a name that is free here",
			st.lacks, bus.Count(g.desired, "VM"), held.Round(time.Second))
	}
	idle := now.Sub(st.idleSince)
	if st.idleSince.IsZero() || idle < standsAfter || failed > 0 || g.shortage != "" || len(g.suspended) > 0 || len(all) > 0 {
		return all // or it goes on, or something else says why
	}
	add(bus.ProblemBelowDesired, "%d of %s not in service for %s, %s",
		st.lacks, bus.Count(g.desired, "VM"), idle.Round(time.Second), st.hold.sentence(g.most))
	return all
}

// sentence is what a hold has to say of a group that nothing is done about.
func (h Hold) sentence(most int) string {
	switch h {
	case HoldMax:
		return fmt.Sprintf("as VMs that do not serve count toward max %d", most)
	case HoldLease:
		return fmt.Sprintf("as the other hosts have, or may make, what is left of max %d", most)
	case HoldSlots, HoldTrial:
		return "as VMs of other groups boot"
	case HoldBackoff, HoldNumbers, "":
	}
	return "and nothing is done about it yet"
}

// nextTry is when launching goes on after a failure.
func (g *group) nextTry(now time.Time) string {
	switch {
	case now.Before(g.retryAt):
		return "next try at " + g.retryAt.Local().Format(time.TimeOnly)
	case g.standing.launching > 0:
		return "and one is launched now"
	}
	return "next try as soon as it may be"
}

// allowed is how long a worker's step may take by its group's time-outs. A wait for a hook is not in it.
func (w *worker) allowed(spec bus.Group) time.Duration {
	end := spec.Drain + spec.ShutdownTimeout
	switch {
	case w.marks:
		return stuckAfter
	case w.reimages:
		return spec.BootTimeout + end + stuckAfter
	case w.up:
		return spec.BootTimeout + spec.ShutdownTimeout + stuckAfter // what fails is undone
	}
	return end + stuckAfter
}

// stuckTroubles name the VMs whose launches or removals take longer than they may. They hold a place in max, and a boot slot.
func (a *Actuator) stuckTroubles() (all bus.Troubles) {
	if len(a.workers) == 0 {
		return nil
	}
	now, waiting := a.cfg.Now(), a.hooks.Waiting()
	for _, uuid := range slices.Sorted(maps.Keys(a.workers)) {
		w := a.workers[uuid]
		spec := a.groups[w.group].spec
		hooks := spec.Hooks.Remove
		if w.up {
			hooks = spec.Hooks.Launch
		}
		allowed := w.allowed(spec) + hooks.Timeout()
		if waiting[uuid] { // for as long as heartbeats come
			w.since = now
		}
		took := now.Sub(w.since)
		if took < allowed {
			continue
		}
		all.Add(bus.ProblemStuck, w.name, fmt.Sprintf(
			"group %s: %s %s has taken %s, and its time-outs allow %s: libvirt or its storage does not get on with it",
			w.group, w.doing(), w.name, took.Round(time.Second), allowed.Round(time.Second)))
	}
	return all
}

// doing is what a worker does, as health says it.
func (w *worker) doing() string {
	switch {
	case w.attaches:
		return "attaching"
	case w.restarts:
		return "restarting"
	}
	switch w.work() {
	case BringingUp:
		return "launching"
	case Reimaging:
		return "giving new disks to"
	case Marking:
		return "noting that it is retiring of"
	case SettingAside:
		return "taking out of service"
	case Removing, Draining, Idle, Resting:
	}
	return "removing"
}
