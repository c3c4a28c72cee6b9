package vm

import (
	"context"
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
	element, err := readElement(dom, bus.OrderURI)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read what is wanted of it: %w", err)
	case element == "":
		return nil, nil //nolint:nilnil // no order is no error
	}
	return bus.ParseVMOrder(element), nil
}
