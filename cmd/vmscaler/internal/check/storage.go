package check

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/shell"
)

const (
	gib       = 1 << 30
	lowWater  = gib // less free space is a problem now
	imagesDir = "/var/lib/libvirt/images"
)

func (f Facts) storage() []Finding {
	if f.DiskPool == nil {
		return f.storagePool(f.Pool, true)
	}
	return append(f.storagePool(f.Pool, false), f.storagePool(*f.DiskPool, true)...)
}

// storagePool judges a pool; hasDisks is that the VMs' disks grow in it.
func (f Facts) storagePool(p Pool, hasDisks bool) []Finding {
	const area = "storage"
	if f.Libvirt.Err != nil || len(f.Groups) == 0 || p.Name == "" {
		return nil
	}
	switch {
	case !p.Exists:
		return []Finding{problem(area, f.vmscaler("setup"), "pool %s: does not exist", p.Name)}
	case p.Type != "dir" && p.Type != "fs" && p.Type != "netfs":
		return []Finding{problem(area, `name a pool of type dir in the config ("pool:"), or a new name and then `+f.vmscaler("setup"),
			"pool %s: its type is %s; VMs' disks are qcow2 files, which need a folder", p.Name, p.Type)}
	}
	var found []Finding
	makeFolder := f.virsh("pool-build", p.Name) + " && " + f.virsh("pool-start", p.Name)
	switch {
	case !p.Active && p.Walk.Missing != "":
		found = append(found, problem(area, makeFolder, "pool %s: not active, and %s does not exist", p.Name, p.Walk.Missing))
	case !p.Active:
		found = append(found, problem(area, f.virsh("pool-start", p.Name), "pool %s: not active", p.Name))
	case p.Walk.Missing != "":
		found = append(found, problem(area, f.virsh("pool-destroy", p.Name)+" && "+makeFolder,
			"pool %s: active, but %s does not exist", p.Name, p.Walk.Missing))
	default:
		found = append(found, good(area, "pool %s: active, %s, %s free", p.Name, p.Path, size(p.Free)))
	}
	if n, blocked := f.blocked(p.Walk, len(p.Walk.Nodes)); blocked {
		found = append(found, f.blockedFinding(area, "pool "+p.Name, n))
	}
	switch {
	case p.Transient:
		found = append(
			found,
			warning(area, f.defined("pool", p.Name), "pool %s: transient, so that it is gone when the host restarts", p.Name),
		)
	case !p.Autostart:
		found = append(found, warning(area, f.virsh("pool-autostart", p.Name), "pool %s: does not start with the host", p.Name))
	}
	if !p.Active || p.Walk.Missing != "" {
		return found // its figures mean nothing
	}
	more, reserve := uint64(0), uint64(0)
	if hasDisks {
		more, reserve = f.growth(p), uint64(f.Limits.PoolReserveMiB)<<20
	}
	space := "free some there (" + f.virsh("vol-list", p.Name) + " shows what is in it), or use a pool elsewhere"
	switch {
	case p.Free < lowWater:
		found = append(found, problem(area, space, "pool %s: only %s free", p.Name, size(p.Free)))
	case p.Free < reserve:
		found = append(found, problem(area, space+", or lower host.pool_reserve",
			"pool %s: %s free, less than host.pool_reserve, %s, so that no VM is launched", p.Name, size(p.Free), size(reserve)))
	case p.Free < more:
		found = append(found, warning(area, space+`; or lower "max"`,
			"pool %s: %s free, and the disks of the groups at max may grow by %s", p.Name, size(p.Free), size(more)))
	}
	if f.Libvirt.AppArmor && p.Path != "" && !within(p.Path, imagesDir) {
		found = append(found, good(area, "pool %s is outside %s, and AppArmor confines VMs; should one fail to start with "+
			"\"Permission denied\", add the line %q to %s",
			p.Name, imagesDir, p.Path+"/** rwk,", "/etc/apparmor.d/local/abstractions/libvirt-qemu"))
	}
	return found
}

// growth is how many bytes the groups' VMs may still take in a pool: each disk as large as its template's, less what they have.
func (f Facts) growth(p Pool) uint64 {
	var sum uint64
	for _, g := range f.Groups {
		for _, t := range f.Templates {
			if t.Name != g.Template {
				continue
			}
			disk, err := vm.DiskBytes(g, t.Info)
			if err != nil {
				continue // no VM is made, which the templates' findings say
			}
			for _, further := range g.Disks {
				disk += uint64(further.SizeMiB) << 20 // one of a template's own size is not counted
			}
			if full := uint64(g.Max) * disk; full > p.Used[g.Name] {
				sum += full - p.Used[g.Name]
			}
		}
	}
	return sum
}

// blocked finds the first of the walk's first folders that QEMU's user may not pass.
func (f Facts) blocked(w Walk, folders int) (Node, bool) {
	if f.Libvirt.QEMUUser == nil {
		return Node{}, false
	}
	for _, n := range w.Nodes[:min(folders, len(w.Nodes))] {
		if !n.allows(*f.Libvirt.QEMUUser, mayEnter) {
			return n, true
		}
	}
	return Node{}, false
}

func (f Facts) blockedFinding(area, what string, n Node) Finding {
	return problem(area, f.sudo("chmod o+x "+shell.Quote(n.Path))+", or use a pool below "+imagesDir,
		"%s: QEMU runs as %s, which may not pass the folder %s", what, f.Libvirt.QEMUUser.Name, n)
}

func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}

func size(bytes uint64) string {
	if bytes >= gib {
		return fmt.Sprintf("%.1f GiB", float64(bytes)/gib)
	}
	return fmt.Sprintf("%d MiB", bytes>>20)
}
