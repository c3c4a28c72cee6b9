package vm

import (
	"context"
	"errors"
	"fmt"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// SetDeletion notes in a VM's metadata how far it is kept from the command that removes a group. A VM that is gone is left as it
// is. It works beside whatever else is done about the VM, as the note is an element of its own.
func (h Manager) SetDeletion(ctx context.Context, v VM, level bus.DeletionProtection) error {
	dom, err := h.Conn.LookupDomainByUUIDString(v.UUID)
	if errors.Is(err, libvirt.ERR_NO_DOMAIN) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up %s: %w", v.Name, err)
	}
	defer func() { _ = dom.Free() }()
	err = h.Calls.act(ctx, func() error {
		now, err := readVM(dom)
		if errors.Is(err, errNotOurs) {
			return nil
		}
		if err != nil || now.Deletion == level {
			return err
		}
		where, err := modification(dom)
		if err != nil {
			return err
		}
		return dom.SetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, level.XML(), bus.DeletionKey, bus.DeletionURI, where)
	})
	if err != nil {
		return fmt.Errorf("note the deletion protection of %s: %w", v.Name, err)
	}
	return nil
}

// readDeletion reads how far a domain is kept from being removed.
func readDeletion(dom *libvirt.Domain) (bus.DeletionProtection, error) {
	element, err := dom.GetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, bus.DeletionURI, 0)
	switch {
	case err == nil:
		return bus.ParseDeletion(element), nil
	case errors.Is(err, libvirt.ERR_NO_DOMAIN_METADATA):
		return bus.DeletionAllowed, nil
	}
	return "", fmt.Errorf("read the deletion protection: %w", err)
}
