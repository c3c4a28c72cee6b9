package orphan

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

func TestOrphans(t *testing.T) {
	const (
		dir   = "/pool/"
		demo  = dir + "template-demo.qcow2"
		grace = 5 * time.Minute
	)
	name := bus.VolumeName("web-1", someUUID)
	now := t0.Add(time.Hour)
	// A volume that may be deleted; each case changes something about it.
	base := func() (Scan, map[string]time.Time) {
		file := FileID{Inode: 7, Device: 1, Born: new(t0)}
		return Scan{
			Records: []VolumeRecord{{
				V: 1, UUID: someUUID, VM: "web-1", Group: "web", Pool: "default", Volume: name, Path: dir + name, Template: demo,
				Created: t0, File: &file,
			}},
			Domains: map[string]string{vm.NewUUID(): "web-2", vm.NewUUID(): "web-1"}, // a name is nothing
			Pools:   map[string]map[string]bool{"default": {name: true}},
			Volumes: []Volume{
				{Pool: "default", Name: name, Path: dir + name, Backing: demo, File: new(file), Changed: t0.Add(time.Minute)},
			},
		}, map[string]time.Time{}
	}
	key := Orphan{What: volumeOrphan, UUID: someUUID, Path: dir + name}.Key()
	for _, tt := range []struct {
		name   string
		change func(*Scan, map[string]time.Time)
		want   string // verdict and a part of why, of each orphan
	}{
		{"all is as it was made", func(*Scan, map[string]time.Time) {}, "delete: its domain is not defined"},
		{"its domain is there", func(s *Scan, _ map[string]time.Time) { s.Domains[someUUID] = "renamed" }, ""},
		{
			"seen since just now", func(_ *Scan, since map[string]time.Time) { since[key] = now.Add(-grace + time.Second) },
			"wait: deleted in 1s",
		},
		{"changed and made in years to come, and seen for as long as it must be", func(s *Scan, since map[string]time.Time) {
			s.Volumes[0].Changed, s.Records[0].Created, since[key] = now.AddDate(9, 0, 0), now.AddDate(9, 0, 0), now.Add(-grace)
		}, "delete: "},
		{"seen for as long as it must be", func(_ *Scan, since map[string]time.Time) { since[key] = now.Add(-grace) }, "delete: "},
		{
			"the record is young", func(s *Scan, _ map[string]time.Time) { s.Records[0].Created = now.Add(-time.Minute) },
			"wait: deleted in 4m0s",
		},
		{
			"the file was written to just now", func(s *Scan, _ map[string]time.Time) { s.Volumes[0].Changed = now },
			"wait: deleted in 5m0s",
		},
		{"another file of its name", func(s *Scan, _ map[string]time.Time) { s.Volumes[0].File.Inode = 8 }, "leave: another file"},
		{
			"its inode was used again", func(s *Scan, _ map[string]time.Time) { s.Volumes[0].File.Born = new(t0.Add(1)) },
			"leave: another file",
		},
		{
			"a file that cannot be looked at", func(s *Scan, _ map[string]time.Time) { s.Volumes[0].File = nil },
			"leave: cannot be looked at",
		},
		{
			"a record that was never completed", func(s *Scan, _ map[string]time.Time) { s.Records[0].File = nil },
			"leave: does not say which file",
		},
		{
			"neither knows the file", func(s *Scan, _ map[string]time.Time) { s.Records[0].File, s.Volumes[0].File = nil, nil },
			"leave: does not say which file",
		},
		{
			"another backing store", func(s *Scan, _ map[string]time.Time) { s.Volumes[0].Backing = dir + "template-web.qcow2" },
			"leave: its backing store is",
		},
		{
			"no backing store any more", func(s *Scan, _ map[string]time.Time) { s.Volumes[0].Backing = "" },
			"leave: its backing store is",
		},
		{
			"a foreign domain's disk", func(s *Scan, _ map[string]time.Time) { s.Volumes[0].User = "domain theirs" },
			"leave: domain theirs uses it",
		},
		{"a seed of its record", func(s *Scan, _ map[string]time.Time) {
			seed := bus.SeedName(name)
			s.Records[0].Others = []OtherVolume{{Volume: seed, File: &FileID{Inode: 9}}}
			s.Volumes = []Volume{{Pool: "default", Name: seed, Path: dir + seed, File: &FileID{Inode: 9}}}
		}, "delete: its domain is not defined"},
		{"another file in the place of its seed", func(s *Scan, _ map[string]time.Time) {
			seed := bus.SeedName(name)
			s.Records[0].Others = []OtherVolume{{Volume: seed, File: &FileID{Inode: 9}}}
			s.Volumes = []Volume{{Pool: "default", Name: seed, Path: dir + seed, File: &FileID{Inode: 7}}}
		}, "leave: another file"},
		{"a further disk that its record does not have", func(s *Scan, _ map[string]time.Time) {
			disk := bus.DiskName(name, 1)
			s.Volumes = []Volume{{Pool: "default", Name: disk, Path: dir + disk, File: &FileID{Inode: 9}}}
		}, "leave: no record"},
		{"nothing left but its seed", func(s *Scan, _ map[string]time.Time) {
			seed := bus.SeedName(name)
			s.Records[0].Others = []OtherVolume{{Volume: seed}}
			s.Volumes, s.Pools = nil, map[string]map[string]bool{"default": {seed: true}}
		}, ""},
		{"no record", func(s *Scan, _ map[string]time.Time) { s.Records = nil }, "leave: no record"},
		{
			"the record of another path", func(s *Scan, _ map[string]time.Time) { s.Records[0].Path = "/old/" + name },
			"leave: no record",
		},
		{"the record of another pool", func(s *Scan, _ map[string]time.Time) { s.Records[0].Pool = "old" }, "leave: no record"},
		{
			"no record, but its domain", func(s *Scan, _ map[string]time.Time) { s.Records, s.Domains[someUUID] = nil, "web-1" }, "",
		},
		{
			"no record, and not from a template",
			func(s *Scan, _ map[string]time.Time) { s.Records, s.Volumes[0].Backing = nil, dir+"debian.qcow2" }, "",
		},
		{
			"no record, and from somebody's template elsewhere",
			func(s *Scan, _ map[string]time.Time) {
				s.Records, s.Volumes[0].Backing = nil, "/other/template-demo.qcow2"
			}, "",
		},
		{
			"no record, and from the templates' own pool",
			func(s *Scan, _ map[string]time.Time) {
				s.Records, s.Volumes[0].Backing, s.Templates = nil, "/other/template-demo.qcow2", "/other"
			}, "leave: no record",
		},
		{
			"no record, and a name unlike ours",
			func(s *Scan, _ map[string]time.Time) { s.Records, s.Volumes[0].Name = nil, "web-1.backup.qcow2" }, "",
		},
		{
			"the volume is gone as well",
			func(s *Scan, _ map[string]time.Time) {
				s.Volumes, s.Pools["default"] = nil, map[string]bool{"x": true}
			},
			"over: found gone",
		},
		{
			"the volume is gone, its domain is there",
			func(s *Scan, _ map[string]time.Time) {
				s.Volumes, s.Pools["default"], s.Domains[someUUID] = nil, nil, "web-1"
			}, "",
		},
		{
			"its pool is not known", func(s *Scan, _ map[string]time.Time) { s.Volumes, s.Pools = nil, map[string]map[string]bool{} }, "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, since := base()
			tt.change(&s, since)
			all := Find(s, now, grace, since)
			if tt.want == "" {
				if len(all) > 0 {
					t.Errorf("got %+v, want nothing", all)
				}
				return
			}
			verdict, why, _ := strings.Cut(tt.want, ": ")
			if len(all) != 1 || all[0].Action.String() != verdict || !strings.Contains(all[0].Why, why) {
				t.Fatalf("got %+v, want %s", all, tt.want)
			}
			path := dir + name
			if len(s.Volumes) > 0 {
				path = s.Volumes[0].Path
			}
			if o := all[0]; o.Group != "web" || o.VM != "web-1" || o.Path != path || o.Why == "" {
				t.Errorf("got %+v", o)
			}
		})
	}
}

