package template

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// ErrNotFound is returned by Lookup; the message names the templates there are.
var ErrNotFound = errors.New("template not found")

// ErrBroken is returned by Lookup for a template whose file is gone or cannot be read.
var ErrBroken = errors.New("template cannot be used")

// Info is what libvirt knows about a template.
type Info struct {
	Name       string
	Volume     string
	Path       string    // on the host of the pool
	Format     string    // "qcow2" once it is complete
	Capacity   uint64    // bytes that a guest sees
	Size       uint64    // bytes of its file; 0: libvirt does not tell
	Allocation uint64    // bytes on the host's disk
	Changed    time.Time // when its file was last written; zero: unknown
	Complete   bool      // false while it is uploaded or removed, or after one of these was killed
	Going      bool      // it is being removed, or was when that was killed
	Broken     error     // why libvirt cannot describe it; only the names and the path are known then
	Remedy     string    // what fixes a broken one

	// What its record in the pool tells, see RecordName. Only Lookup reads it; each is empty or zero where there is none.
	Source       string    // the URL, or the file on the machine that imported it
	SourceFormat string    // of that: "qcow2", "raw"
	SourceSHA256 string    // of that, as it was published
	SHA256       string    // of the template's own file when it was imported
	Imported     time.Time // when
	Firmware     Firmware  // what starts it
	CloudInit    CloudInit // whether its system reads seeds
}

// Lookup finds one template, complete or not, with what its record tells. Of the others in the pool it reads nothing but their
// names.
func Lookup(conn *libvirt.Connect, pool, name string) (Info, error) {
	p, err := openPool(conn, pool)
	if err != nil {
		return Info{}, fmt.Errorf("look up template %s: %w", name, err)
	}
	defer p.Free()
	volumes, err := volumesByName(p)
	if err != nil {
		return Info{}, fmt.Errorf("look up template %s in storage pool %q: %w", name, pool, err)
	}
	defer freeAll(volumes)
	info, found := readAll(conn, pool, name, volumes)
	switch {
	case !found:
		return Info{}, &NotFoundError{Name: name, Pool: pool, Names: templateNames(volumes)}
	case info.Broken != nil:
		return Info{}, fmt.Errorf("%w: %q in storage pool %q: %w; %s", ErrBroken, name, pool, info.Broken, info.Remedy)
	}
	return info, nil
}

// LookupAll is [Lookup] for several templates at once; those that are not there are left out, and broken ones say so.
func LookupAll(conn *libvirt.Connect, pool string, names []string) (map[string]Info, error) {
	p, err := openPool(conn, pool)
	if err != nil {
		return nil, fmt.Errorf("look up templates: %w", err)
	}
	defer p.Free()
	volumes, err := volumesByName(p)
	if err != nil {
		return nil, fmt.Errorf("look up templates in storage pool %q: %w", pool, err)
	}
	defer freeAll(volumes)
	infos := map[string]Info{}
	for _, name := range names {
		if info, found := readAll(conn, pool, name, volumes); found {
			infos[name] = info
		}
	}
	return infos, nil
}

// readAll is read, with what the template's record tells.
func readAll(conn *libvirt.Connect, pool, name string, volumes map[string]*libvirt.StorageVol) (info Info, found bool) {
	v := volumes[VolumeName(name)]
	if v == nil {
		return Info{}, false
	}
	info = read(v, name, virsh(conn)+" pool-refresh "+pool, volumes)
	if about := volumes[RecordName(name)]; about != nil && info.Broken == nil {
		if r, err := readRecord(conn, about); err == nil { // one that cannot be read tells nothing, as none does
			r.tell(&info)
		}
	}
	return info, true
}

// NotFoundError is ErrNotFound, with the templates that there are.
type NotFoundError struct {
	Name, Pool string
	Names      []string
}

func (e *NotFoundError) Error() string {
	there := "there are none"
	if len(e.Names) > 0 {
		there = "there are: " + strings.Join(e.Names, ", ")
	}
	return fmt.Sprintf("%s: %q in storage pool %q; %s", ErrNotFound, e.Name, e.Pool, there)
}

// Is reports whether it is ErrNotFound.
func (e *NotFoundError) Is(target error) bool { return target == ErrNotFound }

// List returns the pool's templates by name, also those that are broken, and without what their records tell.
func List(conn *libvirt.Connect, pool string) ([]Info, error) {
	p, err := openPool(conn, pool)
	if err != nil {
		return nil, err
	}
	defer p.Free()
	volumes, err := volumesByName(p)
	if err != nil {
		return nil, fmt.Errorf("list templates of storage pool %q: %w", pool, err)
	}
	defer freeAll(volumes)
	var infos []Info
	for _, name := range templateNames(volumes) {
		infos = append(infos, read(volumes[VolumeName(name)], name, virsh(conn)+" pool-refresh "+pool, volumes))
	}
	return infos, nil
}

// volumesByName is all volumes of a pool. It asks libvirt alone and looks at no file, so a file that is gone does not matter.
func volumesByName(p *libvirt.StoragePool) (map[string]*libvirt.StorageVol, error) {
	list, err := p.ListAllStorageVolumes(0)
	if err != nil {
		return nil, fmt.Errorf("list volumes: %w", err)
	}
	volumes := map[string]*libvirt.StorageVol{}
	for i := range list {
		name, err := list[i].GetName()
		if err != nil { // it was deleted meanwhile
			list[i].Free()
			continue
		}
		volumes[name] = &list[i]
	}
	return volumes, nil
}

func freeAll(volumes map[string]*libvirt.StorageVol) {
	for _, v := range volumes {
		v.Free()
	}
}

// read describes one template among the volumes of its pool.
func read(v *libvirt.StorageVol, name, forget string, volumes map[string]*libvirt.StorageVol) Info {
	info, err := describe(v)
	if err != nil {
		info = Info{Volume: VolumeName(name), Broken: err, Remedy: "delete its file and import it again"}
		var said libvirt.Error
		if errors.As(err, &said) {
			info.Broken = errors.New(said.Message)
		}
		if path, err := v.GetPath(); err == nil { // libvirt answers that by itself
			info.Path = path
		}
		if errors.Is(err, libvirt.ERR_NO_STORAGE_VOL) {
			info.Broken = fmt.Errorf("its file %s is gone", info.Path)
			info.Remedy = "import it again, or have libvirt forget it: " + forget
		}
	}
	info.Name, info.Going = name, volumes[goingName(name)] != nil
	info.Complete = volumes[markerName(name)] == nil && !info.Going
	return info
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
	if x.Physical != nil {
		info.Size = x.Physical.Value
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
	if errors.Is(err, libvirt.ERR_NO_STORAGE_POOL) {
		return nil, fmt.Errorf("storage pool %q does not exist; `vmscaler setup` makes it, or let libvirt.pool name one that does: %w",
			name, err)
	}
	if err != nil {
		return nil, fmt.Errorf("storage pool %q: %w", name, err)
	}
	active, err := p.IsActive()
	if err == nil && !active {
		err = fmt.Errorf("is not running; start it with: %s pool-start %s", virsh(conn), name)
	}
	if err != nil {
		p.Free()
		return nil, fmt.Errorf("storage pool %q: %w", name, err)
	}
	return p, nil
}

// virsh is the command with which a person reaches the same libvirt.
func virsh(conn *libvirt.Connect) string {
	if uri, err := conn.GetURI(); err == nil {
		return "virsh -c " + uri
	}
	return "virsh"
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
