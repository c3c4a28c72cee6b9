package ext4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/template/internal/hosttool"
)

// makeImage has mke2fs write a folder into a file system.
func makeImage(t testing.TB, dir string, options ...string) string {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	args := append(append([]string{"-q", "-F", "-d", dir}, options...), image, "32M")
	if err := hosttool.Run(t.Context(), nil, "mke2fs", args...); err != nil {
		t.Fatal(err)
	}
	return image
}

// tree is a folder as of a system, with one of many files.
func tree(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	for path, content := range map[string]string{
		"etc/machine-id": "0123456789abcdef0123456789abcdef\n", "etc/empty": "",
		"etc/ssh/ssh_host_rsa_key": "secret", "etc/long": strings.Repeat("0123456789", 5000),
	} {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, path), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 300 {
		name := fmt.Sprintf("a file of a folder of several blocks %d", n)
		if err := os.WriteFile(filepath.Join(dir, "etc", name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("machine-id", filepath.Join(dir, "etc/link")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestRead(t *testing.T) {
	dir := tree(t)
	for name, options := range map[string][]string{
		"ext4":                        {"-t", "ext4"},
		"ext4 of 1 KiB blocks":        {"-t", "ext4", "-b", "1024"},
		"ext4 without 64 bits":        {"-t", "ext4", "-O", "^64bit,^metadata_csum"},
		"ext4 of inodes of 128 bytes": {"-t", "ext4", "-I", "128"},
		"ext3":                        {"-t", "ext3"},
		"ext2":                        {"-t", "ext2"},
	} {
		f, err := os.Open(makeImage(t, dir, options...))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		e, err := Open(f)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for path, want := range map[string]string{
			"/etc/machine-id": "0123456789abcdef0123456789abcdef\n", "etc/empty": "", "/etc/ssh/ssh_host_rsa_key": "secret",
		} {
			if got, err := e.ReadFile(path, 1000); err != nil || string(got) != want {
				t.Errorf("%s: %s is %q, %v; want %q", name, path, got, err, want)
			}
		}
		long, err := e.ReadFile("/etc/long", 100_000)
		if err != nil || string(long) != strings.Repeat("0123456789", 5000) {
			t.Errorf("%s: a long file has %d bytes, %v", name, len(long), err)
		}
		if _, err := e.ReadFile("/etc/long", 1000); !errors.Is(err, ErrUnsupported) {
			t.Errorf("%s: a file that is longer than allowed: %v", name, err)
		}
		names, err := e.ReadNames("/etc")
		if err != nil || len(names) != 306-1 || !slices.Contains(names, "machine-id") {
			t.Errorf("%s: %d names, %v", name, len(names), err)
		}
		for path, want := range map[string]error{
			"/etc/none": fs.ErrNotExist, "/none/none": fs.ErrNotExist, "/etc/link": ErrUnsupported, "/etc": ErrUnsupported,
			"/etc/empty/x": ErrUnsupported,
		} {
			if _, err := e.ReadFile(path, 1000); !errors.Is(err, want) {
				t.Errorf("%s: %s: %v, want %v", name, path, err, want)
			}
		}
	}
}

// A file system that lies has an error, not a loop or memory without bounds.
func TestReadOfDamaged(t *testing.T) {
	image, err := os.ReadFile(makeImage(t, tree(t), "-t", "ext4", "-b", "4096"))
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	for name, edit := range map[string]func(b []byte){
		"no magic":                  func(b []byte) { b[1024+0x38] = 0 },
		"log_block_size 31":         func(b []byte) { b[1024+0x18] = 31 },
		"inodes_per_group 0":        func(b []byte) { le.PutUint32(b[1024+0x28:], 0) },
		"inode_size 0":              func(b []byte) { le.PutUint16(b[1024+0x58:], 0) },
		"inode_size 65535":          func(b []byte) { le.PutUint16(b[1024+0x58:], 65535) },
		"desc_size 0":               func(b []byte) { le.PutUint16(b[1024+0xfe:], 0) },
		"blocks_count 2^63":         func(b []byte) { le.PutUint32(b[1024+0x150:], 1<<31) },
		"an unknown feature":        func(b []byte) { b[1024+0x63] = 0x80 },
		"meta groups":               func(b []byte) { b[1024+0x60] |= 0x10 },
		"inodes beyond the end":     func(b []byte) { le.PutUint32(b[4096+8:], 1<<31-1) },
		"revision 0":                func(b []byte) { le.PutUint32(b[1024+0x4c:], 0) },
		"cut off in the superblock": func(b []byte) { clear(b[1024:]) },
	} {
		b := bytes.Clone(image)
		edit(b)
		e, err := Open(bytes.NewReader(b))
		if err == nil {
			_, err = e.ReadFile("/etc/machine-id", 1000)
		}
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := Open(bytes.NewReader(image[:1500])); err == nil {
		t.Error("a file that is cut off: no error")
	}
}

func FuzzRead(f *testing.F) {
	image, err := os.ReadFile(makeImage(f, tree(f), "-t", "ext4", "-b", "1024", "-N", "1024"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(1024+0x18), uint64(1))
	f.Add(uint32(2048+8), uint64(1<<40))
	f.Fuzz(func(_ *testing.T, at uint32, value uint64) {
		b := bytes.Clone(image[:8<<20])
		binary.LittleEndian.PutUint64(b[min(int(at), len(b)-8):], value)
		if e, err := Open(bytes.NewReader(b)); err == nil {
			_, _ = e.ReadFile("/etc/machine-id", 1000)
			_, _ = e.ReadNames("/etc/ssh")
		}
	})
}
