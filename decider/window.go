package decider

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Window gathers a group's samples. It is not safe for concurrent use.
type Window struct {
	SpecHash string // of the group; samples of another one are mismatched
	hosts    map[bus.HostID]*hostWindow
	moved    map[bus.HostID]time.Time // when hosts were heard last whose VMs are all another's now
	// changed reports that some host's VMs are others since the last look; apart that then no VM was in two places.
	changed, apart bool
}

type hostWindow struct {
	sample  bus.Sample
	arrived time.Time // by the decider's own clock
	since   time.Time // when the host was heard first
	fresh   bool
	cpu     []mean    // of each VM of sample, since the previous evaluation
	sent    time.Time // the time of sample by the host's own clock
	clock   hostClock
	// replaced are the collectors that another took over from. One that goes on all the same is a second one, unless the
	// other has fallen silent.
	replaced map[string]bool
	second   string
	secondAt time.Time
}

type mean struct {
	sum float64
	n   int
}

const (
	// reordering is how long a sample may come after a newer one. One that seems older after a longer silence is of a
	// host whose clock was set back.
	reordering = 2 * time.Second
	// claimAge is how long a second collector of a host is remembered, and for how long one that took over may be silent
	// before the one from which it did is taken again.
	claimAge = 10 * time.Second
	// maxHosts bounds the hosts of a group, and maxReplaced the collectors that are remembered of each.
	maxHosts    = bus.MaxHosts
	maxReplaced = 16
	// emptyFor is how long a silent host without VMs is remembered, and how long the numbers stay taken of one whose VMs another
	// shows.
	emptyFor = time.Hour
)

// errOld is why a sample is not used.
var errOld = errors.New("it repeats or precedes the host's last sample")

// Add takes a sample that arrived now. A duplicate, or one that is older than the host's last one, is an error and
// changes nothing; so is one of a second collector of the host, and one of too many hosts.
func (w *Window) Add(s bus.Sample, now time.Time) error {
	if w.hosts == nil {
		w.hosts = map[bus.HostID]*hostWindow{}
	}
	h := w.hosts[s.HostID]
	switch {
	case h == nil && len(w.hosts) >= maxHosts:
		return fmt.Errorf("host %s is one too many: a group has at most %d", s.Host, maxHosts)
	case h == nil:
		h = &hostWindow{since: now, replaced: map[string]bool{}}
		w.hosts[s.HostID] = h
	// A late one of a collector that has ended takes nothing over.
	case s.Time.Before(h.sent) && now.Sub(h.arrived) < reordering,
		s.Instance == h.sample.Instance && s.Time.Equal(h.sent):
		return errOld
	case h.replaced[s.Instance] && now.Sub(h.arrived) <= claimAge:
		h.second, h.secondAt = s.Instance, now
		return fmt.Errorf("the collector %s took over host %s, and %s speaks for it, too", h.sample.Instance, s.HostID, s.Instance)
	case s.Instance != h.sample.Instance: // it was restarted, or the one that took over is gone
		if len(h.replaced) >= maxReplaced {
			clear(h.replaced)
		}
		h.replaced[h.sample.Instance] = true
		delete(h.replaced, s.Instance)
		h.second, h.secondAt = "", time.Time{}
		h.clock.offset = bus.ClockOffset{}
	}
	delete(w.moved, s.HostID)
	h.sent = s.Time
	s = h.clock.told(s, now)
	if !sameVMs(h.sample.VMs, s.VMs) || len(h.cpu) != len(s.VMs) {
		h.cpu, w.changed = carried(h.cpu, h.sample.VMs, s.VMs), true
	}
	h.sample, h.arrived, h.fresh = s, now, true
	for i := range s.VMs {
		if cpu := s.VMs[i].CPUPercent; cpu != nil && *cpu >= 0 {
			h.cpu[i] = mean{h.cpu[i].sum + min(*cpu, 100), h.cpu[i].n + 1}
		}
	}
	return nil
}

// sameVMs reports whether two lists have the same VMs in the same order, as a host's do from one sample to the next.
func sameVMs(a, b []bus.VM) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].UUID != b[i].UUID {
			return false
		}
	}
	return true
}

// carried are the readings of one list of VMs for another one.
func carried(cpu []mean, from, to []bus.VM) []mean {
	known := map[string]mean{}
	for i := range cpu {
		known[from[i].UUID] = cpu[i]
	}
	next := make([]mean, len(to))
	for i := range to {
		next[i] = known[to[i].UUID]
	}
	return next
}

