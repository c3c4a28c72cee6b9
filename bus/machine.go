package bus

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
)

// madeFrom is what of a group's spec a VM is made from. Fields that came later are left out where they are unset, so that a newer
// program has the same fingerprint for a file that does not use them.
type madeFrom struct {
	Template  string `json:"template"`
	VCPUs     int    `json:"vcpus"`
	MemoryMiB int    `json:"memory_mib"`
	Network   string `json:"network"`
	DiskMiB   int    `json:"disk_mib,omitempty"`
	Disks     []Disk `json:"disks,omitempty"`

	CloudInit CloudInit `json:"cloud_init,omitzero"`
	Hardware  Hardware  `json:"hardware,omitzero"`
}

// Text is a text of a group's spec that was written there, or read from a file.
type Text struct {
	Text string `json:"text"`
	File string `json:"file,omitempty"` // as the config names it, after file:; "": the text stands in the config
}

// CloudInit is what cloud-init reads in a group's VMs. The zero value is nothing: the VMs have no seed then.
type CloudInit struct {
	SSHKeys       []Text `json:"ssh_keys,omitempty"`
	UserData      Text   `json:"user_data,omitzero"` // a template, see docs/machine.md
	VendorData    Text   `json:"vendor_data,omitzero"`
	NetworkConfig Text   `json:"network_config,omitzero"`
}

// Seeded reports whether VMs have a seed.
func (c CloudInit) Seeded() bool {
	return len(c.SSHKeys) > 0 || c.UserData.Text != "" || c.VendorData.Text != "" || c.NetworkConfig.Text != ""
}

// OrdinaryMemoryMiB is what one of the group's VMs takes of the memory that the host's kernel calls available: nothing where
// it is in huge pages, which the kernel has set aside.
func (g Group) OrdinaryMemoryMiB() int {
	if g.Hardware.Hugepages {
		return 0
	}
	return g.MemoryMiB
}

// unnamed is the same without which files the texts are from: that changes no VM.
func (c CloudInit) unnamed() CloudInit {
	plain := func(t Text) Text { return Text{Text: t.Text} }
	out := CloudInit{UserData: plain(c.UserData), VendorData: plain(c.VendorData), NetworkConfig: plain(c.NetworkConfig)}
	for _, key := range c.SSHKeys {
		out.SSHKeys = append(out.SSHKeys, plain(key))
	}
	return out
}

// Disk is one more disk of a VM: an empty one, or a clone of a template.
type Disk struct {
	SizeMiB  int    `json:"size_mib,omitempty"` // 0: that of the template
	Template string `json:"template,omitempty"` // "": it is empty
	Keep     Keep   `json:"keep,omitempty"`     // for how long it outlives its VM
}

// MachineHash is a short fingerprint of what the group's VMs are made from, as the file says it: a VM that was made from
// something else has another one. What else a group has (its name, numbers, policy, times) does not count, nor does what a
// template of the same name contains, or which network one that is left open ("") is.
func (g Group) MachineHash() string {
	return fingerprint(madeFrom{
		Template: g.Template, VCPUs: g.VCPUs, MemoryMiB: g.MemoryMiB, Network: g.Network, DiskMiB: g.DiskMiB, Disks: g.Disks,
		CloudInit: g.CloudInit.unnamed(), Hardware: g.Hardware.unnamed(),
	})
}

// fingerprint is 12 hexadecimal digits of what a value of plain fields is as JSON.
func fingerprint(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		panic("group spec does not marshal: " + err.Error()) // plain fields only: cannot happen
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:6])
}

// Hardware is the rest of what a group's VMs are: each zero value is libvirt's or the program's own choice.
type Hardware struct {
	NICs []NIC `json:"nics,omitempty"` // in place of Group.Network; none: that one
	CPU  CPU   `json:"cpu,omitzero"`
	// Machine is QEMU's machine type, such as q35, pc or pc-q35-7.2; "" is libvirt's choice.
	Machine   string   `json:"machine,omitempty"`
	Firmware  Firmware `json:"firmware,omitempty"`
	Watchdog  Watchdog `json:"watchdog,omitempty"`
	Panic     bool     `json:"panic,omitempty"`     // the guest can say that its kernel has crashed; then the VM is replaced
	TPM       bool     `json:"tpm,omitempty"`       // an emulated TPM 2.0, whose state goes with the VM
	Hugepages bool     `json:"hugepages,omitempty"` // its memory is in the host's huge pages
	Pinning   string   `json:"pinning,omitempty"`   // the host's CPUs that it may use, such as 0-3,8; "": all
	Tags      []string `json:"tags,omitempty"`      // words in the domain's description, and in its SMBIOS
	DomainXML Text     `json:"domain_xml,omitzero"` // elements for the definition, see package overlay
}

