package orphan

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/actuator/vm"
)

// Read reads what a sweep looks at, in this order: a record is begun after its domain is defined, so the domain of one
// that was read is seen, unless it is gone. owned may be older.
func Read(conn *libvirt.Connect, b *Records, in vm.Pools, owned []vm.VM) (Scan, error) {
	s := Scan{Records: b.Read(), Owned: owned, Pools: map[string]map[string]bool{}, Lost: map[string]string{}}
	var err error
	if s.Domains, err = domainNames(conn); err != nil {
		return s, err
	}
	pools := map[string]bool{in.Disks: true}
	for _, r := range s.Records {
		pools[r.Pool] = true
	}
	for name := range pools {
		if err := s.addPool(conn, b, name); err != nil {
			return s, err
		}
	}
	if len(s.Volumes) == 0 {
		return s, nil
	}
	if s.Templates, err = poolFolder(conn, in.Templates); err != nil {
		return s, err
	}
	users, err := diskUsers(conn)
	if err != nil {
		return s, err
	}
	for i, v := range s.Volumes {
		if s.Volumes[i].User == "" {
			s.Volumes[i].User = userOf(v.Path, users)
		}
	}
	return s, nil
}

// poolFolder is the folder of a pool, cleaned; "" where there is no such pool, or it has none.
func poolFolder(conn *libvirt.Connect, name string) (string, error) {
	pool, err := conn.LookupStoragePoolByName(name)
	if errors.Is(err, libvirt.ERR_NO_STORAGE_POOL) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look up storage pool %q: %w", name, err)
	}
	defer func() { _ = pool.Free() }()
	dir, err := vm.VolumePath(pool, "")
	if err != nil {
		return "", nil // not a directory pool
	}
	return filepath.Clean(dir), nil
}

// domainNames are the names of all domains by their UUIDs.
func domainNames(conn *libvirt.Connect) (map[string]string, error) {
	doms, err := conn.ListAllDomains(0)
	if err != nil {
		return nil, fmt.Errorf("list domains: %w", err)
	}
	names := map[string]string{}
	var problem error
	for i := range doms {
		name, nameErr := doms[i].GetName()
		uuid, err := doms[i].GetUUIDString()
		problem = errors.Join(problem, nameErr, err)
		names[uuid] = name
		_ = doms[i].Free()
	}
	if problem != nil {
		return nil, fmt.Errorf("list domains: %w", problem)
	}
	return names, nil
}

// addPool adds a pool with those of its volumes that a sweep has to judge. One that is not there, or not active, is not
// known: nothing is said of what may lie in it.
func (s *Scan) addPool(conn *libvirt.Connect, b *Records, name string) error {
	pool, err := conn.LookupStoragePoolByName(name)
	if errors.Is(err, libvirt.ERR_NO_STORAGE_POOL) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up storage pool %q: %w", name, err)
	}
	defer func() { _ = pool.Free() }()
	if active, err := pool.IsActive(); err != nil || !active {
		return err
	}
	volumes, names, err := listVolumes(pool)
	if err != nil {
		return err
	}
	defer func() { freeVolumes(volumes) }()
	if s.misses(name, names) { // it may be that libvirt does not know of its file
		if err := pool.Refresh(0); err != nil {
			return nil // refused while a volume is being made: the next sweep sees to it
		}
		freeVolumes(volumes)
		if volumes, names, err = listVolumes(pool); err != nil {
			return err
		}
	}
	s.Pools[name] = names
	dir, err := vm.VolumePath(pool, "")
	if err != nil {
		return nil // not a directory pool: no volume in it is ours
	}
	for i := range volumes {
		volume, _ := volumes[i].GetName()
		if !s.judges(name, volume) {
			continue
		}
		v, err := readVolume(&volumes[i], b)
		if errors.Is(err, libvirt.ERR_NO_STORAGE_VOL) {
			continue
		}
		if err != nil {
			return err
		}
		v.Pool = name
		s.Volumes = append(s.Volumes, v)
	}
	if err := s.addOverlays(volumes); err != nil {
		return err
	}
	_, err = os.Stat(dir)
	visible := err == nil && b != nil && b.Identify != nil
	for _, vm := range s.Owned {
		path := filepath.Join(dir, vm.Meta.Volume)
		if _, defined := s.Domains[vm.UUID]; !defined || vm.Meta.Pool != name {
			continue
		}
		_, err := os.Lstat(path)
		if !names[vm.Meta.Volume] || visible && errors.Is(err, os.ErrNotExist) {
			s.Lost[vm.UUID] = path
		}
	}
	return nil
}

