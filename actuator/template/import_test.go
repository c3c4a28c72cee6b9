package template

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/template/internal/hosttool"
	"github.com/vmscaler/vmscaler/actuator/template/internal/pooltest"
)

// img runs qemu-img.
func img(t *testing.T, args ...string) {
	t.Helper()
	if err := hosttool.Run(t.Context(), nil, "qemu-img", args...); err != nil {
		t.Fatal(err)
	}
}

// rawDisk writes a raw disk of some MiB that cannot be compressed away, which begins with a sector.
func rawDisk(t *testing.T, path string, sector []byte, size int) {
	t.Helper()
	content := make([]byte, size*mibBytes)
	for i := range content {
		content[i] = byte(i*i>>7) | 1
	}
	copy(content, sector)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
}

// Whatever a file is, import has a clear answer within bounded time, and leaves nothing behind.
func TestImportOfBadFiles(t *testing.T) {
	conn := pooltest.Connect(t)
	pool, poolDir := pooltest.MakePool(t, conn)
	dir, temp := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temp)
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name string, content []byte) {
		t.Helper()
		if err := os.WriteFile(path(name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	good, uefi := path("good"), path("uefi.raw")
	img(t, "convert", "-f", "qcow2", "-O", "qcow2", sampleImage(t), good)
	whole, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	edited := func(name string, edit func(h []byte)) {
		t.Helper()
		content := slices.Clone(whole)
		edit(content)
		write(name, content)
	}
	be := binary.BigEndian

	write("cut off", whole[:3*mibBytes])
	write("cut off in its tables", whole[:100*1024])
	edited("cluster_bits 63", func(h []byte) { h[23] = 63 })
	edited("l1_size 2^31", func(h []byte) { be.PutUint32(h[36:], 1<<31) })
	edited("unknown feature", func(h []byte) { h[72] = 0x40 })
	edited("4 EiB", func(h []byte) { be.PutUint64(h[24:], 4<<60) })
	edited("tables of garbage", func(h []byte) {
		l1 := be.Uint64(h[40:])
		for i := range uint64(64 * 1024) {
			h[l1+i] = byte(0xa5 + i)
		}
	})
	edited("a table that contains itself", func(h []byte) { be.PutUint64(h[be.Uint64(h[40:]):], be.Uint64(h[40:])|1<<63) })
	img(t, "create", "-q", "-f", "qcow2", "-b", good, "-F", "qcow2", path("overlay"))
	img(t, "create", "-q", "-f", "qcow2", "-o", "data_file="+path("data"), path("data file"), "8M")
	img(t, "convert", "-O", "qcow2", good, path("snapshot"))
	img(t, "snapshot", "-c", "before", path("snapshot"))
	rawDisk(t, uefi, at(510, "\x55\xaa", 446, "\x00\x00\x02\x00\xee", 512, gptHeader, 1024, gptEntry(gptESP, 0)), 1)
	img(t, "convert", "-f", "raw", "-O", "qcow2", "-c", uefi, path("uefi.qcow2"))
	rawDisk(t, path("data disk"), make([]byte, 64*1024), 1)
	img(t, "convert", "-f", "raw", "-O", "qcow2", path("data disk"), path("data disk.qcow2"))
	img(t, "create", "-q", "-f", "qcow2", path("blank"), "1G")
	for _, format := range []string{"vmdk", "vdi", "vpc", "vhdx"} {
		img(t, "convert", "-f", "qcow2", "-O", format, good, path(format))
	}
	img(t, "convert", "-f", "qcow2", "-O", "vpc", "-o", "subformat=fixed", good, path("fixed vpc"))
	for _, tool := range []string{"xz", "gzip", "zstd"} {
		out, err := os.Create(path(tool))
		if err != nil {
			t.Fatal(err)
		}
		if err := hosttool.Run(t.Context(), out, tool, "-c", good); err != nil {
			t.Fatal(err)
		}
		out.Close()
	}
	if out, err := exec.Command("tar", "-cf", path("tar"), "-C", dir, "good").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := syscall.Mkfifo(path("fifo"), 0o644); err != nil {
		t.Fatal(err)
	}

	for name, want := range map[string]string{
		"cut off":                      "is cut off or damaged",
		"cut off in its tables":        "cut off",
		"cluster_bits 63":              "cluster_bits 63",
		"l1_size 2^31":                 "l1_size 2147483648",
		"unknown feature":              "features that are not known",
		"4 EiB":                        "l1_size",
		"tables of garbage":            "cut off or damaged",
		"a table that contains itself": "cut off or damaged",
		"overlay":                      "backing file",
		"data file":                    "external data file",
		"snapshot":                     "1 internal snapshots",
		"data disk":                    "not a bootable disk image",
		"data disk.qcow2":              "has no boot sector",
		"blank":                        "has no boot sector",
		"vmdk":                         "is a VMDK image; convert it first: qemu-img convert -f vmdk",
		"vdi":                          "is a VDI image; convert it first: qemu-img convert -f vdi",
		"vpc":                          "is a VHD image; convert it first: qemu-img convert -f vpc",
		"fixed vpc":                    "is a VHD image; convert it first: qemu-img convert -f vpc",
		"vhdx":                         "is a VHDX image; convert it first: qemu-img convert -f vhdx",
		"xz":                           "is an xz file; unpack it first",
		"gzip":                         "is a gzip file; unpack it first",
		"zstd":                         "is a zstd file; unpack it first",
		"tar":                          "is a tar archive",
		"fifo":                         "is a named pipe",
		".":                            "is a folder",
	} {
		_, err := Import(t.Context(), conn, Target{Pool: pool, Name: "bad"}, Image{File: path(name)}, Report{})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "import template bad: "+dir) ||
			len(err.Error()) > 2000 {
			t.Errorf("%s: %v; want an error that names the file, and %q", name, err, want)
		}
		assertFiles(t, poolDir)
		pooltest.AssertEmpty(t, temp)
	}

	if err := os.Symlink("good", path("link")); err != nil {
		t.Fatal(err)
	}
	if _, err := Import(t.Context(), conn, Target{Pool: pool, Name: "good"}, Image{File: path("link")}, Report{}); err != nil {
		t.Errorf("a link to a good one: %v", err)
	}
	for name, want := range map[string]string{
		"good": "", "uefi.qcow2": "", "overlay": "is a qcow2 image with a backing file, without which it is incomplete",
		".": "is a folder, not a regular file", "cut off": "is cut off or damaged: qemu-img check finds ",
		"tables of garbage": "is cut off or damaged",
	} {
		if _, reason, err := Examine(t.Context(), path(name)); err != nil || !strings.HasPrefix(reason, want) ||
			want == "" && reason != "" {
			t.Errorf("a look at %s: %q, %v; want %q", name, reason, err, want)
		}
	}
	if _, _, err := Examine(t.Context(), path("none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a look at none: %v", err)
	}
	if by, _, err := Examine(t.Context(), path("uefi.qcow2")); by != FirmwareUEFI || err != nil {
		t.Errorf("a look at what boots by UEFI only: %q, %v", by, err)
	}
	assertFiles(t, poolDir, RecordName("good"), VolumeName("good"))
	pooltest.AssertEmpty(t, temp)
}

// Before anything is written, the room is there: for the template, beyond what is kept free, and for a conversion.
func TestImportWithoutRoom(t *testing.T) {
	conn := pooltest.Connect(t)
	pool, poolDir := pooltest.MakePool(t, conn)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	raw := filepath.Join(t.TempDir(), "disk")
	rawDisk(t, raw, at(510, "\x55\xaa", 0, "\xeb")[:512], 8)
	qcow2 := sampleImage(t)
	for _, file := range []string{raw, qcow2} {
		started := false
		step := func(step string) { started = started || step != "checking" }
		_, err := Import(t.Context(), conn, Target{Pool: pool, Name: "web", KeepFreeMiB: 1 << 40}, Image{File: file},
			Report{Step: step})
		if err == nil || !strings.Contains(err.Error(), "it needs 9 MiB, and ") ||
			!strings.Contains(err.Error(), " MiB are kept (pool_reserve)") ||
			started {
			t.Errorf("%s: %v", file, err)
		}
	}
	err := Upload(t.Context(), conn, Target{Pool: pool, Name: "web", KeepFreeMiB: 1 << 40}, qcow2, nil)
	if err == nil || !strings.Contains(err.Error(), "no room in storage pool") {
		t.Errorf("upload: %v", err)
	}
	assertFiles(t, poolDir)
	pooltest.AssertEmpty(t, temp)
}

// An import that is given up leaves nothing, whatever it was doing.
func TestImportGivenUp(t *testing.T) {
	conn := pooltest.Connect(t)
	pool, poolDir := pooltest.MakePool(t, conn)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	raw := filepath.Join(t.TempDir(), "disk")
	rawDisk(t, raw, at(510, "\x55\xaa", 0, "\xeb")[:512], 8)
	qcow2 := sampleImage(t)
	for _, tt := range []struct{ file, at string }{
		{qcow2, "checking"},
		{qcow2, "uploading"},
		{qcow2, "half"},
		{raw, "checking"},
		{raw, "converting"},
		{raw, "uploading"},
		{raw, "half"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Import(ctx, conn, Target{Pool: pool, Name: "web"}, Image{File: tt.file}, Report{Step: func(step string) {
			if step == tt.at {
				cancel()
			}
		}, Progress: func(done, total int64) {
			if done > total/2 {
				cancel()
			}
		}})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("given up while %s: %v", tt.at, err)
		}
		assertFiles(t, poolDir)
		pooltest.AssertEmpty(t, temp)
	}
}
