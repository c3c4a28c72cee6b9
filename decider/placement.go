package decider

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/vmscaler/vmscaler/bus"
)

// candidate is a host as a place for another VM.
type candidate struct {
	HostObservation
	vms   int    // of the group, with those that are placed in this evaluation
	added int    // of them, the latter
	empty int    // places of VMs for which it keeps disks
	hash  uint64 // of group and host: an order of its own for each group
	why   string // it can have none; "": it can
	later bool   // it might have one once its actuator, or room, is there
	// together are all hosts of its failure domain, itself among them.
	together *candidates
}

type candidates []*candidate

// candidatesOf are a group's hosts as places, with why those that cannot have a new VM cannot.
func candidatesOf(spec bus.Group, obs Observation) candidates {
	all, domains := make(candidates, 0, len(obs.Hosts)), map[string]*candidates{}
	for _, h := range obs.Hosts {
		c := &candidate{HostObservation: h, vms: h.kept(), empty: h.vacant(spec.Name), together: domains[h.Load.Domain]}
		if c.together == nil {
			c.together = &candidates{}
		}
		if *c.together = append(*c.together, c); h.Load.Domain != "" { // one without is a domain of its own
			domains[h.Load.Domain] = c.together
		}
		if len(obs.Hosts) > 1 {
			hash := sha256.Sum256([]byte(spec.Name + "/" + string(h.ID)))
			c.hash = binary.BigEndian.Uint64(hash[:])
		}
		switch {
		case h.Order != nil:
			c.why = "a person wants no new VM there"
		case h.Trouble == Unattended:
			c.why, c.later = "no actuator acts there", true
		case h.Trouble != "":
			c.why = string(h.Trouble)
		case h.State == bus.HostReturning:
			c.why = "it has just come back"
		case h.NoTemplate != "":
			c.why, c.later = h.NoTemplate, true
		case h.Full:
			c.why, c.later = "its actuator finds no room, or its launches fail", true
		}
		all = append(all, c)
	}
	return all
}

// mostOnHost is how many VMs of a group one host may have.
func mostOnHost(spec bus.Group) int { return cmp.Or(spec.PerHostMax, math.MaxInt) }

// begun is how many VMs the host may have begun to make, as it was told to have more than it shows yet.
func (h HostObservation) begun() int {
	return max(0, h.Told-h.kept()-h.gone()-h.retiring()) // it was told to have these, too, and shows them
}

// told is a host that was told to have more than it shows yet; nil: none was. It may have begun, so that another one would make
// them a second time.
func (all candidates) told() *candidate {
	for _, c := range all {
		if c.why == "" && c.added < c.begun() {
			return c
		}
	}
	return nil
}

// best is where the next VM goes, nil where no host can have one. Where all that could lack room, or an actuator, it is the best
// of those that might have one once that is there.
func (all candidates) best(spec bus.Group) *candidate {
	for _, later := range []bool{false, true} {
		var best *candidate
		for _, c := range all {
			switch {
			case c.why != "" && (!later || !c.later):
			case c.vms >= mostOnHost(spec):
			case best == nil || c.before(best, spec):
				best = c
			}
		}
		if best != nil || !later && slices.ContainsFunc(all, func(c *candidate) bool { return c.why == "" }) {
			return best // a host that is only at its most is not waited for elsewhere
		}
	}
	return nil
}

// inDomain is how many VMs of the group the hosts of its failure domain have.
func (c *candidate) inDomain() (n int) {
	for _, host := range *c.together {
		n += host.vms
	}
	return n
}

// before reports whether a VM goes here rather than there: where disks are kept for one, whatever the placement.
func (c *candidate) before(other *candidate, spec bus.Group) bool {
	if d := first(c.added < c.empty, other.added < other.empty); d != 0 {
		return d < 0
	}
	if spec.Placement == bus.PlaceSpread && c.together != other.together {
		if d := cmp.Compare(c.inDomain(), other.inDomain()); d != 0 {
			return d < 0
		}
	}
	return cmp.Or(cmp.Compare(c.score(spec), other.score(spec)), cmp.Compare(c.hash, other.hash), cmp.Compare(c.ID, other.ID)) < 0
}

// score is how good a place the host is: the lowest is the best.
func (c *candidate) score(spec bus.Group) float64 {
	switch spec.Placement {
	case bus.PlaceSpread:
		return float64(c.vms)
	case bus.PlacePack:
		return -float64(c.vms)
	case bus.PlaceWeighted:
		return 0.5*c.memory(spec) + 0.3*c.cores(spec) + 0.2*float64(c.vms+1)/float64(max(spec.Max, 1))
	}
	return 0 // Check has refused it
}

// memory is the share of the host's memory that is taken with another VM; one that is not known counts as all of it.
func (c *candidate) memory(spec bus.Group) float64 {
	if c.Load.MemoryFreeMiB == nil || c.Load.MemoryMiB <= 0 {
		return 1
	}
	free := *c.Load.MemoryFreeMiB - (c.added+1)*spec.MemoryMiB
	if c.Load.MemoryPromisedMiB != nil {
		free -= *c.Load.MemoryPromisedMiB
	}
	return min(max(1-float64(free)/float64(c.Load.MemoryMiB), 0), 2)
}

// cores is the same of its cores, by how busy they are.
func (c *candidate) cores(spec bus.Group) float64 {
	if c.Load.CPUPercent == nil || c.Load.Cores <= 0 {
		return 1
	}
	return min(*c.Load.CPUPercent/100+float64((c.added+1)*spec.VCPUs)/float64(c.Load.Cores), 2)
}

// places are the hosts as places for the next VM of a group, the best first.
func places(spec bus.Group, obs Observation) []bus.Place {
	all := candidatesOf(spec, obs)
	for _, c := range all {
		if c.why == "" && c.vms >= mostOnHost(spec) {
			c.why = fmt.Sprintf("it has per_host_max, %s", plural(c.vms))
		}
	}
	slices.SortFunc(all, func(a, b *candidate) int {
		switch {
		case (a.why == "") != (b.why == ""):
			return cmp.Compare(len(a.why), len(b.why))
		case a.before(b, spec):
			return -1
		}
		return 1
	})
	list := make([]bus.Place, 0, len(all))
	for _, c := range all {
		p := bus.Place{Host: c.Name, HostID: c.ID, VMs: c.vms, Score: c.score(spec), Why: c.why, Domain: c.Load.Domain}
		if p.Domain != "" {
			p.DomainVMs = c.inDomain()
		}
		list = append(list, p)
	}
	return list
}
