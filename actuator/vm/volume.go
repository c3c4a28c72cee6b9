package vm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
)

// DeleteVolumes deletes the volumes that an owned domain names, but those that outlive it. Their names must carry the domain's
// UUID: whatever else stands there is not ours. path is where the domain has the main one as a disk, "" if it does not; the
// others are beside it. The pool may have another name by now, so one with that folder counts like the one that the domain names.
// Where no pool has the folder nobody can tell whether the volume is there: that is an error, and the domain has to stay, as
// nothing else says whose the volume is. also are volumes beside them that go, too.
func DeleteVolumes(ctx context.Context, conn *libvirt.Connect, meta bus.Metadata, path string, also ...string) error {
	if !strings.HasSuffix(meta.Volume, bus.VolumeName("", meta.UUID)) {
		return fmt.Errorf("volume %q is not named for domain %s: left alone", meta.Volume, meta.UUID)
	}
	pools, err := conn.ListAllStoragePools(libvirt.CONNECT_LIST_STORAGE_POOLS_ACTIVE)
	if err != nil {
		return fmt.Errorf("list the storage pools: %w", err)
	}
	defer func() {
		for i := range pools {
			_ = pools[i].Free()
		}
	}()
	volumes := slices.Concat(meta.Volumes(), also)
	var named *libvirt.StoragePool
	looked := false // into a pool that would have it
	for i := range pools {
		name, err := pools[i].GetName()
		if err != nil {
			continue // it is gone
		}
		if name == meta.Pool {
			named = &pools[i]
		}
		if path == "" || !hasFolder(&pools[i], filepath.Dir(path)) {
			continue
		}
		looked = true
		if deleted, err := deleteFrom(ctx, &pools[i], volumes); deleted || err != nil {
			return err
		}
	}
	if named != nil && !looked {
		if deleted, err := deleteFrom(ctx, named, volumes); deleted || err != nil {
			return err
		}
		looked = path == ""
	}
	if looked {
		return nil // it is gone
	}
	return lostPool(conn, meta.Pool, path)
}

// hasFolder reports whether a pool is of a folder, by whatever path.
func hasFolder(pool *libvirt.StoragePool, dir string) bool {
	text, err := pool.GetXMLDesc(0)
	if err != nil {
		return false
	}
	of, err := poolDir(text)
	if err != nil {
		return false // it has none
	}
	if filepath.Clean(of) == dir {
		return true
	}
	a, errA := os.Stat(of) // of this machine; files of a remote libvirt are known by their paths
	b, errB := os.Stat(dir)
	return errA == nil && errB == nil && os.SameFile(a, b)
}

// deleteFrom deletes volumes from a pool, and reports whether one of them was there.
func deleteFrom(ctx context.Context, pool *libvirt.StoragePool, volumes []string) (deleted bool, err error) {
	refreshed := false
	for _, volume := range volumes {
		vol, err := pool.LookupStorageVolByName(volume)
		if errors.Is(err, libvirt.ERR_NO_STORAGE_VOL) && !refreshed {
			// A volume whose making was cut off may be there without the pool's knowledge.
			if err := template.RefreshPool(ctx, pool); err != nil {
				return deleted, err
			}
			refreshed = true
			vol, err = pool.LookupStorageVolByName(volume)
		}
		if errors.Is(err, libvirt.ERR_NO_STORAGE_VOL) {
			continue
		}
		if err != nil {
			return deleted, fmt.Errorf("look up volume %s: %w", volume, err)
		}
		err = vol.Delete(0)
		_ = vol.Free()
		if err != nil && !errors.Is(err, libvirt.ERR_NO_STORAGE_VOL) {
			return deleted, fmt.Errorf("delete volume %s: %w", volume, err)
		}
		deleted = true
	}
	return deleted, nil
}

// lostPool reports how the storage pool of a volume comes back.
func lostPool(conn *libvirt.Connect, name, path string) error {
	uri, err := conn.GetURI()
	if err != nil {
		return fmt.Errorf("read libvirt's URI: %w", err)
	}
	virsh := "virsh -c " + quoted(uri)
	start := fmt.Sprintf("%s pool-start %s", virsh, quoted(name))
	pool, err := conn.LookupStoragePoolByName(name)
	switch {
	case err == nil:
		defer func() { _ = pool.Free() }()
		if active, err := pool.IsActive(); err == nil && !active {
			return fmt.Errorf("storage pool %q with its disk is not active; start it with: %s", name, start)
		}
		return fmt.Errorf(
			"storage pool %q has another folder than %s, where its disk lies; give that a pool: %s pool-define-as OTHER-NAME dir "+
				"--target %s && %s pool-start OTHER-NAME",
			name,
			filepath.Dir(path),
			virsh,
			quoted(filepath.Dir(path)),
			virsh,
		)
	case path == "":
		return fmt.Errorf("storage pool %q with its disk is not there; define it again", name)
	}
	return fmt.Errorf(
		"no storage pool has the folder %s, where its disk lies; bring it back with: %s pool-define-as %s dir --target %s && %s",
		filepath.Dir(path),
		virsh,
		quoted(name),
		quoted(filepath.Dir(path)),
		start,
	)
}

var plainWord = regexp.MustCompile(`^[A-Za-z0-9/:+._-]+$`)

// quoted is a word for a shell.
func quoted(word string) string {
	if plainWord.MatchString(word) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// disksOf is where a domain has its main volume as a disk, "" if it does not, and the files of disks that were not made for it: a
// person has attached those, or has put them in a volume's place with a snapshot or a copy.
func disksOf(dom *libvirt.Domain, meta bus.Metadata) (path string, others []string, err error) {
	text, err := dom.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE)
	if err != nil {
		return "", nil, fmt.Errorf("read its disks: %w", err)
	}
	var d libvirtxml.Domain
	if err := d.Unmarshal(text); err != nil {
		return "", nil, fmt.Errorf("read its disks: %w", err)
	}
	if d.Devices == nil {
		return "", nil, nil
	}
	own := slices.Concat(meta.Volumes(), meta.KeptVolumes())
	for _, disk := range d.Devices.Disks {
		switch {
		case disk.Source == nil || disk.Source.File == nil || disk.Device != "" && disk.Device != "disk":
		case filepath.Base(disk.Source.File.File) == meta.Volume:
			path = disk.Source.File.File
		case slices.Contains(own, filepath.Base(disk.Source.File.File)):
		default:
			others = append(others, disk.Source.File.File)
		}
	}
	return path, others, nil
}

// leftAlone is what the end of a VM says of disks that were not made for it.
func leftAlone(event bus.EventType, disks []string) string {
	if event != bus.EventRemoved || len(disks) == 0 {
		return ""
	}
	return "; left alone, as vmscaler did not make it: " + strings.Join(disks, ", ")
}
