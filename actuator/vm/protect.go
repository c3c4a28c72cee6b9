package vm

import (
	"errors"
	"fmt"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// Protect sets whether an owned VM may be chosen for scaling in, at this moment, with who wants it and why. The mark is in its
// metadata, which outlives everything else, and so does who has taken it back. A VM that never had it is left as it is. The error
// is [ErrTooLate] where it could not keep the VM any more.
func Protect(conn *libvirt.Connect, vm VM, p bus.Protection) error {
	dom, err := conn.LookupDomainByUUIDString(vm.UUID)
	if err != nil {
		return fmt.Errorf("look up %s: %w", vm.Name, err)
	}
	defer func() { _ = dom.Free() }()
	now, err := readVM(dom)
	if err != nil {
		return fmt.Errorf("%s: %w", vm.Name, err)
	}
	if !p.On && !now.Protected {
		return nil
	}
	if why := now.lost(); p.On && why != "" {
		return fmt.Errorf("%s: %w: %s", vm.Name, ErrTooLate, why)
	}
	p.Since = time.Now()
	if err := setElement(dom, bus.ProtectionKey, bus.ProtectionURI, p.XML()); err != nil {
		return fmt.Errorf("protect %s: %w", vm.Name, err)
	}
	return nil
}

// ErrTooLate means that a VM cannot be protected any more from what is done to it.
var ErrTooLate = errors.New("too late to protect it")

// lost is why a VM cannot be kept any more as it is, "" if it can. One that restarts keeps its disks.
func (vm VM) lost() string {
	switch {
	case vm.Meta.Phase != bus.PhaseStopping, vm.Restarting():
		return ""
	case vm.Reimaging():
		return "it is off already, and gets new disks"
	}
	return "it is off already, and is being removed"
}

// readProtection reads the mark.
func readProtection(dom *libvirt.Domain) (bus.Protection, error) {
	element, err := readElement(dom, bus.ProtectionURI)
	switch {
	case err != nil:
		return bus.Protection{}, fmt.Errorf("read the protection: %w", err)
	case element == "":
		return bus.Protection{}, nil
	}
	return bus.ParseProtection(element), nil
}
