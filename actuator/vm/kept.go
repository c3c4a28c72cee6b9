package vm

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
)

// KeptNeededError is that a kept disk cannot be given to a VM, as anything else needs it.
type KeptNeededError struct {
	VM     string
	Disk   int // its place among the VM's further disks, from 1
	Volume string
	By     string // what needs it
}

func (e *KeptNeededError) Error() string {
	return fmt.Sprintf("disk %d of %s is kept in volume %s, which is needed by %s: free it, or delete it with "+
		"`vmscaler volume rm %s`", e.Disk, e.VM, e.Volume, e.By, e.Volume)
}

// findKept looks which disks are there already for a VM of this name, and refuses one that anything else needs with a
// [KeptNeededError]. The domain of the VM itself, which a reimage finds, is nothing else.
func (l *launch) findKept(ctx context.Context) error {
	var usage *template.Usage
	for i := range l.disks {
		volume, kept := l.meta.KeptVolume(i + 1)
		if !kept {
			continue
		}
		there, err := hasVolume(ctx, l.pool, volume)
		if err != nil {
			return err
		}
		if l.disks[i].there = there; !there {
			continue
		}
		if usage == nil {
			read, err := template.ReadUsage(l.Conn)
			if err != nil {
				return fmt.Errorf("look who needs the kept disks of %s: %w", l.name, err)
			}
			usage = &read
		}
		path := filepath.Join(filepath.Dir(l.path), volume)
		if needed := neededBy(usage.Clones(path), l.name, path, nil); needed != "" {
			return &KeptNeededError{l.name, i + 1, volume, needed}
		}
	}
	return nil
}

// hasVolume reports whether a pool has a volume, also one that was made without its knowledge.
func hasVolume(ctx context.Context, pool *libvirt.StoragePool, name string) (bool, error) {
	for _, refresh := range []bool{false, true} {
		if refresh {
			if err := template.RefreshPool(ctx, pool); err != nil {
				return false, fmt.Errorf("look whether volume %s is there: %w", name, err)
			}
		}
		vol, err := pool.LookupStorageVolByName(name)
		if err == nil {
			_ = vol.Free()
			return true, nil
		}
		if !errors.Is(err, libvirt.ERR_NO_STORAGE_VOL) {
			return false, fmt.Errorf("look up volume %s: %w", name, err)
		}
	}
	return false, nil
}

// addKept makes a disk that outlives the VM, unless one before has left it.
func (l *launch) addKept(ctx context.Context, volume string, disk extraDisk) error {
	if disk.there {
		there, err := hasVolume(ctx, l.pool, volume)
		if err == nil && !there {
			err = fmt.Errorf("volume %s, which is kept for %s, was deleted meanwhile", volume, l.name)
		}
		return err
	}
	vol, err := CreateVolume(l.pool, volume, disk.backing, disk.bytes)
	if err != nil {
		return err
	}
	return vol.Free()
}

// sheds reports whether the removal of a VM takes what is kept for the one in its place: its group has one VM less for it. A
// removal that was cut off goes on as it began.
func sheds(r Removal, meta bus.Metadata) bool {
	switch r.Kind {
	case ScaleIn, Operator:
		return true
	case Ordered:
		return r.VM.Order.Is(bus.VMRemove) && r.VM.Order.Shrinks
	case Interrupted:
		return meta.Sheds
	case Sick, Died, Outdated, Unneeded, Reimaged, Isolated: // another is to take its place
	}
	return false
}

// shed are the volumes that go with a VM although they are kept for others, but those that anything else needs.
func (e *ending) shed(usage template.Usage) (volumes []string) {
	if !sheds(e.removal, e.vm.Meta) {
		return nil
	}
	for _, volume := range e.vm.Meta.Shed() {
		if path := filepath.Join(filepath.Dir(e.file()), volume); neededBy(usage.Clones(path), e.vm.Name, path, nil) == "" {
			volumes = append(volumes, volume)
		}
	}
	return volumes
}

