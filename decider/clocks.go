package decider

import (
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// hostClock has what a host says in times of the decider's clock, where its own is off. So nothing that is decided depends on a
// host's clock: for how long a VM serves, how old it is, which of two hosts' VMs is older.
type hostClock struct {
	offset bus.ClockOffset // of the collector that speaks for it
	behind time.Duration   // what its times are moved by; 0: its clock is right enough, or nothing is known
	known  bool            // how far its clock is off, or once was
}

// clockSteps is by how much a host's clock has to be seen to change before its times are moved by something else: so those of a
// VM stay the same from one sample to the next.
const clockSteps = time.Second

// told is a sample that arrived now, its times by the decider's clock. Until it is known how far a new host's clock is off, which
// takes four samples, they are as they came.
func (c *hostClock) told(s bus.Sample, now time.Time) bus.Sample {
	c.observe(s.Time, now)
	return shifted(s, c.behind)
}

// observe takes that a message which was sent then arrived now. What is known of a clock holds until something else is: a message
// that is late says nothing of it.
func (c *hostClock) observe(sent, now time.Time) {
	c.offset.Observe(sent, now)
	behind, known := c.offset.Skew()
	c.known = c.known || known
	if known && (behind-c.behind).Abs() > clockSteps {
		c.behind = 0
		if behind.Abs() > bus.TolerableSkew {
			c.behind = behind.Round(time.Millisecond) // as the host is told it
		}
	}
}

// leaderClock is that of the decider that led last, where it was another.
type leaderClock struct {
	term  int64
	clock hostClock
}

// observe takes a decision that came now.
func (c *leaderClock) observe(d bus.Decision, now time.Time) {
	if c.term != d.Term {
		*c = leaderClock{term: d.Term}
	}
	c.clock.observe(d.Time, now)
}

// told is a refresh that this decider takes over, with when it began by its own clock, as far as it knows how far that of the one
// which led is off: when it has heard four of its decisions. heard is the newest decision, whose times are by its maker's clock.
func (c *leaderClock) told(r *bus.Refresh, heard *bus.Decision) *bus.Refresh {
	if r == nil || r.Before == nil || heard == nil || heard.Term != c.term {
		return r
	}
	next, before := *r, *r.Before
	if of := heard.Refresh; of != nil && of.ID == r.ID && of.Before != nil {
		before = *of.Before // what is kept may be of a decider before that one
	}
	next.Before = new(before.Add(c.clock.behind))
	return &next
}

// attaching is the same of domains that are to be attached.
func (c *leaderClock) attaching(all Attachments, heard *bus.Decision) Attachments {
	if heard == nil || heard.Term != c.term {
		return all
	}
	all = slices.Clone(all)
	for i := range all {
		all[i].Until = all[i].Until.Add(c.clock.behind)
	}
	return all
}

// build is what a host's VMs are compared with. Where it is not known how far its clock is off, none is too old.
func (h HostObservation) build(b bus.Build) bus.Build {
	if h.Unclocked {
		b.Before = nil
	}
	return b
}

// undated is the situation with no VM made at any known time where it is not known how far a host's clock is off: all of them
// are older than what begins now.
func (s situation) undated() situation {
	s.obs.Hosts = slices.Clone(s.obs.Hosts)
	for i := range s.obs.Hosts {
		h := &s.obs.Hosts[i]
		if !h.Unclocked {
			continue
		}
		h.Unclocked, h.VMs = false, slices.Clone(h.VMs)
		for j := range h.VMs {
			h.VMs[j].Created, h.VMs[j].RestartedAt = time.Time{}, nil
		}
	}
	return s
}

// unclocked names the hosts that are heard and of whose clocks it is not known how far they are off; "": there is none.
func (o Observation) unclocked() string {
	var names []string
	for _, h := range o.Hosts {
		if h.Unclocked && h.Trouble != Silent {
			names = append(names, h.Name)
		}
	}
	return strings.Join(names, ", ")
}

// tellClocks says in the hosts' shares how far their clocks are off, so that they tell this decider's moments as it tells theirs.
func (o Observation) tellClocks(shares map[bus.HostID]bus.Share) {
	for _, h := range o.Hosts {
		if share, ok := shares[h.ID]; ok && !h.Unclocked {
			share.ClockBehindMS = new(h.Behind.Milliseconds())
			shares[h.ID] = share
		}
	}
}

// begun is a refresh whose beginning is not to come: a clock that was ahead said so, and VMs that are made from now on are new.
func begun(r *bus.Refresh, now time.Time) *bus.Refresh {
	if !r.Active() || r.Before == nil || !r.Before.After(now) {
		return r
	}
	next := *r
	next.Before = new(now.UTC())
	return &next
}

// shifted is a sample with its times moved. The one that came stays as it is.
func shifted(s bus.Sample, by time.Duration) bus.Sample {
	if by == 0 {
		return s
	}
	known := func(t time.Time) time.Time {
		if t.IsZero() {
			return t
		}
		return t.Add(by)
	}
	noted := func(t *time.Time) *time.Time {
		if t == nil {
			return nil
		}
		return new(known(*t))
	}
	s.Time, s.VMs = known(s.Time), slices.Clone(s.VMs)
	for i := range s.VMs {
		vm := &s.VMs[i]
		vm.Created, vm.PhaseSince = known(vm.Created), known(vm.PhaseSince)
		vm.BootedAt, vm.RebootedAt, vm.RestartedAt = noted(vm.BootedAt), noted(vm.RebootedAt), noted(vm.RestartedAt)
	}
	return s
}

// clocksAhead are by how many seconds the hosts' clocks are ahead of the decider's, as far as that is known.
func (w *Window) clocksAhead() map[bus.HostID]float64 {
	ahead := map[bus.HostID]float64{}
	for id, h := range w.hosts {
		if behind, known := h.clock.offset.Skew(); known {
			ahead[id] = -behind.Round(time.Millisecond).Seconds()
		}
	}
	return ahead
}

// hostSkew is by how much a host's clock is off; more than 0 is behind.
type hostSkew struct {
	host string
	skew time.Duration
}

// skewed are the hosts whose clocks are off, by name.
func (w *Window) skewed() (hosts []hostSkew) {
	for _, h := range w.hosts {
		if skew, known := h.clock.offset.Skew(); known && skew.Abs() > bus.TolerableSkew {
			hosts = append(hosts, hostSkew{h.sample.Host, skew})
		}
	}
	slices.SortFunc(hosts, func(a, b hostSkew) int { return strings.Compare(a.host, b.host) })
	return hosts
}

func sideOf(behind time.Duration) string {
	if behind < 0 {
		return seconds(-behind) + " ahead"
	}
	return seconds(behind) + " behind"
}
