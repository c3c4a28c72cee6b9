//go:build fleet

package e2e

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// longEnough is for how long nothing may happen where nothing is to happen: twice as long as a host needs to be lost.
const longEnough = 30 * time.Second

// uuids are the group's VMs on hosts.
func (f *hostFleet) uuids(hosts ...*fleetHost) []string {
	f.t.Helper()
	all := map[string]bool{}
	for _, h := range hosts {
		vms, ok := h.vms()
		if !ok {
			f.t.Fatalf("%s does not say what it has", h.name)
		}
		for _, vm := range vms {
			all[vm.UUID] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// decided waits until decisions were made for so long after the fault began.
func (f *hostFleet) decided(span time.Duration, what string, holds func() error) {
	f.t.Helper()
	f.until(fleetStep+span, what, func() error {
		if err := holds(); err != nil {
			f.t.Fatalf("%s: %s; %s", what, err, f.last())
		}
		if d := f.decision.Time.Sub(f.began); d < span {
			return fmt.Errorf("the last decision came after %s", d)
		}
		return nil
	})
}

// TestFleetSamplesLost: a firewall swallows what one host's collector sends, and nothing else. The host is silent, not lost; its
// VMs are not replaced, and those of the others are.
func TestFleetSamplesLost(t *testing.T) {
	f := newHostFleet(t, 2)
	f.settled()
	quiet, other := f.hosts[2], f.hosts[0]
	kept := f.uuids(quiet)
	f.fault("the samples of " + quiet.name + " are lost")
	quiet.mute(collectorGroup)
	f.until(fleetStep, quiet.name+" is silent", func() error {
		if state := stateOf(f.decision, quiet.name); state != bus.HostSilent {
			return fmt.Errorf("it is %s", state)
		}
		return nil
	})
	vms, _ := other.vms()
	if err := other.w.domain(vms[0].Name).Destroy(); err != nil {
		t.Fatal(err)
	}
	f.until(fleetStep, "a VM that died on another host is replaced", func() error {
		left := fleetVMs - len(kept)
		if n := count(f.others(quiet)...); n != left || f.decision.Inputs.Ready != left ||
			slices.Contains(f.uuids(other), vms[0].UUID) {
			return errors.New(f.where())
		}
		return nil
	})
	f.decided(longEnough, "the host stays silent", func() error {
		if state := stateOf(f.decision, quiet.name); state != bus.HostSilent {
			return fmt.Errorf("it is %s", state)
		}
		return nil
	})
	quiet.unmute(collectorGroup)
	f.ends()
	if now := f.uuids(quiet); !slices.Equal(now, kept) {
		t.Errorf("the VMs of the silent host were %v, and are %v", kept, now)
	}
}

// TestFleetAllSilent: the decider hears no host at all, as where its own network card fails. Nothing is replaced.
func TestFleetAllSilent(t *testing.T) {
	f := newHostFleet(t, 2)
	f.settled()
	before := f.uuids(f.hosts...)
	f.fault("nothing of any host is heard")
	for _, h := range f.hosts {
		h.mute(collectorGroup)
		h.mute(actuatorGroup)
	}
	f.until(fleetStep, "a partition is suspected", func() error {
		for _, h := range f.decision.Hosts {
			if h.State == bus.HostSilent && strings.Contains(h.Reason, "partition") {
				return nil
			}
		}
		return fmt.Errorf("hosts are %+v", f.decision.Hosts)
	})
	f.decided(longEnough, "no host is lost", func() error {
		for _, h := range f.hosts {
			if stateOf(f.decision, h.name) == bus.HostLost {
				return fmt.Errorf("%s is", h.name)
			}
		}
		return nil
	})
	for _, h := range f.hosts {
		h.unmute(collectorGroup)
		h.unmute(actuatorGroup)
	}
	f.ends()
	if now := f.uuids(f.hosts...); !slices.Equal(now, before) {
		t.Errorf("the VMs were %v, and are %v", before, now)
	}
}

// TestFleetOneWay: what a host sends still leaves it, and nothing reaches it. It is lost and replaced; its actuator makes
// nothing, also when it starts anew meanwhile.
func TestFleetOneWay(t *testing.T) {
	f := newHostFleet(t, 2)
	f.settled()
	lone := f.hosts[2]
	had := f.uuids(lone)
	f.fault("nothing reaches " + lone.name)
	lone.deaf(true)
	f.replaced(lone)
	lone.procs["actuator"].kill()
	lone.startStage("actuator")
	since := f.decision.Time.Sub(f.began)
	f.decided(since+longEnough, "its actuator, started anew, changes nothing", func() error {
		if now := f.uuids(lone); !slices.Equal(now, had) {
			return fmt.Errorf("the VMs of %s were %v, and are %v", lone.name, had, now)
		}
		return nil
	})
	f.fault("it hears again")
	lone.deaf(false)
	f.ends()
}

// TestFleetIsolates: the same, where the group's hosts remove their VMs when they hear no decider for 45 s. The lost host does
// so, and none is made there before a decider is heard.
func TestFleetIsolates(t *testing.T) {
	f := newHostFleetBy(t, 2, func(h *fleetHost) { h.file = h.w.config(fleetGroup + "\nisolate_after: 45s") })
	f.settled()
	lone := f.hosts[2]
	f.fault("nothing reaches " + lone.name)
	lone.deaf(true)
	f.replaced(lone)
	none := func() error {
		if n := count(lone); n != 0 {
			return fmt.Errorf("it has %d", n)
		}
		return nil
	}
	f.until(fleetStep, "it has removed its VMs", none)
	f.decided(f.decision.Time.Sub(f.began)+longEnough, "none is made there", none)
	f.fault("it hears again")
	lone.deaf(false)
	f.ends()
}
