package template

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/template/internal/unpack"
)

// qcow2Header is the start of a sound qcow2 file, changed by edit.
func qcow2Header(edit func(h []byte)) []byte {
	h := make([]byte, 256*1024)
	copy(h, "QFI\xfb")
	be := binary.BigEndian
	be.PutUint32(h[4:], 3)
	be.PutUint32(h[20:], 16) // cluster_bits
	be.PutUint64(h[24:], 256*mibBytes)
	be.PutUint32(h[36:], 1)        // l1_size
	be.PutUint64(h[40:], 192*1024) // l1_table_offset
	be.PutUint64(h[48:], 64*1024)  // refcount_table_offset
	be.PutUint32(h[56:], 1)        // refcount_table_clusters
	be.PutUint32(h[96:], 4)        // refcount_order
	be.PutUint32(h[100:], 112)     // header_length
	if edit != nil {
		edit(h)
	}
	return h
}

// at is 64 KiB with content at an offset, and more of such pairs.
func at(offset int, content string, more ...any) []byte {
	b := make([]byte, 64*1024)
	copy(b[offset:], content)
	for i := 0; i+1 < len(more); i += 2 {
		copy(b[more[i].(int):], more[i+1].(string))
	}
	return b
}

func TestInspect(t *testing.T) {
	iso := at(32769, "CD001")
	iso[510], iso[511] = 0x55, 0xaa // as installation images have for USB sticks
	be := binary.BigEndian
	tests := []struct {
		name     string
		content  []byte
		packed   unpack.Kind
		format   string
		capacity uint64
		err      string
	}{
		{name: "qcow2 version 3", content: qcow2Header(nil), format: "qcow2", capacity: 256 * mibBytes},
		{
			name:     "qcow2 version 2",
			content:  qcow2Header(func(h []byte) { h[7] = 2; h[79] = 0xff }),
			format:   "qcow2",
			capacity: 256 * mibBytes,
		},
		{name: "zstd clusters", content: qcow2Header(func(h []byte) { h[79] = 1 << 3 }), format: "qcow2", capacity: 256 * mibBytes},
		{
			name:     "extended L2 entries",
			content:  qcow2Header(func(h []byte) { h[79] = 1 << 4 }),
			format:   "qcow2",
			capacity: 256 * mibBytes,
		},
		{name: "backing file", content: qcow2Header(func(h []byte) { h[15] = 1 }), err: "backing file"},
		{name: "encrypted", content: qcow2Header(func(h []byte) { h[35] = 2 }), err: "encrypted"},
		{name: "data file", content: qcow2Header(func(h []byte) { h[79] = 1 << 2 }), err: "external data file"},
		{name: "corrupt", content: qcow2Header(func(h []byte) { h[79] = 1 << 1 }), err: "corrupt"},
		{name: "not closed", content: qcow2Header(func(h []byte) { h[79] = 1 }), err: "not closed"},
		{
			name:    "unknown incompatible feature",
			content: qcow2Header(func(h []byte) { h[72] = 0x80 }),
			err:     "not known here (0x8000000000000000)",
		},
		{name: "internal snapshots", content: qcow2Header(func(h []byte) { h[63] = 3 }), err: "3 internal snapshots"},
		{name: "old qcow", content: qcow2Header(func(h []byte) { h[7] = 1 }), err: "old qcow"},
		{name: "version 0", content: qcow2Header(func(h []byte) { h[7] = 0 }), err: "version 0"},
		{name: "future qcow2", content: qcow2Header(func(h []byte) { h[7] = 4 }), err: "version 4"},
		{name: "no disk", content: qcow2Header(func(h []byte) { be.PutUint64(h[24:], 0) }), err: "empty disk"},
		{name: "4 EiB", content: qcow2Header(func(h []byte) { be.PutUint64(h[24:], 4<<60) }), err: "l1_size 1, want"},
		{name: "16 EiB", content: qcow2Header(func(h []byte) { be.PutUint64(h[24:], 1<<64-1) }), err: "l1_size 1, want"},
		{
			name:    "a disk that needs one entry more",
			content: qcow2Header(func(h []byte) { be.PutUint64(h[24:], 512*mibBytes+1) }),
			err:     "l1_size 1, want 2",
		},
		{
			name:     "the largest disk of one entry",
			content:  qcow2Header(func(h []byte) { be.PutUint64(h[24:], 512*mibBytes) }),
			format:   "qcow2",
			capacity: 512 * mibBytes,
		},
		{name: "cluster_bits 63", content: qcow2Header(func(h []byte) { h[23] = 63 }), err: "cluster_bits 63"},
		{name: "cluster_bits 8", content: qcow2Header(func(h []byte) { h[23] = 8 }), err: "cluster_bits 8"},
		{name: "cluster_bits 2^31", content: qcow2Header(func(h []byte) { h[20] = 0x80 }), err: "cluster_bits"},
		{name: "l1_size 2^31", content: qcow2Header(func(h []byte) { be.PutUint32(h[36:], 1<<31) }), err: "l1_size 2147483648"},
		{name: "l1_size 0", content: qcow2Header(func(h []byte) { be.PutUint32(h[36:], 0) }), err: "l1_size 0"},
		{name: "refcount order", content: qcow2Header(func(h []byte) { h[99] = 7 }), err: "refcount_order 7"},
		{name: "refcount table", content: qcow2Header(func(h []byte) { be.PutUint32(h[56:], 1<<31) }), err: "refcount_table_clusters"},
		{name: "header length", content: qcow2Header(func(h []byte) { be.PutUint32(h[100:], 1<<31) }), err: "header_length"},
		{name: "tables between clusters", content: qcow2Header(func(h []byte) { h[47] = 8 }), err: "not where a cluster begins"},
		{name: "tables beyond the end", content: qcow2Header(func(h []byte) { be.PutUint64(h[40:], 1<<40) }), err: "cut off"},
		{name: "cut off", content: []byte("QFI\xfb\x00\x00\x00\x03"), err: "cut off"},
		{name: "cut off within its header", content: qcow2Header(nil)[:80], err: "cut off"},
		{name: "boot sector", content: at(510, "\x55\xaa"), format: "raw", capacity: 64 * 1024},
		{name: "GPT", content: at(512, "EFI PART"), format: "raw", capacity: 64 * 1024},
		{name: "GPT on 4 KiB sectors", content: at(4096, "EFI PART"), format: "raw", capacity: 64 * 1024},
		{name: "zeroes", content: make([]byte, 4096), err: "not a bootable disk image"},
		{name: "nothing", err: "empty file"},
		{name: "text", content: []byte("hello"), err: "not a bootable disk image"},
		{name: "file system without a boot sector", content: at(1080, "\x53\xef"), err: "not a bootable disk image"},
		{name: "VMDK", content: at(0, "KDMV", 12, "\x01"), format: "vmdk"},
		{name: "VMDK with a parent", content: at(0, "KDMV", 12, "\x01", 10000, "parentFileNameHint=x"), err: "with a parent"},
		{name: "VMDK with other files", content: at(0, "KDMV"), err: "content is in other files"},
		{name: "VMDK, cut off", content: []byte("KDMV"), err: "cut off"},
		{name: "VMDK of ESX", content: at(0, "COWD"), err: "VMDK"},
		{name: "VMDK descriptor", content: at(0, "# Disk DescriptorFile"), err: "descriptor"},
		{name: "VDI", content: at(0x40, "\x7f\x10\xda\xbe"), format: "vdi"},
		{name: "VDI with a parent", content: at(0x40, "\x7f\x10\xda\xbe", 0x1c7, "\x01"), err: "with a parent"},
		{name: "VDI with a link", content: at(0x40, "\x7f\x10\xda\xbe", 0x1a8, "\x01"), err: "with a parent"},
		{name: "VDI, cut off", content: at(0x40, "\x7f\x10\xda\xbe")[:0x100], err: "cut off"},
		{name: "VHDX", content: at(0, "vhdxfile"), format: "vhdx"},
		{name: "VHD", content: at(0, "conectix", 63, "\x03"), format: "vpc"},
		{name: "VHD of fixed size", content: at(510, "\x55\xaa", 64*1024-512, "conectix", 64*1024-512+63, "\x02"), format: "vpc"},
		{name: "VHD with a parent", content: at(0, "conectix", 63, "\x04"), err: "with a parent"},
		{name: "VHD of no type", content: at(0, "conectix"), err: "type 0, want 2 (fixed) or 3 (dynamic)"},
		{name: "Parallels", content: at(0, "WithouFreSpacExt"), err: "Parallels"},
		{name: "QED", content: at(0, "QED\x00"), err: "QED"},
		{name: "LUKS", content: at(0, "LUKS\xba\xbe"), err: "decrypt it first"},
		{name: "ISO", content: iso, err: "ISO 9660"},
		{name: "xz", content: at(0, "\xfd7zXZ\x00"), packed: unpack.XZ},
		{name: "gzip", content: at(0, "\x1f\x8b\x08"), packed: unpack.Gzip},
		{name: "zstd", content: at(0, "\x28\xb5\x2f\xfd"), packed: unpack.Zstd},
		{name: "bzip2", content: at(0, "BZh9"), err: "bzip2 file; unpack it first"},
		{name: "lz4", content: at(0, "\x04\x22\x4d\x18"), err: "lz4 file; unpack it first"},
		{name: "7z", content: at(0, "7z\xbc\xaf\x27\x1c"), err: "7z archive"},
		{name: "ZIP", content: at(0, "PK\x03\x04"), err: "ZIP archive"},
		{name: "tar, and so OVA", content: at(257, "ustar"), err: "tar archive"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			head := tt.content[:min(len(tt.content), headSize)]
			got, err := inspect(head, bytes.NewReader(tt.content), int64(len(tt.content)))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("%+v, %v; want an error that says %q", got, err, tt.err)
				}
				return
			}
			if err != nil || got != (diskFile{tt.packed, tt.format, tt.capacity}) {
				t.Errorf("%+v, %v; want %s of %d bytes", got, err, tt.format, tt.capacity)
			}
		})
	}
}

