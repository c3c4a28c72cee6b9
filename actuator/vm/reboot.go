package vm

import (
	"errors"
	"fmt"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// Restarts are the UUIDs of domains whose guest restarts: by itself, by a reset, or because somebody started the domain again.
// What does not fit is lost; a warm-up then goes on from the restart before.
type Restarts struct {
	UUIDs chan string
	off   map[string]bool // domains that went off, by UUID; only of libvirt's event loop
}

// NewRestarts makes one for a connection.
func NewRestarts() *Restarts { return &Restarts{make(chan string, 256), map[string]bool{}} }

// note is called from libvirt's event loop, where no call to libvirtd is allowed.
func (r *Restarts) note(uuid string) {
	select {
	case r.UUIDs <- uuid:
	default:
	}
}

// Changed notes the start of a domain that went off before; the first start is that of its launch. It is called with the
// actuator's own lifecycle events, as libvirt takes only one listener for a kind of event on a connection.
func (r *Restarts) Changed(dom *libvirt.Domain, e *libvirt.DomainEventLifecycle) {
	uuid, err := dom.GetUUIDString() // which is no call to libvirtd
	if err != nil {
		return
	}
	switch e.Event { //nolint:exhaustive // the others neither end nor start a guest
	case libvirt.DOMAIN_EVENT_STOPPED:
		r.off[uuid] = true
	case libvirt.DOMAIN_EVENT_UNDEFINED:
		delete(r.off, uuid)
	case libvirt.DOMAIN_EVENT_STARTED:
		if r.off[uuid] && e.Detail == int(libvirt.DOMAIN_EVENT_STARTED_BOOTED) {
			r.note(uuid)
		}
		delete(r.off, uuid)
	}
}

// Listen notes the restarts that are no starts.
func (r *Restarts) Listen(lv *libvirt.Connect) (stop func(), err error) {
	id, err := lv.DomainEventRebootRegister(nil, func(_ *libvirt.Connect, dom *libvirt.Domain) {
		if uuid, err := dom.GetUUIDString(); err == nil {
			r.note(uuid)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("ask for the reboots of guests: %w", err)
	}
	return func() { _ = lv.DomainEventDeregister(id) }, nil
}

// MarkRestart writes when a guest last restarted into its domain's metadata, if that is a VM in service. While one is
// launched a restart is part of its boot.
func (h Manager) MarkRestart(uuid string, at time.Time) error {
	dom, err := h.Conn.LookupDomainByUUIDString(uuid)
	if errors.Is(err, libvirt.ERR_NO_DOMAIN) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up the domain: %w", err)
	}
	defer func() { _ = dom.Free() }()
	vm, err := readVM(dom)
	if errors.Is(err, errNotOurs) || err == nil && !vm.Meta.Phase.Serves() {
		return nil
	}
	if err != nil {
		return err
	}
	where, err := modification(dom)
	if err != nil {
		return fmt.Errorf("note the restart of %s: %w", vm.Name, err)
	}
	err = dom.SetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, bus.RebootXML(at), bus.RebootKey, bus.RebootURI, where)
	if err != nil {
		return fmt.Errorf("note the restart of %s: %w", vm.Name, err)
	}
	return nil
}
