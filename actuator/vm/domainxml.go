package vm

import (
	"fmt"

	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/actuator/overlay"
	"github.com/vmscaler/vmscaler/bus"
)

// Machine is what the host offers for a new VM.
type Machine struct {
	VirtType string // kvm, qemu, or a test driver's own
	Arch     string
	Network  string // of groups whose spec leaves it open
	CPU      string // a fingerprint of the host's; "": it is not known
}

// resolve fills in what a spec leaves to the host.
func (m Machine) resolve(spec bus.Group) bus.Group {
	spec.Network = spec.MainNetwork(m.Network)
	return spec
}

// Definition is what the definition of a new VM is made of.
type Definition struct {
	Spec     bus.Group // with what it leaves to the host filled in
	Machine  Machine
	Name     string
	Meta     bus.Metadata
	DiskPath string   // where the volume of its main disk will be; its other volumes will be beside it
	MACs     []string // one for each NIC
	Index    int      // of the VM, from 1: 3 of web-3
}

// XML is the definition, for libvirt, with the group's own elements laid over it.
func (d Definition) XML() (string, error) {
	element, err := d.Meta.DefinitionXML()
	if err != nil {
		return "", err
	}
	x := libvirtxml.Domain{
		Type:     d.Machine.VirtType,
		Name:     d.Name,
		UUID:     d.Meta.UUID,
		Metadata: &libvirtxml.DomainMetadata{XML: element + d.marks()},
		Memory:   &libvirtxml.DomainMemory{Value: uint(d.Spec.MemoryMiB), Unit: "MiB"},
		VCPU:     &libvirtxml.DomainVCPU{Value: uint(d.Spec.VCPUs), CPUSet: d.Spec.Hardware.Pinning},
		CPU:      cpu(d.Spec.Hardware.CPU, d.Machine.VirtType),
		OS:       d.system(),
		SysInfo:  d.identity(),
		Features: &libvirtxml.DomainFeatureList{ACPI: &libvirtxml.DomainFeature{}, APIC: &libvirtxml.DomainFeatureAPIC{}},
		// A guest that puts itself to sleep when nobody is at its keyboard would never serve again.
		PM: &libvirtxml.DomainPM{
			SuspendToMem:  &libvirtxml.DomainPMPolicy{Enabled: "no"},
			SuspendToDisk: &libvirtxml.DomainPMPolicy{Enabled: "no"},
		},
		OnPoweroff: "destroy",
		OnReboot:   "restart",
		OnCrash:    "destroy",
		Devices:    d.devices(),

		Description:     description(d.Spec.Hardware),
		QEMUCommandline: d.forwards(),
	}
	if d.Spec.Hardware.Hugepages {
		x.MemoryBacking = &libvirtxml.DomainMemoryBacking{MemoryHugePages: &libvirtxml.DomainMemoryHugepages{}}
	}
	if d.Machine.VirtType == "qemu" {
		// Without a bound the emulator keeps up to a quarter of the guest's memory or more in translated code.
		x.Features.TCG = &libvirtxml.DomainFeatureTCG{TBCache: &libvirtxml.DomainFeatureTCGTBCache{Unit: "MiB", Size: 32}}
	}
	out, err := x.Marshal()
	if err != nil {
		return "", fmt.Errorf("encode the definition of %s: %w", d.Name, err)
	}
	return overlay.Apply(out, d.Spec.Hardware.DomainXML.Text)
}

// marks are what a new VM of the group is kept from.
func (d Definition) marks() string {
	if d.Spec.ProtectNew {
		return d.Spec.Marks(bus.Protection{On: true, Since: d.Meta.Created}.XML())
	}
	return d.Spec.Marks("")
}

// system is how the VM boots.
func (d Definition) system() *libvirtxml.DomainOS {
	os := &libvirtxml.DomainOS{
		Type:        &libvirtxml.DomainOSType{Arch: d.Machine.Arch, Type: "hvm", Machine: machineType(d.Spec.Hardware)},
		BootDevices: []libvirtxml.DomainBootDevice{{Dev: "hd"}},
		SMBios:      &libvirtxml.DomainSMBios{Mode: "sysinfo"},
	}
	setFirmware(os, d.Spec.Hardware.Firmware)
	return os
}

// identity is where cloud-init and the demo template take the guest's name and instance from, also without a seed.
func (d Definition) identity() []libvirtxml.DomainSysInfo {
	return []libvirtxml.DomainSysInfo{{SMBIOS: &libvirtxml.DomainSysInfoSMBIOS{
		System: &libvirtxml.DomainSysInfoSystem{Entry: []libvirtxml.DomainSysInfoEntry{
			{Name: "serial", Value: fmt.Sprintf("ds=nocloud;h=%s;i=%s", d.Name, d.Meta.UUID)},
		}},
		OEMStrings: d.told(),
	}}}
}

// told is what any program in the guest can read of its VM, whatever the image has: SMBIOS strings of type 11.
func (d Definition) told() *libvirtxml.DomainSysInfoOEMStrings {
	all := []string{"vmscaler:name=" + d.Name, "vmscaler:group=" + d.Spec.Name}
	for _, tag := range d.Spec.Hardware.Tags {
		all = append(all, "vmscaler:tag="+tag)
	}
	return &libvirtxml.DomainSysInfoOEMStrings{Entry: all}
}
