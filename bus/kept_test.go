package bus

import (
	"reflect"
	"strings"
	"testing"
)

// A kept volume is of one host and one VM: no other host, and no other VM, comes to its name.
func TestKeptName(t *testing.T) {
	name := KeptName("kvm1", "web-3", 2)
	group, vm, disk, is := ParseKeptName(name)
	if group != "web" || vm != "web-3" || disk != 2 || !is {
		t.Errorf("%s is read as disk %d of %s in %s, %v", name, disk, vm, group, is)
	}
	if again := KeptName("kvm1", "web-3", 2); again != name {
		t.Errorf("%s the second time, %s before", again, name)
	}
	for _, other := range []string{KeptName("kvm2", "web-3", 2), KeptName("kvm1", "web-13", 2), KeptName("kvm1", "web-3", 1)} {
		if other == name {
			t.Errorf("%s is of two", name)
		}
	}
	for _, other := range []string{
		"web-3.3f2a9c1e.qcow2", "web-3.3f2a9c1e.disk1.qcow2", "web-3.3f2a9c1e.seed.iso", "web-3.keep1.qcow2",
		"web.3f2a9c1e.keep1.qcow2",
		"web-3.3f2a9c1e.keep0.qcow2", "web-3.3f2a9c1e.keep17.qcow2", "web-3.3F2A9C1E.keep1.qcow2",
		"web-3.3f2a9c1e.keep1.qcow2.bak",
		"x/web-3.3f2a9c1e.keep1.qcow2", "web-1-3.3f2a9c1e.keep1.qcow2", "web-03.3f2a9c1e.keep1.qcow2", "",
	} {
		if _, _, _, is := ParseKeptName(other); is {
			t.Errorf("%q is taken for a kept volume", other)
		}
	}
}

func keptMetadata() Metadata {
	m := someMetadata()
	m.Disks, m.Seed, m.Sheds = 3, SeedName(m.Volume), true
	m.Kept = []KeptDisk{
		{Disk: 1, Keep: KeepReplace, Volume: "web-1.0badcafe.keep1.qcow2"},
		{Disk: 3, Keep: KeepAlways, Volume: "web-1.0badcafe.keep3.qcow2"},
	}
	return m
}

func TestKeptDisksInMetadata(t *testing.T) {
	m := keptMetadata()
	if got := strings.Join(m.Volumes(), " "); got != "web-1.5c0d2a9e.qcow2 web-1.5c0d2a9e.disk2.qcow2 web-1.5c0d2a9e.seed.iso" {
		t.Errorf("with it go %s", got)
	}
	if got := strings.Join(m.KeptVolumes(), " "); got != "web-1.0badcafe.keep1.qcow2 web-1.0badcafe.keep3.qcow2" {
		t.Errorf("kept are %s", got)
	}
	if got := strings.Join(m.Shed(), " "); got != "web-1.0badcafe.keep1.qcow2" {
		t.Errorf("shed are %s", got)
	}
	for kind, encode := range map[string]func() (string, error){"XML": m.XML, "DefinitionXML": m.DefinitionXML} {
		text, err := encode()
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParseMetadata(text, m.UUID); err != nil || !reflect.DeepEqual(back, m) {
			t.Errorf("%s: %v\ngot  %+v\nwant %+v", kind, err, back, m)
		}
	}
}

// Whoever may write metadata must not have another's volume deleted by it.
func TestKeptDisksThatAreRefused(t *testing.T) {
	m := keptMetadata()
	good, err := m.XML()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, from, to, want string }{
		{"a volume of another kind", "web-1.0badcafe.keep1.qcow2", "precious.qcow2", "keep: found the volume"},
		{"a volume of another group", "web-1.0badcafe.keep1", "db-1.0badcafe.keep1", "keep: found the volume"},
		{"another disk's volume", "cafe.keep1.", "cafe.keep2.", "keep: found the volume"},
		{"a disk that it does not have", "3:always:web-1.0badcafe.keep3", "4:always:web-1.0badcafe.keep4", "want 1 to 3"},
		{"a disk twice", "3:always:web-1.0badcafe.keep3", "1:always:web-1.0badcafe.keep1", "want them to ascend"},
		{"an unknown word", "1:replace", "1:forever", "want replace or always"},
		{"no disk", "1:replace", "x:replace", "want 1 to 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseMetadata(strings.Replace(good, tt.from, tt.to, 1), m.UUID)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}
