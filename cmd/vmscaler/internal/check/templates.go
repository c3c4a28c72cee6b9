package check

import (
	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/shell"
)

func (f Facts) templates() []Finding {
	const area = "template"
	var found []Finding
	_, poolBlocked := f.blocked(f.Pool.Walk, len(f.Pool.Walk.Nodes))
	for _, t := range f.Templates {
		build := f.vmscaler("template import " + t.Name + " FILE")
		if template.CheckName(t.Name) != nil {
			build = f.vmscaler("template import NAME FILE") + `, and "template: NAME" in the config`
		}
		if t.Name == host.DemoTemplate {
			build = f.vmscaler("template build")
		}
		info := t.Info
		switch {
		case !t.Exists:
			found = append(found, problem(area, build, "%s: does not exist in pool %s", t.Name, f.Pool.Name))
			continue
		case info.Broken != nil:
			found = append(found, problem(area, build, "%s: %s", t.Name, info.Broken))
			continue
		case !info.Complete:
			found = append(found, problem(area, build, "%s: incomplete; it is being uploaded, or an upload was broken off", t.Name))
			continue
		case t.Walk.Missing != "":
			found = append(found, problem(area, f.virsh("pool-refresh", f.Pool.Name)+", then "+build,
				"%s: libvirt lists it, but its file is gone: %s", t.Name, info.Path))
			continue
		}
		if t.Unfit != "" {
			found = append(found, problem(area, f.vmscaler("template import NAME FILE")+`, and "template: NAME" in the config`, "%s %s",
				t.Name, t.Unfit))
			continue
		}
		if n, blocked := f.blocked(t.Walk, len(t.Walk.Nodes)-1); blocked && !poolBlocked {
			found = append(found, f.blockedFinding(area, t.Name, n))
			continue
		}
		// On a system URI libvirt gives the file to QEMU's user when a VM starts.
		if last := len(t.Walk.Nodes) - 1; last >= 0 && t.Walk.Nodes[last].Path == info.Path && f.Libvirt.QEMUUser != nil &&
			host.IsSession(f.Libvirt.Choice.URI) && !t.Walk.Nodes[last].allows(*f.Libvirt.QEMUUser, mayRead) {
			found = append(found, problem(area, "chmod u+r "+shell.Quote(info.Path), "%s: %s may not read %s", t.Name,
				f.Libvirt.QEMUUser.Name,
				t.Walk.Nodes[last]))
			continue
		}
		if small := f.smallDisks(t); len(small) > 0 {
			found = append(found, small...)
			continue
		}
		for _, g := range f.Groups {
			if why := t.CloudInit.Unread(); why != "" && g.Template == t.Name && g.CloudInit.Seeded() {
				found = append(found, warning(area, template.CloudInitRemedy, "%s: group %s: it %s", t.Name, g.Name, why))
			}
		}
		found = append(found, good(area, "%s: complete, a disk of %s, %s", t.Name, size(info.Capacity), info.Path))
	}
	for _, info := range f.Unused {
		found = append(found, warning(area, "if no other config has it: "+info.Remedy, "%s, which no group of this config uses: %s",
			info.Name, info.Broken))
	}
	return found
}

// smallDisks are the groups whose disks would be smaller than their template.
func (f Facts) smallDisks(t Template) []Finding {
	var found []Finding
	for _, g := range f.Groups {
		if g.Template != t.Name {
			continue
		}
		if _, err := vm.DiskBytes(g, t.Info); err != nil {
			found = append(found, problem("template", `"disk: template" in the config, or a size of at least `+vm.Size(t.Info.Capacity),
				"%s: group %s: %s", t.Name, g.Name, err))
		}
	}
	return found
}
