package vm

import (
	"fmt"

	"libvirt.org/go/libvirt"

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

// extraDisk is one more disk that a VM is made with.
type extraDisk struct {
	backing string // path of its template's file; "": it is empty
	bytes   uint64
	there   bool // it is kept, and there from a VM before
}

// readDisks is what the further disks of a VM are made from. An error names the disk, from 1.
func readDisks(spec bus.Group, lookup func(name string) (template.Info, error)) ([]extraDisk, error) {
	var all []extraDisk
	for i, disk := range spec.Disks {
		extra := extraDisk{bytes: uint64(disk.SizeMiB) << 20}
		if disk.Template != "" {
			tmpl, err := lookup(disk.Template)
			if err != nil {
				return nil, fmt.Errorf("disk %d: %w", i+1, err)
			}
			if !tmpl.Complete {
				return nil, fmt.Errorf("disk %d: template %q is being uploaded, or its upload was cut off", i+1, disk.Template)
			}
			if extra.bytes, err = DiskBytes(bus.Group{DiskMiB: disk.SizeMiB, Template: disk.Template}, tmpl); err != nil {
				return nil, fmt.Errorf("disk %d: %w", i+1, err)
			}
			extra.backing = tmpl.Path
		}
		if extra.bytes == 0 {
			return nil, fmt.Errorf("disk %d: found neither size nor template, want one of them", i+1)
		}
		all = append(all, extra)
	}
	return all, nil
}

// CheckDisks reports why the further disks of a group's VMs cannot be made, as far as the pool of the templates shows.
func CheckDisks(conn *libvirt.Connect, pool string, spec bus.Group) error {
	_, err := readDisks(spec, func(name string) (template.Info, error) { return template.Lookup(conn, pool, name) })
	return err
}

// Size is a size in the unit in which the config has it, rounded up: a disk of that size holds so many bytes.
func Size(bytes uint64) string {
	mib := (bytes + 1<<20 - 1) >> 20
	if mib >= 1024 && mib%1024 == 0 {
		return fmt.Sprintf("%dGiB", mib>>10)
	}
	return fmt.Sprintf("%dMiB", mib)
}
