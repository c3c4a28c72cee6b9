package vm

import (
	"fmt"
	"strings"

	"github.com/vmscaler/vmscaler/bus"
)

// VM is an owned domain as libvirt shows it.
type VM struct {
	Name  string
	UUID  string
	Meta  bus.Metadata
	State bus.State
	// IOError means that QEMU paused it, as it could not read or write its disk.
	IOError bool
	// Protected VMs are never chosen for scaling in. Protection says since when, and by whom.
	Protected  bool
	Protection bus.Protection
	Deletion   bus.DeletionProtection // how far it is kept from the command that removes its group
	Order      *bus.VMOrder           // what a person wants of it; nil is nothing
}

// Off reports whether a VM does not run and will not by itself.
func (vm VM) Off() bool { return vm.State.Off() }

// Serves reports whether a VM does its work.
func (vm VM) Serves() bool {
	return vm.Meta.Phase.Serves() && !vm.Off() && !vm.State.Suspended()
}

// Retiring reports whether a VM serves only until another has taken its place.
func (vm VM) Retiring() bool { return !vm.Meta.Retiring.IsZero() }

// Reimaging reports whether a VM is being given new disks, or restarted with its own.
func (vm VM) Reimaging() bool { return !vm.Meta.Reimaging.IsZero() }

// Restarting reports whether a VM is being restarted with its own disks, to be as new ones are.
func (vm VM) Restarting() bool { return vm.Reimaging() && vm.Meta.Restarts }

// SavedElsewhere is why a VM cannot go on from its saved memory on a host that has this saver, see [Manager.Saver]; "": it can,
// or that is not known.
func (vm VM) SavedElsewhere(here string) string {
	if vm.State != bus.StateSaved || vm.Meta.Saver == "" || here == "" || vm.Meta.Saver == here {
		return ""
	}
	return fmt.Sprintf("its memory was saved by %s, and its host has %s now", vm.Meta.Saver, here)
}

// BeingHanded reports whether a VM is on its way from the warm pool to service.
func (vm VM) BeingHanded() bool { return vm.Meta.Phase.Pending() && !vm.Meta.Handed.IsZero() }

// RemoveKind is why a VM is removed, as far as that changes what is done.
type RemoveKind int

// The kinds of removals.
const (
	Interrupted RemoveKind = iota + 1 // its creation, launch or removal was cut off, or has failed
	ScaleIn                           // it is one too many; it goes only while it is not protected, and may be called off
	Sick                              // it runs, but does not serve
	Died                              // it should have been running; it stays if it does again
	Operator                          // a person wants it
	Outdated                          // others have taken its place in a refresh; it goes only while it is not protected
	Ordered                           // a person wants this VM gone, protected or not
	Unneeded                          // it waits in the warm pool, and is too many, too old or broken there
	Isolated                          // its host hears no decider; it goes only while it is not protected, and may be called off
	Reimaged                          // it is given new disks, or restarted with its own; only while it is not protected
)

// spares reports whether such a removal leaves a VM that is protected.
func (k RemoveKind) spares() bool {
	return k == ScaleIn || k == Outdated || k == Isolated || k == Reimaged
}

// Removal is a VM to remove, and why.
type Removal struct {
	VM       VM
	Kind     RemoveKind
	Reason   string // for people
	Graceful bool   // ask the guest to shut down first
	Reuse    bool   // it returns to the warm pool in place of its shutdown, if its remove hook does not abandon it
	Stops    bool   // with Reuse, it waits there shut down
	Again    bool   // it was tried before, and what is done was published then
}

// NewestFirst orders VMs by their creation, the newest first.
func NewestFirst(a, b VM) int {
	if d := b.Meta.Created.Compare(a.Meta.Created); d != 0 {
		return d
	}
	return strings.Compare(b.Name, a.Name)
}
