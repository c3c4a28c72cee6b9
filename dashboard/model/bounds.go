package model

import (
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// What the model keeps of the present, and for how long. All of it is bounded, whatever is published.
const (
	maxText      = 400              // bytes of a text that is kept
	maxGroups    = 200              // beyond it the group that was silent for longest goes
	maxHosts     = bus.MaxHosts     // the same, per group; those that were heard once or twice go first
	maxAllHosts  = 1024             // the same, of all groups
	maxStages    = bus.MaxStages    // the same, stages' instances
	maxVMs       = 30_000           // of all groups; beyond it the host with the most goes
	silentAfter  = 10 * time.Second // without a sign of life a stage counts as silent
	droppedAfter = 30 * time.Second // the same of a group, where others are spoken of
	forgetAfter  = 10 * time.Minute // then what is silent is forgotten
)

// StaleAfter is how long a sample or a decision is worth showing where they come often.
const StaleAfter = 5 * time.Second

// standing is by what hosts go: those that were heard once or twice, as many that are made up, before those that go on,
// and the one that was silent for longest first.
func (h *Host) standing() time.Time {
	if len(h.times) <= 2 {
		return h.received.Add(-forgetAfter)
	}
	return h.received
}

// standing is the same for stages.
func (s *Stage) standing() time.Time {
	if s.signs <= 2 {
		return s.received.Add(-forgetAfter)
	}
	return s.received
}

// makeRoom drops hosts, but not this one, until it fits with so many VMs, and returns how many of them may have a history.
// With too many VMs those with the most go, else those that stand least.
func (m *Model) makeRoom(own *Host, vms int) (histories int) {
	for {
		hosts, all, kept := 1, vms, 0
		var most, least place
		for _, g := range m.groups {
			for name, h := range g.hosts {
				if h == own {
					continue
				}
				hosts, all, kept = hosts+1, all+len(h.sample.VMs), kept+len(h.history)
				if most.host == nil || len(h.sample.VMs) > len(most.host.sample.VMs) {
					most = place{g, name, h}
				}
				if least.host == nil || h.standing().Before(least.host.standing()) {
					least = place{g, name, h}
				}
			}
		}
		switch {
		case most.host == nil || all <= maxVMs && hosts <= maxAllHosts:
			return max(0, m.sizes.Histories-kept)
		case all > maxVMs:
			delete(most.group.hosts, most.name)
		default:
			delete(least.group.hosts, least.name)
		}
	}
}

// place is where a host is in the model.
type place struct {
	group *Group
	name  bus.HostID
	host  *Host
}

// evict drops the entry that was silent for longest until no more than n are left.
func evict[K comparable, V any](all map[K]V, n int, heard func(V) time.Time) {
	for len(all) > n {
		var oldest K
		first := true
		for key, v := range all {
			if first || heard(v).Before(heard(all[oldest])) {
				oldest, first = key, false
			}
		}
		delete(all, oldest)
	}
}

func shorten(s string) string {
	if len(s) > maxText {
		return s[:maxText] // a cut rune is shown as a replacement
	}
	return s
}
