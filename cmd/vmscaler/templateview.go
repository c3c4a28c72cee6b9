package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// templateView is a template as `template list` and `template show` print it; what is not known is absent.
type templateView struct {
	Name          string      `json:"name"`
	State         string      `json:"state"` // ready, incomplete, removing or broken
	Problem       string      `json:"problem,omitempty"`
	Remedy        string      `json:"remedy,omitempty"`
	Pool          string      `json:"pool"`
	Volume        string      `json:"volume"`
	Path          string      `json:"path,omitempty"`
	Format        string      `json:"format,omitempty"`
	CapacityBytes uint64      `json:"capacity_bytes,omitempty"`
	UsedBytes     uint64      `json:"used_bytes,omitempty"`
	Changed       *time.Time  `json:"changed,omitempty"`
	Firmware      string      `json:"firmware,omitempty"`
	CloudInit     string      `json:"cloud_init,omitempty"` // present or absent
	SHA256        string      `json:"sha256,omitempty"`
	Source        string      `json:"source,omitempty"`
	SourceFormat  string      `json:"source_format,omitempty"`
	SourceSHA256  string      `json:"source_sha256,omitempty"`
	Imported      *time.Time  `json:"imported,omitempty"`
	Clones        []cloneView `json:"clones"`
	BootMS        *int64      `json:"boot_ms,omitempty"` // the median over BootVMs clones, from their creation until ready
	BootVMs       int         `json:"boot_vms,omitempty"`
}

// cloneView is a disk that needs a template's file.
type cloneView struct {
	Group    string   `json:"group,omitempty"` // of a VM of vmscaler
	VM       string   `json:"vm,omitempty"`
	Template string   `json:"template,omitempty"` // another template
	Domains  []string `json:"domains,omitempty"`  // of others
	Pool     string   `json:"pool,omitempty"`
	Volume   string   `json:"volume,omitempty"`
	Path     string   `json:"path"`
}

// The states of a template.
const (
	templateReady      = "ready"
	templateIncomplete = "incomplete"
	templateGoing      = "removing"
	templateBroken     = "broken"
)

// viewTemplate puts together what is known of a template: its clones are of libvirt, their groups of the VMs' metadata.
func viewTemplate(i template.Info, pool string, clones []template.Clone, owned []vm.VM) templateView {
	v := templateView{
		Name: i.Name, State: templateReady, Pool: pool, Volume: i.Volume, Path: i.Path, Format: i.Format, CapacityBytes: i.Capacity,
		UsedBytes: i.Allocation, Firmware: string(i.Firmware), CloudInit: string(i.CloudInit), SHA256: i.SHA256, Source: i.Source,
		SourceFormat: i.SourceFormat, SourceSHA256: i.SourceSHA256, Clones: []cloneView{},
	}
	switch {
	case i.Broken != nil:
		v.State, v.Problem, v.Remedy = templateBroken, i.Broken.Error(), i.Remedy
	case i.Going:
		v.State = templateGoing
	case !i.Complete:
		v.State = templateIncomplete
	}
	if !i.Changed.IsZero() {
		v.Changed = new(i.Changed.UTC())
	}
	if !i.Imported.IsZero() {
		v.Imported = new(i.Imported.UTC())
	}
	var boots []time.Duration
	for _, c := range clones {
		one := cloneView{Template: c.Template(), Domains: c.Domains, Pool: c.Pool, Volume: c.Volume, Path: c.Path}
		if own := ownerOf(c, owned); own != nil {
			one.Group, one.VM = own.Meta.Group, own.Name
			if m := own.Meta; m.Template == i.Name && m.Booted.After(m.Created) {
				boots = append(boots, m.Booted.Sub(m.Created))
			}
		}
		v.Clones = append(v.Clones, one)
	}
	if len(boots) > 0 {
		slices.Sort(boots)
		v.BootMS, v.BootVMs = new(boots[(len(boots)-1)/2].Milliseconds()), len(boots)
	}
	return v
}

// ownerOf is the VM whose disk a clone is; nil where that is none of vmscaler's.
func ownerOf(c template.Clone, owned []vm.VM) *vm.VM {
	for i, one := range owned {
		if c.Volume != "" && one.Meta.Pool == c.Pool && one.Meta.Volume == c.Volume || slices.Contains(c.Domains, one.Name) {
			return &owned[i]
		}
	}
	return nil
}

// who is whose a clone is, in a word or two.
func (c cloneView) who() string {
	switch {
	case c.VM != "":
		return "VM " + c.VM
	case c.Template != "":
		return "template " + c.Template
	case len(c.Domains) > 0:
		return "domain " + strings.Join(c.Domains, ", ")
	}
	if c.Volume != "" {
		return "volume " + c.Volume
	}
	return "a file of no VM" // only a domain's disks lead to it
}

// templateViews reads all templates of a pool, or the one of a name with all that is known of it.
func templateViews(hv *libvirtHost, pool, name string) ([]templateView, []string, error) {
	var infos []template.Info
	var err error
	if name == "" {
		infos, err = template.List(hv.conn, pool)
	} else {
		var info template.Info
		if info, err = template.Lookup(hv.conn, pool, name); errors.Is(err, template.ErrBroken) {
			infos, err = template.List(hv.conn, pool) // has why
			infos = slices.DeleteFunc(infos, func(i template.Info) bool { return i.Name != name })
		} else {
			infos = []template.Info{info}
		}
	}
	if err != nil {
		return nil, nil, err
	}
	usage, err := template.ReadUsage(hv.conn)
	if err != nil {
		return nil, nil, err
	}
	inv, err := vm.ReadInventory(hv.conn)
	if err != nil {
		return nil, nil, err
	}
	views := []templateView{}
	for _, i := range infos {
		views = append(views, viewTemplate(i, pool, usage.Clones(i.Path), inv.Owned))
	}
	return views, usage.Unseen, nil
}

// beingMade are the VMs that are about to be cloned from a template, for a person.
func beingMade(owned []vm.VM, name string) []string {
	var names []string
	for _, one := range owned {
		if one.Meta.Template == name && one.Meta.Phase == bus.PhaseCreating {
			names = append(names, fmt.Sprintf("VM %s, which is being made", one.Name))
		}
	}
	return names
}

// bytesText is a size for people.
func bytesText(n uint64) string {
	const mib, gib = 1 << 20, 1 << 30
	if n >= gib {
		return fmt.Sprintf("%.1f GiB", float64(n)/gib)
	}
	return fmt.Sprintf("%d MiB", (n+mib-1)/mib)
}

// ageText is for how long something has been there, in one unit.
func ageText(since *time.Time, now time.Time) string {
	if since == nil {
		return "unknown"
	}
	switch d := max(0, now.Sub(*since)); {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
}
