package vm

import (
	"fmt"
	"path/filepath"

	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/bus"
)

// agentChannel is where QEMU's guest agent listens inside a guest.
const agentChannel = "org.qemu.guest_agent.0"

func (d Definition) devices() *libvirtxml.DomainDeviceList {
	devices := &libvirtxml.DomainDeviceList{
		// Without USB, and without the NICs' ROMs, the firmware looks for no devices and no network to boot from.
		Controllers: []libvirtxml.DomainController{{Type: "usb", Model: "none"}},
		Disks:       d.disks(),
		Interfaces:  d.nics(),
		Serials: []libvirtxml.DomainSerial{{
			Source: &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}},
			Target: &libvirtxml.DomainSerialTarget{Port: new(uint(0))},
		}},
		Consoles: []libvirtxml.DomainConsole{{
			Source: &libvirtxml.DomainChardevSource{Pty: &libvirtxml.DomainChardevSourcePty{}},
			Target: &libvirtxml.DomainConsoleTarget{Type: "serial", Port: new(uint(0))},
		}},
		Channels: []libvirtxml.DomainChannel{{
			Source: &libvirtxml.DomainChardevSource{UNIX: &libvirtxml.DomainChardevSourceUNIX{}},
			Target: &libvirtxml.DomainChannelTarget{VirtIO: &libvirtxml.DomainChannelTargetVirtIO{Name: agentChannel}},
		}},
		MemBalloon: &libvirtxml.DomainMemBalloon{
			Model: "virtio", Stats: &libvirtxml.DomainMemBalloonStats{Period: 5},
		},
		RNGs: []libvirtxml.DomainRNG{{
			Model:   "virtio",
			Backend: &libvirtxml.DomainRNGBackend{Random: &libvirtxml.DomainRNGBackendRandom{Device: "/dev/urandom"}},
		}},
	}
	addDevices(devices, d.Spec.Hardware)
	return devices
}

// disks are the main disk, the further ones, and last the seed, so that the others' names in the guest do not depend on it.
func (d Definition) disks() []libvirtxml.DomainDisk {
	beside := func(volume string) string { return filepath.Join(filepath.Dir(d.DiskPath), volume) }
	disks := []libvirtxml.DomainDisk{cloneDisk(d.DiskPath, 0)}
	for n := 1; n <= d.Meta.Disks; n++ {
		volume, kept := d.Meta.KeptVolume(n)
		if !kept {
			volume = bus.DiskName(d.Meta.Volume, n)
		}
		disk := cloneDisk(beside(volume), n)
		disk.Serial = fmt.Sprintf("disk%d", n) // /dev/disk/by-id/virtio-disk1 in the guest
		disks = append(disks, disk)
	}
	if d.Meta.Seed != "" {
		disks = append(disks, seedDisk(beside(d.Meta.Seed), len(disks)))
	}
	return disks
}

func cloneDisk(path string, n int) libvirtxml.DomainDisk {
	return libvirtxml.DomainDisk{
		Device: "disk",
		Driver: &libvirtxml.DomainDiskDriver{Name: "qemu", Type: "qcow2", Discard: "unmap"},
		Source: &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: path}},
		Target: diskTarget(n),
	}
}

// seedDisk is a virtio disk, which guests without drivers for a CD see as well, on any kind of machine.
func seedDisk(path string, n int) libvirtxml.DomainDisk {
	return libvirtxml.DomainDisk{
		Device:   "disk",
		Driver:   &libvirtxml.DomainDiskDriver{Name: "qemu", Type: "raw"},
		Source:   &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: path}},
		Target:   diskTarget(n),
		ReadOnly: &libvirtxml.DomainDiskReadOnly{},
	}
}

func diskTarget(n int) *libvirtxml.DomainDiskTarget {
	return &libvirtxml.DomainDiskTarget{Dev: "vd" + string(rune('a'+n)), Bus: "virtio"} // at most 18 of them
}
