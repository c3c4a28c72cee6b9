package decider

import (
	"maps"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// lease has each host of several own so many VMs at most, whatever their state. What all hosts may own by decisions that may
// still hold is never more than max. So none is made beyond it, whatever a host does before its next sample shows it, and
// whichever decision is late or lost. What a host lets go is another's only once the lease that it had has run out there.
//
// VMs that are to serve come first, then the warm pool; what is left is for hosts that replace one of theirs before that goes.
func (s situation) lease(d *bus.Decision, next Standings) {
	hosts := s.obs.Hosts
	if len(hosts) == 1 { // its actuator sees to max itself
		next[hosts[0].ID] = next[hosts[0].ID].leased(s.spec.Max, hosts[0], s)
		return
	}
	room, most := s.free(), make([]int, len(hosts))
	for i, h := range hosts {
		most[i] = s.committed(h)
	}
	short := room < 0
	for _, wants := range []func(HostObservation, bus.Share) int{s.serving, s.withWarm, s.withSpare} {
		if short {
			break
		}
		for i, h := range hosts {
			if h.State == bus.HostLost { // it makes none, and what others replace of it takes none of their room
				continue
			}
			if more := wants(h, d.Shares[h.ID]) - most[i]; more > 0 {
				given := min(more, max(room, 0))
				most[i], room, short = most[i]+given, room-given, short || given < more
			}
		}
	}
	wants := s.withSpare
	if short {
		wants = s.withWarm
	}
	for i, h := range hosts {
		share := d.Shares[h.ID]
		share.Most = new(min(most[i], wants(h, share)))
		if over := s.serving(h, share) - *share.Most; over > 0 { // these it is not told to make yet
			share.VMs -= min(over, h.lacks(share))
		}
		d.Shares[h.ID] = share
		next[h.ID] = next[h.ID].leased(*share.Most, h, s)
	}
}

// committed is how many VMs the host owns or may make by decisions before this one, without those that others replace.
func (s situation) committed(h HostObservation) int {
	if h.State == bus.HostLost && len(h.VMs) == 0 {
		return 0
	}
	st := s.state.Standings[h.ID]
	return max(h.Owned, st.Lease, st.LeaseNext) - st.Gone
}

// free is how many VMs more than they own or may make the hosts may have in all.
func (s situation) free() int {
	free := s.spec.Max
	for _, h := range s.obs.Hosts {
		free -= s.committed(h)
	}
	return free
}

// serving is how many VMs the host owns once it has what is to serve there, without those that it may let go now.
func (s situation) serving(h HostObservation, share bus.Share) int {
	others := len(h.VMs) + len(h.Gone) - h.kept() - h.gone()
	coming := 0
	for _, a := range s.state.Attach.coming(s.obs) {
		if a.HostID == h.ID {
			coming++
		}
	}
	return max(len(h.VMs)+len(h.Gone), others-h.handedOver(s.spec.WarmPool, share)+share.VMs) + coming - share.Release
}

// withWarm is the same with what its warm pool is to have.
func (s situation) withWarm(h HostObservation, share bus.Share) int {
	return s.serving(h, share) + max(0, share.Warm-h.pooled()+h.handedOver(s.spec.WarmPool, share))
}

// withSpare is the same with room to replace VMs before they go, on a host that may make some.
func (s situation) withSpare(h HostObservation, share bus.Share) int {
	n := s.withWarm(h, share)
	if h.fills() && h.kept() > 0 {
		n += s.spec.Repair.AtOnce
	}
	return n
}

// leaseSlack is for how much longer than a decision holds what it let a host make may not be seen yet: for as long as its samples
// may be late.
const leaseSlack = confirmAfter

// leased notes what a host may own by the newest decision. What it may own by those before is its lease until they have run
// out, and a sample would show what they had it make.
func (s Standing) leased(most int, h HostObservation, in situation) Standing {
	switch {
	case most >= s.Lease:
		s.Lease, s.LeaseNext, s.LeaseAt = most, 0, in.now
	case h.heard(in.now).Sub(s.LeaseAt) > in.obs.Stale+leaseSlack:
		s.Lease, s.LeaseNext, s.LeaseAt = max(most, s.LeaseNext), most, in.now
	default:
		s.LeaseNext = max(most, s.LeaseNext)
	}
	return s
}

// same reports whether two standings say the same to the next decider.
func (s Standing) same(other Standing) bool {
	other.LeaseNext, other.LeaseAt = s.LeaseNext, s.LeaseAt
	return s == other
}

// recalled are the standings for a decider that begins now: what the one before it has let hosts have may hold from now on.
func (all Standings) recalled(now time.Time) Standings {
	all = maps.Clone(all)
	for id, s := range all {
		s.LeaseNext, s.LeaseAt = 0, now
		all[id] = s
	}
	return all
}

// leasedBy takes what a decision has let hosts have that was heard after the standings were kept.
func (all Standings) leasedBy(shares map[bus.HostID]bus.Share) {
	for id, share := range shares {
		if s, known := all[id]; known && share.Most != nil {
			s.Lease = max(s.Lease, *share.Most)
			all[id] = s
		}
	}
}
