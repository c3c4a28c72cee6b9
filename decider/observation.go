package decider

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Observation is what one evaluation of a group looks at.
type Observation struct {
	Hosts   []HostObservation    // by ID
	Moved   []bus.HostID         // silent hosts whose VMs are all others' now, by ID: their numbers stay taken
	Fresh   int                  // hosts with a sample since the previous evaluation
	Awaited []string             // hosts that had VMs under the decider before this one, and were not heard yet
	Loads   map[string]GuestLoad // what the guests' agents said last of their load, by the VM's UUID
	Stale   time.Duration        // after how long a host is silent, and a decision holds no more
	// Settling reports that the decider has not heard others for long enough to call a host lost.
	Settling bool
	Metrics  map[string]Published // what was published last of the metrics that the policy follows, by name
}

// anyFresh reports whether any host's list is up to date.
func (o Observation) anyFresh() bool {
	return slices.ContainsFunc(o.Hosts, func(h HostObservation) bool { return h.Trouble != Silent })
}

// incomplete is why no VM may be removed by this observation; "" if it is complete.
func (o Observation) incomplete() string {
	var parts []string
	for _, part := range []struct {
		text    string
		trouble Trouble
	}{
		{"no fresh sample from %s", Silent},
		{"what is said of %s is contradictory", Contradicted},
		{"another config is read on %s", Mismatched},
		{"no actuator acts on %s", Unattended},
		{"%s has just come back", Returned},
	} {
		if names := o.with(part.trouble); names != nil {
			parts = append(parts, fmt.Sprintf(part.text, strings.Join(names, ", ")))
		}
	}
	return strings.Join(parts, "; ")
}

// HostObservation is one host's newest list of the group's VMs.
type HostObservation struct {
	ID   bus.HostID
	Name string
	Time time.Time // when it took the list, by the same clock as the VMs' times: the decider's, where Unclocked is not set
	// Behind is by how much its times were moved for that, and Unclocked reports that it is not known how far its clock is off.
	Behind    time.Duration
	Unclocked bool
	// VMs is the complete list, less those that another host shows to have. CPUPercent is the mean over the known readings
	// since the previous evaluation, each at most 100.
	VMs []bus.VM
	// Taken are the numbers whose names something that is not ours has on the host.
	Taken []int
	// Kept are the numbers of the VMs for which disks are kept on the host, whether they are there or not.
	Kept []int
	// Trouble is why the list says less than it should; "" where it is all right.
	Trouble Trouble
	Detail  string // of the trouble, for people
	// Failures are the launches of the group that have failed there since its actuator started.
	Failures int
	// Full reports that the host has no room for another VM of the group.
	Full bool
	// NoTemplate is why no VM of the group can be made there, as the host has not what it is made from; "": it has, or it is not
	// known.
	NoTemplate string
	// Quiet is the time since its last sample, by the decider's clock. Alive reports that one of its stages gives signs of life.
	Quiet     time.Duration
	Alive     bool
	Collector string         // the instance that its last sample is of; "" where none was heard
	Order     *bus.HostOrder // what a person wants of it
	Owned     int            // how many VMs its list has; VMs also has those that it may have begun
	Told      int            // how many VMs the last decision let it have
	ToldWarm  int            // the same of the warm pool
	// ToldUpdated is how many VMs it let be up to date, while a refresh keeps a canary.
	ToldUpdated int
	Load        bus.Host      // of its last sample
	State       bus.HostState // where it stands with the group; "" before that is known
	// Gone are the VMs of a lost host whose places others take; they are not in VMs.
	Gone   []bus.VM
	counts hostCounts
}

// Trouble is why a host's list cannot be relied on.
type Trouble string

// The troubles. Of several that a host has the first counts.
const (
	Silent       Trouble = "silent"       // no sample for too long: its VMs are owned, and nothing else is known
	Contradicted Trouble = "contradicted" // another collector, or host, says otherwise
	Mismatched   Trouble = "mismatched"   // its collector has another spec of the group
	Unattended   Trouble = "unattended"   // no actuator acts there
	Returned     Trouble = "returned"     // it was lost until a moment ago
)

// with are the hosts that have a trouble, as people read it.
func (o Observation) with(trouble Trouble) (names []string) {
	for _, h := range o.Hosts {
		// Nothing depends on a silent one without VMs.
		if h.Trouble == trouble && (trouble != Silent || len(h.VMs) > 0 || !o.anyFresh()) {
			name := h.Name
			if h.Detail != "" {
				name += " (" + h.Detail + ")"
			}
			names = append(names, name)
		}
	}
	return names
}
