package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
)

// readPools reads the pool of the templates, and that of the disks where it is another.
func (f *Facts) readPools(ctx context.Context, conn *libvirt.Connect, cfg config.Config, disk files) {
	if cfg.Pool == "" {
		return // the config is wrong
	}
	var pool *libvirt.StoragePool
	if f.Pool, pool = f.readPool(conn, cfg.Pool, disk); pool != nil {
		defer func() { _ = pool.Free() }()
		if f.Pool.Active {
			f.readTemplates(ctx, conn, disk)
		}
	}
	disks, disksPool := &f.Pool, pool
	if cfg.Disks() != cfg.Pool {
		p, pool := f.readPool(conn, cfg.Disks(), disk)
		if pool != nil {
			defer func() { _ = pool.Free() }()
		}
		f.DiskPool, disks, disksPool = &p, &p, pool
	}
	if disks.Active {
		f.readUsed(conn, disksPool, disks)
	}
}

// readPool reads a pool; the second is nil where there is none or it cannot be read. The caller frees it.
func (f *Facts) readPool(conn *libvirt.Connect, name string, disk files) (Pool, *libvirt.StoragePool) {
	pool, err := conn.LookupStoragePoolByName(name)
	if errors.Is(err, libvirt.ERR_NO_STORAGE_POOL) {
		return Pool{Name: name}, nil
	}
	var p Pool
	if err == nil {
		if p, err = readPool(pool, name); err != nil {
			_ = pool.Free()
		}
	}
	if err != nil {
		f.unread(fmt.Errorf("read storage pool %q: %w", name, err))
		return Pool{}, nil
	}
	if f.Host != nil && f.Libvirt.QEMU && p.Path != "" {
		p.Walk = disk.walk(p.Path)
		// libvirt's figure is as old as its last look at the folder.
		if free, ok := disk.free(p.Path); ok && p.Active {
			p.Free = free
		}
	}
	return p, pool
}

func readPool(pool *libvirt.StoragePool, name string) (Pool, error) {
	p := Pool{Name: name, Exists: true}
	var err error
	if p.Active, err = pool.IsActive(); err != nil {
		return p, err
	}
	if p.Autostart, err = pool.GetAutostart(); err != nil {
		return p, err
	}
	persistent, err := pool.IsPersistent()
	if err != nil {
		return p, err
	}
	p.Transient = !persistent
	text, err := pool.GetXMLDesc(0)
	if err != nil {
		return p, err
	}
	var x libvirtxml.StoragePool
	if err := x.Unmarshal(text); err != nil {
		return p, err
	}
	p.Type = x.Type
	if x.Target != nil {
		p.Path = x.Target.Path
	}
	info, err := pool.GetInfo()
	if err != nil {
		return p, err
	}
	p.Free = info.Available
	return p, nil
}

func (f *Facts) readTemplates(ctx context.Context, conn *libvirt.Connect, disk files) {
	infos, err := template.List(conn, f.Pool.Name)
	if err != nil {
		f.unread(err)
		return
	}
	seen := map[string]bool{}
	for _, g := range f.Groups {
		if seen[g.Template] {
			continue
		}
		seen[g.Template] = true
		t := Template{Name: g.Template}
		for _, info := range infos {
			if info.Name == g.Template {
				t.Exists, t.Info = true, info
			}
		}
		if t.Exists && t.Info.Broken == nil && f.Host != nil && f.Libvirt.QEMU {
			t.Walk = disk.walk(t.Info.Path)
			if t.Info.Complete {
				// What this user may not read, or no qemu-img is there for, stays unknown.
				if by, reason, err := template.Examine(ctx, disk.path(t.Info.Path)); err == nil {
					t.Unfit = cmp.Or(reason, f.unfit(g.Template, by))
				}
			}
		}
		f.readCloudInit(ctx, conn, disk, &t)
		f.Templates = append(f.Templates, t)
	}
	for _, info := range infos {
		if info.Broken != nil && !seen[info.Name] {
			f.Unused = append(f.Unused, info)
		}
	}
}

// readCloudInit finds out whether guests of a template read the seeds that they are given: by its record, or else by its file.
func (f *Facts) readCloudInit(ctx context.Context, conn *libvirt.Connect, disk files, t *Template) {
	seeded := slices.ContainsFunc(f.Groups, func(g bus.Group) bool { return g.Template == t.Name && g.CloudInit.Seeded() })
	if !seeded || !t.Exists || t.Info.Broken != nil || !t.Info.Complete {
		return
	}
	if info, err := template.Lookup(conn, f.Pool.Name, t.Name); err == nil {
		t.CloudInit = info.CloudInit
	}
	if t.CloudInit == template.CloudInitUnknown && f.Host != nil && f.Libvirt.QEMU {
		// What this user may not read, or no qemu-img is there for, stays unknown.
		if cloud, _, err := template.LookInside(ctx, disk.path(t.Info.Path)); err == nil {
			t.CloudInit = cloud
		}
	}
}

// unfit reports why VMs of one of the groups of a template do not start from it, by what starts that.
func (f *Facts) unfit(name string, by template.Firmware) string {
	for _, g := range f.Groups {
		if unfit := by.Unfit(g.Hardware.Firmware != bus.FirmwareBIOS); g.Template == name && unfit != "" {
			return unfit
		}
	}
	return ""
}

// readUsed sums what the groups' VMs have in a pool.
func (f *Facts) readUsed(conn *libvirt.Connect, pool *libvirt.StoragePool, p *Pool) {
	inv, err := vm.ReadInventory(conn)
	if err != nil {
		f.unread(err)
		return
	}
	p.Used, f.Strangers, f.Owned = map[string]uint64{}, map[string]int{}, map[string]int{}
	for _, vm := range inv.Owned {
		f.Owned[vm.Meta.Group]++
		if !slices.ContainsFunc(f.Groups, func(g bus.Group) bool { return g.Name == vm.Meta.Group }) {
			f.Strangers[vm.Meta.Group]++
		}
		if vm.Meta.Pool != p.Name {
			continue
		}
		for _, volume := range vm.Meta.Volumes() {
			vol, err := pool.LookupStorageVolByName(volume)
			if err != nil {
				continue // not made yet, or gone
			}
			if info, err := vol.GetInfo(); err == nil {
				p.Used[vm.Meta.Group] += info.Allocation
			}
			_ = vol.Free()
		}
	}
}
