package vm

import (
	"errors"
	"fmt"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// Protect marks a VM as one that is never scaled in, or takes the mark back. It works beside a running actuator, as
// the mark is an element of its own.
func Protect(conn *libvirt.Connect, vm VM, on bool) error {
	dom, err := conn.LookupDomainByUUIDString(vm.UUID)
	if err != nil {
		return fmt.Errorf("look up %s: %w", vm.Name, err)
	}
	defer func() { _ = dom.Free() }()
	if _, err := readVM(dom); err != nil {
		return fmt.Errorf("%s: %w", vm.Name, err)
	}
	where, err := modification(dom)
	if err != nil {
		return fmt.Errorf("protect %s: %w", vm.Name, err)
	}
	element := "" // which removes it
	if on {
		element = bus.ProtectionXML(time.Now())
	}
	err = dom.SetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, element, bus.ProtectionKey, bus.ProtectionURI, where)
	if !on && errors.Is(err, libvirt.ERR_NO_DOMAIN_METADATA) {
		return nil // it had none
	}
	if err != nil {
		return fmt.Errorf("protect %s: %w", vm.Name, err)
	}
	return nil
}

// isProtected reads the mark.
func isProtected(dom *libvirt.Domain) (bool, error) {
	_, err := dom.GetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, bus.ProtectionURI, 0)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, libvirt.ERR_NO_DOMAIN_METADATA):
		return false, nil
	}
	return false, fmt.Errorf("read the protection: %w", err)
}

// modification is where a change of a domain's metadata must go: to what runs, and to what is kept.
func modification(dom *libvirt.Domain) (where libvirt.DomainModificationImpact, err error) {
	active, err := dom.IsActive()
	if err != nil {
		return 0, fmt.Errorf("is it active: %w", err)
	}
	persistent, err := dom.IsPersistent()
	if err != nil {
		return 0, fmt.Errorf("is it persistent: %w", err)
	}
	if active {
		where |= libvirt.DOMAIN_AFFECT_LIVE
	}
	if persistent {
		where |= libvirt.DOMAIN_AFFECT_CONFIG
	}
	return where, nil
}
