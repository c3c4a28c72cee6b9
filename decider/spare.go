package decider

import (
	"fmt"

	"github.com/vmscaler/vmscaler/bus"
)

// risk is what the loss of one host would mean for a group, beside that others take the places of its VMs; "": nothing.
func risk(spec bus.Group, obs Observation) string {
	text := short(spec, obs)
	if len(obs.Hosts) != 2 || spec.HostLoss != bus.LossReplace {
		return text
	}
	alone := "of two hosts a lost one is not replaced by itself, as neither tells which is cut off (on_host_loss)"
	if text == "" {
		return alone
	}
	return text + "; " + alone
}

// short is what the loss of the one host with the most VMs of a group would leave it short of, in words; "" where the others have
// places for min, where there is one host, and where it is not known how much room they have. What hosts keep free by their own
// config is not known here, so that there may be a little less.
func short(spec bus.Group, obs Observation) string {
	if len(obs.Hosts) < 2 {
		return ""
	}
	all := candidatesOf(spec, obs)
	var largest *candidate
	for _, c := range all {
		if c.Trouble == "" && (largest == nil || c.vms > largest.vms) {
			largest = c
		}
	}
	if largest == nil || largest.vms == 0 {
		return ""
	}
	places := 0
	for _, c := range all {
		if c == largest || c.Trouble != "" {
			continue
		}
		room, known := c.room(spec)
		if !known {
			return ""
		}
		places += c.vms + room
	}
	if places >= spec.Min {
		return ""
	}
	return fmt.Sprintf("without host %s, which has %s, the others have places for %d of min %d",
		largest.Name, plural(largest.vms), places, spec.Min)
}

// room is how many more VMs of the group the host can have, by its memory, and whether that is known.
func (c *candidate) room(spec bus.Group) (vms int, known bool) {
	if c.why != "" {
		return 0, true
	}
	if c.Load.MemoryFreeMiB == nil || spec.MemoryMiB <= 0 {
		return 0, false
	}
	free := *c.Load.MemoryFreeMiB
	if c.Load.MemoryPromisedMiB != nil {
		free -= *c.Load.MemoryPromisedMiB
	}
	if vms = max(free, 0) / spec.MemoryMiB; spec.PerHostMax > 0 {
		vms = max(min(vms, spec.PerHostMax-c.vms), 0)
	}
	return vms, true
}
