package orphan

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
)

// newBook is a folder of records that is not there yet, and what it logs.
func newBook(t *testing.T) (*Records, *bytes.Buffer) {
	t.Helper()
	log := &bytes.Buffer{}
	return NewRecords(filepath.Join(t.TempDir(), "state", "volumes"), "qemu:///system", "here", "here", zerolog.New(log)), log
}

// begun is the record that newBook makes of someMetadata.
func begun(b *Records, path string) VolumeRecord {
	meta := someMetadata()
	b.Begin("web-1", meta, path, "/pool/template-demo.qcow2")
	return VolumeRecord{
		V: 1, UUID: meta.UUID, VM: "web-1", Group: meta.Group, HostID: b.id, URI: "qemu:///system", Host: "here", Pool: meta.Pool,
		Volume: meta.Volume,
		Path:   path, Template: "/pool/template-demo.qcow2", Created: meta.Created.UTC(),
	}
}

func TestRecordRoundTrip(t *testing.T) {
	b, log := newBook(t)
	if got := b.Read(); got != nil {
		t.Errorf("a folder that is not there has %+v", got)
	}
	path := filepath.Join(t.TempDir(), bus.VolumeName("web-1", someUUID))
	want := begun(b, path)
	if got := b.Read(); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("begun: %+v, want %+v", got, want)
	}
	if err := os.WriteFile(path, []byte("disk"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Complete(someUUID, bus.VolumeName("web-1", someUUID), "")
	is, err := Identify(path)
	if err != nil {
		t.Fatal(err)
	}
	got := b.Read()
	if len(got) != 1 || !got[0].File.Same(is) || is.Inode == 0 {
		t.Errorf("completed: %+v, want the file %+v", got, is)
	}
	b.Begin("web-1", someMetadata(), "", "")
	if again := b.Read(); !reflect.DeepEqual(again, got) {
		t.Errorf("begun again: %+v, want it to stay %+v", again, got)
	}
	for name, want := range map[string]os.FileMode{b.Dir: 0o700 | os.ModeDir, b.file(someUUID): 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %s, %v; want %s", name, info.Mode(), err, want)
		}
	}
	cut := filepath.Join(b.Dir, "."+someUUID+".json.new")
	if err := os.WriteFile(cut, []byte(`{"v":`), 0o600); err != nil { // as a process leaves it that ends just then
		t.Fatal(err)
	}
	b.Drop(someUUID)
	b.Drop(someUUID)
	if got := b.Read(); got != nil {
		t.Errorf("dropped: %+v", got)
	}
	if _, err := os.Lstat(cut); !os.IsNotExist(err) {
		t.Errorf("left after it was dropped: %s (%v)", cut, err)
	}
	if log.Len() > 0 {
		t.Errorf("logged %s", log)
	}
}

// Who has removed a VM with its group is in its record, and an error where there is none.
func TestRecordOfTheEnd(t *testing.T) {
	b, _ := newBook(t)
	want := Ended{At: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC), By: "ann@kvm1", Reason: "moved"}
	if err := b.End(someUUID, want); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a record: %v", err)
	}
	begun(b, "")
	if err := b.End(someUUID, want); err != nil {
		t.Fatal(err)
	}
	if got := b.Read(); len(got) != 1 || got[0].Ended == nil || *got[0].Ended != want {
		t.Errorf("read %+v, want %+v", got, want)
	}
	const says = "taken down on 2026-05-04 12:00:00 UTC, by ann@kvm1 (\"moved\")"
	if got := want.Sentence(); got != says {
		t.Errorf("says %q, want %q", got, says)
	}
}

// A VM that a person has renamed, to whatever, and that has no record yet, gets one for its end, and that is read and dropped.
func TestRecordOfARenamedVM(t *testing.T) {
	b, log := newBook(t)
	b.Begin("mine\x1b[2J", someMetadata(), "", "")
	if got := b.Read(); len(got) != 1 || got[0].VM != "mine\x1b[2J" {
		t.Errorf("read %+v", got)
	}
	b.Drop(someUUID)
	if got := b.Read(); got != nil || log.Len() > 0 {
		t.Errorf("left %+v, logged %s", got, log)
	}
	b.Begin("mine", someMetadata(), "/pool/"+someMetadata().Volume, "") // which would authorize the deletion of that file
	if got := b.Read(); got != nil || log.Len() == 0 {
		t.Errorf("read %+v of a volume that is not named for its VM", got)
	}
}

