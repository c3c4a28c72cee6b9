package actuator

import (
	"bytes"
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
func newBook(t *testing.T) (*records, *bytes.Buffer) {
	t.Helper()
	log := &bytes.Buffer{}
	return newRecords(filepath.Join(t.TempDir(), "state", "volumes"), "qemu:///system", "here", "here", zerolog.New(log)), log
}

// begun is the record that newBook makes of someMetadata.
func begun(b *records, path string) Record {
	meta := someMetadata()
	b.begin("web-1", meta, path, "/pool/template-demo.qcow2")
	return Record{
		V: 1, UUID: meta.UUID, VM: "web-1", Group: meta.Group, HostID: b.id, URI: "qemu:///system", Host: "here", Pool: meta.Pool, Volume: meta.Volume,
		Path: path, Template: "/pool/template-demo.qcow2", Created: meta.Created.UTC(),
	}
}

func TestRecordRoundTrip(t *testing.T) {
	b, log := newBook(t)
	if got := b.read(); got != nil {
		t.Errorf("a folder that is not there has %+v", got)
	}
	path := filepath.Join(t.TempDir(), bus.VolumeName("web-1", someUUID))
	want := begun(b, path)
	if got := b.read(); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("begun: %+v, want %+v", got, want)
	}
	if err := os.WriteFile(path, []byte("disk"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.complete(someUUID)
	is, err := identify(path)
	if err != nil {
		t.Fatal(err)
	}
	got := b.read()
	if len(got) != 1 || !got[0].File.Same(is) || is.Inode == 0 {
		t.Errorf("completed: %+v, want the file %+v", got, is)
	}
	b.begin("web-1", someMetadata(), "", "")
	if again := b.read(); !reflect.DeepEqual(again, got) {
		t.Errorf("begun again: %+v, want it to stay %+v", again, got)
	}
	for name, want := range map[string]os.FileMode{b.dir: 0o700 | os.ModeDir, b.file(someUUID): 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode() != want {
			t.Errorf("%s: mode %s, %v; want %s", name, info.Mode(), err, want)
		}
	}
	b.drop(someUUID)
	b.drop(someUUID)
	if got := b.read(); got != nil {
		t.Errorf("dropped: %+v", got)
	}
	if log.Len() > 0 {
		t.Errorf("logged %s", log)
	}
}

func TestRecordsOfOthers(t *testing.T) {
	b, _ := newBook(t)
	begun(b, "")
	for _, other := range []*records{
		newRecords(b.dir, "qemu:///session", "here-session", "here", zerolog.Nop()), newRecords(b.dir, "qemu:///system", "there", "here", zerolog.Nop()), nil,
	} {
		if got := other.read(); got != nil {
			t.Errorf("%+v reads %+v", other, got)
		}
	}
	var none *records // without a folder
	none.begin("web-1", someMetadata(), "", "")
	none.complete(someUUID)
	none.drop(someUUID)
	if remote := newRecords(b.dir, "qemu+ssh://kvm1/system", "here", "here", zerolog.Nop()); remote.identify != nil {
		t.Error("files of another machine are looked at")
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
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(b.file(someUUID), filepath.Join(b.dir, "link.json")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(b.dir, "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if got := b.read(); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Errorf("read %+v, want %+v", got, want)
		}
	}
	if lines := strings.Count(log.String(), "\n"); lines != len(files)-1+2 {
		t.Errorf("%d lines, want one for each but the one that was cut off:\n%s", lines, log)
	}
	for name, text := range files {
		if now, err := os.ReadFile(filepath.Join(b.dir, name)); err != nil || string(now) != text {
			t.Errorf("%s is now %q, %v", name, now, err)
		}
	}
	b.identify = func(string) (*FileID, error) { return &FileID{Inode: 7}, nil }
	b.complete(someUUID) // over the one that was cut off
	if got := b.read(); len(got) != 1 || got[0].File == nil {
		t.Errorf("completed: %+v", got)
	}
}

// A folder that cannot be written to costs a few lines in the log and nothing else.
func TestRecordsCannotBeWritten(t *testing.T) {
	b, log := newBook(t)
	if err := os.MkdirAll(filepath.Dir(b.dir), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.dir, nil, 0o600); err != nil { // also root cannot make a folder of it
		t.Fatal(err)
	}
	for _, uuid := range []string{someUUID, "0badcafe" + someUUID[8:]} {
		meta := someMetadata()
		meta.UUID = uuid
		b.begin("web-1", meta, "", "")
		b.complete(uuid)
		b.drop(uuid)
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
		b.complete(someUUID)
	}
	said := log.String()
	if strings.Count(said, "\n") != 1 || !strings.Contains(said, "the files in /no/such/pool cannot be looked at from here") || strings.Contains(said, "record") {
		t.Errorf("said: %s", said)
	}
	if got := b.read(); len(got) != 1 || got[0].File != nil {
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
	first, err := identify(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if moved, err := identify(path + ".old"); err != nil || !moved.Same(first) {
		t.Errorf("renamed: %+v, %v; want %+v", moved, err, first)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if second, err := identify(path); err != nil || second.Same(first) {
		t.Errorf("another file of this name: %+v, %v; want another than %+v", second, err, first)
	}
	if err := os.Symlink(path, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", "link", "none"} {
		if id, err := identify(filepath.Join(dir, name)); err == nil {
			t.Errorf("%q is %+v", name, id)
		}
	}
}
