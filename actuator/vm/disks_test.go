package vm

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
)

func TestDiskBytes(t *testing.T) {
	for _, tt := range []struct {
		name     string
		diskMiB  int
		template uint64
		want     uint64
		err      string
	}{
		{"as the template", 0, 3 << 30, 3 << 30, ""},
		{"larger", 10 << 10, 3 << 30, 10 << 30, ""},
		{"the same", 3 << 10, 3 << 30, 3 << 30, ""},
		{"smaller", 2 << 10, 3 << 30, 0, `disk: found 2GiB, want at least 3GiB, the size of template "demo"`},
		{"smaller by a byte", 3 << 10, 3<<30 + 1, 0, "want at least 3073MiB"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DiskBytes(webSpec(func(g *bus.Group) { g.DiskMiB = tt.diskMiB }), template.Info{Capacity: tt.template})
			if got != tt.want || (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("got %d, %v", got, err)
			}
		})
	}
}

func TestReadDisks(t *testing.T) {
	lookup := func(name string) (template.Info, error) {
		if name == "none" {
			return template.Info{}, template.ErrNotFound
		}
		return template.Info{Path: "/pool/" + name, Capacity: 2 << 30, Complete: name != "half"}, nil
	}
	for _, tt := range []struct {
		name string
		disk bus.Disk
		want extraDisk
		err  string
	}{
		{"empty", bus.Disk{SizeMiB: 512}, extraDisk{backing: "", bytes: 512 << 20}, ""},
		{"of a template", bus.Disk{Template: "data"}, extraDisk{backing: "/pool/data", bytes: 2 << 30}, ""},
		{"of a template, larger", bus.Disk{SizeMiB: 4096, Template: "data"}, extraDisk{backing: "/pool/data", bytes: 4 << 30}, ""},
		{
			"of a template, smaller",
			bus.Disk{SizeMiB: 512, Template: "data"},
			extraDisk{},
			"disk 1: disk: found 512MiB, want at least 2GiB",
		},
		{"no such template", bus.Disk{Template: "none"}, extraDisk{}, "disk 1: template not found"},
		{"half a template", bus.Disk{Template: "half"}, extraDisk{}, `disk 1: template "half" is being uploaded`},
		{"of nothing", bus.Disk{}, extraDisk{}, "disk 1: found neither size nor template"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := readDisks(webSpec(func(g *bus.Group) { g.Disks = []bus.Disk{tt.disk} }), lookup)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("got %v, want an error with %q", err, tt.err)
				}
				return
			}
			if err != nil || len(got) != 1 || got[0] != tt.want {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// A link is no disk of a VM, wherever it leads; what cannot be looked at is not judged.
func TestAttachedDiskIsNoLink(t *testing.T) {
	dir := t.TempDir()
	file, link, folder := filepath.Join(dir, "disk.qcow2"), filepath.Join(dir, "link.qcow2"), filepath.Join(dir, "folder")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink(file, link), os.Mkdir(folder, 0o700)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		file: "", filepath.Join(dir, "none"): "", link: "a symbolic link, want the file itself", folder: "no regular file",
	} {
		if err := regular(path); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}