func TestRecordsOfOthers(t *testing.T) {
	b, _ := newBook(t)
	begun(b, "")
	for _, other := range []*Records{
		NewRecords(b.Dir, "qemu:///session", "here-session", "here", zerolog.Nop()),
		NewRecords(b.Dir, "qemu:///system", "there", "here", zerolog.Nop()), nil,
	} {
		if got := other.Read(); got != nil {
			t.Errorf("%+v reads %+v", other, got)
		}
	}
	var none *Records // without a folder
	none.Begin("web-1", someMetadata(), "", "")
	none.Complete(someUUID, "", "")
	none.Drop(someUUID)
	if remote := NewRecords(b.Dir, "qemu+ssh://kvm1/system", "here", "here", zerolog.Nop()); remote.Identify != nil {
		t.Error("files of another machine are looked at")
	}
}

// A VM's further volumes are in its record, each as it was last made.
func TestRecordOfFurtherVolumes(t *testing.T) {
	b, log := newBook(t)
	main := bus.VolumeName("web-1", someUUID)
	begun(b, "/pool/"+main)
	inodes := map[string]uint64{"/pool/" + main: 7, "/pool/" + bus.SeedName(main): 8, "/pool/" + bus.DiskName(main, 1): 9}
	b.Identify = func(path string) (*FileID, error) { return &FileID{Inode: inodes[path]}, nil }
	b.Complete(someUUID, main, "/pool/template-demo.qcow2")
	b.Complete(someUUID, bus.SeedName(main), "")
	b.Complete(someUUID, bus.DiskName(main, 1), "/pool/template-data.qcow2")
	b.Complete(someUUID, bus.SeedName(main), "")
	got := b.Read()
	if len(got) != 1 || len(got[0].Others) != 2 || log.Len() > 0 {
		t.Fatalf("read %+v, logged %s", got, log)
	}
	for volume, want := range map[string]struct {
		inode   uint64
		backing string
	}{
		main: {7, "/pool/template-demo.qcow2"}, bus.SeedName(main): {8, ""}, bus.DiskName(main, 1): {9, "/pool/template-data.qcow2"},
	} {
		r, is := got[0].of(volume)
		if !is || r.File.Inode != want.inode || r.Template != want.backing || r.Path != "/pool/"+volume || r.UUID != someUUID {
			t.Errorf("%s: %+v", volume, r)
		}
	}
	if r, is := got[0].of(bus.DiskName(main, 2)); is {
		t.Errorf("a volume that was never made: %+v", r)
	}
}