// gptEntry is one partition in a GPT.
func gptEntry(kind []byte, attributes byte) string {
	e := make([]byte, 128)
	copy(e, kind)
	e[48] = attributes
	return string(e)
}

// gptHeader is that of a table with its entries in the third sector.
const gptHeader = "EFI PART\x00\x00\x01\x00\x5c\x00\x00\x00" + // revision, size
	"\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00" + // checksum, nothing, this sector
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" +
	"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" + // GUID
	"\x02\x00\x00\x00\x00\x00\x00\x00\x80\x00\x00\x00\x80\x00\x00\x00" // entries: where, how many, size

// What neither a BIOS nor UEFI can start is no template.
func TestFirmwareOf(t *testing.T) {
	const sign, code, protective = "\x55\xaa", "\xeb\x63\x90", "\x00\x00\x02\x00\xee"
	linux := []byte("\xaf\x3d\xc6\x0f\x83\x84\x72\x47\x8e\x79\x3d\x69\xd8\x47\x7d\xe4")
	for _, tt := range []struct {
		name string
		head []byte
		want Firmware
		err  error
	}{
		{"MBR with code and an active partition", at(510, sign, 0, code, 446, "\x80\x00\x00\x00\x83"), FirmwareBIOS, nil},
		{"MBR with code alone", at(510, sign, 0, code), FirmwareBIOS, nil},
		{"MBR with an ESP, and code", at(510, sign, 0, code, 446, "\x00\x00\x00\x00\xef"), FirmwareBoth, nil},
		{
			"GPT with GRUB for BIOS, and an ESP (a cloud image)",
			at(510, sign, 0, code, 446, protective, 512, gptHeader, 1024, gptEntry(gptBIOSBoot, 0), 1152, gptEntry(gptESP, 0)),
			FirmwareBoth, nil,
		},
		{
			"GPT with a partition that syslinux starts, and an ESP",
			at(510, sign, 0, code, 446, protective, 512, gptHeader, 1024, gptEntry(gptESP, 0), 1152, gptEntry(linux, gptLegacyBoot)),
			FirmwareBoth, nil,
		},
		{
			"GPT with an ESP that the MBR has as active",
			at(510, sign, 0, code, 446, "\x80\x00\x00\x00\xef", 512, gptHeader, 1024, gptEntry(gptESP, 0)), FirmwareBoth, nil,
		},
		{
			"GPT without ESP, with code", at(510, sign, 0, code, 446, protective, 512, gptHeader, 1024, gptEntry(linux, 0)), FirmwareBIOS,
			nil,
		},
		{
			"code, and a GPT whose entries are out of sight",
			at(510, sign, 0, code, 512, gptHeader[:72]+"\xff\xff\xff\xff\xff\xff\xff\xff"+gptHeader[80:]), FirmwareBIOS, nil,
		},

		{"GPT with an ESP alone", at(510, sign, 446, protective, 512, gptHeader, 1024, gptEntry(gptESP, 0)), FirmwareUEFI, nil},
		{
			"GPT with an ESP as its last partition", at(510, sign, 446, protective, 512, gptHeader, 1024+127*128, gptEntry(gptESP, 0)),
			FirmwareUEFI, nil,
		},
		{
			"GPT with an ESP, and code that says that nothing is active",
			at(510, sign, 0, code, 446, protective, 512, gptHeader, 1024, gptEntry(gptESP, 0), 1152, gptEntry(linux, 0)), FirmwareUEFI,
			nil,
		},
		{
			"GPT on 4 KiB sectors with an ESP", at(510, sign, 446, protective, 4096, gptHeader, 8192, gptEntry(gptESP, 0)), FirmwareUEFI,
			nil,
		},
		{"GPT with an ESP, and no MBR", at(512, gptHeader, 1024, gptEntry(gptESP, 0)), FirmwareUEFI, nil},
		{"MBR with an ESP, and no code", at(510, sign, 446, "\x00\x00\x00\x00\xef"), FirmwareUEFI, nil},
		{"partitions, and no code", at(510, sign, 446, "\x80\x00\x00\x00\x83"), "", errNoBootCode},
		{"GPT, and no code", at(510, sign, 446, protective, 512, gptHeader, 1024, gptEntry(linux, 0)), "", errNoBootCode},
		{"a file system on the whole disk", at(1080, "\x53\xef"), "", errNoBoot},
		{"zeroes", make([]byte, headSize), "", errNoBoot},
		{"a disk of some bytes", []byte("\x55\xaa"), "", errNoBoot},
		{"nothing", nil, "", errNoBoot},
	} {
		if got, err := firmwareOf(tt.head); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%s: %q, %v; want %q, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

// However a partition table lies, it is read without going beyond what is there.
func FuzzBootable(f *testing.F) {
	f.Add(at(510, "\x55\xaa", 512, gptHeader, 1024, gptEntry(gptESP, 0)))
	f.Add(at(512, "EFI PART"+strings.Repeat("\xff", 200)))
	f.Add(qcow2Header(nil))
	f.Fuzz(func(_ *testing.T, content []byte) {
		head := content[:min(len(content), headSize)]
		_, _ = firmwareOf(head)
		_, _ = inspect(head, bytes.NewReader(content), int64(len(content)))
	})
}

// What is no regular file is refused without being opened for reading, which can wait forever.
func TestOpenSource(t *testing.T) {
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	image := qcow2Header(nil)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.WriteFile(path("overlay"), qcow2Header(func(h []byte) { h[15] = 1 }), 0o644))
	must(os.WriteFile(path("good"), image, 0o644))
	must(os.WriteFile(path("empty"), nil, 0o644))
	must(syscall.Mkfifo(path("fifo"), 0o644))
	must(os.Symlink("good", path("link")))
	must(os.Symlink("fifo", path("link-to-fifo")))
	must(os.Symlink("nowhere", path("broken-link")))
	must(os.Symlink("loop", path("loop")))
	l, err := net.Listen("unix", path("socket"))
	must(err)
	defer l.Close()
	for name, want := range map[string]string{
		"overlay":      "convert it first: qemu-img convert -f qcow2 -O qcow2 \"" + path("overlay") + "\"",
		"empty":        "is an empty file",
		"fifo":         "is a named pipe",
		"link-to-fifo": "is a named pipe",
		"broken-link":  "no such file",
		"loop":         "too many levels of symbolic links",
		"socket":       "is a socket",
		"none":         "no such file",
		".":            "is a folder",
		"good":         "",
		"link":         "",
	} {
		s, err := openSource(path(name))
		if s != nil {
			must(s.close())
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	if _, err := openSource("/dev/zero"); err == nil || !strings.Contains(err.Error(), "is a character device") {
		t.Errorf("a device: %v", err)
	}
}

// What was looked at is what is sent, and a file that changes meanwhile is no template.
func TestSourceThatChanges(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, qcow2Header(nil), 0o644); err != nil {
		t.Fatal(err)
	}
	s, err := openSource(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.close() }()
	if err := s.unchanged(); err != nil {
		t.Error(err)
	}
	if err := os.WriteFile(path, qcow2Header(func(h []byte) { h[15] = 1 })[:128*1024], 0o644); err != nil {
		t.Fatal(err)
	}
	head := make([]byte, headSize)
	if _, err := io.ReadFull(s.reader(), head); err != nil || head[15] != 0 {
		t.Errorf("another header is sent than the one that was looked at: %v", err)
	}
	if err := s.unchanged(); err == nil || !strings.Contains(err.Error(), "was changed") {
		t.Errorf("a change: %v", err)
	}
}

func TestFits(t *testing.T) {
	for _, tt := range []struct {
		need, free, keep uint64
		want             string
	}{
		{need: 10 * mibBytes, free: 20 * mibBytes},
		{need: 10 * mibBytes, free: 20 * mibBytes, keep: 10 * mibBytes},
		{
			need: 10*mibBytes + 1, free: 20 * mibBytes, keep: 10 * mibBytes,
			want: "no room in it: it needs 11 MiB, and 20 MiB are free, of which 10 MiB are kept (pool_reserve); buy",
		},
		{need: 10 * mibBytes, free: 9 * mibBytes, want: "no room in it: it needs 10 MiB, and 9 MiB are free; buy"},
		{need: 1<<64 - 1, free: 1 << 40, keep: 1 << 63, want: "it needs"},
	} {
		err := fits("in it", tt.need, tt.free, tt.keep, "buy")
		said := err != nil && strings.Contains(err.Error(), tt.want) && errors.Is(err, ErrNoRoom)
		if (err == nil) != (tt.want == "") || err != nil && !said {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// Where a pool cannot be refreshed what is read is enough to say that there is no room, and not that there is some.
func TestFitsAsRead(t *testing.T) {
	busy := errors.New("pool has asynchronous jobs running")
	for _, tt := range []struct {
		refreshed, want error
		need            uint64
	}{
		{nil, nil, 10},
		{nil, ErrNoRoom, 11},
		{busy, busy, 10},
		{busy, ErrNoRoom, 11},
	} {
		if err := fitsAsRead("p", tt.refreshed, tt.need, 20, 10); !errors.Is(err, tt.want) {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// A file that comes by way of the pool's own file system needs its size twice there, less what has come.
func TestArrivalNeeds(t *testing.T) {
	for _, tt := range []struct {
		there      uint64
		same       bool
		need, size uint64
	}{
		{0, false, 10, 10},
		{0, true, 20, 10},
		{4, true, 16, 10},
		{4, false, 10, 10},
		{10, true, 10, 10},
		{11, true, 10, 10},
		{0, true, math.MaxInt64 * 2, math.MaxInt64},
	} {
		if got := (Arrival{Bytes: tt.size, There: tt.there}).need(tt.same); got != tt.need {
			t.Errorf("%+v: %d", tt, got)
		}
	}
}

func TestPercents(t *testing.T) {
	var got []float64
	w := &percents{tell: func(p float64) { got = append(got, p) }}
	for _, text := range []string{
		"    (0.00/1", "00%)\r    (1.50/100%)\r", "nonsense\r(-1/100%)\r(NaN/100%)\r", strings.Repeat("x", 500), "\r (100.00/100%)\r\n",
	} {
		if n, err := w.Write([]byte(text)); n != len(text) || err != nil {
			t.Error(n, err)
		}
	}
	if !slices.Equal(got, []float64{0, 1.5, 100}) || len(w.rest) > 100 {
		t.Errorf("got %v", got)
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"web": true, "a": true, "a-1": true, "a" + strings.Repeat("b", 39): true,
		"web:1": true, "web:10": true, "web:0": false, "web:01": false, "web:": false, "web:next": false, "web:1:2": false,
		":1": false,
		"":   false, "1a": false, "-a": false, "A": false, "a_b": false, "a.b": false, "a/b": false, "a\n": false,
		"a" + strings.Repeat("b", 40): false,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
	for volume, want := range map[string]string{
		VolumeName("web"): "web", markerName("web"): "", "template-.qcow2": "", "template-qcow2": "", "web.qcow2": "",
		"template-web.img": "", VolumeName("web:3"): "web:3", "template-web.3.qcow2": "web:3", "template-web.03.qcow2": "",
		markerName("web:3"): "", goingName("web:3"): "", "template-web:3.qcow2": "", "template-web.3.4.qcow2": "",
	} {
		name, ok := templateName(volume)
		if ok != (want != "") || ok && name != want {
			t.Errorf("templateName(%q) = %q, %v, want %q", volume, name, ok, want)
		}
	}
}

// Versions are numbers, so that 10 comes after 9, and a template without a version is none of them.
func TestVersions(t *testing.T) {
	names := []string{"web:10", "db", "web:9", "web", "web-2:40", "web:1"}
	slices.SortFunc(names, byVersion)
	if !slices.Equal(names, []string{"db", "web", "web:1", "web:9", "web:10", "web-2:40"}) {
		t.Errorf("in order: %v", names)
	}
	for base, want := range map[string]string{"web": "web:11", "db": "db:1", "web-2": "web-2:41"} {
		if got, err := nextOf(base, names); err != nil || got != want {
			t.Errorf("the next of %s is %s (%v), want %s", base, got, err, want)
		}
	}
	if got, err := nextOf("web", []string{"web:999999"}); err == nil {
		t.Errorf("after the last version there is %s", got)
	}
	for name, ok := range map[string]bool{"web": true, "web:3": true, "web:next": true, "web:new": false, ":next": false} {
		if err := CheckNewName(name); (err == nil) != ok {
			t.Errorf("CheckNewName(%q) = %v", name, err)
		}
	}
}
