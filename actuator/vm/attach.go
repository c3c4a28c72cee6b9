package vm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
)

// Attach makes a domain of a person's a VM of a group, which waits then until it is ready. Its disks must be as those of the
// group's VMs are: what is removed with it later is what would be removed with them. The error is why it stays a domain like any
// other. At whatever moment it is cut off the domain is that, or a VM of the group.
func (h Manager) Attach(ctx context.Context, spec bus.Group, a bus.Attachment) error {
	dom, err := h.Conn.LookupDomainByName(a.VM)
	if errors.Is(err, libvirt.ERR_NO_DOMAIN) {
		return errors.New("there is no domain of this name")
	}
	if err != nil {
		return fmt.Errorf("look it up: %w", err)
	}
	defer func() { _ = dom.Free() }()
	now, err := readVM(dom)
	switch {
	case err == nil && now.Meta.Group == spec.Name:
		return nil // by a process that was cut off
	case err == nil:
		return fmt.Errorf("it is a VM of group %s", now.Meta.Group)
	case errors.As(err, new(damagedError)):
		return fmt.Errorf("it has metadata of vmscaler's that cannot be read: %w", err)
	case !errors.Is(err, errNotOurs):
		return err
	}
	c, err := h.claim(dom, spec, now)
	if err != nil {
		return err
	}
	element, err := a.Order().XML()
	if err != nil {
		return err
	}
	return h.Calls.act(ctx, "metadata", func() error {
		if err := setElement(dom, bus.OrderKey, bus.OrderURI, element); err != nil {
			return fmt.Errorf("note who wants it: %w", err)
		}
		step(stepClaimed)
		if err := setMetadata(dom, c.meta); err != nil {
			return err
		}
		step(stepAttached)
		if h.Records != nil { // not before, as a record lets its disks be deleted once its domain is gone
			h.Records.Begin(a.VM, c.meta, c.path, c.template)
			for volume, backing := range c.backing {
				h.Records.Complete(c.meta.UUID, volume, backing)
			}
		}
		return nil
	})
}

// GiveBack is the order for a VM that was attached and has not come to serve: it becomes a domain of a person's again.
func GiveBack(attached bus.VMOrder, now time.Time) bus.VMOrder {
	return bus.VMOrder{Verb: bus.VMDetach, By: attached.By, Reason: "it was attached, and did not become ready", At: now.UTC()}
}

// claim is what would be a VM's metadata, and what its record says.
type claim struct {
	meta     bus.Metadata
	path     string            // of its main disk
	template string            // of that one's backing store
	backing  map[string]string // of each volume; "" is none
}

// claim looks at a domain that runs, and reads what its metadata would be as a VM of a group. The error says why it cannot be
// one.
func (h Manager) claim(dom *libvirt.Domain, spec bus.Group, v VM) (c claim, err error) {
	if persistent, err := dom.IsPersistent(); err != nil || !persistent {
		return c, errors.Join(err, errors.New("it is transient: define it with virsh before"))
	}
	state, _, err := dom.GetState()
	if err != nil {
		return c, fmt.Errorf("read its state: %w", err)
	}
	if s := bus.StateFromLibvirt(int(state)); s != bus.StateRunning {
		return c, fmt.Errorf("it is %s: want it running", s)
	}
	tmpl, err := template.Lookup(h.Conn, h.Pools.Templates, spec.Template)
	if err != nil {
		return c, fmt.Errorf("template: %w", err)
	}
	pool, err := h.Conn.LookupStoragePoolByName(h.Pools.Disks)
	if err != nil {
		return c, fmt.Errorf("look up storage pool %q: %w", h.Pools.Disks, err)
	}
	defer func() { _ = pool.Free() }()
	main := bus.VolumeName(v.Name, v.UUID)
	path, err := VolumePath(pool, main)
	if err != nil {
		return c, err
	}
	files, err := diskFiles(dom)
	if err != nil {
		return c, err
	}
	now := time.Now()
	c = claim{path: path, template: tmpl.Path, backing: map[string]string{}, meta: bus.Metadata{
		Group: spec.Name, Template: spec.Template, UUID: v.UUID, Phase: bus.PhaseLaunching, Since: now,
		Pool: h.Pools.Disks, Volume: main,
	}}
	if err := claimDisks(&c.meta, path, files); err != nil {
		return c, err
	}
	uri, err := h.Conn.GetURI()
	if err != nil {
		return c, fmt.Errorf("read libvirt's URI: %w", err)
	}
	for _, volume := range c.meta.Volumes() {
		if IsLocal(uri) {
			if err := regular(filepath.Join(filepath.Dir(path), volume)); err != nil {
				return c, err
			}
		}
		if c.backing[volume], err = backingOf(pool, volume); err != nil {
			return c, err
		}
	}
	if got := c.backing[main]; got != tmpl.Path {
		return c, fmt.Errorf("its disk %s is not a clone of the group's template %s: found the backing store %q, want %q",
			path, spec.Template, got, tmpl.Path)
	}
	c.meta.Created = now
	if h.Records != nil {
		if born := h.Records.Born(path); !born.IsZero() && born.Before(now) {
			c.meta.Created = born
		}
	}
	c.meta.Booted = c.meta.Created // its boot is over, and says nothing of how long a boot takes
	return c, nil
}

