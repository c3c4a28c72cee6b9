package check

import (
	"fmt"
)

func (f Facts) memory() []Finding {
	if f.Libvirt.MemoryMiB == 0 || len(f.Groups) == 0 {
		return nil
	}
	sum, vms := 0, 0
	for _, g := range f.Groups {
		sum += g.Max * g.MemoryMiB
		vms += g.Max
	}
	text := fmt.Sprintf("%d VMs at max take %s of the host's %s", vms, size(uint64(sum)<<20), size(uint64(f.Libvirt.MemoryMiB)<<20))
	if free := f.Libvirt.MemoryFreeMiB; free != nil {
		text += ", of which " + size(uint64(*free)<<20) + " are available now"
	}
	if sum > f.Libvirt.MemoryMiB {
		return []Finding{warning("memory", `lower "max" or "memory" in the config`, "%s", text)}
	}
	return []Finding{good("memory", "%s", text)}
}
