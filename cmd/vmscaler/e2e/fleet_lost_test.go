//go:build fleet

package e2e

import (
	"errors"
	"fmt"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// replaced waits until a host is lost, and the others have all VMs of the group; and says how long it took.
func (f *hostFleet) replaced(lost *fleetHost) {
	f.t.Helper()
	f.until(fleetStep, lost.name+" is lost, and the others have its VMs", func() error {
		d := f.decision
		if stateOf(d, lost.name) != bus.HostLost || d.Inputs.Ready != fleetVMs || count(f.others(lost)...) != fleetVMs {
			return errors.New(f.where())
		}
		return nil
	})
	silent, _ := f.after(lost, bus.HostSilent)
	gone, is := f.after(lost, bus.HostLost)
	if !is {
		f.t.Errorf("%s was never lost", lost.name)
	}
	back := f.decision.Time.Sub(f.began)
	f.t.Logf("FIGURES silent after %.1f s, lost after %.1f s, capacity back after %.1f s",
		silent.Seconds(), gone.Seconds(), back.Seconds())
}

// TestFleetFollowerPowerOff: a host without the leading decider loses its power, and no packet says so.
func TestFleetFollowerPowerOff(t *testing.T) {
	f := newHostFleet(t, 2)
	f.settled()
	lost := f.hosts[2]
	f.fault("power off of " + lost.name)
	lost.powerOff()
	f.replaced(lost)
	if len(f.terms) != 1 {
		t.Errorf("terms %v, want one", f.terms)
	}
	f.fault("power on of " + lost.name)
	lost.powerOn()
	f.ends()
}

// TestFleetLeaderPowerOff: the host that leads the cluster, all streams and the deciders loses its power.
func TestFleetLeaderPowerOff(t *testing.T) {
	f := newHostFleet(t, 2)
	f.settled()
	lost := f.leader()
	f.leadStreams(lost)
	before := len(f.terms)
	f.fault("power off of " + lost.name)
	lost.powerOff()
	f.replaced(lost)
	if len(f.terms) != before+1 {
		t.Errorf("terms %v, want one more than %d", f.terms, before)
	}
	f.fault("power on of " + lost.name)
	lost.powerOn()
	f.ends()
}

// TestFleetPartition: a host is cut off from the two others, and all goes on there. The others have its VMs, it makes none, and
// removes none; when the link is back the surplus goes, and desired never changes.
func TestFleetPartition(t *testing.T) {
	for name, leads := range map[string]bool{"a follower": false, "the leader": true} {
		t.Run(name, func(t *testing.T) {
			f := newHostFleet(t, 2)
			f.settled()
			lone := f.hosts[2]
			if leads {
				lone = f.leader()
			}
			had := count(lone)
			f.fault("the link of " + lone.name + " is down")
			lone.cut()
			f.replaced(lone)
			if n := count(lone); n != had {
				t.Errorf("the lone host has %d VMs, had %d", n, had)
			}
			f.fault("the link of " + lone.name + " is up")
			lone.mend()
			f.until(fleetStep, "the surplus is gone", func() error {
				if d := f.decision; d.Desired != fleetVMs {
					t.Errorf("desired is %d: %s", d.Desired, d.Sentence)
				}
				if n := count(f.hosts...); n != fleetVMs || len(f.decision.Hosts) > 0 {
					return fmt.Errorf("%d VMs, %+v", n, f.decision.Hosts)
				}
				return nil
			})
			f.ends()
		})
	}
}
