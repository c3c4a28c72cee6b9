package template

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/template/checksum"
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

// pack has a tool of the host pack a file.
func pack(t *testing.T, tool, from, to string) {
	t.Helper()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if err := hosttool.Run(t.Context(), out, tool, "-c", from); err != nil {
		t.Fatal(err)
	}
}

// Images of other systems, packed ones too, become the same template as the image that they were made of.
func TestImportConverts(t *testing.T) {
	conn := pooltest.Connect(t)
	pool, poolDir := pooltest.MakePool(t, conn)
	dir, temp := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temp)
	good, raw := sampleImage(t), filepath.Join(dir, "raw")
	img(t, "convert", "-f", "qcow2", "-O", "raw", good, raw)
	for name, args := range map[string][]string{
		"raw": nil, "qcow2": {"-O", "qcow2"}, "vdi": {"-O", "vdi"}, "vhdx": {"-O", "vhdx"},
		"vmdk": {"-O", "vmdk"}, "vmdk-stream": {"-O", "vmdk", "-o", "subformat=streamOptimized"}, "vmdk-xz": {"-O", "vmdk"},
		"vpc": {"-O", "vpc", "-o", "force_size=on"}, "vpc-fixed": {"-O", "vpc", "-o", "subformat=fixed,force_size=on"},
		"gzip": nil, "xz": nil, "zstd": nil,
	} {
		file := filepath.Join(dir, name)
		format, tool, _ := strings.Cut(name, "-")
		switch {
		case name == "raw":
		case args == nil:
			pack(t, name, good, file)
			format = "qcow2." + name
		default:
			img(t, append(append([]string{"convert", "-f", "raw"}, args...), raw, file)...)
		}
		if tool == "xz" {
			pack(t, tool, file, file+".xz")
			file, format = file+".xz", format+"."+tool
		}
		var steps []string
		info, err := Import(t.Context(), conn, Target{Pool: pool, Name: name}, Image{File: file}, Report{
			Step: func(step string) { steps = append(steps, step) },
		})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if info.SourceFormat != format || info.Firmware != FirmwareBIOS || info.Source != file {
			t.Errorf("%s: by %q it is kept as %+v", name, steps, info)
		}
		if err := hosttool.Run(t.Context(), nil, "qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, info.Path); err != nil {
			t.Errorf("%s: another disk: %v", name, err)
		}
		pooltest.AssertEmpty(t, temp)
		for _, left := range []string{VolumeName(name), RecordName(name)} {
			if err := os.Remove(filepath.Join(poolDir, left)); err != nil {
				t.Error(err)
			}
		}
	}
}

// A file of some kilobytes can unpack to more than there is.
func TestImportOfABomb(t *testing.T) {
	conn := pooltest.Connect(t)
	pool, poolDir := pooltest.MakePool(t, conn)
	dir, temp := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temp)
	raw := filepath.Join(dir, "raw")
	rawDisk(t, raw, at(510, "\x55\xaa", 0, "\xeb")[:512], 1)
	if err := os.Truncate(raw, 64*mibBytes); err != nil {
		t.Fatal(err)
	}
	pack(t, "gzip", raw, raw+".gz")
	i := importing{conn: conn, to: Target{Pool: pool, Name: "web"}, image: Image{File: raw + ".gz"}, maxUnpacked: 16 * mibBytes}
	err := i.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), raw+".gz: unpack it (gzip): unpacks to more than allowed: found over ") ||
		!strings.Contains(err.Error(), "want at most 16777216") {
		t.Errorf("64 MiB where 16 MiB are allowed: %v", err)
	}
	i.maxUnpacked, i.to.KeepFreeMiB = 2<<30, 1<<40
	if err := i.run(t.Context()); err == nil || !strings.Contains(err.Error(), "there is no room for more") {
		t.Errorf("without room: %v", err)
	}
	assertFiles(t, poolDir)
	pooltest.AssertEmpty(t, temp)
}

