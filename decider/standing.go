package decider

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Standings are where the hosts of a group stand, by their IDs.
type Standings map[bus.HostID]Standing

// Standing is where one host stands, as it is kept for the next decider.
type Standing struct {
	Name   string        `json:"name"`
	State  bus.HostState `json:"state"`
	Since  time.Time     `json:"since"`
	Reason string        `json:"reason,omitempty"`
	// Kept is how many VMs desired counts there, also those that are written off; a host that falls silent may have begun to make
	// what it was told to have.
	Kept   int       `json:"kept"`
	Owned  int       `json:"owned"`          // all that it showed last, also those that desired does not count
	Told   int       `json:"told"`           // how many VMs it may have begun to have by the last decisions
	ToldAt time.Time `json:"told_at"`        // when that was raised last
	Warm   int       `json:"warm,omitempty"` // how many VMs of the warm pool it was told last to have
	// Updated is how many VMs it was told last that it may have up to date while a refresh keeps a canary.
	Updated int `json:"updated,omitempty"`
	// Lease is how many VMs it may own by decisions that may still hold there, the newest of which that says so is of LeaseAt;
	// once they have run out it is LeaseNext, the most that one since has said. LeaseNext and LeaseAt change with each decision,
	// and are not kept: for the next decider all that this one has said holds from when it begins.
	Lease     int       `json:"lease,omitempty"`
	LeaseNext int       `json:"-"`
	LeaseAt   time.Time `json:"-"`
	Gone      int       `json:"gone,omitempty"`   // of Kept, those that are written off: others take their places
	Missed    bool      `json:"missed,omitempty"` // it was lost, and has not been up since: others may have its VMs
	Fenced    bool      `json:"fenced,omitempty"` // since it is lost, the fence command has said so
}

// confirmAfter is for how long a host must be silent until it can be lost, however short lost_after is: so that several that fall
// silent together are seen to do so before the first of them is lost.
const confirmAfter = 5 * time.Second

// quorum is how much of the fleet is heard.
type quorum struct {
	known, silent int // without those that are lost already
}

// partitioned reports whether so many hosts are silent at once that rather this decider is cut off than they are gone.
func (q quorum) partitioned() bool { return q.silent >= 2 && 2*q.silent > q.known }

// alone reports whether fewer than two hosts are heard, so that none tells whether the silent one is cut off or this one.
func (q quorum) alone() bool { return q.known-q.silent < 2 }

func (all Standings) quorum(obs Observation) (q quorum) {
	for _, h := range obs.Hosts {
		if h.Trouble == Silent && all[h.ID].State == bus.HostLost {
			continue
		}
		q.known++
		if h.Trouble == Silent {
			q.silent++
		}
	}
	return q
}

// counted is how many VMs count to desired, with what silent hosts may have made, and how many all hosts own or may make.
func (all Standings) counted(obs Observation) (kept, owned int) {
	for _, h := range obs.Hosts {
		s, n := all[h.ID], h.kept()
		if h.Trouble == Silent {
			n = max(n, s.Told) - s.Gone
		}
		kept += n
		if s.State != bus.HostLost || n > 0 {
			owned += max(len(h.VMs), s.Lease, s.LeaseNext) - s.Gone
		}
	}
	return kept, owned
}

// next is where the hosts stand after an observation; desired is what the group wanted before it. One that is observed no more
// was forgotten.
func (all Standings) next(spec bus.Group, obs Observation, desired int, now time.Time) Standings {
	next, q := Standings{}, all.quorum(obs)
	counted, owned := all.counted(obs)
	surplus := counted > desired || owned > spec.Max
	for _, h := range obs.Hosts {
		s, known := all[h.ID]
		if !known {
			s = Standing{State: bus.HostUp, Since: now}
		}
		s.Name = h.Name
		enter := func(state bus.HostState, reason string) {
			if s.State != state {
				s.State, s.Since = state, now
			}
			s.Reason = reason
		}
		switch lost, why := h.lost(s, spec, obs, q, now); {
		case h.Trouble != Silent && s.Missed && s.State != bus.HostReturning:
			s.Gone, s.Fenced = 0, false
			enter(bus.HostReturning, "it is heard again")
		case h.Trouble != Silent && s.State == bus.HostReturning && (surplus || now.Sub(s.Since) < spec.LostAfter):
			s.Reason = h.returning(surplus)
		case h.Trouble != Silent:
			s.Missed = false
			enter(h.served())
		case s.State == bus.HostLost:
			s.Reason = s.lostReason(spec, q)
		case lost:
			s.Missed = true
			enter(bus.HostLost, s.lostReason(spec, q))
		default:
			enter(bus.HostSilent, why)
		}
		if s.Kept = h.kept(); h.Trouble == Silent {
			if s.State == bus.HostLost {
				s.Kept = h.unordered().kept()
			}
			s.Kept = max(s.Kept, s.Told)
		} else {
			s.Owned = len(h.VMs)
		}
		next[h.ID] = s
	}
	return next
}

