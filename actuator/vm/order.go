package vm

import (
	"context"
	"errors"
	"fmt"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// SetOrder notes in a VM's metadata what a person wants of it, and reports whether that is new. An order without a verb takes the
// note back that the VM is to serve, as it does. A VM that is gone is left as it is.
func (h Manager) SetOrder(ctx context.Context, v VM, order bus.VMOrder) (done bool, err error) {
	err = h.amend(ctx, v, func(dom *libvirt.Domain, now VM) error {
		if now.Order.Same(&order) {
			return nil
		}
		element := "" // which removes it
		switch {
		case order.Verb != "":
			if element, err = order.XML(); err != nil {
				return err
			}
		case !now.Order.Joins(): // something else is wanted by now
			return nil
		}
		done = true
		return setElement(dom, bus.OrderKey, bus.OrderURI, element)
	})
	if err != nil {
		return false, fmt.Errorf("note what is wanted of %s: %w", v.Name, err)
	}
	return done, nil
}

// readOrder reads what is wanted of a domain; nil is nothing.
func readOrder(dom *libvirt.Domain) (*bus.VMOrder, error) {
	element, err := dom.GetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, bus.OrderURI, 0)
	switch {
	case err == nil:
		return bus.ParseVMOrder(element), nil
	case errors.Is(err, libvirt.ERR_NO_DOMAIN_METADATA):
		return nil, nil //nolint:nilnil // no order is no error
	}
	return nil, fmt.Errorf("read what is wanted of it: %w", err)
}
