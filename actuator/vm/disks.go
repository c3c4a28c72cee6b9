package vm

import (
	"fmt"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
)

// DiskBytes is the size of a VM's disk. One that is smaller than its template would cut off what the template holds: that is an
// error.
func DiskBytes(spec bus.Group, tmpl template.Info) (uint64, error) {
	wanted := uint64(spec.DiskMiB) << 20
	switch {
	case wanted == 0:
		return tmpl.Capacity, nil
	case wanted < tmpl.Capacity:
		return 0, fmt.Errorf("disk: found %s, want at least %s, the size of template %q", Size(wanted), Size(tmpl.Capacity),
			spec.Template)
	}
	return wanted, nil
}

// Size is a size in the unit in which the config has it, rounded up: a disk of that size holds so many bytes.
func Size(bytes uint64) string {
	mib := (bytes + 1<<20 - 1) >> 20
	if mib >= 1024 && mib%1024 == 0 {
		return fmt.Sprintf("%dGiB", mib>>10)
	}
	return fmt.Sprintf("%dMiB", mib)
}