// respecify has another spec of the group hold. What its hosts said under the one before is as true as it was.
func (w *Window) respecify(hash string) {
	for _, h := range w.hosts {
		if h.sample.SpecHash == w.SpecHash {
			h.sample.SpecHash = hash
		}
	}
	w.SpecHash = hash
}

// expect has a host that had so many VMs under the decider before this one, and was not heard yet, count as silent from now on.
// Which VMs they are is not known: each counts, and nothing else.
func (w *Window) expect(id bus.HostID, name string, kept int, s Standing, now time.Time) {
	if w.hosts == nil {
		w.hosts = map[bus.HostID]*hostWindow{}
	}
	if w.hosts[id] != nil || len(w.hosts) >= maxHosts {
		return
	}
	h := &hostWindow{since: now, arrived: now, replaced: map[string]bool{}}
	h.sample.HostID, h.sample.Host = id, name
	for i := range min(max(kept, s.Owned), bus.MaxVMs) {
		vm := unseen(id, i)
		switch {
		case i < kept:
		case i < kept+s.Warm:
			vm.Phase = bus.PhaseWarm
		default:
			vm.Phase = bus.PhaseDraining // owned, and in no other number
		}
		h.sample.VMs = append(h.sample.VMs, vm)
	}
	w.hosts[id], w.changed = h, true
}

// AllFresh reports whether every host that is not silent has sent a sample since the previous evaluation.
func (w *Window) AllFresh(now time.Time, staleAfter time.Duration) bool {
	heard := false
	for _, h := range w.hosts {
		if h.sample.Instance == "" || now.Sub(h.arrived) > staleAfter {
			continue
		}
		if !h.fresh {
			return false
		}
		heard = true
	}
	return heard
}

// Take is the observation at now; a host whose last sample is older than staleAfter is silent. It starts the next window.
func (w *Window) Take(now time.Time, staleAfter time.Duration) Observation {
	o := w.look(now, staleAfter)
	for _, h := range w.hosts {
		h.fresh = false
		clear(h.cpu)
	}
	return o
}

// look is the observation at now, of the window as far as it is.
//
// A VM counts once, by its UUID. One that a silent host had and another shows is the other's, as after a change of the
// host's identity; a silent host of which so nothing is left is forgotten but for its numbers, and after an hour with them, as is
// one that had nothing: until then a VM may be there that it did not show any more, with a number that it was given.
func (w *Window) look(now time.Time, staleAfter time.Duration) Observation {
	o := Observation{Stale: staleAfter}
	silent := func(h *hostWindow) bool { return h.sample.Instance == "" || now.Sub(h.arrived) > staleAfter }
	owner, contested := w.owners(silent) // nil: each VM is in one place
	for id, h := range w.hosts {
		ho := HostObservation{
			ID: id, Name: h.sample.Host, Time: h.sample.Time, Quiet: now.Sub(h.arrived), Collector: h.sample.Instance,
			Load: h.sample.HostLoad, Behind: h.clock.behind, Unclocked: !h.clock.known,
		}
		counts := func(uuid string) bool {
			its := owner[uuid] == id
			if its {
				delete(owner, uuid) // a list with a VM twice has it once
			}
			return its
		}
		if owner == nil {
			counts = nil
		}
		ho.VMs = h.observed(counts)
		switch {
		case silent(h):
			ho.Trouble = Silent
			if len(ho.VMs) == 0 && (len(h.sample.VMs) > 0 || now.Sub(h.arrived) > emptyFor) {
				delete(w.hosts, id)
				w.move(id, h.arrived)
				continue
			}
		case now.Sub(h.secondAt) <= claimAge:
			ho.Trouble, ho.Detail = Contradicted, fmt.Sprintf("the collectors %s and %s both speak for it", h.sample.Instance, h.second)
		case contested[id] != "":
			ho.Trouble, ho.Detail = Contradicted, contested[id]
		case h.sample.SpecHash != w.SpecHash:
			ho.Trouble = Mismatched
		}
		if h.fresh {
			o.Fresh++
		}
		o.Hosts = append(o.Hosts, ho)
	}
	slices.SortFunc(o.Hosts, func(a, b HostObservation) int { return cmp.Compare(a.ID, b.ID) })
	maps.DeleteFunc(w.moved, func(_ bus.HostID, heard time.Time) bool { return now.Sub(heard) > emptyFor })
	o.Moved = slices.Sorted(maps.Keys(w.moved))
	return o
}

