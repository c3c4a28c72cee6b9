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
	element := "" // which removes it
	if on {
		element = bus.ProtectionXML(time.Now())
	}
	err = setElement(dom, bus.ProtectionKey, bus.ProtectionURI, element)
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