// KeptVolume is a volume that outlives its VM.
type KeptVolume struct {
	Name  string
	Group string
	VM    string // for which it is kept, whether that is there or not
	Disk  int    // its place among the VM's further disks, from 1
	Bytes uint64 // its size for a guest
	Used  uint64 // bytes on the host's disk
	User  string // what needs it now; "": nothing that this libvirt knows
	// Foreign is that it is of another host with the same pool, whose VM may run with it: nobody here knows.
	Foreign bool
}

// ListKept are the volumes of a pool that outlive their VMs, by their names, as the host with that id sees them.
func ListKept(ctx context.Context, conn *libvirt.Connect, poolName string, host bus.HostID) ([]KeptVolume, error) {
	pool, err := conn.LookupStoragePoolByName(poolName)
	if err != nil {
		return nil, fmt.Errorf("look up storage pool %q: %w", poolName, err)
	}
	defer func() { _ = pool.Free() }()
	if err := template.RefreshPool(ctx, pool); err != nil {
		return nil, err
	}
	vols, err := pool.ListAllStorageVolumes(0)
	if err != nil {
		return nil, fmt.Errorf("list storage pool %q: %w", poolName, err)
	}
	defer func() {
		for i := range vols {
			_ = vols[i].Free()
		}
	}()
	usage, err := template.ReadUsage(conn)
	if err != nil {
		return nil, err
	}
	var all []KeptVolume
	for i := range vols {
		k, is, err := readKept(&vols[i], usage)
		if err != nil {
			return nil, err
		}
		if is {
			k.Foreign = k.Name != bus.KeptName(host, k.VM, k.Disk)
			all = append(all, k)
		}
	}
	slices.SortFunc(all, func(a, b KeptVolume) int { return strings.Compare(a.Name, b.Name) })
	return all, nil
}

// readKept reads a volume, if it is one that outlives its VM.
func readKept(vol *libvirt.StorageVol, usage template.Usage) (k KeptVolume, is bool, err error) {
	if k.Name, err = vol.GetName(); err != nil {
		return k, false, nil //nolint:nilerr // it is gone
	}
	if k.Group, k.VM, k.Disk, is = bus.ParseKeptName(k.Name); !is {
		return k, false, nil
	}
	text, err := vol.GetXMLDesc(0)
	if errors.Is(err, libvirt.ERR_NO_STORAGE_VOL) {
		return k, false, nil
	}
	var x libvirtxml.StorageVolume
	if err == nil {
		err = x.Unmarshal(text)
	}
	if err != nil {
		return k, false, fmt.Errorf("describe volume %s: %w", k.Name, err)
	}
	if x.Capacity != nil {
		k.Bytes = x.Capacity.Value
	}
	if x.Allocation != nil {
		k.Used = x.Allocation.Value
	}
	if x.Target != nil {
		k.User = neededBy(usage.Clones(x.Target.Path), "", x.Target.Path, nil)
	}
	return k, true, nil
}

// DeleteKept deletes a volume of the host with that id that outlives its VM, if nothing needs it. The caller holds the lock, so
// that no VM is made with it meanwhile.
func DeleteKept(ctx context.Context, conn *libvirt.Connect, poolName, volume string, host bus.HostID) error {
	all, err := ListKept(ctx, conn, poolName, host)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(k KeptVolume) bool { return k.Name == volume })
	switch {
	case i < 0:
		return fmt.Errorf("storage pool %q has no kept volume %q", poolName, volume)
	case all[i].Foreign:
		return fmt.Errorf("volume %s is another host's", volume)
	case all[i].User != "":
		return fmt.Errorf("volume %s is needed by %s", volume, all[i].User)
	}
	pool, err := conn.LookupStoragePoolByName(poolName)
	if err != nil {
		return fmt.Errorf("look up storage pool %q: %w", poolName, err)
	}
	defer func() { _ = pool.Free() }()
	_, err = deleteFrom(ctx, pool, []string{volume})
	return err
}
