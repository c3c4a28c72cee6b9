package check

import (
	"fmt"

	"github.com/vmscaler/vmscaler/bus"
)

func (f Facts) memory() []Finding {
	if f.Libvirt.MemoryMiB == 0 || len(f.Groups) == 0 {
		return nil
	}
	sum, vms := 0, 0
	for _, g := range f.Groups {
		sum += g.Max * g.OrdinaryMemoryMiB()
		vms += g.Max
	}
	text := fmt.Sprintf("%d VMs at max take %s of the host's %s", vms, size(uint64(sum)<<20), size(uint64(f.Libvirt.MemoryMiB)<<20))
	if free := f.Libvirt.MemoryFreeMiB; free != nil {
		text += ", of which " + size(uint64(*free)<<20) + " are available now"
	}
	found := []Finding{good("memory", "%s", text)}
	if sum > f.Libvirt.MemoryMiB {
		found = []Finding{warning("memory", `lower "max" or "memory" in the config`, "%s", text)}
	}
	for _, g := range f.Groups {
		found = append(found, f.noneFits(g)...)
	}
	return found
}

// noneFits reports what keeps each launch of a group waiting, by the limits that the actuator has.
func (f Facts) noneFits(g bus.Group) []Finding {
	const area = "memory"
	reserve, cores := f.Limits.MemoryReserveMiB, f.Libvirt.Cores
	need := g.MemoryMiB + reserve
	takes := fmt.Sprintf("%s and what host.memory_reserve leaves free, %s", mib(g.MemoryMiB), mib(reserve))
	switch free := f.Libvirt.MemoryFreeMiB; {
	case f.Limits.VCPUsPerCore > 0 && cores > 0 && g.VCPUs > f.Limits.VCPUsPerCore*cores:
		return []Finding{problem("cpu", `lower "vcpus" in the config, or raise host.vcpus_per_core`,
			"group %s: not one VM fits: %s on %s are beyond host.vcpus_per_core %d", g.Name, bus.Count(g.VCPUs, "vCPU"),
			bus.Count(cores, "core"), f.Limits.VCPUsPerCore)}
	case g.Hardware.Hugepages:
		return nil // of those the start of a VM tells
	case need > f.Libvirt.MemoryMiB:
		return []Finding{problem(area, `lower "memory" in the config`, "group %s: not one VM fits: it takes %s, and the host has %s",
			g.Name, takes, mib(f.Libvirt.MemoryMiB))}
	case free != nil && need > *free && f.Owned[g.Name] == 0:
		return []Finding{problem(area, `free some on the host, or lower "memory" in the config`,
			"group %s: not one VM fits at present: it takes %s, and %s are available", g.Name, takes, mib(*free))}
	}
	return nil
}

func mib(n int) string { return size(uint64(n) << 20) }