// move notes that a host is forgotten which was heard last then.
func (w *Window) move(id bus.HostID, heard time.Time) {
	if w.moved == nil {
		w.moved = map[bus.HostID]time.Time{}
	}
	if len(w.moved) < maxHosts {
		w.moved[id] = heard
	}
}

// observed are the VMs of a host that count, with the means of their readings. They are those of the sample itself, which nobody
// changes, where that is all that there is to say.
func (h *hostWindow) observed(counts func(uuid string) bool) []bus.VM {
	switch {
	case len(h.sample.VMs) == 0:
		return nil
	case counts == nil && h.readOnce():
		return h.sample.VMs
	}
	vms, means := make([]bus.VM, 0, len(h.sample.VMs)), make([]float64, len(h.sample.VMs))
	for i := range h.sample.VMs {
		if counts != nil && !counts(h.sample.VMs[i].UUID) {
			continue
		}
		vms = append(vms, h.sample.VMs[i])
		vm := &vms[len(vms)-1]
		vm.CPUPercent = nil
		if i < len(h.cpu) && h.cpu[i].n > 0 {
			means[i] = h.cpu[i].sum / float64(h.cpu[i].n)
			vm.CPUPercent = &means[i]
		}
	}
	return vms
}

// readOnce reports whether the sample's own readings are the means.
func (h *hostWindow) readOnce() bool {
	for i := range h.sample.VMs {
		cpu := h.sample.VMs[i].CPUPercent
		switch {
		case cpu == nil && i < len(h.cpu) && h.cpu[i].n > 0:
			return false
		case cpu != nil && (i >= len(h.cpu) || h.cpu[i].n != 1 || *cpu > 100 || *cpu < 0):
			return false
		}
	}
	return true
}

// owners are the hosts that have each VM, by its UUID, and what is said of those that show one which another shows, too: it
// stays with the one that was heard first. nil is that each VM is shown once, which is known as long as no list changes.
func (w *Window) owners(silent func(*hostWindow) bool) (owner map[string]bus.HostID, contested map[bus.HostID]string) {
	if !w.changed && w.apart {
		return nil, nil
	}
	shown := 0
	owner, contested = map[string]bus.HostID{}, map[bus.HostID]string{}
	ids := slices.SortedFunc(maps.Keys(w.hosts), func(a, b bus.HostID) int {
		return cmp.Or(w.hosts[a].since.Compare(w.hosts[b].since), cmp.Compare(a, b))
	})
	for _, id := range ids {
		shown += len(w.hosts[id].sample.VMs)
		for _, vm := range w.hosts[id].sample.VMs {
			first, claimed := owner[vm.UUID]
			switch {
			case !claimed || silent(w.hosts[first]) && !silent(w.hosts[id]):
				owner[vm.UUID] = id
			case first != id && !silent(w.hosts[id]):
				contested[id] = fmt.Sprintf("it has %s, and so has %s", vm.Name, w.hosts[first].sample.Host)
				contested[first] = fmt.Sprintf("it has %s, and so has %s", vm.Name, w.hosts[id].sample.Host)
			}
		}
	}
	w.changed, w.apart = false, len(owner) == shown
	return owner, contested
}

// Forget drops a host by its name or ID. One that still sends samples is an error, as is an unknown one. Of several of one
// name the silent one is meant.
func (w *Window) Forget(host string, now time.Time, staleAfter time.Duration) error {
	var silent []bus.HostID
	speaks := false
	for id, h := range w.hosts {
		switch {
		case h.sample.Host != host && string(id) != host:
		case h.sample.Instance != "" && now.Sub(h.arrived) <= staleAfter:
			speaks = true
		default:
			silent = append(silent, id)
		}
	}
	switch {
	case len(silent) == 1:
		delete(w.hosts, silent[0])
		return nil
	case len(silent) > 1:
		slices.Sort(silent)
		return fmt.Errorf("%d silent hosts are called %s: name one by its id, of %q", len(silent), host, silent)
	case speaks:
		return fmt.Errorf("host %s still sends samples: stop its collector first", host)
	}
	return errUnknownHost
}

// errUnknownHost is of a host that a group does not have.
var errUnknownHost = errors.New("the group has no such host")

// Samples are the newest of each host, by its name.
func (w *Window) Samples() []bus.Sample {
	samples := []bus.Sample{}
	for _, h := range w.hosts {
		if h.sample.Instance != "" {
			samples = append(samples, h.sample)
		}
	}
	slices.SortFunc(samples, func(a, b bus.Sample) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), cmp.Compare(a.HostID, b.HostID))
	})
	return samples
}
