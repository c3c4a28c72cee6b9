package install

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// medium is an image with a volume descriptor, a boot record and a catalog of these entries of 32 bytes, given by their first.
func medium(entries ...string) []byte {
	image := make([]byte, 20*sector)
	copy(image[firstVolume*sector:], "\x01CD001\x01")
	copy(image[bootRecord*sector:], "\x00CD001\x01EL TORITO SPECIFICATION")
	image[bootRecord*sector+catalogAt] = 19
	for i, e := range entries {
		copy(image[19*sector+i*entrySize:], e)
	}
	if len(entries) > 0 {
		copy(image[19*sector+30:], "\x55\xaa")
	}
	return image
}

func TestCheckMedium(t *testing.T) {
	plain := medium()
	copy(plain[bootRecord*sector:], "\xffCD001\x01"+strings.Repeat("\x00", 40))
	hybrid := bytes.Clone(plain) // which boots as a disk alone
	copy(hybrid[510:], "\x55\xaa")
	for name, tt := range map[string]struct {
		image []byte
		want  string
	}{
		"BIOS":                   {medium("\x01\x00", "\x88"), ""},
		"BIOS and UEFI":          {medium("\x01\x00", "\x88", "\x91\xef\x01\x00", "\x88"), ""},
		"UEFI and BIOS":          {medium("\x01\xef", "\x88", "\x91\x00\x01\x00", "\x88"), ""},
		"two sections":           {medium("\x01\xef", "\x88", "\x90\xef\x01\x00", "\x88", "\x44", "\x91\x00\x01", "\x88"), ""},
		"UEFI alone":             {medium("\x01\xef", "\x88"), "only UEFI boots"},
		"a BIOS that may not":    {medium("\x01\x00", "\x00", "\x91\xef\x01\x00", "\x88"), "only UEFI boots"},
		"nothing in the catalog": {medium(), "nothing that a BIOS boots"},
		"no boot record":         {plain, "without a boot record (El Torito)"},
		"a disk's boot record":   {hybrid, "without a boot record (El Torito)"},
		"empty":                  {nil, "found an empty file, want an ISO 9660 image"},
		"a qcow2 image":          {[]byte("QFI\xfb\x00\x00\x00\x03"), `found a file that begins with "QFI\xfb`},
		"cut off":                {medium()[:17*sector], "without a boot record"},
		"a catalog that is away": {medium("\x01\x00", "\x88")[:19*sector], "nothing that a BIOS boots"},
	} {
		path := filepath.Join(t.TempDir(), "medium.iso")
		if err := os.WriteFile(path, tt.image, 0o600); err != nil {
			t.Fatal(err)
		}
		err := CheckMedium(path)
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) ||
			strings.Count(err.Error(), path) != 1) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if err := CheckMedium(t.TempDir()); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("a folder: %v", err)
	}
}
