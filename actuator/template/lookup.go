package template

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// ErrNotFound is returned by Lookup; the message names the templates there are.
var ErrNotFound = errors.New("template not found")

// Info is what libvirt knows about a template.
type Info struct {
	Name       string
	Volume     string
	Path       string    // on the host of the pool
	Format     string    // "qcow2" once it is complete
	Capacity   uint64    // bytes that a guest sees
	Allocation uint64    // bytes on the host's disk
	Changed    time.Time // when its file was last written; zero: unknown
	Complete   bool      // false while it is uploaded, or after an upload was killed
}

// Lookup finds one template, complete or not.
func Lookup(conn *libvirt.Connect, pool, name string) (Info, error) {
	all, err := List(conn, pool)
	if err != nil {
		return Info{}, fmt.Errorf("look up template %s: %w", name, err)
	}
	var names []string
	for _, info := range all {
		if info.Name == name {
			return info, nil
		}
		names = append(names, info.Name)
	}
	there := "there are none"
	if len(names) > 0 {
		there = "there are: " + strings.Join(names, ", ")
	}
	return Info{}, fmt.Errorf("%w: %q in storage pool %q; %s", ErrNotFound, name, pool, there)
}

// List returns the pool's templates by name.
func List(conn *libvirt.Connect, pool string) ([]Info, error) {
	p, err := openPool(conn, pool)
	if err != nil {
		return nil, err
	}
	defer p.Free()
	volumes, err := p.ListAllStorageVolumes(0)
	if err != nil {
		return nil, fmt.Errorf("list volumes of storage pool %q: %w", pool, err)
	}
	var infos []Info
	names := map[string]bool{}
	for i := range volumes {
		defer volumes[i].Free()
		volume, err := volumes[i].GetName()
		if err != nil {
			return nil, fmt.Errorf("list volumes of storage pool %q: %w", pool, err)
		}
		names[volume] = true
		name, ok := templateName(volume)
		if !ok {
			continue
		}
		info, err := describe(&volumes[i])
		if err != nil {
			return nil, err
		}
		info.Name = name
		infos = append(infos, info)
	}
	for i := range infos {
		infos[i].Complete = !names[markerName(infos[i].Name)]
	}
	slices.SortFunc(infos, func(a, b Info) int { return strings.Compare(a.Name, b.Name) })
	return infos, nil
}

// describe reads a volume's description as libvirt last saw it.
func describe(v *libvirt.StorageVol) (Info, error) {
	text, err := v.GetXMLDesc(0)
	if err != nil {
		return Info{}, fmt.Errorf("describe volume: %w", err)
	}
	var x libvirtxml.StorageVolume
	if err := x.Unmarshal(text); err != nil {
		return Info{}, fmt.Errorf("describe volume: %w", err)
	}
	info := Info{Volume: x.Name}
	if x.Capacity != nil {
		info.Capacity = x.Capacity.Value // libvirt always writes bytes
	}
	if x.Allocation != nil {
		info.Allocation = x.Allocation.Value
	}
	if x.Target != nil {
		info.Path = x.Target.Path
		if x.Target.Timestamps != nil {
			info.Changed = timestamp(x.Target.Timestamps.Mtime)
		}
		if x.Target.Format != nil {
			info.Format = x.Target.Format.Type
		}
	}
	return info, nil
}

// timestamp reads one of libvirt's, seconds and nanoseconds with a dot between; zero if it is none.
func timestamp(s string) time.Time {
	seconds, nanos, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return time.Time{}
	}
	ns, _ := strconv.ParseInt(nanos, 10, 64)
	return time.Unix(sec, ns)
}

// openPool finds a storage pool that runs.
func openPool(conn *libvirt.Connect, name string) (*libvirt.StoragePool, error) {
	p, err := conn.LookupStoragePoolByName(name)
	if err != nil {
		return nil, fmt.Errorf("storage pool %q: %w", name, err)
	}
	active, err := p.IsActive()
	if err == nil && !active {
		hint := "virsh"
		if uri, err := conn.GetURI(); err == nil {
			hint += " -c " + uri
		}
		err = fmt.Errorf("is not running; start it with: %s pool-start %s", hint, name)
	}
	if err != nil {
		p.Free()
		return nil, fmt.Errorf("storage pool %q: %w", name, err)
	}
	return p, nil
}

// findVolume returns nil without an error if the pool has no such volume.
func findVolume(p *libvirt.StoragePool, name string) (*libvirt.StorageVol, error) {
	v, err := p.LookupStorageVolByName(name)
	if errors.Is(err, libvirt.ERR_NO_STORAGE_VOL) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look up volume %s: %w", name, err)
	}
	return v, nil
}
