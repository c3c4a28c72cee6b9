package vm

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/bus"
)

// Lack is something of a group's VMs that a host cannot give them.
type Lack struct {
	Field   string // of the group in the config, such as tpm or nics[1].vlan
	Found   string
	Allowed string
}

func (l Lack) String() string {
	return fmt.Sprintf("%s: found %s, want %s", l.Field, l.Found, l.Allowed)
}

// offer is what a host says that it can do for VMs of one machine type.
type offer struct {
	caps    libvirtxml.DomainCaps
	version uint32 // libvirt's, such as 9000000
	cpus    int    // of the host, 0: unknown

	hugepages *int // that the host's kernel has, of any size, also those in use; nil: unknown
}

// Lacks are what a group asks for and the host does not have, as far as libvirt tells before a VM is made. A driver that tells
// nothing lacks nothing.
func Lacks(conn *libvirt.Connect, m Machine, spec bus.Group) ([]Lack, error) {
	h := spec.Hardware
	if reflect.ValueOf(h).IsZero() {
		return nil, nil // it asks for nothing; a libvirt that examines QEMU anew would take long to say so
	}
	text, err := conn.GetDomainCapabilities("", m.Arch, machineType(h), m.VirtType, 0)
	switch {
	case errors.Is(err, libvirt.ERR_NO_SUPPORT):
		return nil, nil
	case errors.Is(err, libvirt.ERR_INVALID_ARG) && h.Machine != "":
		return []Lack{{
			"machine", strconv.Quote(h.Machine),
			"one that this host's QEMU has (qemu-system-" + m.Arch + " -machine help), or \"\"",
		}}, nil
	case err != nil:
		return nil, fmt.Errorf("read what libvirt can do for a VM: %w", err)
	}
	var o offer
	if err := o.caps.Unmarshal(text); err != nil {
		return nil, fmt.Errorf("read what libvirt can do for a VM: %w", err)
	}
	if o.version, err = conn.GetLibVersion(); err != nil {
		return nil, fmt.Errorf("read libvirt's version: %w", err)
	}
	if node, err := conn.GetNodeInfo(); err == nil {
		o.cpus = int(node.Nodes * node.Sockets * node.Cores * node.Threads)
	}
	if h.Hugepages {
		if o.hugepages, err = hugepages(conn); err != nil {
			return nil, err
		}
	}
	return o.lacks(spec, m.VirtType), nil
}

// lacks compares a group with an offer.
func (o offer) lacks(spec bus.Group, virtType string) []Lack {
	var all []Lack
	for _, part := range []func(bus.Hardware, string) []Lack{o.firmware, o.cpu, o.tpm, o.pinning, o.vlans, o.memory} {
		all = append(all, part(spec.Hardware, virtType)...)
	}
	if o.caps.VCPU != nil && o.caps.VCPU.Max > 0 && spec.VCPUs > int(o.caps.VCPU.Max) {
		all = append(all, Lack{"vcpus", strconv.Itoa(spec.VCPUs), fmt.Sprintf("at most %d with this type of machine", o.caps.VCPU.Max)})
	}
	return all
}

func values(enums []libvirtxml.DomainCapsEnum, name string) []string {
	for _, e := range enums {
		if e.Name == name {
			return e.Values
		}
	}
	return nil
}

func (o offer) firmware(h bus.Hardware, _ string) []Lack {
	const install = "bios, or a host with UEFI firmware for QEMU (package ovmf, or edk2-ovmf)"
	switch {
	case h.Firmware == bus.FirmwareBIOS || o.caps.OS == nil:
		return nil
	case !slices.Contains(values(o.caps.OS.Enums, "firmware"), "efi"):
		return []Lack{{"firmware", string(h.Firmware), install}}
	case h.Firmware == bus.FirmwareUEFISecure && o.caps.OS.Loader != nil &&
		!slices.Contains(values(o.caps.OS.Loader.Enums, "secure"), "yes"):
		return []Lack{{"firmware", string(h.Firmware), "uefi, or firmware with Secure Boot for this type of machine"}}
	}
	return nil
}

