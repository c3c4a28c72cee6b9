package demo

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/template/internal/hosttool"
	"github.com/vmscaler/vmscaler/actuator/template/internal/pooltest"
)

func TestMasterBootRecord(t *testing.T) {
	mbr, err := masterBootRecord([]byte{0xeb, 0xfe}, 0x11223344, []partition{
		{start: 1 << 20, size: 31 << 20, kind: 0x0e, active: true},
		{start: 32 << 20, size: 224 << 20, kind: 0x83},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what   string
		offset int
		want   string
	}{
		{"code", 0, "ebfe00"},
		{"signature", 440, "44332211"},
		{"active boot partition", 446, "80feffff0efeffff" + "00080000" + "00f80000"},
		{"root partition", 462, "00feffff83feffff" + "00000100" + "00000700"},
		{"no third partition", 478, "00000000"},
		{"end", 510, "55aa"},
	} {
		if got := hex.EncodeToString(mbr[tt.offset:][:len(tt.want)/2]); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.what, got, tt.want)
		}
	}
	if _, err := masterBootRecord(make([]byte, 441), 0, nil); err == nil {
		t.Error("boot code that overwrites the table was taken")
	}
	if _, err := masterBootRecord(nil, 0, make([]partition, 5)); err == nil {
		t.Error("five partitions were taken")
	}
}

// The archive is read back with another implementation.
func TestInitrd(t *testing.T) {
	dir := t.TempDir()
	entries, err := initrdEntries([]byte("BUSYBOX"), []byte("#!/bin/sh"), []string{"b", "a"},
		func(name string) ([]byte, error) { return []byte("module " + name), nil })
	if err != nil {
		t.Fatal(err)
	}
	var initrd bytes.Buffer
	if err := writeInitrd(&initrd, entries); err != nil {
		t.Fatal(err)
	}
	packed := filepath.Join(dir, "initrd.gz")
	if err := os.WriteFile(packed, initrd.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	archive, err := decompress(t.Context(), packed)
	if err != nil {
		t.Fatal(err)
	}
	plain := filepath.Join(dir, "initrd")
	if err := os.WriteFile(plain, archive, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := hosttool.Run(t.Context(), nil, "cpio", "-i", "-d", "--no-absolute-filenames", "-D", dir, "-F", plain); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"bin/busybox": "BUSYBOX", "init": "#!/bin/sh", "modules/order": "b\na\n", "modules/a.ko": "module a",
		"modules/b.ko": "module b",
	} {
		got, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil || string(got) != want {
			t.Errorf("%s = %q, %v, want %q", path, got, err, want)
		}
	}
	if st, err := os.Stat(filepath.Join(dir, "init")); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("init: %v, %v", st, err)
	}
}

func TestPublishFailureLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	err := publish(filepath.Join(dir, "out.qcow2"), func(partial string) error {
		if err := os.WriteFile(partial, []byte("half"), 0o644); err != nil {
			t.Fatal(err)
		}
		return os.ErrDeadlineExceeded
	})
	if err == nil {
		t.Fatal("no error")
	}
	pooltest.AssertEmpty(t, dir)
}