// unnamed is the same without which file a text is from.
func (h Hardware) unnamed() Hardware {
	h.DomainXML.File = ""
	return h
}

// Firmware is what starts the guest's boot loader.
type Firmware string

// The kinds of firmware.
const (
	FirmwareBIOS       Firmware = ""
	FirmwareUEFI       Firmware = "uefi"
	FirmwareUEFISecure Firmware = "uefi-secure" // with Secure Boot, and the usual keys enrolled
)

// Watchdog is what happens to a VM whose guest does not feed its watchdog any more, once it has begun to.
type Watchdog string

// What a watchdog does.
const (
	WatchdogOff      Watchdog = ""         // there is none
	WatchdogReset    Watchdog = "reset"    // the guest boots again
	WatchdogPowerOff Watchdog = "poweroff" // the VM is off, and so it is replaced
)

// CPUMode is how a VM's CPU is chosen.
type CPUMode string

// The ways to choose a CPU.
const (
	CPUDefault         CPUMode = "" // the host's own with KVM, QEMU's own without
	CPUHostPassthrough CPUMode = "host-passthrough"
	CPUHostModel       CPUMode = "host-model"
	CPUCustom          CPUMode = "custom" // CPU.Model
)

// CPU is the kind of CPU of a VM.
type CPU struct {
	Mode  CPUMode `json:"mode,omitempty"`
	Model string  `json:"model,omitempty"` // with CPUCustom, as `virsh cpu-models x86_64` lists them
}

// NICType is what a NIC is connected to.
type NICType string

// The types of NICs.
const (
	NICNetwork NICType = "network" // a network of libvirt's
	NICBridge  NICType = "bridge"  // a bridge of the host's
	NICMacvtap NICType = "macvtap" // a device of the host's, beside whose own traffic the VM's goes
	NICUser    NICType = "user"    // QEMU's user-mode networking
)

// NIC is one network card of a VM.
type NIC struct {
	Type     NICType   `json:"type"`
	Source   string    `json:"source,omitempty"`   // the network, bridge or device; "" for NICUser
	VLAN     int       `json:"vlan,omitempty"`     // for NICBridge, 1 to 4094; 0: none
	Forwards []Forward `json:"forwards,omitempty"` // for NICUser
}

// Forward is a TCP port of the host's loopback address that leads to one of each VM.
type Forward struct {
	Host  int `json:"host"` // of the VM with number 1; that with number n has Host+n-1
	Guest int `json:"guest"`
}

// MaxNICs and MaxForwards are how many a VM, and a NIC, may have.
const (
	MaxNICs     = 8
	MaxForwards = 16
)

// NICs are those of the group's VMs; network is that of groups which leave it open.
func (g Group) NICs(network string) []NIC {
	if len(g.Hardware.NICs) > 0 {
		return g.Hardware.NICs
	}
	if g.Network != "" {
		network = g.Network
	}
	if network == UserNetwork {
		return []NIC{{Type: NICUser}}
	}
	return []NIC{{Type: NICNetwork, Source: network}}
}

// Unmetered reports whether libvirt cannot say what the group's VMs receive and send: one of their NICs is of user-mode
// networking, which has no counters. Of a group that leaves its network open it is not known, and false.
func (g Group) Unmetered() bool {
	return slices.ContainsFunc(g.NICs(""), func(nic NIC) bool { return nic.Type == NICUser })
}

// MainNetwork is the network on which libvirt may see the VMs' addresses: the first that a NIC is on, or UserNetwork where
// libvirt has no part in any. Argument and result are as in NICs and Network.
func (g Group) MainNetwork(network string) string {
	for _, nic := range g.NICs(network) {
		if nic.Type == NICNetwork {
			return nic.Source
		}
	}
	return UserNetwork
}

// ForwardsOf are the host's ports that lead to those of the VM with number n, by the latter.
func (g Group) ForwardsOf(n int) map[int]int {
	ports := map[int]int{}
	for _, nic := range g.Hardware.NICs {
		for _, f := range nic.Forwards {
			if _, again := ports[f.Guest]; !again {
				ports[f.Guest] = f.Host + n - 1
			}
		}
	}
	return ports
}

// Secluded reports whether nobody reaches the group's VMs but by forwarded ports. Of a group that leaves its network open it is
// not known, and false.
func (g Group) Secluded() bool {
	return !slices.ContainsFunc(g.NICs(""), func(nic NIC) bool { return nic.Type != NICUser })
}
