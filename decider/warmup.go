package decider

import (
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// What a warm-up that is learned goes by. A boot is not over for the CPU when it is over for the guest: services load, caches
// fill. How long that takes is in proportion to the boot, whatever the image and however busy its host.
const (
	restShortest = 3 * time.Second // for which a CPU must be low to be at rest; a boot has pauses
	restLongest  = 15 * time.Second
	restsPerBoot = 20 // that rest is this part of the boot
	tailsPerBoot = 5  // a VM that never rests is under load, not booting, after so many times its boot
	tailShortest = 30 * time.Second
	tailLongest  = 15 * time.Minute
	tailMargin   = 5 * time.Second // beyond one and a half times the longest that was seen
	tailsKept    = 8
	slowestBoot  = 5 // times the mean, for which the tail of a boot on a busy host is stretched
	bootHalves   = 2 // a rest in the first half of a reboot is one of its pauses, as a boot menu is
)

// Warmup learns for how long the VMs of a template are busy after their boot.
type Warmup struct {
	Template string `json:"template"`
	// Tails are, of the last VMs that came to rest, the times from the end of the boot until then.
	Tails []time.Duration     `json:"tails_ns,omitempty"`
	vms   map[string]settling // by UUID
}

// settling is how far a VM has come to rest since it booted.
type settling struct {
	since  time.Time // the end of its boot, or when it last restarted
	quiet  time.Time // since when its CPU is low; zero: it is not
	rested bool
}

// See takes what an evaluation looks at. Only times of the host's own clock are compared.
func (w *Warmup) See(spec bus.Group, boots BootTimes, obs Observation) {
	if w.Template != spec.Template { // what VMs have come to rest has so all the same
		*w = Warmup{Template: spec.Template, vms: w.vms}
	}
	var changed map[string]settling
	before, seen := w.vms, 0
	low := (spec.Policy.LowerPercent + spec.Policy.UpperPercent) / 2
	for _, h := range obs.Hosts {
		for i := range h.VMs {
			vm := &h.VMs[i]
			was, known := before[vm.UUID]
			s := was
			if since := bootEnd(*vm); !s.since.Equal(since) {
				s = settling{since: since}
			}
			if vm.Phase.Serves() && vm.State == bus.StateRunning && !s.rested {
				w.settle(&s, *vm, boots, h.Time, low)
			}
			if seen++; !known || s != was {
				if changed == nil {
					changed = map[string]settling{}
				}
				changed[vm.UUID] = s
			}
		}
	}
	if len(changed) == 0 && seen == len(before) {
		return // as in most evaluations
	}
	w.vms = make(map[string]settling, seen) // the state before this one has the other
	for _, h := range obs.Hosts {
		for i := range h.VMs {
			uuid := h.VMs[i].UUID
			if s, is := changed[uuid]; is {
				w.vms[uuid] = s
			} else {
				w.vms[uuid] = before[uuid]
			}
		}
	}
}

func (w *Warmup) settle(s *settling, vm bus.VM, boots BootTimes, now time.Time, low float64) {
	switch {
	case vm.CPUPercent == nil:
		return
	case wantedCPU(vm) > low:
		s.quiet = time.Time{}
		return
	case s.quiet.IsZero() || now.Before(s.quiet):
		s.quiet = now
	}
	boot := bootOf(vm, boots)
	rest := min(max(boot/restsPerBoot, restShortest), restLongest)
	rebooted := vm.RebootedAt != nil && s.since.Equal(*vm.RebootedAt)
	if now.Sub(s.quiet) < rest || rebooted && now.Sub(s.since) < boot/bootHalves {
		return
	}
	s.rested = true
	if tail := s.quiet.Sub(s.since); !rebooted && tail >= 0 && tail < longestTail(boot) {
		w.Tails = append(slices.Clip(w.Tails), tail)
		w.Tails = w.Tails[max(0, len(w.Tails)-tailsKept):]
	}
}

// wantedCPU is what a VM uses, and what it would use if its host had a core for it: where many boot at once each is low.
func wantedCPU(vm bus.VM) float64 {
	wanted := *vm.CPUPercent
	if vm.RunDelayPercent != nil {
		wanted += *vm.RunDelayPercent
	}
	return wanted
}

// warming reports whether a ready VM's CPU does not count yet: until it has come to rest once, or has been busy for longer
// than the boots of its template make VMs, which is load then. What a person has set takes the place of all that.
func (w *Warmup) warming(spec bus.Group, boots BootTimes, vm bus.VM, now time.Time) bool {
	since := bootEnd(vm)
	age := now.Sub(since)
	boot := bootOf(vm, boots)
	limit := spec.Policy.Warmup
	if limit < 0 {
		if s := w.vms[vm.UUID]; s.rested && s.since.Equal(since) {
			return false
		}
		limit = longestTail(boot)
		if usual, known := w.usual(); known {
			stretch := 1.0
			if boots.Mean > 0 {
				stretch = min(max(float64(boot)/float64(boots.Mean), 1), slowestBoot)
			}
			limit = min(limit, time.Duration(stretch*float64(usual)))
		}
	}
	if vm.RebootedAt != nil && since.Equal(*vm.RebootedAt) {
		limit += boot // which it has still before it
	}
	return age >= 0 && age < limit // below 0: the clock was set back
}

// usual is the warm-up of VMs that come under load at once.
func (w *Warmup) usual() (d time.Duration, known bool) {
	if len(w.Tails) == 0 {
		return 0, false
	}
	longest := slices.Max(w.Tails)
	return longest + longest/2 + tailMargin, true
}

// inForce is the group's warm-up as set, or as learned so far.
func (w *Warmup) inForce(spec bus.Group) (d time.Duration, known bool) {
	if spec.Policy.Warmup >= 0 {
		return spec.Policy.Warmup, true
	}
	return w.usual()
}

// longestTail bounds how long a VM whose boot took that long can be busy with it.
func longestTail(boot time.Duration) time.Duration {
	return min(max(tailsPerBoot*boot, tailShortest), tailLongest)
}

// bootOf is how long a VM's boot took, or where that is unknown, its group's.
func bootOf(vm bus.VM, boots BootTimes) time.Duration {
	if vm.BootedAt == nil {
		return boots.Mean
	}
	return max(0, vm.BootedAt.Sub(vm.Created))
}

// bootEnd is when a VM's last boot was over, or began where its guest restarted by itself. A drain that was called off and
// a launch hook that took its time are no boots; an actuator that does not say when the boot was over has only the phase.
func bootEnd(vm bus.VM) time.Time {
	end := vm.PhaseSince
	if vm.BootedAt != nil {
		end = *vm.BootedAt
	}
	if vm.RebootedAt != nil && vm.RebootedAt.After(end) {
		end = *vm.RebootedAt
	}
	return end
}