// lost reports whether a silent host is lost: only by two signs that do not depend on each other.
func (h HostObservation) lost(s Standing, spec bus.Group, obs Observation, q quorum, now time.Time) (is bool, why string) {
	switch {
	case h.Trouble != Silent:
		return false, ""
	case q.partitioned():
		return false, fmt.Sprintf("no sample, as of %d of %d hosts at once: a partition is suspected, and nothing is replaced",
			q.silent, q.known)
	case h.Alive:
		return false, "no sample, but its stages give signs of life: it is not lost"
	case obs.Settling:
		return false, "no sample since this decider began to lead"
	case h.Quiet < spec.LostAfter, s.State != bus.HostSilent, now.Sub(s.Since) < confirmAfter:
		return false, "no sample, and no sign of life of its stages"
	}
	return true, ""
}

func (s Standing) lostReason(spec bus.Group, q quorum) string {
	why := "no sample and no sign of life of its stages"
	switch {
	case s.Kept == 0:
		return why + "; it had no VM of the group"
	case s.Gone >= s.Kept:
		return fmt.Sprintf("%s; others have taken the places of its %s", why, plural(s.Kept))
	}
	if held := s.held(spec, q); held != "" {
		return fmt.Sprintf("%s; its %s: %s", why, plural(s.Kept-s.Gone), held)
	}
	return fmt.Sprintf("%s; others take the places of its %s", why, plural(s.Kept))
}

// held is why no other VMs may take the places of those of a lost host; "": they may.
func (s Standing) held(spec bus.Group, q quorum) string {
	switch {
	case s.Fenced:
		return ""
	case spec.HostLoss == bus.LossHold:
		return "not replaced, as on_host_loss is hold: `vmscaler host remove " + s.Name + "` lets the other hosts have them"
	case spec.HostLoss == bus.LossReplaceAfterFence:
		return "replaced once the fence command has cut it off"
	case q.alone():
		return "not replaced, as of two hosts neither tells which is cut off: `vmscaler host remove " + s.Name +
			"` lets the other have them, as does on_host_loss: replace-after-fence"
	}
	return ""
}

func (h HostObservation) returning(surplus bool) string {
	if surplus {
		return "it is heard again; the group has more VMs than it wants until the surplus is gone"
	}
	return "it is heard again"
}

// served is the state of a host that is heard, by what a person wants of it.
func (h HostObservation) served() (state bus.HostState, reason string) {
	switch {
	case h.Order == nil:
		return bus.HostUp, ""
	case h.Order.Action == bus.HostCordon:
		return bus.HostCordoned, "no new VM is made there; " + bus.Attribution(h.Order.By, h.Order.Reason)
	case len(h.VMs) == 0:
		return bus.HostDrained, "it has no VM of the group any more; " + bus.Attribution(h.Order.By, h.Order.Reason)
	}
	return bus.HostDraining, h.drains() + "; " + bus.Attribution(h.Order.By, h.Order.Reason)
}

// drains is what a host that is drained waits for.
func (h HostObservation) drains() string {
	for _, vm := range h.VMs {
		if vm.State.Suspended() || vm.Phase.StandsBy() || vm.Phase == bus.PhaseRetained {
			return fmt.Sprintf("it has %s left; %s is set aside, and stays until somebody removes it", plural(len(h.VMs)), vm.Name)
		}
	}
	return fmt.Sprintf("it has %s left, which others take the places of", plural(len(h.VMs)))
}