// An owned VM without its volume is a person's, if it runs and should.
func TestOrphanDomains(t *testing.T) {
	for _, tt := range []struct {
		state bus.State
		phase bus.Phase
		lost  bool
		want  int
	}{
		{bus.StateRunning, bus.PhaseReady, true, 1},
		{bus.StateRunning, bus.PhaseReady, false, 0},
		{bus.StateShutoff, bus.PhaseReady, true, 0},
		{bus.StateRunning, bus.PhaseStopping, true, 0},
		{bus.StateRunning, bus.PhaseCreating, true, 0},
	} {
		meta := someMetadata()
		meta.Phase = tt.phase
		s := Scan{
			Domains: map[string]string{someUUID: "web-1"}, Lost: map[string]string{},
			Owned: []vm.VM{{Name: "web-1", UUID: someUUID, Meta: meta, State: tt.state}},
		}
		if tt.lost {
			s.Lost[someUUID] = "/pool/" + meta.Volume
		}
		if all := Find(s, t0.Add(time.Hour), time.Minute, nil); len(all) != tt.want || tt.want > 0 && all[0].Action != Keep {
			t.Errorf("%+v: got %+v", tt, all)
		}
	}
}

func TestVolumeOf(t *testing.T) {
	for name, want := range map[string]string{
		"web-1.5c0d2a9e.qcow2":         "web web-1 5c0d2a9e",
		"web-front-12.5c0d2a9e.qcow2":  "web-front web-front-12 5c0d2a9e",
		"web-0.5c0d2a9e.qcow2":         "  ",
		"web.5c0d2a9e.qcow2":           "  ",
		"web-1.5c0d2a9.qcow2":          "  ",
		"web-1.5C0D2A9E.qcow2":         "  ",
		"web-1.5c0d2a9e.qcow2.bak":     "  ",
		"web-1-1.5c0d2a9e.qcow2":       "  ",
		"template-demo.qcow2":          "  ",
		"../web-1.5c0d2a9e.qcow2":      "  ",
		"x\nweb-1.5c0d2a9e.qcow2":      "  ",
		"web-1.uploading.qcow2":        "  ",
		"web-1.5c0d2a9e.qcow2\nmore":   "  ",
		"-1.5c0d2a9e.qcow2":            "  ",
		"web-01.5c0d2a9e.qcow2":        "  ",
		"template-demo-1.5c0d2a9e.raw": "  ",
	} {
		group, vm, digits := volumeOf(name)
		if got := group + " " + vm + " " + digits; got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestAddDisks(t *testing.T) {
	conn, err := libvirt.NewConnect("test:///default")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = conn.Close() })
	users := map[string]string{}
	if err := addDisks(conn, fmt.Sprintf(`<domain type='test'><name>theirs</name><devices>
		<disk type='file' device='disk'><source file='/a/overlay'/><backingStore type='file'><source file='/a/middle'/>
			<backingStore type='file'><source file='/a/base'/><backingStore/></backingStore></backingStore>
			<mirror type='file' job='copy'><source file='/a/copy'/></mirror><target dev='vda'/></disk>
		<disk type='volume' device='disk'><source pool='%s' volume='data'/><target dev='vdb'/></disk>
		<disk type='volume' device='disk'><source pool='none' volume='data'/><target dev='vdc'/></disk>
		<disk type='block' device='disk'><source dev='/dev/sdz'/><target dev='vdd'/></disk>
		<disk type='file' device='cdrom'><target dev='sda'/></disk></devices></domain>`, "default-pool"), users); err != nil {
		t.Fatal(err)
	}
	delete(users, "") // of the pool that is not there
	if got, want := slices.Sorted(maps.Keys(users)),
		[]string{"/a/base", "/a/copy", "/a/middle", "/a/overlay", "/default-pool/data"}; !slices.Equal(
		got,
		want,
	) {
		t.Errorf("got %q, want %q", got, want)
	}
}
