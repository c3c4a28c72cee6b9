package template

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// qcow2Header is the start of a qcow2 file, changed by edit.
func qcow2Header(edit func(h []byte)) []byte {
	h := make([]byte, 1024)
	copy(h, "QFI\xfb")
	binary.BigEndian.PutUint32(h[4:], 3)
	binary.BigEndian.PutUint64(h[24:], 256*mib)
	if edit != nil {
		edit(h)
	}
	return h
}

func at(offset int, content string) []byte {
	b := make([]byte, 64*1024)
	copy(b[offset:], content)
	return b
}

func TestInspect(t *testing.T) {
	iso := at(32769, "CD001")
	iso[510], iso[511] = 0x55, 0xaa // as installation images have for USB sticks
	tests := []struct {
		name     string
		content  []byte
		format   string
		capacity uint64
		err      string
	}{
		{name: "qcow2 version 3", content: qcow2Header(nil), format: "qcow2", capacity: 256 * mib},
		{name: "qcow2 version 2", content: qcow2Header(func(h []byte) { h[7] = 2; h[79] = 0xff }), format: "qcow2", capacity: 256 * mib},
		{name: "zstd clusters", content: qcow2Header(func(h []byte) { h[79] = 1 << 3 }), format: "qcow2", capacity: 256 * mib},
		{name: "backing file", content: qcow2Header(func(h []byte) { h[15] = 1 }), err: "backing file"},
		{name: "encrypted", content: qcow2Header(func(h []byte) { h[35] = 2 }), err: "encrypted"},
		{name: "data file", content: qcow2Header(func(h []byte) { h[79] = 1 << 2 }), err: "external data file"},
		{name: "corrupt", content: qcow2Header(func(h []byte) { h[79] = 1 << 1 }), err: "corrupt"},
		{name: "old qcow", content: qcow2Header(func(h []byte) { h[7] = 1 }), err: "old qcow"},
		{name: "future qcow2", content: qcow2Header(func(h []byte) { h[7] = 4 }), err: "version 4"},
		{name: "no disk", content: qcow2Header(func(h []byte) { copy(h[24:32], make([]byte, 8)) }), err: "empty"},
		{name: "cut off", content: []byte("QFI\xfb\x00\x00\x00\x03"), err: "cut off"},
		{name: "boot sector", content: at(510, "\x55\xaa"), format: "raw", capacity: 64 * 1024},
		{name: "GPT", content: at(512, "EFI PART"), format: "raw", capacity: 64 * 1024},
		{name: "GPT on 4 KiB sectors", content: at(4096, "EFI PART"), format: "raw", capacity: 64 * 1024},
		{name: "zeroes", content: make([]byte, 4096), err: "not a bootable disk image"},
		{name: "nothing", err: "not a bootable disk image"},
		{name: "text", content: []byte("hello"), err: "not a bootable disk image"},
		{name: "VMDK", content: at(0, "KDMV"), err: "VMDK"},
		{name: "VDI", content: at(0x40, "\x7f\x10\xda\xbe"), err: "VDI"},
		{name: "VHDX", content: at(0, "vhdxfile"), err: "VHDX"},
		{name: "ISO", content: iso, err: "ISO 9660"},
		{name: "xz", content: at(0, "\xfd7zXZ\x00"), err: "xz"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := inspect(bytes.NewReader(tt.content), int64(len(tt.content)))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("%+v, %v; want an error that says %q", got, err, tt.err)
				}
				return
			}
			if err != nil || got.format != tt.format || got.capacity != tt.capacity {
				t.Errorf("%+v, %v; want %s of %d bytes", got, err, tt.format, tt.capacity)
			}
		})
	}
}

func TestInspectFile(t *testing.T) {
	dir := t.TempDir()
	overlay := filepath.Join(dir, "overlay.qcow2")
	if err := os.WriteFile(overlay, qcow2Header(func(h []byte) { h[15] = 1 }), 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := inspectFile(overlay)
	if err == nil || !strings.Contains(err.Error(), "qemu-img convert -O qcow2 \""+overlay+"\"") {
		t.Errorf("error without its remedy: %v", err)
	}
	if _, err := inspectFile(dir); err == nil || !strings.Contains(err.Error(), "regular file") {
		t.Errorf("a folder: %v", err)
	}
	if _, err := inspectFile(filepath.Join(dir, "none")); !os.IsNotExist(err) {
		t.Errorf("a missing file: %v", err)
	}
}

func TestNames(t *testing.T) {
	for name, ok := range map[string]bool{
		"web": true, "a": true, "a-1": true, "a" + strings.Repeat("b", 39): true,
		"": false, "1a": false, "-a": false, "A": false, "a_b": false, "a.b": false, "a/b": false, "a\n": false, "a" + strings.Repeat("b", 40): false,
	} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("CheckName(%q) = %v", name, err)
		}
	}
	for volume, want := range map[string]string{
		VolumeName("web"): "web", markerName("web"): "", "template-.qcow2": "", "template-qcow2": "", "web.qcow2": "", "template-web.img": "",
	} {
		name, ok := templateName(volume)
		if ok != (want != "") || ok && name != want {
			t.Errorf("templateName(%q) = %q, %v, want %q", volume, name, ok, want)
		}
	}
}