// claimDisks notes which disks a domain has beside its main one, at path; the error says which of them is not as a VM's are.
func claimDisks(meta *bus.Metadata, path string, files []string) error {
	dir, own := filepath.Dir(path), map[string]bool{path: true}
	meta.Seed = bus.SeedName(meta.Volume)
	for n := range bus.MaxDisks {
		own[filepath.Join(dir, bus.DiskName(meta.Volume, n+1))] = true
	}
	seed := filepath.Join(dir, meta.Seed)
	own[seed] = true
	if !slices.Contains(files, path) {
		return fmt.Errorf("its disks: found %s, want %s among them", orNone(files), path)
	}
	for _, file := range files {
		if !own[file] {
			return fmt.Errorf("its disks: found %s, want none but %s and what vmscaler makes beside it", file, path)
		}
	}
	if !slices.Contains(files, seed) {
		meta.Seed = ""
	}
	for meta.Disks < bus.MaxDisks && slices.Contains(files, filepath.Join(dir, bus.DiskName(meta.Volume, meta.Disks+1))) {
		meta.Disks++
	}
	return nil
}

// regular refuses a disk that is a link, or no file: what it is removed with later would not be what it is read from. One that
// cannot be looked at from here, as when libvirt runs in a container, is libvirt's to know.
func regular(disk string) error {
	info, err := os.Lstat(disk)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return nil
	case err != nil:
		return fmt.Errorf("its disks: %w", err)
	case info.Mode()&fs.ModeSymlink != 0:
		return fmt.Errorf("its disks: found %s, a symbolic link, want the file itself there", disk)
	case !info.Mode().IsRegular():
		return fmt.Errorf("its disks: found %s, which is no regular file, want one", disk)
	}
	return nil
}

func orNone(files []string) string {
	if len(files) == 0 {
		return "none"
	}
	return strings.Join(files, ", ")
}

// diskFiles are the files of all disks that a domain has now, or has at its next start.
func diskFiles(dom *libvirt.Domain) (files []string, err error) {
	for _, flags := range []libvirt.DomainXMLFlags{0, libvirt.DOMAIN_XML_INACTIVE} {
		text, err := dom.GetXMLDesc(flags)
		if err != nil {
			return nil, fmt.Errorf("read its disks: %w", err)
		}
		var d libvirtxml.Domain
		if err := d.Unmarshal(text); err != nil {
			return nil, fmt.Errorf("read its disks: %w", err)
		}
		if d.Devices == nil {
			continue
		}
		for _, disk := range d.Devices.Disks {
			switch s := disk.Source; {
			case s == nil: // an empty drive
			case s.File != nil:
				files = append(files, filepath.Clean(s.File.File))
			default:
				return nil, errors.New("its disks: found one that is no file of the host, want files in the pool")
			}
		}
	}
	slices.Sort(files)
	return slices.Compact(files), nil
}

// backingOf is the path of a volume's backing store; "" is none.
func backingOf(pool *libvirt.StoragePool, volume string) (string, error) {
	vol, err := pool.LookupStorageVolByName(volume)
	if errors.Is(err, libvirt.ERR_NO_STORAGE_VOL) { // libvirt need not know what a person has put there
		_ = pool.Refresh(0) // refused while a volume is being made
		vol, err = pool.LookupStorageVolByName(volume)
	}
	if err != nil {
		return "", fmt.Errorf("look up volume %s: %w", volume, err)
	}
	defer func() { _ = vol.Free() }()
	text, err := vol.GetXMLDesc(0)
	if err != nil {
		return "", fmt.Errorf("describe volume %s: %w", volume, err)
	}
	var x libvirtxml.StorageVolume
	if err := x.Unmarshal(text); err != nil {
		return "", fmt.Errorf("describe volume %s: %w", volume, err)
	}
	if x.BackingStore == nil {
		return "", nil
	}
	return x.BackingStore.Path, nil
}
