package vm

import (
	"context"
	"errors"
	"fmt"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// SetOrder notes in a VM's metadata what a person wants of it, and reports whether that is new. An order without a verb takes the
// note back that the VM is to serve again, as it does. A VM that is gone is left as it
// is. It works beside whatever else is done about the VM, as the note is an element of its own.
func (h Manager) SetOrder(ctx context.Context, v VM, order bus.VMOrder) (done bool, err error) {
	dom, err := h.Conn.LookupDomainByUUIDString(v.UUID)
	if errors.Is(err, libvirt.ERR_NO_DOMAIN) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up %s: %w", v.Name, err)
	}
	defer func() { _ = dom.Free() }()
	err = h.Calls.act(ctx, func() error {
		now, err := readVM(dom)
		if errors.Is(err, errNotOurs) {
			return nil
		}
		if err != nil || now.Order.Same(&order) {
			return err
		}
		element := "" // which removes it
		switch {
		case order.Verb != "":
			if element, err = order.XML(); err != nil {
				return err
			}
		case !now.Order.Is(bus.VMExitStandby): // something else is wanted by now
			return nil
		}
		where, err := modification(dom)
		if err != nil {
			return err
		}
		done = true
		return dom.SetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, element, bus.OrderKey, bus.OrderURI, where)
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
