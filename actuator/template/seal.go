package template

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"
)

// Volume names a storage volume.
type Volume struct{ Pool, Name string }

// Seal makes a template of a disk that is a volume already, as of a VM that a person installed: libvirt copies it, with what is
// below it where that is a template, into a read-only volume that needs nothing else. The volume itself is only read; none of
// the domains that have it may run. A volume that is named like the template's own needs no copy: it becomes read-only in its
// place.
//
// It is checked as Import checks a file, its content where the pool is on this machine: else the firmware of the result is
// unknown. source is kept as where it came from; "" is the volume. What was written is gone again when it fails, or ctx ends.
//
// step is called with what is done, before each step of it; it may be nil.
func Seal(ctx context.Context, conn *libvirt.Connect, to Target, from Volume, source string, step func(string)) (Info, error) {
	if step == nil {
		step = func(string) {}
	}
	if source == "" {
		source = fmt.Sprintf("volume %s of storage pool %s", from.Name, from.Pool)
	}
	if err := CheckName(to.Name); err != nil {
		return Info{}, err
	}
	s, err := openSealed(ctx, conn, from)
	if err != nil {
		return Info{}, fmt.Errorf("seal template %s: %w", to.Name, err)
	}
	defer s.free()
	s.source, s.step = source, step
	step("checking")
	if err := s.check(to.Pool); err != nil {
		return Info{}, fmt.Errorf("seal template %s: volume %s: %w", to.Name, from.Name, err)
	}
	if from == (Volume{Pool: to.Pool, Name: VolumeName(to.Name)}) {
		if known, lookErr := Lookup(conn, to.Pool, to.Name); lookErr == nil && known.SHA256 != "" {
			return Info{}, fmt.Errorf("template %q: %w: it was imported or sealed, and what it came from is kept", to.Name, ErrExists)
		}
		err = s.inPlace(ctx, to.Name)
	} else {
		err = s.copyTo(ctx, to)
	}
	if err != nil {
		return Info{}, fmt.Errorf("seal template %s: %w", to.Name, err)
	}
	return Lookup(conn, to.Pool, to.Name)
}

// sealed is a volume that is to become a template.
type sealed struct {
	conn   *libvirt.Connect
	pool   *libvirt.StoragePool
	vol    *libvirt.StorageVol
	desc   libvirtxml.StorageVolume
	source string
	step   func(string)
}

func (s *sealed) free() {
	if s.vol != nil {
		s.vol.Free()
	}
	s.pool.Free()
}

func (s *sealed) path() string {
	if s.desc.Target == nil {
		return ""
	}
	return s.desc.Target.Path
}

func openSealed(ctx context.Context, conn *libvirt.Connect, from Volume) (_ *sealed, err error) {
	p, err := openPool(conn, from.Pool)
	if err != nil {
		return nil, err
	}
	s := &sealed{conn: conn, pool: p}
	defer func() {
		if err != nil {
			s.free()
		}
	}()
	if err := RefreshPool(ctx, p); err != nil { // a person may have put the file there a moment ago
		return nil, err
	}
	if s.vol, err = findVolume(p, from.Name); err != nil {
		return nil, err
	}
	if s.vol == nil {
		volumes, err := volumesByName(p)
		if err != nil {
			return nil, err
		}
		defer freeAll(volumes)
		return nil, fmt.Errorf("storage pool %q has no volume %q; there are: %s", from.Pool, from.Name, someNames(volumes))
	}
	text, err := s.vol.GetXMLDesc(0)
	if err != nil {
		return nil, fmt.Errorf("describe volume %s: %w", from.Name, err)
	}
	if err := s.desc.Unmarshal(text); err != nil {
		return nil, fmt.Errorf("describe volume %s: %w", from.Name, err)
	}
	return s, nil
}

