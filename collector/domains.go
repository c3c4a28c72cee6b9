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

// readKnown reads what a domain is by its metadata.
func readKnown(dom *libvirt.Domain, uuid string) (*known, error) {
	r := reading{uuid: uuid}
	foreign := &known{reading: r}
	var err error
	if r.name, err = dom.GetName(); err != nil {
		return nil, fmt.Errorf("read the name of domain %s: %w", uuid, err)
	}
	runs, err := readElementAt(dom, bus.MetadataURI, 0)
	element := ""
	if err == nil && runs != "" {
		element, err = readElement(dom, bus.MetadataURI)
	}
	switch {
	case err == nil && element == "", errors.Is(err, libvirt.ERR_NO_DOMAIN):
		return foreign, nil // not ours, given away while its memory was saved, or gone since the list was made
	case err != nil:
		return nil, fmt.Errorf("read the metadata of domain %s: %w", r.name, err)
	}
	if _, err := bus.ParseMetadata(runs, uuid); err != nil {
		return foreign, nil //nolint:nilerr // not ours: a copy of one of our definitions, or damaged
	}
	if r.meta, err = bus.ParseMetadata(element, uuid); err != nil {
		return foreign, nil //nolint:nilerr // the same
	}
	if bus.CheckDomainName(r.name) != nil {
		return foreign, nil //nolint:nilerr // not ours either: the actuator, which leaves it alone, names it
	}
	if r.protected, err = isProtected(dom); err == nil {
		r.order, err = orderOf(dom)
	}
	if err == nil {
		r.rebooted, err = rebootedAt(dom)
	}
	switch {
	case errors.Is(err, libvirt.ERR_NO_DOMAIN):
		return foreign, nil
	case err != nil:
		return nil, fmt.Errorf("read the metadata of domain %s: %w", r.name, err)
	}
	return &known{reading: r, ours: true}, nil
}

// readElement is an element of a domain's metadata as it was last written; "" is none. That is what libvirt keeps: a domain that
// goes on from saved memory runs with the metadata of when that was saved.
func readElement(dom *libvirt.Domain, uri string) (string, error) {
	element, err := readElementAt(dom, uri, libvirt.DOMAIN_AFFECT_CONFIG)
	if errors.Is(err, libvirt.ERR_OPERATION_INVALID) { // it is transient: a person has undefined it, and nothing is kept
		return readElementAt(dom, uri, 0)
	}
	return element, err
}

// readElementAt is an element of what runs, or of what is kept; 0 is what runs, if it does.
func readElementAt(dom *libvirt.Domain, uri string, where libvirt.DomainModificationImpact) (string, error) {
	element, err := dom.GetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, uri, where)
	if errors.Is(err, libvirt.ERR_NO_DOMAIN_METADATA) {
		return "", nil
	}
	return element, err
}

// readInfo adds to a reading how its domain is at this moment, and reports whether that is still there.
func readInfo(dom *libvirt.Domain, r *reading) (there bool) {
	info, err := dom.GetInfo()
	switch {
	case errors.Is(err, libvirt.ERR_NO_DOMAIN):
		return false
	case err != nil:
		r.state, r.err = bus.StateUnknown, fmt.Errorf("read the info of domain %s: %w", r.name, err)
		return true
	}
	at := time.Now()
	r.state = bus.StateFromLibvirt(int(info.State))
	if r.state == bus.StatePaused {
		switch state, reason, err := dom.GetState(); {
		case errors.Is(err, libvirt.ERR_NO_DOMAIN):
			return false
		case err == nil && state == libvirt.DOMAIN_PAUSED && bus.PausedForNow(reason):
			r.state = bus.StateOther
		}
	}
	if r.state == bus.StateShutoff {
		switch r.state, err = offState(dom.HasManagedSaveImage(0)); {
		case errors.Is(err, libvirt.ERR_NO_DOMAIN):
			return false
		case err != nil:
			r.err = fmt.Errorf("see whether the memory of domain %s is saved: %w", r.name, err)
			return true
		}
	}
	r.memoryMiB = int(info.Memory / 1024)
	r.counter.vcpus = int(info.NrVirtCpu)
	if r.state != bus.StateRunning {
		return true // a domain that is off still carries a CPU time, and it is not the guest's
	}
	run, err := dom.GetID()
	if err != nil { // stopped just now
		r.state, r.err = bus.StateUnknown, fmt.Errorf("read the id of domain %s: %w", r.name, err)
		return true
	}
	r.counter = counter{run: run, cpu: time.Duration(info.CpuTime), at: at, vcpus: int(info.NrVirtCpu)}
	return true
}

// offState is the state of a domain that is shut off, by what libvirt says of its saved memory.
func offState(saved bool, err error) (bus.State, error) {
	switch {
	case errors.Is(err, libvirt.ERR_NO_SUPPORT): // a driver without managed save has none
		return bus.StateShutoff, nil
	case err != nil:
		return bus.StateUnknown, err
	case saved:
		return bus.StateSaved, nil
	}
	return bus.StateShutoff, nil
}

// isProtected reports whether a person has taken a VM out of scaling in. It is an element of its own, as the actuator writes
// the other one again with each phase.
func isProtected(dom *libvirt.Domain) (bool, error) {
	element, err := readElement(dom, bus.ProtectionURI)
	return element != "" && bus.ParseProtection(element).On, err
}

// orderOf is what a person wants of a VM; nil is nothing. It is an element of its own, too.
func orderOf(dom *libvirt.Domain) (*bus.VMOrder, error) {
	element, err := readElement(dom, bus.OrderURI)
	if err != nil || element == "" {
		return nil, err
	}
	return bus.ParseVMOrder(element), nil
}

// rebootedAt is when the actuator last saw the guest restart without ending; nil: never.
func rebootedAt(dom *libvirt.Domain) (*time.Time, error) {
	element, err := readElement(dom, bus.RebootURI)
	if err != nil || element == "" {
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
