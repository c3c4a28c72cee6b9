package vm

import (
	"fmt"
	"strings"

	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/bus"
)

// machineType is QEMU's machine type; "" is libvirt's choice. Secure Boot is q35's alone.
func machineType(h bus.Hardware) string {
	if h.Machine == "" && h.Firmware == bus.FirmwareUEFISecure {
		return "q35"
	}
	return h.Machine
}

// setFirmware has libvirt choose the firmware's file: one that keeps variables, as boot entries are. Without that word
// libvirt may take one for confidential VMs. It makes a file with the variables for the VM, which goes with its definition.
func setFirmware(os *libvirtxml.DomainOS, f bus.Firmware) {
	secure := "no"
	switch f {
	case bus.FirmwareBIOS:
		return
	case bus.FirmwareUEFI:
	case bus.FirmwareUEFISecure:
		secure = "yes"
	}
	os.Firmware = "efi"
	os.Loader = &libvirtxml.DomainLoader{Stateless: "no"}
	os.FirmwareInfo = &libvirtxml.DomainOSFirmwareInfo{Features: []libvirtxml.DomainOSFirmwareFeature{
		{Name: "enrolled-keys", Enabled: secure}, {Name: "secure-boot", Enabled: secure},
	}}
}

// cpu is the VM's CPU; nil is QEMU's choice.
func cpu(c bus.CPU, virtType string) *libvirtxml.DomainCPU {
	switch c.Mode {
	case bus.CPUDefault:
		if virtType == "kvm" {
			return &libvirtxml.DomainCPU{Mode: "host-passthrough", Check: "none"}
		}
	case bus.CPUHostPassthrough:
		return &libvirtxml.DomainCPU{Mode: "host-passthrough", Check: "none"}
	case bus.CPUHostModel:
		return &libvirtxml.DomainCPU{Mode: "host-model"}
	case bus.CPUCustom:
		return &libvirtxml.DomainCPU{
			Mode: "custom", Match: "exact", Model: &libvirtxml.DomainCPUModel{Fallback: "forbid", Value: c.Model},
		}
	}
	return nil
}

// addDevices adds the devices that a group asks for.
func addDevices(devices *libvirtxml.DomainDeviceList, h bus.Hardware) {
	if h.Watchdog != bus.WatchdogOff {
		devices.Watchdogs = []libvirtxml.DomainWatchdog{{Model: "i6300esb", Action: string(h.Watchdog)}}
	}
	if h.Panic {
		devices.Panics = []libvirtxml.DomainPanic{{Model: "isa"}}
	}
	if h.TPM {
		devices.TPMs = []libvirtxml.DomainTPM{{
			Model: "tpm-crb", Backend: &libvirtxml.DomainTPMBackend{Emulator: &libvirtxml.DomainTPMBackendEmulator{Version: "2.0"}},
		}}
	}
}

// nics are the VM's NICs but those with forwarded ports, which libvirt has no words for that each of its versions knows.
func (d Definition) nics() []libvirtxml.DomainInterface {
	var all []libvirtxml.DomainInterface
	for i, nic := range d.Spec.NICs(d.Machine.Network) {
		if len(nic.Forwards) > 0 {
			continue
		}
		x := libvirtxml.DomainInterface{
			MAC:    &libvirtxml.DomainInterfaceMAC{Address: d.MACs[i]},
			Source: interfaceSource(nic),
			Model:  &libvirtxml.DomainInterfaceModel{Type: "virtio"},
			ROM:    &libvirtxml.DomainROM{Enabled: "no"},
		}
		if nic.VLAN != 0 {
			x.VLan = &libvirtxml.DomainInterfaceVLan{Tags: []libvirtxml.DomainInterfaceVLanTag{{ID: uint(nic.VLAN)}}}
		}
		all = append(all, x)
	}
	return all
}

func interfaceSource(nic bus.NIC) *libvirtxml.DomainInterfaceSource {
	switch nic.Type {
	case bus.NICNetwork:
		return &libvirtxml.DomainInterfaceSource{Network: &libvirtxml.DomainInterfaceSourceNetwork{Network: nic.Source}}
	case bus.NICBridge:
		return &libvirtxml.DomainInterfaceSource{Bridge: &libvirtxml.DomainInterfaceSourceBridge{Bridge: nic.Source}}
	case bus.NICMacvtap:
		return &libvirtxml.DomainInterfaceSource{Direct: &libvirtxml.DomainInterfaceSourceDirect{Dev: nic.Source, Mode: "bridge"}}
	case bus.NICUser:
		return &libvirtxml.DomainInterfaceSource{User: &libvirtxml.DomainInterfaceSourceUser{}}
	}
	return nil
}

// forwards are QEMU's arguments for NICs with forwarded ports; nil: there are none.
func (d Definition) forwards() *libvirtxml.DomainQEMUCommandline {
	var args []libvirtxml.DomainQEMUCommandlineArg
	add := func(words ...string) {
		for _, word := range words {
			args = append(args, libvirtxml.DomainQEMUCommandlineArg{Value: word})
		}
	}
	for i, nic := range d.Spec.NICs(d.Machine.Network) {
		if len(nic.Forwards) == 0 {
			continue
		}
		netdev := fmt.Sprintf("user,id=forward%d", i)
		for _, f := range nic.Forwards {
			netdev += fmt.Sprintf(",hostfwd=tcp:127.0.0.1:%d-:%d", f.Host+d.Index-1, f.Guest)
		}
		// As JSON, like libvirt's own: QEMU makes devices of the other form first, in slots that libvirt has given to its own.
		add("-netdev", netdev,
			"-device", fmt.Sprintf(`{"driver":"virtio-net-pci","netdev":"forward%d","mac":%q,"romfile":""}`, i, d.MACs[i]))
	}
	if args == nil {
		return nil
	}
	return &libvirtxml.DomainQEMUCommandline{Args: args}
}

// description says in libvirt's own words what the VM is; "" where there is nothing to say.
func description(h bus.Hardware) string { return strings.Join(h.Tags, " ") }