// What is in the folder and is not a record is said once, and stays. A write that was cut off leaves the old record.
func TestForeignFilesAmongRecords(t *testing.T) {
	b, log := newBook(t)
	want := begun(b, "")
	whole, err := os.ReadFile(b.file(someUUID))
	if err != nil {
		t.Fatal(err)
	}
	other := "0badcafe" + someUUID[8:]
	files := map[string]string{
		"README":                      "somebody's",
		"." + someUUID + ".new":       string(whole[:10]),
		other + ".json":               string(whole), // a copy under another name
		"1" + other[1:] + ".json":     strings.Replace(string(whole), `"v":1`, `"v":2`, 1),
		"2" + other[1:] + ".json":     "",
		"3" + other[1:] + ".json":     strings.ReplaceAll(string(whole), someUUID, "3"+other[1:]), // the volume is another VM's
		"4" + other[1:] + ".json":     `{"v":1,"uuid":"4` + other[1:] + `"}`,
		"5" + other[1:] + ".json.bak": string(whole),
		"6" + other[1:] + ".json": strings.TrimSuffix(strings.ReplaceAll(string(whole), someUUID[:8], "6badcafe"), "}\n") +
			`,"others":[{"volume":"precious.iso","file":{"inode":9,"device":1}}]}`,
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(b.Dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(b.file(someUUID), filepath.Join(b.Dir, "link.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(b.Dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := b.Read(); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("read %+v, want %+v", got, want)
		}
	}
	if lines := strings.Count(log.String(), "\n"); lines != len(files)-1+2 {
		t.Errorf("%d lines, want one for each but the one that was cut off:\n%s", lines, log)
	}
	for name, text := range files {
		if now, err := os.ReadFile(filepath.Join(b.Dir, name)); err != nil || string(now) != text {
			t.Errorf("%s is now %q, %v", name, now, err)
		}
	}
	b.Identify = func(string) (*FileID, error) { return &FileID{Inode: 7}, nil }
	b.Complete(someUUID, bus.VolumeName("web-1", someUUID), "") // over the one that was cut off
	if got := b.Read(); len(got) != 1 || got[0].File == nil {
		t.Errorf("completed: %+v", got)
	}
}

// A folder that cannot be written to costs a few lines in the log and nothing else.
func TestRecordsCannotBeWritten(t *testing.T) {
	b, log := newBook(t)
	if err := os.MkdirAll(filepath.Dir(b.Dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.Dir, nil, 0o600); err != nil { // also root cannot make a folder of it
		t.Fatal(err)
	}
	for _, uuid := range []string{someUUID, "0badcafe" + someUUID[8:]} {
		meta := someMetadata()
		meta.UUID = uuid
		b.Begin("web-1", meta, "", "")
		b.Complete(uuid, meta.Volume, "")
		b.Drop(uuid)
	}
	if got := strings.Count(log.String(), "\n"); got != 3 {
		t.Errorf("%d lines for two VMs, want one for each thing that cannot be done:\n%s", got, log)
	}
}

// A pool whose path is not one of this machine is said once, for what it means; a VM of it has a record that authorizes nothing.
func TestFilesOutOfSight(t *testing.T) {
	b, log := newBook(t)
	begun(b, "/no/such/pool/"+bus.VolumeName("web-1", someUUID))
	for range 3 {
		b.Complete(someUUID, bus.VolumeName("web-1", someUUID), "")
	}
	said := log.String()
	if strings.Count(said, "\n") != 1 || !strings.Contains(said, "the files in /no/such/pool cannot be looked at from here") ||
		strings.Contains(said, "record") {
		t.Errorf("said: %s", said)
	}
	if got := b.Read(); len(got) != 1 || got[0].File != nil {
		t.Errorf("the record is %+v, want one without a file", got)
	}
}

func TestSameFile(t *testing.T) {
	born := func(inode, device uint64, at time.Time) *FileID { return &FileID{inode, device, &at} }
	for _, tt := range []struct {
		name string
		a, b *FileID
		same bool
	}{
		{"the same", born(1, 2, t0), born(1, 2, t0), true},
		{"the same after a reboot", born(1, 2, t0), born(1, 3, t0), true},
		{"the inode was used again", born(1, 2, t0), born(1, 2, t0.Add(1)), false},
		{"another inode", born(1, 2, t0), born(4, 2, t0), false},
		{"no birth times", &FileID{1, 2, nil}, &FileID{1, 2, nil}, true},
		{"no birth times, another device", &FileID{1, 2, nil}, &FileID{1, 3, nil}, false},
		{"one birth time", born(1, 2, t0), &FileID{1, 2, nil}, false},
		{"unknown", nil, nil, false},
		{"unknown and known", nil, born(1, 2, t0), false},
	} {
		if got := tt.a.Same(tt.b); got != tt.same {
			t.Errorf("%s: %t", tt.name, got)
		}
		if got := tt.b.Same(tt.a); got != tt.same {
			t.Errorf("%s, the other way round: %t", tt.name, got)
		}
	}
}

func TestIdentify(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	first, err := Identify(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if moved, err := Identify(path + ".old"); err != nil || !moved.Same(first) {
		t.Errorf("renamed: %+v, %v; want %+v", moved, err, first)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if second, err := Identify(path); err != nil || second.Same(first) {
		t.Errorf("another file of this name: %+v, %v; want another than %+v", second, err, first)
	}
	if err := os.Symlink(path, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "link", "none"} {
		if id, err := Identify(filepath.Join(dir, name)); err == nil {
			t.Errorf("%q is %+v", name, id)
		}
	}
}
