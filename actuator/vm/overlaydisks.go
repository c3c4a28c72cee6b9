package vm

import (
	"fmt"
	"path/filepath"

	"libvirt.org/go/libvirtxml"
)

// refuseForeignDisks is an error where a definition has a disk, by its domain_xml, that lies in the folder of the templates or in
// that of the VMs' disks and is not one of the VM's own volumes: a VM that writes to a template damages all of its clones.
func refuseForeignDisks(definition string, own []string, folders ...string) error {
	var d libvirtxml.Domain
	if err := d.Unmarshal(definition); err != nil {
		return fmt.Errorf("read the definition: %w", err)
	}
	if d.Devices == nil {
		return nil
	}
	mine := map[string]bool{}
	for _, name := range own {
		mine[name] = true
	}
	for _, disk := range d.Devices.Disks {
		if disk.Source == nil || disk.Source.File == nil {
			continue
		}
		file := filepath.Clean(disk.Source.File.File)
		for _, folder := range folders {
			if filepath.Dir(file) == filepath.Clean(folder) && !mine[filepath.Base(file)] {
				return fmt.Errorf("domain_xml: found the disk %s, want none in a storage pool of vmscaler", file)
			}
		}
	}
	return nil
}