// misses reports whether a volume of a record without a domain is not among a pool's.
func (s *Scan) misses(pool string, names map[string]bool) bool {
	for _, r := range s.Records {
		_, defined := s.Domains[r.UUID]
		if !defined && r.Pool == pool && slices.ContainsFunc(r.volumes(), func(volume string) bool { return !names[volume] }) {
			return true
		}
	}
	return false
}

// judges reports whether a volume can be an orphan, by its name alone.
func (s *Scan) judges(pool, volume string) bool {
	for _, r := range s.Records {
		if _, is := r.of(volume); is && r.Pool == pool {
			_, defined := s.Domains[r.UUID]
			return !defined
		}
	}
	group, vm, digits := volumeOf(volume)
	return group != "" && !s.defined(vm, digits)
}

// addOverlays marks the volumes that are the backing store of another one in their pool.
func (s *Scan) addOverlays(volumes []libvirt.StorageVol) error {
	if len(s.Volumes) == 0 {
		return nil
	}
	for i := range volumes {
		over, err := readVolume(&volumes[i], nil)
		if errors.Is(err, libvirt.ERR_NO_STORAGE_VOL) {
			continue
		}
		if err != nil {
			return err
		}
		for j, v := range s.Volumes {
			if over.Backing == v.Path {
				s.Volumes[j].User = "volume " + over.Name
			}
		}
	}
	return nil
}

func listVolumes(pool *libvirt.StoragePool) ([]libvirt.StorageVol, map[string]bool, error) {
	volumes, err := pool.ListAllStorageVolumes(0)
	if err != nil {
		return nil, nil, fmt.Errorf("list a storage pool: %w", err)
	}
	names := map[string]bool{}
	for i := range volumes {
		if name, err := volumes[i].GetName(); err == nil {
			names[name] = true
		}
	}
	return volumes, names, nil
}

func freeVolumes(volumes []libvirt.StorageVol) {
	for i := range volumes {
		_ = volumes[i].Free()
	}
}

// readVolume reads a volume, and its file where records may be of files.
func readVolume(vol *libvirt.StorageVol, b *Records) (Volume, error) {
	text, err := vol.GetXMLDesc(0)
	if err != nil {
		return Volume{}, fmt.Errorf("describe a volume: %w", err)
	}
	var x libvirtxml.StorageVolume
	if err := x.Unmarshal(text); err != nil {
		return Volume{}, fmt.Errorf("describe a volume: %w", err)
	}
	v := Volume{Name: x.Name}
	if x.Allocation != nil {
		v.Size = x.Allocation.Value
	}
	if x.BackingStore != nil {
		v.Backing = x.BackingStore.Path
	}
	if x.Target != nil {
		v.Path = x.Target.Path
	}
	if b == nil || b.Identify == nil {
		return v, nil
	}
	if v.File, err = b.Identify(v.Path); err != nil {
		v.File = nil // it is not the file of any record then
	}
	if info, err := os.Lstat(v.Path); err == nil {
		v.Changed = info.ModTime()
	}
	return v, nil
}

// diskUsers are all files that domains have as disks, now or at their next start, each with a domain.
func diskUsers(conn *libvirt.Connect) (map[string]string, error) {
	doms, err := conn.ListAllDomains(0)
	if err != nil {
		return nil, fmt.Errorf("list domains: %w", err)
	}
	defer func() {
		for i := range doms {
			_ = doms[i].Free()
		}
	}()
	users := map[string]string{}
	for i := range doms {
		for _, flags := range []libvirt.DomainXMLFlags{0, libvirt.DOMAIN_XML_INACTIVE} {
			text, err := doms[i].GetXMLDesc(flags)
			if errors.Is(err, libvirt.ERR_NO_DOMAIN) {
				continue
			}
			if err != nil {
				return nil, fmt.Errorf("read a domain's disks: %w", err)
			}
			if err := addDisks(conn, text, users); err != nil {
				return nil, err
			}
		}
	}
	return users, nil
}

