package template

import (
	"context"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/template/internal/hosttool"
	"github.com/vmscaler/vmscaler/actuator/template/internal/pooltest"
)

// systemDisk is a qcow2 image of a disk with a boot sector and a file system of some files, in a partition unless that begins at
// 0.
func systemDisk(t *testing.T, start int64, files map[string]string) string {
	t.Helper()
	dir, tree := t.TempDir(), t.TempDir()
	raw, image := filepath.Join(dir, "raw"), filepath.Join(dir, "image.qcow2")
	for path, content := range files {
		path = filepath.Join(tree, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sector := at(510, "\x55\xaa", 0, "\xeb")[:512]
	if start > 0 {
		sector[446], sector[450] = 0x80, 0x83
		binary.LittleEndian.PutUint32(sector[454:], uint32(start/512))
		binary.LittleEndian.PutUint32(sector[458:], 16*mibBytes/512)
	}
	if err := os.WriteFile(raw, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(raw, start+16*mibBytes); err != nil {
		t.Fatal(err)
	}
	args := []string{"-q", "-F", "-t", "ext4", "-d", tree, "-E", "offset=" + strconv.FormatInt(start, 10), raw, "16M"}
	if err := hosttool.Run(t.Context(), nil, "mke2fs", args...); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(raw, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(sector, 0); err != nil {
		t.Fatal(err)
	}
	img(t, "convert", "-f", "raw", "-O", "qcow2", "-c", raw, image)
	return image
}

// What would be the same in each VM is told, wherever the system is, and nothing is changed or left behind.
func TestImportLooksInside(t *testing.T) {
	conn := pooltest.Connect(t)
	pool, dir := pooltest.MakePool(t, conn)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	id, key := "/etc/machine-id is filled", "/etc/ssh has host keys (ssh_host_ed25519_key, ssh_host_rsa_key)"
	for name, tt := range map[string]struct {
		start int64
		files map[string]string
		want  []string
		cloud CloudInit
	}{
		"clean": {mibBytes, map[string]string{"etc/machine-id": "", "etc/ssh/sshd_config": ""}, nil, CloudInitAbsent},
		"fresh": {
			mibBytes,
			map[string]string{"etc/machine-id": "uninitialized\n", "etc/ssh/ssh_host_rsa_key.pub": "", "etc/cloud/cloud.cfg": ""},
			nil, CloudInitPresent,
		},
		"hand":   {mibBytes, map[string]string{"etc/fstab": "", "usr/bin/cloud-init": "#!/bin/sh"}, nil, CloudInitPresent},
		"alpine": {mibBytes, map[string]string{"etc/tiny-cloud.conf": ""}, nil, CloudInitPresent},
		"used": {mibBytes, map[string]string{
			"etc/machine-id": "0123456789abcdef0123456789abcdef\n", "etc/ssh/ssh_host_rsa_key": "x", "etc/ssh/ssh_host_ed25519_key": "y",
		}, []string{id, key}, CloudInitAbsent},
		"whole": {0, map[string]string{"etc/machine-id": "0123456789abcdef0123456789abcdef\n"}, []string{id}, CloudInitAbsent},
		"data":  {mibBytes, map[string]string{"data/file": ""}, []string{"no system was found"}, CloudInitUnknown},
	} {
		var told []string
		image := systemDisk(t, tt.start, tt.files)
		info, err := Import(t.Context(), conn, Target{Pool: pool, Name: name}, Image{File: image}, Report{
			Warn: func(what string) { told = append(told, what) },
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if info.CloudInit != tt.cloud {
			t.Errorf("%s: cloud-init is said to be %q, want %q", name, info.CloudInit, tt.cloud)
		}
		if len(told) != len(tt.want) {
			t.Errorf("%s: told %q, want %q", name, told, tt.want)
			continue
		}
		for i, want := range tt.want {
			if !strings.HasPrefix(told[i], want) {
				t.Errorf("%s: told %q, want %q", name, told[i], want)
			}
		}
	}
	assertFiles(t, dir, RecordName("alpine"), VolumeName("alpine"),
		RecordName("clean"), VolumeName("clean"), RecordName("data"), VolumeName("data"), RecordName("fresh"), VolumeName("fresh"),
		RecordName("hand"), VolumeName("hand"),
		RecordName("used"), VolumeName("used"), RecordName("whole"), VolumeName("whole"))
	pooltest.AssertEmpty(t, temp)
}

// What cannot be looked into is said, within bounds.
func TestInside(t *testing.T) {
	disk := func(content []byte) *diskReader {
		return &diskReader{
			capacity: 1 << 40, blocks: map[int64][]byte{},
			read: func(at, size int64) ([]byte, error) {
				b := make([]byte, size)
				if at < int64(len(content)) {
					copy(b, content[at:])
				}
				return b, nil
			},
		}
	}
	partition := "\x80\x00\x00\x00\x83\x00\x00\x00\x80\x00\x00\x00\x00\x00\x01\x00" // 32 MiB at 64 KiB
	table := func(more ...any) []byte { return at(510, "\x55\xaa", append([]any{446, partition}, more...)...) }
	xfs := append(table(), at(0, "XFSB")...)
	broken := append(table(), at(1024+0x38, "\x53\xef", 1024+0x4c, "\x01", 1024+0x18, "\x1f")...)
	for name, tt := range map[string]struct {
		content []byte
		want    string
	}{
		"XFS":          {xfs, "its file systems were not looked into: partition 1 (xfs): not supported"},
		"damaged":      {broken, "its file systems were not looked into: partition 1 (ext2): the file system is damaged: log_b"},
		"nothing":      {table(), "no system was found"},
		"empty, LVM":   {append(table(), at(512, "LABELONE")...), "its file systems were not looked into: partition 1 (lvm)"},
		"no partition": {at(510, "\x55\xaa"), "no system was found"},
	} {
		seen := inside(disk(tt.content))
		got := seen.baked
		if seen.cloud != CloudInitUnknown {
			t.Errorf("%s: cloud-init is said to be %q", name, seen.cloud)
		}
		if len(got) != 1 || !strings.HasPrefix(got[0], tt.want) || !strings.Contains(got[0], uniqueRemedy) {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
	unread := disk(nil)
	unread.read = func(int64, int64) ([]byte, error) { return nil, errors.New("qemu-img ended") }
	if got := inside(unread).baked; len(got) != 1 || !strings.Contains(got[0], "qemu-img ended") {
		t.Errorf("a disk that cannot be read: %q", got)
	}
	endless := disk(nil)
	b := make([]byte, 1)
	for n := range int64(2 * insideReads) {
		if _, err := endless.ReadAt(b, n*insideBlock); (err == nil) != (n < insideReads) {
			t.Fatalf("read %d: %v", n, err)
		}
	}
	if _, err := endless.ReadAt(b, -5); err == nil {
		t.Error("a read before the start: no error")
	}
}

// files is a file system for bakedIn.
type files map[string]string

func (f files) ReadFile(path string, _ int64) ([]byte, error) {
	text, ok := f[path]
	switch {
	case text == "?":
		return nil, errors.New("is a symbolic link")
	case !ok:
		return nil, fs.ErrNotExist
	}
	return []byte(text), nil
}

func (f files) ReadNames(path string) ([]string, error) {
	text, err := f.ReadFile(path, 0)
	return strings.Fields(string(text)), err
}

func TestBakedIn(t *testing.T) {
	for name, tt := range map[string]struct {
		files files
		want  []string
	}{
		"nothing": {files{}, nil},
		"empty":   {files{"/etc/machine-id": "\n", "/etc/ssh": "sshd_config ssh_host_rsa_key.pub"}, nil},
		"filled": {
			files{"/etc/machine-id": "a\n", "/etc/ssh": "ssh_host_rsa_key"},
			[]string{"machine-id is filled", "host keys (ssh_host_rsa_key)"},
		},
		"unreadable": {files{"/etc/machine-id": "?", "/etc/ssh": "?"}, []string{"/etc/machine-id was not", "/etc/ssh was not"}},
	} {
		got := bakedIn(tt.files)
		if len(got) != len(tt.want) {
			t.Errorf("%s: %q", name, got)
			continue
		}
		for i := range got {
			if !strings.Contains(got[i], tt.want[i]) {
				t.Errorf("%s: %q, want %q", name, got[i], tt.want[i])
			}
		}
	}
}

func TestLookInsideIsGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := lookInside(ctx, opened(t, sampleImage(t)), t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
}
