package bus

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// UpdateAction is what a VM needs to be as its group's spec says. The words are those of GCP's instance groups.
type UpdateAction string

// The actions, the least disruptive first.
const (
	UpdateNone    UpdateAction = "none"    // it is up to date
	UpdateRestart UpdateAction = "restart" // its guest is shut down and booted with another definition; its disks stay as they are
	UpdateReplace UpdateAction = "replace" // its disks are made anew: see RefreshStrategy
)

// Made is what a VM was made from, and when.
type Made struct {
	Machine  string // a Group's MachineHash; "": its maker did not note it
	Storage  string // a Group's StorageHash; "": its maker did not note it
	Template string // "": not known
	Created  time.Time
	// Restarted is when a refresh last restarted it; zero: none did.
	Restarted time.Time
}

// Build is what new VMs of a group are made from, and what becomes of others.
type Build struct {
	Machine  string     // a Group's MachineHash; "": any
	Storage  string     // a Group's StorageHash; "": it does not matter, as none restarts
	Template string     // its name; "": any
	Before   *time.Time // VMs that were made before are outdated, whatever they were made from; nil: none
	// Restarts lets those restart that need no other disks. Before then counts from a VM's last restart.
	Restarts bool
}

// Outdated reports whether a VM was made from something else.
func (b Build) Outdated(m Made) bool { return b.Needs(m) != UpdateNone }

// Needs is what a VM needs to be as new ones are. Of one whose maker did not note its machine the template tells; one whose maker
// did not note what its disks were made from is replaced.
func (b Build) Needs(m Made) UpdateAction {
	since := m.Created
	if b.Restarts && m.Restarted.After(since) {
		since = m.Restarted
	}
	otherTemplate := m.Template != "" && b.Template != "" && m.Template != b.Template
	otherMachine := m.Machine != "" && b.Machine != "" && m.Machine != b.Machine
	switch {
	case !otherTemplate && !otherMachine && (b.Before == nil || !since.Before(*b.Before)):
		return UpdateNone
	case b.Restarts && !otherTemplate && m.Storage != "" && m.Storage == b.Storage:
		return UpdateRestart
	}
	return UpdateReplace
}

// Why is why a VM needs what Needs says, for people; "" of one that is up to date.
func (b Build) Why(m Made) string {
	switch action := b.Needs(m); {
	case action == UpdateNone:
		return ""
	case m.Template != "" && b.Template != "" && m.Template != b.Template:
		return fmt.Sprintf("it was made from template %s, and new ones are made from %s", m.Template, b.Template)
	case m.Machine == b.Machine || m.Machine == "" || b.Machine == "":
		if action == UpdateRestart {
			return "the refresh restarts all VMs that have not restarted since it began"
		}
		return "the refresh replaces all VMs that were made before it began"
	case action == UpdateRestart:
		return "its definition is not what the config says now, but its disks are"
	case b.Restarts && m.Storage == "":
		return "an earlier version made it, which did not note what its disks were made from"
	case b.Restarts:
		return "its disks, its firmware, or what cloud-init reads, are not what the config says now"
	}
	return "its machine, or what cloud-init reads, is not what the config says now"
}

// StorageHash is a short fingerprint of that part of what the group's VMs are made from which their disks hold, or go by: the
// template, the disks, what cloud-init reads, the firmware with its variables, the TPM with its state, and the machine type, by
// which the system on the disks knows its devices. What MachineHash has beyond that only the domain's definition says.
func (g Group) StorageHash() string {
	s := storedFrom{
		Template: g.Template, DiskMiB: g.DiskMiB, Disks: g.Disks, CloudInit: g.CloudInit.unnamed(),
		Firmware: g.Hardware.Firmware, TPM: g.Hardware.TPM, Machine: g.Hardware.Machine,
	}
	if g.CloudInit.Seeded() {
		s.Tags = g.Hardware.Tags // which are in the seed
	}
	return fingerprint(s)
}

// storedFrom is what of a group's spec a VM's disks, and what belongs to them, are made from. Fields that come later are to be
// left out where they are unset, as those of madeFrom.
type storedFrom struct {
	Template  string    `json:"template"`
	DiskMiB   int       `json:"disk_mib,omitempty"`
	Disks     []Disk    `json:"disks,omitempty"`
	CloudInit CloudInit `json:"cloud_init,omitzero"`
	Firmware  Firmware  `json:"firmware,omitempty"`
	TPM       bool      `json:"tpm,omitempty"`
	Machine   string    `json:"machine,omitempty"`
	Tags      []string  `json:"tags,omitempty"`
}

// checkUpdateAction reports whether a request names an action; "" is as in the group's spec.
func checkUpdateAction(name string, a UpdateAction) error {
	if !slices.Contains([]UpdateAction{"", UpdateRestart, UpdateReplace}, a) {
		return fmt.Errorf("%s: found %q, want restart or replace", name, Clip(string(a), 40))
	}
	return nil
}

// CheckUpdateActions reports whether a refresh that does minimal at least may do no more than most. "" is UpdateReplace.
func CheckUpdateActions(minimal, most UpdateAction) error {
	if most == UpdateRestart && minimal != UpdateRestart {
		return errors.New("most_disruptive: found restart with minimal_action replace, which refuses every refresh; want " +
			"minimal_action restart beside it")
	}
	return nil
}