// A small image can describe a disk whose blocks are all the same one: what it becomes as qcow2 is held against the room before
// anything is written.
func TestImportOfABombOfAnImage(t *testing.T) {
	conn := pooltest.Connect(t)
	pool, poolDir := pooltest.MakePool(t, conn)
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	const gib = 8
	bomb := filepath.Join(t.TempDir(), "bomb")
	img(t, "create", "-q", "-f", "vmdk", bomb, strconv.Itoa(gib)+"G")
	content, err := os.ReadFile(bomb)
	if err != nil {
		t.Fatal(err)
	}
	// The directory, of which each entry is for 32 MiB, refers to one table, and that 512 times to one grain of 64 KiB.
	const sector, perTable = 512, 512
	le := binary.LittleEndian
	directory := le.Uint64(content[56:]) * sector
	table, grain := uint64(le.Uint32(content[directory:]))*sector, uint64(len(content)/sector+1)
	for n := range uint64(gib * 32) {
		le.PutUint32(content[directory+4*n:], uint32(table/sector))
	}
	for n := range uint64(perTable) {
		le.PutUint32(content[table+4*n:], uint32(grain))
	}
	content = append(content, make([]byte, int(grain*sector)-len(content))...)
	content = append(content, bytes.Repeat([]byte("bomb"), 16*1024)...)
	if err := os.WriteFile(bomb, content, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err = Import(t.Context(), conn, Target{Pool: pool, Name: "web", KeepFreeMiB: 1 << 40}, Image{File: bomb}, Report{})
	if err == nil || !strings.Contains(err.Error(), bomb+": no room") || !strings.Contains(err.Error(), "it needs 819") {
		t.Errorf("an image of %d bytes that becomes %d GiB: %v", len(content), gib, err)
	}
	assertFiles(t, poolDir)
	pooltest.AssertEmpty(t, temp)
}

// A digest is compared before anything else is done with a file.
func TestImportDigests(t *testing.T) {
	conn := pooltest.Connect(t)
	pool, poolDir := pooltest.MakePool(t, conn)
	image := sampleImage(t)
	content, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	short, long := sha256.Sum256(content), sha512.Sum512(content)
	right := checksum.Digests{SHA256: hex.EncodeToString(short[:]), SHA512: strings.ToUpper(hex.EncodeToString(long[:]))}
	for _, wrong := range []checksum.Digests{
		{SHA256: strings.Repeat("0a", 32)},
		{SHA512: strings.Repeat("0a", 64), SHA256: right.SHA256},
	} {
		_, err := Import(t.Context(), conn, Target{Pool: pool, Name: "web"}, Image{File: image, Digests: wrong}, Report{})
		if err == nil || !strings.Contains(err.Error(), image+" is not the file that was published: found SHA-") ||
			!strings.Contains(err.Error(), ", want 0a0a0a") {
			t.Errorf("another digest: %v", err)
		}
		assertFiles(t, poolDir)
	}
	known := Image{File: image, Digests: right}
	if _, err := Import(t.Context(), conn, Target{Pool: pool, Name: "web"}, known, Report{}); err != nil {
		t.Errorf("the right digests: %v", err)
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
	for _, format := range []string{"vmdk", "vdi", "vpc"} {
		img(t, "convert", "-f", "qcow2", "-O", format, good, path(format))
	}
	img(t, "convert", "-f", "qcow2", "-O", "vpc", "-o", "subformat=fixed", good, path("fixed vpc"))
	changed := func(from, name string, edit func(h []byte)) {
		t.Helper()
		content, err := os.ReadFile(path(from))
		if err != nil {
			t.Fatal(err)
		}
		edit(content)
		write(name, content)
	}
	le := binary.LittleEndian
	descriptor := "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n" +
		"RW 8 FLAT \"/etc/passwd\" 0\n"
	changed("vmdk", "vmdk of a parent", func(h []byte) {
		copy(h[512:], "# Disk DescriptorFile\nparentFileNameHint=\"/etc/passwd\"\n")
	})
	changed("vmdk", "vmdk of another file", func(h []byte) { le.PutUint64(h[12:], 0); copy(h[512:], descriptor) })
	changed("vmdk", "vmdk of 1 EiB", func(h []byte) { le.PutUint64(h[12:], 1<<60/512) })
	changed("vdi", "vdi of a parent", func(h []byte) { h[0x1b8] = 1 })
	changed("vpc", "vpc of a parent", func(h []byte) { h[63] = 4 })
	changed("fixed vpc", "fixed vpc of a parent", func(h []byte) { h[len(h)-512+63] = 4 })
	changed("vpc", "vpc of type 7", func(h []byte) { h[63] = 7 })
	write("vmdk descriptor", []byte(descriptor))
	edited("clusters that are all the same one", func(h []byte) {
		l2 := be.Uint64(h[be.Uint64(h[40:]):]) &^ (1 << 63)
		for n := range uint64(64 * 1024 / 8) {
			copy(h[l2+8*n:], h[l2:l2+8])
		}
	})
	write("text", []byte("hello"))
	img(t, "create", "-q", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", path("backed by another"), "8M")
	pack(t, "xz", good, path("xz"))
	changed("xz", "xz cut off", func([]byte) {})
	if err := os.Truncate(path("xz cut off"), 2000); err != nil {
		t.Fatal(err)
	}
	pack(t, "gzip", good, path("gzip"))
	pack(t, "gzip", path("gzip"), path("gzip of gzip"))
	pack(t, "gzip", path("text"), path("gzip of text"))
	pack(t, "gzip", path("overlay"), path("gzip of an overlay"))
	if out, err := exec.Command("tar", "-cf", path("tar"), "-C", dir, "good").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	pack(t, "gzip", path("tar"), path("gzip of a tar"))
	if err := syscall.Mkfifo(path("fifo"), 0o644); err != nil {
		t.Fatal(err)
	}

	for name, want := range map[string]string{
		"cut off":                            "is cut off or damaged",
		"cut off in its tables":              "cut off",
		"cluster_bits 63":                    "cluster_bits 63",
		"l1_size 2^31":                       "l1_size 2147483648",
		"unknown feature":                    "features that are not known",
		"4 EiB":                              "l1_size",
		"tables of garbage":                  "cut off or damaged",
		"clusters that are all the same one": "cut off or damaged",
		"a table that contains itself":       "cut off or damaged",
		"overlay":                            "backing file",
		"data file":                          "external data file",
		"snapshot":                           "1 internal snapshots",
		"data disk":                          "not a bootable disk image",
		"data disk.qcow2":                    "has no boot sector",
		"blank":                              "has no boot sector",
		"vmdk of a parent":                   "is a VMDK image with a parent",
		"vmdk of another file":               "is a VMDK image whose content is in other files",
		"vmdk descriptor":                    "is the descriptor of a VMDK image",
		"vmdk of 1 EiB":                      "has a disk of 1152921504606846976 bytes, want 1 to 17592186044416",
		"vdi of a parent":                    "is a VDI image with a parent",
		"vpc of a parent":                    "is a VHD image with a parent",
		"fixed vpc of a parent":              "is a VHD image with a parent",
		"vpc of type 7":                      "type 7, want 2 (fixed) or 3 (dynamic)",
		"backed by another":                  "backing file",
		"xz cut off":                         "unpack it (xz): unexpected EOF; get it again",
		"gzip of gzip":                       "is packed twice: in the gzip file there is a gzip file",
		"gzip of text":                       "not a bootable disk image",
		"gzip of an overlay":                 "backing file",
		"gzip of a tar":                      "is a tar archive",
		"tar":                                "is a tar archive",
		"fifo":                               "is a named pipe",
		".":                                  "is a folder",
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
		}, Progress: func(what string, done, total int64) {
			if what == "uploading" && done > total/2 {
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
