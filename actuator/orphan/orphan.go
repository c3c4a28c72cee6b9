package orphan

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// Scan is what a sweep looks at.
type Scan struct {
	Records []VolumeRecord    // of this libvirt
	Domains map[string]string // the name of every domain, ours or not, by its UUID
	Owned   []vm.VM
	// Pools are those whose volumes are known, each with the names of its volumes.
	Pools map[string]map[string]bool
	// Templates is the folder of the templates' pool; "" is not known.
	Templates string
	// Volumes are those with a record or with a name like ours whose own domain is not there.
	Volumes []Volume
	// Lost are the volumes that an owned domain names and that are not there, by the domain's UUID.
	Lost map[string]string
}

// Volume is a volume as libvirt shows it, and its file.
type Volume struct {
	Pool, Name, Path string
	Backing          string // path of its backing store
	Size             uint64 // bytes on the host's disk
	User             string // the domain or the volume that uses it, whatever that is; "" is none
	// Of the file, where it can be looked at.
	File    *FileID
	Changed time.Time
}

// Action is what a sweep does with an orphan.
type Action int

// The verdicts.
const (
	Keep   Action = iota // it is said, and a person has to see to it
	Wait                 // until its grace period is over
	Delete               // its volume is ours
	Forget               // nothing of the VM is left but its record
)

// What an orphan is.
const (
	volumeOrphan = "volume" // without its domain
	DomainOrphan = "domain" // without its volume
	recordOrphan = "record" // without either
)

// Orphan is something of ours without its counterpart.
type Orphan struct {
	Action          Action
	What            string       // of those below
	Group, VM, UUID string       // UUID is "" for a volume without a record
	VolumeRecord    VolumeRecord // of a volume to be deleted, as it is of this one, and of a VM that is gone
	Path            string
	Size            uint64
	Since           time.Time // it is as it is, as far as that is known
	Why             string    // of the verdict
}

// Key identifies an orphan.
func (o Orphan) Key() string { return o.What + " " + o.UUID + " " + o.Path }

// Find reports what there is without its counterpart, the volumes first, and what is to be done with it. since says
// when each was first seen; what is not in it is judged by its record's age alone, or by its file's.
func Find(s Scan, now time.Time, grace time.Duration, since map[string]time.Time) []Orphan {
	var all []Orphan
	age := func(o Orphan) Orphan {
		seen, known := since[o.Key()]
		if known && (seen.After(o.Since) || o.Since.After(now)) { // to come is what a clock said that was wrong
			o.Since = seen
		}
		if left := grace - now.Sub(o.Since); left > 0 && o.Action == Delete {
			o.Action, o.Why = Wait, fmt.Sprintf("%s; deleted in %s", o.Why, left.Round(time.Second))
		}
		return o
	}
	for _, v := range s.Volumes {
		r, found := s.record(v)
		o := Orphan{What: volumeOrphan, Path: v.Path, Size: v.Size, Since: v.Changed}
		if found {
			if _, defined := s.Domains[r.UUID]; defined {
				continue
			}
			o.Group, o.VM, o.UUID, o.VolumeRecord = r.Group, r.VM, r.UUID, r
			if r.Created.After(o.Since) {
				o.Since = r.Created
			}
		} else {
			var digits string
			if o.Group, o.VM, digits = volumeOf(v.Name); o.Group == "" || !s.cloned(v) || s.defined(o.VM, digits) {
				continue
			}
		}
		if o.Why = objection(v, r, found); o.Why == "" {
			o.Action, o.Why = Delete, "it was made by this vmscaler, and its domain is not defined any more"
		}
		all = append(all, age(o))
	}
	for _, vm := range s.Owned {
		// One that is off, or whose making goes on, is the plan's.
		if path, lost := s.Lost[vm.UUID]; lost && vm.State == bus.StateRunning && vm.Meta.Phase.Serves() {
			all = append(all, age(Orphan{
				What: DomainOrphan, Group: vm.Meta.Group, VM: vm.Name, UUID: vm.UUID, Path: path, Since: vm.Meta.Since,
				Why: "its volume is gone, and it runs: what it writes is lost when it ends",
			}))
		}
	}
	for _, r := range s.Records {
		_, defined := s.Domains[r.UUID]
		if r.Detached != nil {
			if !slices.ContainsFunc(s.Owned, func(v vm.VM) bool { return v.UUID == r.UUID }) {
				all = append(all, Orphan{
					Action: Forget, What: recordOrphan, Group: r.Group, VM: r.VM, UUID: r.UUID, Path: r.Path, VolumeRecord: r,
					Since: r.Created, Why: "it is a domain of yours now",
				})
			}
			continue
		}
		volumes, known := s.Pools[r.Pool]
		left := slices.ContainsFunc(r.volumes(), func(volume string) bool { return volumes[volume] })
		if !defined && known && !left {
			all = append(all, Orphan{
				Action: Forget, What: recordOrphan, Group: r.Group, VM: r.VM, UUID: r.UUID, Path: r.Path, VolumeRecord: r, Since: r.Created,
				Why: "found gone, with its volume",
			})
		}
	}
	return all
}

// objection is why a volume without its domain must not be deleted; "" is that it may be.
func objection(v Volume, r VolumeRecord, found bool) string {
	switch {
	case v.User != "":
		return v.User + " uses it"
	case !found:
		return "there is no record that this vmscaler made it"
	case r.File == nil:
		return "its record does not say which file was made"
	case v.File == nil:
		return "its file cannot be looked at from here"
	case !r.File.Same(v.File):
		return "it is another file than the one that was made"
	case v.Backing != r.Template:
		return fmt.Sprintf("its backing store is %q and not %q, from which it was made", v.Backing, r.Template)
	}
	return ""
}

// record is the one of a volume.
func (s Scan) record(v Volume) (VolumeRecord, bool) {
	for _, r := range s.Records {
		if r, is := r.of(v.Name); is && r.Pool == v.Pool && r.Path == v.Path {
			return r, true
		}
	}
	return VolumeRecord{}, false
}

// defined reports whether there is the domain that a volume is named for.
func (s Scan) defined(vm, digits string) bool {
	for uuid, name := range s.Domains {
		if name == vm && strings.HasPrefix(uuid, digits) {
			return true
		}
	}
	return false
}

var volumeName = regexp.MustCompile(`^(([a-z][a-z0-9-]*)-[1-9][0-9]*)\.([0-9a-f]{8})\.(qcow2|seed\.iso|disk[1-9][0-9]?\.qcow2)$`)

// volumeOf is what the name of a volume says, if it is one like ours.
func volumeOf(name string) (group, vm, digits string) {
	m := volumeName.FindStringSubmatch(name)
	if m == nil || bus.CheckGroupName(m[2]) != nil {
		return "", "", ""
	}
	return m[2], m[1], m[3]
}

// cloned reports whether a volume's backing store is a template, in the templates' pool or beside it. The further volumes of a
// VM need have none: what they are called is like nothing else.
func (s Scan) cloned(v Volume) bool {
	if m := volumeName.FindStringSubmatch(v.Name); m != nil && m[4] != "qcow2" {
		return true
	}
	dir := filepath.Dir(v.Backing)
	return (dir == filepath.Dir(v.Path) || dir == s.Templates) && template.IsVolume(filepath.Base(v.Backing))
}

func (v Action) String() string {
	return [...]string{"leave", "wait", "delete", "over"}[v]
}
