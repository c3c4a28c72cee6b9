package vm

import (
	"fmt"

	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/bus"
)

// agentChannel is where QEMU's guest agent listens inside a guest.
const agentChannel = "org.qemu.guest_agent.0"

// Machine is what the host offers for a new VM.
type Machine struct {
	VirtType string // kvm, qemu, or a test driver's own
	Arch     string
	Network  string // of groups whose spec leaves it open
}

// resolve fills in what a spec leaves to the host.
func (m Machine) resolve(spec bus.Group) bus.Group {
	if spec.Network == "" {
		spec.Network = m.Network
	}
	return spec
}

// DomainXML is the definition of a new VM.
func DomainXML(spec bus.Group, m Machine, name string, meta bus.Metadata, diskPath, mac string) (string, error) {
	element, err := meta.DefinitionXML()
	if err != nil {
		return "", err
	}
	d := libvirtxml.Domain{
		Type:     m.VirtType,
		Name:     name,
		UUID:     meta.UUID,
		Metadata: &libvirtxml.DomainMetadata{XML: element},
		Memory:   &libvirtxml.DomainMemory{Value: uint(spec.MemoryMiB), Unit: "MiB"},
		VCPU:     &libvirtxml.DomainVCPU{Value: uint(spec.VCPUs)},
		OS: &libvirtxml.DomainOS{
			Type:        &libvirtxml.DomainOSType{Arch: m.Arch, Type: "hvm"},
			BootDevices: []libvirtxml.DomainBootDevice{{Dev: "hd"}},
			SMBios:      &libvirtxml.DomainSMBios{Mode: "sysinfo"},
		},
		// cloud-init and the demo template take the guest's identity from here, so no seed disk is needed.
		SysInfo: []libvirtxml.DomainSysInfo{{SMBIOS: &libvirtxml.DomainSysInfoSMBIOS{
			System: &libvirtxml.DomainSysInfoSystem{Entry: []libvirtxml.DomainSysInfoEntry{
				{Name: "serial", Value: fmt.Sprintf("ds=nocloud;h=%s;i=%s", name, meta.UUID)},
			}},
		}}},
		Features: &libvirtxml.DomainFeatureList{ACPI: &libvirtxml.DomainFeature{}, APIC: &libvirtxml.DomainFeatureAPIC{}},
		// A guest that puts itself to sleep when nobody is at its keyboard would never serve again.
		PM: &libvirtxml.DomainPM{
			SuspendToMem:  &libvirtxml.DomainPMPolicy{Enabled: "no"},
			SuspendToDisk: &libvirtxml.DomainPMPolicy{Enabled: "no"},
		},
		OnPoweroff: "destroy",
		OnReboot:   "restart",
		OnCrash:    "destroy",
		Devices: &libvirtxml.DomainDeviceList{
			// Without these two the firmware looks for USB devices and a network to boot from.
			Controllers: []libvirtxml.DomainController{{Type: "usb", Model: "none"}},
			Disks: []libvirtxml.DomainDisk{{
				Device: "disk",
				Driver: &libvirtxml.DomainDiskDriver{Name: "qemu", Type: "qcow2", Discard: "unmap"},
				Source: &libvirtxml.DomainDiskSource{File: &libvirtxml.DomainDiskSourceFile{File: diskPath}},
				Target: &libvirtxml.DomainDiskTarget{Dev: "vda", Bus: "virtio"},
			}},
			Interfaces: []libvirtxml.DomainInterface{{
				MAC:    &libvirtxml.DomainInterfaceMAC{Address: mac},
				Source: interfaceSource(spec.Network),
				Model:  &libvirtxml.DomainInterfaceModel{Type: "virtio"},
				ROM:    &libvirtxml.DomainROM{Enabled: "no"},
			}},
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
		},
	}
	switch m.VirtType {
	case "kvm":
		d.CPU = &libvirtxml.DomainCPU{Mode: "host-passthrough", Check: "none"}
	case "qemu":
		// Without a bound the emulator keeps up to a quarter of the guest's memory or more in translated code.
		d.Features.TCG = &libvirtxml.DomainFeatureTCG{TBCache: &libvirtxml.DomainFeatureTCGTBCache{Unit: "MiB", Size: 32}}
	}
	out, err := d.Marshal()
	if err != nil {
		return "", fmt.Errorf("encode the definition of %s: %w", name, err)
	}
	return out, nil
}

func interfaceSource(network string) *libvirtxml.DomainInterfaceSource {
	if network == bus.UserNetwork {
		return &libvirtxml.DomainInterfaceSource{User: &libvirtxml.DomainInterfaceSourceUser{}}
	}
	return &libvirtxml.DomainInterfaceSource{Network: &libvirtxml.DomainInterfaceSourceNetwork{Network: network}}
}

// volumeXML is a linked clone: a qcow2 volume whose backing store is the template.
func volumeXML(name, templatePath string, capacityBytes uint64) (string, error) {
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
		BackingStore: &libvirtxml.StorageVolumeBackingStore{
			Path: templatePath, Format: &libvirtxml.StorageVolumeTargetFormat{Type: "qcow2"},
		},
	}
	out, err := v.Marshal()
	if err != nil {
		return "", fmt.Errorf("encode volume %s: %w", name, err)
	}
	return out, nil
}
