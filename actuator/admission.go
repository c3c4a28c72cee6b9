package actuator

import (
	"fmt"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// room is what a host has, and what of it is in use. Nil is unknown, and refuses nothing.
type room struct {
	cores       int
	vcpus       int  // of all running domains, also foreign ones
	memoryMiB   *int // free, without what VMs will take that were launched since it was measured
	promisedMiB int  // what running domains may still touch of it; 0 also where that is unknown
	poolMiB     *int // free in the storage pool
}

// admit reports how many of n more VMs fit into a host, and where that is less than n what is short, with numbers.
func admit(limits HostLimits, r room, spec bus.Group, n int) (fit int, short string) {
	fit = n
	bound := func(most int, format string, args ...any) {
		if most = max(most, 0); most < fit {
			fit, short = most, fmt.Sprintf(format, args...)
		}
	}
	if limits.VCPUsPerCore > 0 {
		bound((limits.VCPUsPerCore*r.cores-r.vcpus)/max(spec.VCPUs, 1),
			"%d vCPUs run on %d cores, and %d more are beyond vcpus_per_core %d", r.vcpus, r.cores, spec.VCPUs, limits.VCPUsPerCore)
	}
	if need := spec.OrdinaryMemoryMiB(); r.memoryMiB != nil && need > 0 {
		promised := int(float64(r.promisedMiB) * limits.MemoryPromisedPercent / 100)
		less := ""
		if promised > 0 {
			less = fmt.Sprintf(", less %d that running VMs were given and may still touch", promised)
		}
		bound((*r.memoryMiB-promised-limits.MemoryReserveMiB)/need,
			"%d MiB of memory are free%s, and %d for a VM would leave less than memory_reserve %d",
			*r.memoryMiB, less, need, limits.MemoryReserveMiB)
	}
	if r.poolMiB != nil && *r.poolMiB < limits.PoolReserveMiB {
		bound(0, "%d MiB are free in the storage pool, less than pool_reserve %d", *r.poolMiB, limits.PoolReserveMiB)
	}
	return fit, short
}

// saveShort is what is short for one more VM's saved memory, with numbers; "": nothing is, or that is not known. libvirt's folder
// for it is taken to be on the file system of the pool.
func saveShort(limits HostLimits, r room, spec bus.Group) string {
	if r.poolMiB == nil || *r.poolMiB-spec.MemoryMiB >= limits.PoolReserveMiB {
		return ""
	}
	return fmt.Sprintf("%d MiB are free in the storage pool, and the %d of a VM's memory would leave less than pool_reserve %d",
		*r.poolMiB, spec.MemoryMiB, limits.PoolReserveMiB)
}

// take is what VMs take that are started.
func (r *room) take(vcpus, memoryMiB int) {
	r.vcpus += vcpus
	if r.memoryMiB != nil {
		*r.memoryMiB -= memoryMiB
	}
}

// runningVCPUs counts the vCPUs of all running domains. It waits for no QEMU process.
func runningVCPUs(conn *libvirt.Connect) (int, error) {
	doms, err := conn.ListAllDomains(libvirt.CONNECT_LIST_DOMAINS_ACTIVE)
	if err != nil {
		return 0, fmt.Errorf("list domains: %w", err)
	}
	vcpus := 0
	for i := range doms {
		if info, err := doms[i].GetInfo(); err == nil { // else it is gone since
			vcpus += int(info.NrVirtCpu)
		}
		_ = doms[i].Free()
	}
	return vcpus, nil
}

// hostRoom is the room for VMs of a group. What the collector of this host has measured last counts, less what was
// promised to VMs that boot, and to all others that run.
func (a *Actuator) hostRoom(vcpus int) room {
	r := room{cores: a.cores, vcpus: vcpus}
	var counted map[string]bool // VMs whose memory is in the promise
	if load, fresh := a.load.host(a.cfg.Now()); fresh {
		r.poolMiB = load.PoolFreeMiB
		if load.MemoryFreeMiB != nil {
			r.memoryMiB = new(*load.MemoryFreeMiB)
		}
		if load.MemoryPromisedMiB != nil {
			r.promisedMiB, counted = *load.MemoryPromisedMiB, a.load.running(a.cfg.Now())
		}
	}
	for uuid, w := range a.workers {
		spec := a.groups[w.group].spec
		if !w.up {
			continue
		}
		r.vcpus += spec.VCPUs // twice for those that run already: for a moment less fits than could
		if r.memoryMiB != nil && !counted[uuid] {
			*r.memoryMiB -= spec.OrdinaryMemoryMiB()
		}
	}
	return r
}

// fitIn cuts what a plan starts down to what the host has room for. It reports false where that was not measured: then nothing
// is started, and the next look measures it.
func (a *Actuator) fitIn(g *group, plan *Actions, measured bool, r *room) bool {
	boots := booting(plan.HandOver)
	makes := len(plan.Create)+len(plan.Reimage)+len(plan.Prepare) > 0
	if g.untemplated = makes && a.awaitsTemplate(g); g.untemplated {
		makes, plan.Create, plan.Reimage, plan.Prepare = false, nil, nil, nil
	}
	wants := makes || len(plan.Restart)+boots > 0
	a.launches = a.launches || wants
	if wants && !measured {
		plan.Create, plan.Reimage, plan.Restart, plan.Prepare = nil, nil, nil, nil
		plan.HandOver = keepFitting(plan.HandOver, boots)
		return false
	}
	restart, what, short := a.admittedInPlace(g, plan.Restart, true, r)
	reimage, whose, shortOfDisks := a.admittedInPlace(g, plan.Reimage, false, r)
	if shortOfDisks != "" {
		what, short = whose, shortOfDisks
	}
	more := len(plan.Create) + boots
	fit, shortOfNew := admit(a.cfg.Limits, *r, g.spec, more)
	if shortOfNew != "" {
		what, short = fmt.Sprintf("%d more", more-fit), shortOfNew
	}
	r.take(fit*g.spec.VCPUs, fit*g.spec.OrdinaryMemoryMiB()) // for the next group
	plan.HandOver = keepFitting(plan.HandOver, boots-fit)
	plan.Create, plan.Reimage, plan.Restart = plan.Create[:max(0, fit-boots)], reimage, restart
	a.admitPool(g, plan, r)
	a.tellShort(g, what, short)
	return true
}

// admittedInPlace are those of the VMs for which the host has room once they are as new ones are, up to the first for which it
// has not: one that runs gives back before what it has. Those that restart have their disks already.
func (a *Actuator) admittedInPlace(g *group, vms []vm.VM, restarts bool, r *room) (fit []vm.VM, what, short string) {
	spec, does := g.newest.Decision.Refresh.InForce(g.spec), "new disks of "
	if restarts {
		does = "the restart of "
	}
	for i, v := range vms {
		more, limits, left := spec, a.cfg.Limits, *r
		if has, runs := a.load.vm(g.spec.Name, v.UUID, a.cfg.Now()); runs && !v.Off() {
			more.MemoryMiB, more.VCPUs = max(0, spec.MemoryMiB-has.MemoryMiB), max(0, spec.VCPUs-has.VCPUs)
		}
		if more.MemoryMiB == 0 {
			left.memoryMiB = nil // what there is does not matter
		}
		if restarts {
			left.poolMiB = nil
		}
		if more.VCPUs == 0 {
			limits.VCPUsPerCore = 0
		}
		if _, short := admit(limits, left, more, 1); short != "" {
			return vms[:i], does + v.Name, short
		}
		r.take(more.VCPUs, more.OrdinaryMemoryMiB())
	}
	return vms, "", ""
}

// tellShort notes what the host has no room for, with why. It is said once, until there was room again.
func (a *Actuator) tellShort(g *group, what, short string) {
	if short != "" && g.shortage == "" {
		a.tell(bus.Event{Group: g.spec.Name, Event: bus.EventRefused, Sentence: fmt.Sprintf("no room for %s: %s", what, short)})
	}
	if g.shortage = short; short != "" {
		g.shortAt = a.cfg.Now()
	}
}

// freeSlots is how many more VMs may boot now: none while launches are put off, one at a time as a trial.
func freeSlots(s Situation, booting int) int {
	switch {
	case s.Backoff:
		return 0
	case s.Trial:
		return min(s.BootSlots, 1) - booting
	}
	return s.BootSlots - booting
}
