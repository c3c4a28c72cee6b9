package vm

import (
	"fmt"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// VolumePath is where a directory pool will put a volume.
func VolumePath(pool *libvirt.StoragePool, volume string) (string, error) {
	text, err := pool.GetXMLDesc(0)
	if err != nil {
		return "", fmt.Errorf("read the storage pool: %w", err)
	}
	dir, err := poolDir(text)
	if err != nil {
		return "", err
	}
	return dir + "/" + volume, nil
}

// CreateVolume makes a linked clone of a template's file, or an empty volume where that is "", with a size in bytes. libvirt
// refuses a name that is in use, also by a file that it does not know, so what it returns was made by this call.
func CreateVolume(pool *libvirt.StoragePool, name, templatePath string, bytes uint64) (*libvirt.StorageVol, error) {
	text, err := volumeXML(name, templatePath, bytes)
	if err != nil {
		return nil, err
	}
	vol, err := pool.StorageVolCreateXML(text, 0)
	if err != nil {
		return nil, fmt.Errorf("create volume %s: %w", name, err)
	}
	return vol, nil
}

// volumeXML is a qcow2 volume, a linked clone if there is a backing store.
func volumeXML(name, backingPath string, capacityBytes uint64) (string, error) {
	v := libvirtxml.StorageVolume{
		Name:       name,
		Capacity:   &libvirtxml.StorageVolumeSize{Value: capacityBytes, Unit: "bytes"},
		Allocation: &libvirtxml.StorageVolumeSize{Value: 0},
		Target: &libvirtxml.StorageVolumeTarget{
			Format: &libvirtxml.StorageVolumeTargetFormat{Type: "qcow2"},
			Compat: "1.1", // libvirt's default is still 0.10, which is slower to grow
			// Only the hypervisor, which takes over the file when it opens it, and root.
			Permissions: &libvirtxml.StorageVolumeTargetPermissions{Mode: "0600"},
		},
	}
	if backingPath != "" {
		v.BackingStore = &libvirtxml.StorageVolumeBackingStore{
			Path: backingPath, Format: &libvirtxml.StorageVolumeTargetFormat{Type: "qcow2"},
		}
	}
	out, err := v.Marshal()
	if err != nil {
		return "", fmt.Errorf("encode volume %s: %w", name, err)
	}
	return out, nil
}
