package vm

import (
	"context"
	"fmt"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// SetDeletion notes in a VM's metadata how far it is kept from the command that removes a group. A VM that is gone is left as it
// is.
func (h Manager) SetDeletion(ctx context.Context, v VM, level bus.DeletionProtection) error {
	err := h.amend(ctx, v, func(dom *libvirt.Domain, now VM) error {
		if now.Deletion == level {
			return nil
		}
		return setElement(dom, bus.DeletionKey, bus.DeletionURI, level.XML())
	})
	if err != nil {
		return fmt.Errorf("note the deletion protection of %s: %w", v.Name, err)
	}
	return nil
}

// readDeletion reads how far a domain is kept from being removed.
func readDeletion(dom *libvirt.Domain) (bus.DeletionProtection, error) {
	element, err := readElement(dom, bus.DeletionURI)
	switch {
	case err != nil:
		return "", fmt.Errorf("read the deletion protection: %w", err)
	case element == "":
		return bus.DeletionAllowed, nil
	}
	return bus.ParseDeletion(element), nil
}