// someNames are names of volumes for an error.
func someNames(volumes map[string]*libvirt.StorageVol) string {
	const most = 20
	names := make([]string, 0, len(volumes))
	for name := range volumes {
		names = append(names, name)
	}
	slices.Sort(names)
	if len(names) > most {
		names = append(names[:most], fmt.Sprintf("and %d more", len(names)-most))
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// check refuses a volume that is in use, is no disk, or needs a file that is no template: libvirt would copy the content of
// whatever file a header names.
func (s *sealed) check(templates string) error {
	usage, err := ReadUsage(s.conn)
	if err != nil {
		return err
	}
	for _, c := range usage.Clones(s.path()) {
		for _, domain := range c.Domains {
			if c.Path == s.path() && isActive(s.conn, domain) {
				return fmt.Errorf("domain %s runs and writes to it; shut it down first", domain)
			}
		}
	}
	head, err := getText(s.conn, s.vol, headSize)
	if err != nil {
		return err
	}
	if s.desc.BackingStore != nil {
		if err := isTemplateFile(s.conn, templates, s.desc.BackingStore.Path); err != nil {
			return err
		}
		clear(head[8:min(20, len(head))]) // the name of the backing store, which is judged
	}
	size := int64(headSize)
	if s.desc.Physical != nil {
		size = int64(s.desc.Physical.Value)
	}
	disk, err := inspect(head, strings.NewReader(""), size)
	if err != nil {
		return err
	}
	if s.desc.Target == nil || s.desc.Target.Format == nil || s.desc.Target.Format.Type != disk.format {
		return fmt.Errorf("libvirt knows it as of another format than %s, which it is; refresh the pool", disk.format)
	}
	return nil
}

func isActive(conn *libvirt.Connect, domain string) bool {
	d, err := conn.LookupDomainByName(domain)
	if err != nil {
		return false
	}
	defer d.Free()
	active, err := d.IsActive()
	return err != nil || active
}

// isTemplateFile refuses a backing store that is no template of the pool.
func isTemplateFile(conn *libvirt.Connect, pool, path string) error {
	infos, err := List(conn, pool)
	if err != nil {
		return err
	}
	for _, i := range infos {
		if i.Path == path && i.Complete && i.Broken == nil {
			return nil
		}
	}
	return fmt.Errorf("needs the file %s, which is no template of storage pool %q; flatten it first: qemu-img convert -O qcow2",
		path, pool)
}

// inPlace makes the volume itself read-only. Only its owner on this machine can.
func (s *sealed) inPlace(ctx context.Context, name string) error {
	if s.desc.BackingStore != nil {
		return fmt.Errorf("volume %s is a clone; seal it under another name, which copies it", s.desc.Name)
	}
	for _, marker := range []string{markerName(name), goingName(name)} {
		if v, err := findVolume(s.pool, marker); err != nil {
			return err
		} else if v != nil {
			v.Free()
			return fmt.Errorf("it is being uploaded or removed; only if that was cut off, `vmscaler template rm %s` ends it", name)
		}
	}
	seen, err := s.examined(ctx, s.path())
	if err != nil {
		return err
	}
	if err := os.Chmod(s.path(), 0o444); err != nil {
		return fmt.Errorf("%w; on its host: sudo chmod 0444 %s", err, s.path())
	}
	if err := deleteByName(s.pool, RecordName(name)); err != nil {
		return err
	}
	return s.record(ctx, s.pool, s.vol, name, seen)
}

// content is what was seen of a template's.
type content struct {
	firmware Firmware
	cloud    CloudInit
}

// examined judges the content of a file, if this process can read it, and says what each VM would have in common.
func (s *sealed) examined(ctx context.Context, path string) (content, error) {
	by, reason, err := Examine(ctx, path)
	switch {
	case elsewhere(err):
		return content{}, nil
	case err != nil:
		return content{}, err
	case reason != "":
		return content{}, fmt.Errorf("%s %s", path, reason)
	}
	cloud, baked, err := LookInside(ctx, path)
	if err != nil {
		return content{}, err
	}
	for _, what := range baked {
		s.step("warning: " + what)
	}
	return content{by, cloud}, nil
}
