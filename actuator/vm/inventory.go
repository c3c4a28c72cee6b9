package vm

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// Inventory is what libvirt has: the VMs that vmscaler owns, and the names that are taken by anything.
type Inventory struct {
	Owned []VM // the oldest first
	Taken map[string]bool
	// Kept are the VMs for which disks are kept in the pool, whether they are there or not. No file takes their names.
	Kept map[string]bool
	// Damaged are the domains that carry metadata of ours that cannot be read, each with why: they are nobody's, and left alone.
	Damaged map[string]string
}

// Group is the owned VMs of one group.
func (inv Inventory) Group(name string) []VM {
	var vms []VM
	for _, vm := range inv.Owned {
		if vm.Meta.Group == name {
			vms = append(vms, vm)
		}
	}
	return vms
}

// ReadInventory lists the domains. It waits for no QEMU process.
func ReadInventory(conn *libvirt.Connect) (Inventory, error) {
	inv := Inventory{Taken: map[string]bool{}, Kept: map[string]bool{}, Damaged: map[string]string{}}
	doms, err := conn.ListAllDomains(0)
	if err != nil {
		return inv, fmt.Errorf("list domains: %w", err)
	}
	defer func() {
		for i := range doms {
			_ = doms[i].Free()
		}
	}()
	var damaged damagedError
	for i := range doms {
		name, err := doms[i].GetName()
		if err != nil {
			return inv, fmt.Errorf("read a domain's name: %w", err)
		}
		inv.Taken[name] = true
		vm, err := readVM(&doms[i])
		switch {
		case errors.As(err, &damaged):
			inv.Damaged[name] = damaged.Error()
		case errors.Is(err, errNotOurs):
		case err != nil:
			return inv, err
		default:
			inv.Owned = append(inv.Owned, vm)
		}
	}
	slices.SortFunc(inv.Owned, NewestFirst)
	slices.Reverse(inv.Owned)
	return inv, nil
}

// errNotOurs means that a domain is not ours, or gone.
var errNotOurs = errors.New("not a domain of vmscaler")

// damagedError is why metadata of ours cannot be read. Its domain is not ours, as nothing says what belongs to it.
type damagedError struct{ error }

func (damagedError) Is(target error) bool { return target == errNotOurs }

// readVM reads an owned domain, or returns errNotOurs.
func readVM(dom *libvirt.Domain) (VM, error) {
	var vm VM
	var err error
	if vm.Name, err = dom.GetName(); err != nil {
		return vm, fmt.Errorf("read a domain's name: %w", err)
	}
	if vm.UUID, err = dom.GetUUIDString(); err != nil {
		return vm, fmt.Errorf("read the UUID of %s: %w", vm.Name, err)
	}
	if vm.Meta, err = readMetadata(dom, vm.UUID); errors.Is(err, errNotOurs) {
		return vm, err
	} else if err != nil {
		return vm, fmt.Errorf("read the metadata of %s: %w", vm.Name, err)
	}
	if err := bus.CheckDomainName(vm.Name); err != nil {
		return vm, damagedError{err}
	}
	if vm.Protection, err = readProtection(dom); errors.Is(err, libvirt.ERR_NO_DOMAIN) {
		return vm, errNotOurs
	} else if err != nil {
		return vm, fmt.Errorf("%s: %w", vm.Name, err)
	}
	vm.Protected = vm.Protection.On
	if vm.Deletion, err = readDeletion(dom); errors.Is(err, libvirt.ERR_NO_DOMAIN) {
		return vm, errNotOurs
	} else if err != nil {
		return vm, fmt.Errorf("%s: %w", vm.Name, err)
	}
	if vm.Order, err = readOrder(dom); errors.Is(err, libvirt.ERR_NO_DOMAIN) {
		return vm, errNotOurs
	} else if err != nil {
		return vm, fmt.Errorf("%s: %w", vm.Name, err)
	}
	state, reason, err := dom.GetState()
	switch {
	case errors.Is(err, libvirt.ERR_NO_DOMAIN):
		return vm, errNotOurs
	case err != nil:
		return vm, fmt.Errorf("read the state of %s: %w", vm.Name, err)
	}
	vm.State = bus.StateFromLibvirt(int(state))
	if vm.State == bus.StateShutoff {
		if vm.State, err = offState(dom.HasManagedSaveImage(0)); errors.Is(err, libvirt.ERR_NO_DOMAIN) {
			return vm, errNotOurs
		} else if err != nil {
			return vm, fmt.Errorf("see whether the memory of %s is saved: %w", vm.Name, err)
		}
	}
	vm.IOError = pausedOnIOError(state, reason)
	if state == libvirt.DOMAIN_PAUSED && bus.PausedForNow(reason) {
		vm.State = bus.StateOther
	}
	return vm, nil
}

// readMetadata reads what makes a domain ours, or returns errNotOurs. Both what runs and what is kept must have it: one that was
// given away while its memory was saved runs with what is there no more.
func readMetadata(dom *libvirt.Domain, uuid string) (meta bus.Metadata, err error) {
	for _, read := range []func() (string, error){
		func() (string, error) { return readElementAt(dom, bus.MetadataURI, 0) },
		func() (string, error) { return readElement(dom, bus.MetadataURI) },
	} {
		element, err := read()
		switch {
		case err == nil && element == "", errors.Is(err, libvirt.ERR_NO_DOMAIN):
			return meta, errNotOurs
		case err != nil:
			return meta, err
		}
		if meta, err = bus.ParseMetadata(element, uuid); errors.Is(err, bus.ErrCopiedMetadata) {
			return meta, errNotOurs
		} else if err != nil {
			return meta, damagedError{err}
		}
	}
	return meta, nil
}

// offState is the state of a domain that is shut off, by what libvirt says of its saved memory. Where that is no answer the state
// is not known: one whose memory is gone is replaced.
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

func pausedOnIOError(state libvirt.DomainState, reason int) bool {
	return state == libvirt.DOMAIN_PAUSED && reason == int(libvirt.DOMAIN_PAUSED_IOERROR)
}

// ReadPool adds the names that have a file in the pool, ours or not, which a new VM avoids, and those for which disks are kept
// there by the host with that id, which the next VM of the name gets. A file that libvirt does not know yet is not among them,
// and not in danger either, as no volume of ours is ever named like it.
func (inv *Inventory) ReadPool(conn *libvirt.Connect, poolName string, host bus.HostID) error {
	pool, err := conn.LookupStoragePoolByName(poolName)
	if err != nil {
		return fmt.Errorf("look up storage pool %q: %w", poolName, err)
	}
	defer func() { _ = pool.Free() }()
	vols, err := pool.ListAllStorageVolumes(0)
	if err != nil {
		return fmt.Errorf("list storage pool %q: %w", poolName, err)
	}
	names := make([]string, 0, len(vols))
	for i := range vols {
		if name, err := vols[i].GetName(); err == nil {
			names = append(names, name)
		}
		_ = vols[i].Free()
	}
	inv.addVolumes(names, host)
	return nil
}

// addVolumes takes the volumes of a pool into account.
func (inv *Inventory) addVolumes(names []string, host bus.HostID) {
	for _, name := range names {
		if _, vm, disk, is := bus.ParseKeptName(name); is && name == bus.KeptName(host, vm, disk) {
			inv.Kept[vm] = true
		}
	}
	for _, name := range names {
		if vm, _, _ := strings.Cut(name, "."); !inv.Kept[vm] {
			inv.Taken[vm] = true
		}
	}
}
