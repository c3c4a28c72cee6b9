package template

import (
	"fmt"
	"slices"
	"strings"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// filePools are the kinds of storage pools whose volumes are files in a folder.
var filePools = []string{"dir", "fs", "netfs"}

// checkPoolKind refuses pools of other kinds. A clone is a qcow2 file that refers to its template's: on LVM or ZFS it would be a
// copy, or a snapshot of the volume group's own, which nothing here makes or removes.
func checkPoolKind(p *libvirt.StoragePool, name string) error {
	text, err := p.GetXMLDesc(0)
	if err != nil {
		return fmt.Errorf("describe storage pool %q: %w", name, err)
	}
	var x libvirtxml.StoragePool
	if err := x.Unmarshal(text); err != nil {
		return fmt.Errorf("describe storage pool %q: %w", name, err)
	}
	if slices.Contains(filePools, x.Type) {
		return nil
	}
	return fmt.Errorf("storage pool %q: found the type %q, want one of files (%s), as clones are qcow2 files that refer to their "+
		"template's; make a pool in a folder on it, and name that as libvirt.pool", name, x.Type, strings.Join(filePools, ", "))
}