func (o offer) cpu(h bus.Hardware, virtType string) []Lack {
	mode := string(h.CPU.Mode)
	if h.CPU.Mode == bus.CPUDefault || o.caps.CPU == nil {
		return nil
	}
	var can []string
	for _, m := range o.caps.CPU.Modes {
		if m.Supported != "yes" {
			continue
		}
		can = append(can, m.Name)
		if m.Name != mode || h.CPU.Mode != bus.CPUCustom {
			continue
		}
		for _, model := range m.Models {
			if model.Name == h.CPU.Model && model.Usable != "no" {
				return nil
			}
		}
		return []Lack{{
			"cpu.model", strconv.Quote(h.CPU.Model),
			"one that this host can give (virsh domcapabilities --virttype " + virtType + ")",
		}}
	}
	if slices.Contains(can, mode) {
		return nil
	}
	return []Lack{{
		"cpu.mode", mode,
		fmt.Sprintf("\"\" or one of %s: this host's domains are of type %s", strings.Join(can, ", "), virtType),
	}}
}

func (o offer) tpm(h bus.Hardware, _ string) []Lack {
	if !h.TPM || o.caps.Devices == nil || o.caps.Devices.TPM == nil {
		return nil
	}
	tpm := o.caps.Devices.TPM
	if tpm.Supported == "yes" && slices.Contains(values(tpm.Enums, "model"), "tpm-crb") &&
		slices.Contains(values(tpm.Enums, "backendModel"), "emulator") {
		return nil
	}
	return []Lack{{"tpm", "true", "false, or a host with an emulator of TPMs (packages swtpm and swtpm-tools)"}}
}

func (o offer) pinning(h bus.Hardware, _ string) []Lack {
	highest, err := bus.CheckPinning(h.Pinning)
	if err != nil || o.cpus == 0 || highest < o.cpus {
		return nil // what is wrong in itself the config has said
	}
	return []Lack{{"pinning", h.Pinning, fmt.Sprintf("CPUs from 0 to %d", o.cpus-1)}}
}

// bridgeVLANs is the first libvirt that can put a VM on a bridge of Linux into a VLAN.
const bridgeVLANs = 11_000_000

func (o offer) vlans(h bus.Hardware, _ string) []Lack {
	var all []Lack
	for i, nic := range h.NICs {
		if nic.VLAN != 0 && o.version < bridgeVLANs {
			all = append(all, Lack{
				fmt.Sprintf("nics[%d].vlan", i), strconv.Itoa(nic.VLAN),
				fmt.Sprintf("none with libvirt %d.%d, as it knows no VLANs on a bridge before 11.0; make a bridge for the VLAN",
					o.version/1_000_000, o.version/1000%1000),
			})
		}
	}
	return all
}

// hugepages counts the huge pages that libvirt's host has; nil: it does not say.
func hugepages(conn *libvirt.Connect) (*int, error) {
	text, err := conn.GetCapabilities()
	if err != nil {
		return nil, fmt.Errorf("read what libvirt's host can do: %w", err)
	}
	var caps libvirtxml.Caps
	if err := caps.Unmarshal(text); err != nil {
		return nil, fmt.Errorf("read what libvirt's host can do: %w", err)
	}
	return countHugepages(caps), nil
}

// countHugepages counts pages of 1 MiB or more, which no kernel has as its ordinary ones.
func countHugepages(caps libvirtxml.Caps) *int {
	if caps.Host.NUMA == nil || caps.Host.NUMA.Cells == nil {
		return nil
	}
	var sum *int
	for _, cell := range caps.Host.NUMA.Cells.Cells {
		for _, pages := range cell.PageInfo {
			if sum == nil {
				sum = new(int)
			}
			if pages.Size >= 1024 { // KiB
				*sum += int(pages.Count)
			}
		}
	}
	return sum
}

func (o offer) memory(h bus.Hardware, _ string) []Lack {
	if !h.Hugepages || o.hugepages == nil || *o.hugepages > 0 {
		return nil
	}
	return []Lack{{"hugepages", "true", "false, or a host with huge pages (sysctl vm.nr_hugepages has none)"}}
}