// addDisks adds the files of a domain's disks with those below them.
func addDisks(conn *libvirt.Connect, definition string, users map[string]string) error {
	var d libvirtxml.Domain
	if err := d.Unmarshal(definition); err != nil {
		return fmt.Errorf("read a domain's disks: %w", err)
	}
	if d.Devices == nil {
		return nil
	}
	add := func(source *libvirtxml.DomainDiskSource) {
		switch {
		case source == nil:
		case source.File != nil:
			users[source.File.File] = "domain " + d.Name
		case source.Volume != nil:
			users[pathOf(conn, source.Volume.Pool, source.Volume.Volume)] = "domain " + d.Name
		}
	}
	for _, disk := range d.Devices.Disks {
		add(disk.Source)
		if disk.Mirror != nil {
			add(disk.Mirror.Source)
		}
		for below := disk.BackingStore; below != nil; below = below.BackingStore {
			add(below.Source)
		}
	}
	return nil
}

// pathOf is the path of a volume; "" where there is none.
func pathOf(conn *libvirt.Connect, poolName, volume string) string {
	pool, err := conn.LookupStoragePoolByName(poolName)
	if err != nil {
		return ""
	}
	defer func() { _ = pool.Free() }()
	path, err := vm.VolumePath(pool, volume)
	if err != nil {
		return ""
	}
	return path
}

// userOf is the domain that has a file as a disk, by whatever path.
func userOf(path string, users map[string]string) string {
	if user := users[path]; user != "" {
		return user
	}
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	for other, user := range users {
		if is, err := os.Stat(other); err == nil && os.SameFile(info, is) {
			return user
		}
	}
	return ""
}

// Deletion is what came of deleting an orphaned volume.
type Deletion struct {
	Deleted bool
	Last    bool // nothing else of its VM is left
}

// DeleteVolume deletes the volume of a record, if a second look says the same. It looks at the file itself, as what libvirt knows
// of it may be old.
func DeleteVolume(conn *libvirt.Connect, b *Records, r VolumeRecord) (Deletion, error) {
	pool, err := conn.LookupStoragePoolByName(r.Pool)
	if err != nil {
		return Deletion{}, fmt.Errorf("look up storage pool %q: %w", r.Pool, err)
	}
	defer func() { _ = pool.Free() }()
	if err := pool.Refresh(0); err != nil {
		return Deletion{}, fmt.Errorf("refresh storage pool %q: %w", r.Pool, err)
	}
	s, err := Read(conn, b, vm.Pools{Disks: r.Pool}, nil)
	if err != nil {
		return Deletion{}, err
	}
	all := Find(s, time.Now(), 0, nil)
	i := slices.IndexFunc(all, func(o Orphan) bool { return o.What == volumeOrphan && o.UUID == r.UUID && o.Path == r.Path })
	switch {
	case i < 0:
		return Deletion{}, nil // it is gone, or its domain is there again
	case all[i].Action != Delete:
		return Deletion{}, fmt.Errorf("volume %s is left alone: %s", r.Volume, all[i].Why)
	}
	vol, err := pool.LookupStorageVolByName(r.Volume)
	if errors.Is(err, libvirt.ERR_NO_STORAGE_VOL) {
		return Deletion{}, nil
	}
	if err != nil {
		return Deletion{}, fmt.Errorf("look up volume %s: %w", r.Volume, err)
	}
	defer func() { _ = vol.Free() }()
	if err := vol.Delete(0); err != nil {
		return Deletion{}, fmt.Errorf("delete volume %s: %w", r.Volume, err)
	}
	return Deletion{Deleted: true, Last: !s.hasOthers(r)}, nil
}

// hasOthers reports whether there are volumes of a record's VM besides the one that it is of.
func (s *Scan) hasOthers(of VolumeRecord) bool {
	for _, r := range s.Records {
		if r.UUID == of.UUID {
			return slices.ContainsFunc(r.volumes(), func(volume string) bool { return volume != of.Volume && s.Pools[r.Pool][volume] })
		}
	}
	return false
}
