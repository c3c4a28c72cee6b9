package collector

import (
	"errors"
	"fmt"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// reading is what one pass learns of one owned domain.
type reading struct {
	name, uuid string
	meta       bus.Metadata
	state      bus.State
	counter    counter // zero unless running
	memoryMiB  int
	protected  bool
	order      *bus.VMOrder
	rebooted   *time.Time // when its guest last restarted; nil: it did not
	err        error      // why state and counter are unknown
}

// readDomains lists the domains that vmscaler owns. Its calls (list, metadata, info) are answered by libvirt
// itself in well under a millisecond each and never wait for a QEMU process. The bulk statistics call would: its
// cpu-total group asks the monitor, and with one stopped QEMU it hangs for all.
func readDomains(conn *libvirt.Connect) ([]reading, error) {
	doms, err := conn.ListAllDomains(0)
	if err != nil {
		return nil, fmt.Errorf("list domains: %w", err)
	}
	var all []reading
	for i := range doms {
		r, ours, err := readDomain(&doms[i])
		if err != nil {
			freeDomains(doms[i:])
			return nil, err
		}
		if ours {
			all = append(all, r)
		}
		freeDomains(doms[i : i+1])
	}
	return all, nil
}

func readDomain(dom *libvirt.Domain) (r reading, ours bool, err error) {
	if r.uuid, err = dom.GetUUIDString(); err != nil {
		return r, false, fmt.Errorf("read a domain's UUID: %w", err)
	}
	if r.name, err = dom.GetName(); err != nil {
		return r, false, fmt.Errorf("read the name of domain %s: %w", r.uuid, err)
	}
	element, err := dom.GetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, bus.MetadataURI, 0)
	switch {
	case errors.Is(err, libvirt.ERR_NO_DOMAIN_METADATA), errors.Is(err, libvirt.ERR_NO_DOMAIN):
		return r, false, nil // not ours, or gone since the list was made
	case err != nil:
		return r, false, fmt.Errorf("read the metadata of domain %s: %w", r.name, err)
	}
	if r.meta, err = bus.ParseMetadata(element, r.uuid); err != nil {
		return r, false, nil //nolint:nilerr // not ours: a copy of one of our definitions, or damaged
	}
	if bus.CheckDomainName(r.name) != nil {
		return r, false, nil //nolint:nilerr // not ours either: the actuator, which leaves it alone, names it
	}
	switch r.protected, err = isProtected(dom); {
	case errors.Is(err, libvirt.ERR_NO_DOMAIN):
		return r, false, nil
	case err != nil:
		return r, false, fmt.Errorf("read the metadata of domain %s: %w", r.name, err)
	}
	if r.order, err = orderOf(dom); err != nil && !errors.Is(err, libvirt.ERR_NO_DOMAIN) {
		return r, false, fmt.Errorf("read the metadata of domain %s: %w", r.name, err)
	}
	if r.rebooted, err = rebootedAt(dom); err != nil && !errors.Is(err, libvirt.ERR_NO_DOMAIN) {
		return r, false, fmt.Errorf("read the metadata of domain %s: %w", r.name, err)
	}
	info, err := dom.GetInfo()
	switch {
	case errors.Is(err, libvirt.ERR_NO_DOMAIN):
		return r, false, nil
	case err != nil:
		r.state, r.err = bus.StateUnknown, fmt.Errorf("read the info of domain %s: %w", r.name, err)
		return r, true, nil
	}
	at := time.Now()
	r.state = bus.StateFromLibvirt(int(info.State))
	if r.state == bus.StatePaused {
		switch state, reason, err := dom.GetState(); {
		case errors.Is(err, libvirt.ERR_NO_DOMAIN):
			return r, false, nil
		case err == nil && state == libvirt.DOMAIN_PAUSED && bus.PausedForNow(reason):
			r.state = bus.StateOther
		}
	}
	if r.state == bus.StateShutoff {
		switch saved, err := dom.HasManagedSaveImage(0); {
		case errors.Is(err, libvirt.ERR_NO_DOMAIN):
			return r, false, nil
		case err == nil && saved: // a driver without managed save has none
			r.state = bus.StateSaved
		}
	}
	r.memoryMiB = int(info.Memory / 1024)
	r.counter.vcpus = int(info.NrVirtCpu)
	if r.state != bus.StateRunning {
		return r, true, nil // a domain that is off still carries a CPU time, and it is not the guest's
	}
	run, err := dom.GetID()
	if err != nil { // stopped just now
		r.state, r.err = bus.StateUnknown, fmt.Errorf("read the id of domain %s: %w", r.name, err)
		return r, true, nil
	}
	r.counter = counter{run: run, cpu: time.Duration(info.CpuTime), at: at, vcpus: int(info.NrVirtCpu)}
	return r, true, nil
}

// isProtected reports whether a person has taken a VM out of scaling in. It is an element of its own, as the actuator writes
// the other one again with each phase.
func isProtected(dom *libvirt.Domain) (bool, error) {
	element, err := dom.GetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, bus.ProtectionURI, 0)
	if errors.Is(err, libvirt.ERR_NO_DOMAIN_METADATA) {
		return false, nil
	}
	return err == nil && bus.ParseProtection(element).On, err
}

// orderOf is what a person wants of a VM; nil is nothing. It is an element of its own, too.
func orderOf(dom *libvirt.Domain) (*bus.VMOrder, error) {
	element, err := dom.GetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, bus.OrderURI, 0)
	if errors.Is(err, libvirt.ERR_NO_DOMAIN_METADATA) {
		return nil, nil //nolint:nilnil // no order is no error
	}
	if err != nil {
		return nil, err
	}
	return bus.ParseVMOrder(element), nil
}

// rebootedAt is when the actuator last saw the guest restart without ending; nil: never.
func rebootedAt(dom *libvirt.Domain) (*time.Time, error) {
	element, err := dom.GetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, bus.RebootURI, 0)
	if errors.Is(err, libvirt.ERR_NO_DOMAIN_METADATA) {
		return nil, nil //nolint:nilnil // no value is no error
	}
	if err != nil {
		return nil, err
	}
	if at := bus.ParseReboot(element).Since(); !at.IsZero() {
		return &at, nil
	}
	return nil, nil //nolint:nilnil // a foreign element
}

func freeDomains(doms []libvirt.Domain) {
	for i := range doms {
		_ = doms[i].Free() // fails only for an invalid handle
	}
}