// stood is the observation as the standings make of it: what is written off of lost hosts is not there, and one that returns is
// looked at for a while before anything is removed.
func (o Observation) stood(st Standings, spec bus.Group, now time.Time) Observation {
	hosts := slices.Clone(o.Hosts)
	for i := range hosts {
		h, s := &hosts[i], st[hosts[i].ID]
		h.Owned = len(h.VMs)
		if h.Trouble == Silent || s.State == bus.HostLost {
			h.counts = hostCounts{} // of other VMs
		}
		h.State, h.Told, h.ToldWarm, h.ToldUpdated = s.State, s.Told, s.Warm, s.Updated
		if s.State == bus.HostLost {
			*h = h.unordered()
		}
		if h.Trouble == Silent {
			h.VMs = slices.Clip(h.VMs)
			for n := h.kept(); n < s.Kept; n++ {
				h.VMs = append(h.VMs, unseen(h.ID, n))
			}
		}
		switch s.State { //nolint:exhaustive // the others change nothing
		case bus.HostLost:
			h.writeOff(s.Gone)
		case bus.HostReturning:
			if h.Trouble == "" && now.Sub(s.Since) < spec.LostAfter {
				h.Trouble = Returned
			}
		}
	}
	o.Hosts = hosts
	return o
}

// unseen is a VM of which nothing is known but that it counts: each host has its own, by their numbers.
func unseen(id bus.HostID, n int) bus.VM {
	return bus.VM{UUID: fmt.Sprintf("%s/%d", id, n), Phase: bus.PhaseReady, State: bus.StateUnknown}
}

// told notes how many VMs each host may have by a decision. One that says fewer is not taken for done before a sample would show
// what the one before it has begun.
func (all Standings) told(shares map[bus.HostID]bus.Share, obs Observation, now time.Time) {
	for _, h := range obs.Hosts {
		share, s := shares[h.ID], all[h.ID]
		switch {
		case share.VMs > s.Told:
			s.Told, s.ToldAt = share.VMs, now
		case h.heard(now).Sub(s.ToldAt) > confirmAfter:
			s.Told = share.VMs
		}
		s.Warm, s.Updated = share.Warm, 0
		if share.Updated != nil {
			s.Updated = *share.Updated
		}
		all[h.ID] = s
	}
}

// writeOff takes so many of the VMs that the host keeps out of what is seen; with the last of them all the others.
func (h *HostObservation) writeOff(n int) {
	vms := slices.SortedFunc(slices.Values(h.VMs), func(a, b bus.VM) int { return cmp.Compare(a.UUID, b.UUID) })
	left := h.kept() - n
	h.VMs = nil
	for _, vm := range vms {
		switch {
		case left <= 0:
			h.Gone = append(h.Gone, vm)
			continue
		case kept(&vm):
			left--
		}
		h.VMs = append(h.VMs, vm)
	}
}

// replaceLost has others take the places of VMs of lost hosts, so many at once that a loss of many starts no storm: a quarter of
// them, or all if fewer serve than must. It reports whether there are any more.
func (s *situation) replaceLost() bool {
	q := s.state.Standings.quorum(s.seen)
	if !s.state.HasSample || q.partitioned() || s.state.Controls.IsPaused(bus.ScopeRepair) || s.obs.Fresh == 0 {
		return false
	}
	left, all := 0, 0
	for _, h := range s.obs.Hosts {
		if st := s.state.Standings[h.ID]; st.State == bus.HostLost && st.held(s.spec, q) == "" {
			left, all = left+h.kept(), all+st.Kept
		}
	}
	c := s.counts
	pending := max(0, s.state.Desired-c.kept)
	if s.free() <= 0 { // then none of them can be made before others are written off
		pending = 0
	}
	batch := (all+3)/4 - c.launching - pending
	more := min(left, max(0, batch)+max(0, c.kept-s.state.Desired))
	if c.ready+c.warming < s.spec.Min {
		more = left
	}
	if more <= 0 {
		return false
	}
	for _, h := range s.obs.Hosts {
		st := s.state.Standings[h.ID]
		if st.State != bus.HostLost || st.held(s.spec, q) != "" {
			continue
		}
		n := min(more, h.kept())
		st.Gone, more = st.Gone+n, more-n
		st.Reason = st.lostReason(s.spec, q)
		s.state.Standings[h.ID] = st
	}
	return true
}

// shown are the hosts that are not just up, as a decision has them.
func (all Standings) shown(obs Observation) map[bus.HostID]bus.HostStanding {
	shown := map[bus.HostID]bus.HostStanding{}
	for _, h := range obs.Hosts {
		s := all[h.ID]
		if s.State == bus.HostUp && h.Order == nil {
			continue
		}
		shown[h.ID] = bus.HostStanding{
			Host: s.Name, State: s.State, Since: s.Since.UTC(), Reason: bus.Cut(s.Reason), Replaced: s.Gone, Order: h.Order,
		}
	}
	if len(shown) == 0 {
		return nil
	}
	return shown
}
