package vm

import (
	"errors"
	"fmt"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// Sign is something of a domain's guest that shows where it is in a restart.
type Sign int

// The signs of a guest.
const (
	SignRestarted Sign = iota // it restarts
	SignLeft                  // its agent has closed its channel, as it does while the guest shuts down
	SignBack                  // its agent is there
)

// GuestSign is a sign of the guest of a domain, by its UUID.
type GuestSign struct {
	UUID string
	Sign Sign
}

// Restarts are the signs of guests that restart: by themselves, by a reset, or because the domain was started again.
// What does not fit is lost; a warm-up then goes on from the restart before.
type Restarts struct {
	Signs chan GuestSign
	off   map[string]bool // domains that went off, by UUID; only of libvirt's event loop
}

// NewRestarts makes one for a connection.
func NewRestarts() *Restarts { return &Restarts{make(chan GuestSign, 256), map[string]bool{}} }

// note is called from libvirt's event loop, where no call to libvirtd is allowed.
func (r *Restarts) note(uuid string, s Sign) {
	select {
	case r.Signs <- GuestSign{uuid, s}:
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
			r.note(uuid, SignRestarted)
		}
		delete(r.off, uuid)
	}
}

// Listen notes the restarts that are no starts, and agents that leave and come.
func (r *Restarts) Listen(lv *libvirt.Connect) (stop func(), err error) {
	reboots, err := lv.DomainEventRebootRegister(nil, func(_ *libvirt.Connect, dom *libvirt.Domain) {
		if uuid, err := dom.GetUUIDString(); err == nil {
			r.note(uuid, SignRestarted)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("ask for the reboots of guests: %w", err)
	}
	agents, err := lv.DomainEventAgentLifecycleRegister(
		nil,
		func(_ *libvirt.Connect, dom *libvirt.Domain, e *libvirt.DomainEventAgentLifecycle) {
			uuid, err := dom.GetUUIDString()
			switch {
			case err != nil || e.Reason != libvirt.CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_CHANNEL:
			case e.State == libvirt.CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_CONNECTED:
				r.note(uuid, SignBack)
			case e.State == libvirt.CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_DISCONNECTED:
				r.note(uuid, SignLeft)
			}
		},
	)
	if err != nil {
		_ = lv.DomainEventDeregister(reboots)
		return nil, fmt.Errorf("ask for the agents of guests: %w", err)
	}
	return func() {
		_ = lv.DomainEventDeregister(reboots)
		_ = lv.DomainEventDeregister(agents)
	}, nil
}

// MarkRestart writes a sign of a guest's restart into its domain's metadata, if that is a VM in service. While one is
// launched a restart is part of its boot.
func (h Manager) MarkRestart(g GuestSign, at time.Time) error {
	dom, err := h.Conn.LookupDomainByUUIDString(g.UUID)
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
	element, err := readElement(dom, bus.RebootURI)
	if err != nil {
		return fmt.Errorf("note the restart of %s: %w", vm.Name, err)
	}
	was := bus.ParseReboot(element)
	is := g.Sign.noted(was, at)
	if is == was {
		return nil
	}
	if err := setElement(dom, bus.RebootKey, bus.RebootURI, is.XML()); err != nil {
		return fmt.Errorf("note the restart of %s: %w", vm.Name, err)
	}
	return nil
}

// noted is what is known of a guest's restarts after a sign. An agent that comes back without a restart was only restarted
// itself, and the guest's CPU counts as before.
func (s Sign) noted(r bus.Reboot, at time.Time) bus.Reboot {
	switch s {
	case SignRestarted:
		return bus.Reboot{At: at}
	case SignLeft:
		r.Left = at
	case SignBack:
		r.Left = time.Time{}
	}
	return r
}
