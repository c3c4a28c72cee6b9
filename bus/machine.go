package bus

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
}

// MachineHash is a short fingerprint of what the group's VMs are made from, as the file says it: a VM that was made from
// something else has another one. What else a group has (its name, numbers, policy, times) does not count, nor does what a
// template of the same name contains, or which network one that is left open ("") is.
func (g Group) MachineHash() string {
	return fingerprint(madeFrom{
		Template: g.Template, VCPUs: g.VCPUs, MemoryMiB: g.MemoryMiB, Network: g.Network, DiskMiB: g.DiskMiB, Disks: g.Disks, CloudInit: g.CloudInit.unnamed(),
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
