package template

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// A diskFile is what an image file's own first bytes say about it. qemu-img is
// not asked: given a hostile file it may follow references to others.
type diskFile struct {
	format   string // "qcow2" or "raw"
	capacity uint64 // bytes that the guest sees
}

// convertRemedy is the command that turns anything QEMU reads into a plain qcow2.
func convertRemedy(file string) string {
	return fmt.Sprintf("convert it first: qemu-img convert -O qcow2 %q NEW.qcow2", file)
}

// inspectFile reads what kind of image a file is.
func inspectFile(file string) (diskFile, error) {
	f, err := os.Open(file)
	if err != nil {
		return diskFile{}, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return diskFile{}, err
	}
	if !st.Mode().IsRegular() {
		return diskFile{}, fmt.Errorf("%s is not a regular file", file)
	}
	d, err := inspect(f, st.Size())
	var wrong *formatError
	if errors.As(err, &wrong) && wrong.convert {
		return diskFile{}, fmt.Errorf("%s: %w; %s", file, err, convertRemedy(file))
	}
	if err != nil {
		return diskFile{}, fmt.Errorf("%s: %w", file, err)
	}
	return d, nil
}

// A formatError says why an image cannot be a template.
type formatError struct {
	reason  string
	convert bool // qemu-img convert helps
}

func (e *formatError) Error() string { return e.reason }

// foreignFormats are recognised to be named in the refusal. ISO comes first: its
// images often carry a boot sector too.
var foreignFormats = []struct {
	offset int
	magic  string
	formatError
}{
	{32769, "CD001", formatError{"is an ISO 9660 image, which installs a system rather than being one; install it into a disk image and import that", false}},
	{0, "KDMV", formatError{"is a VMDK image", true}},
	{0, "COWD", formatError{"is a VMDK image", true}},
	{0, "# Disk DescriptorFile", formatError{"is a VMDK descriptor", true}},
	{0x40, "\x7f\x10\xda\xbe", formatError{"is a VDI image", true}},
	{0, "vhdxfile", formatError{"is a VHDX image", true}},
	{0, "conectix", formatError{"is a VHD image", true}},
	{0, "QED\x00", formatError{"is a QED image", true}},
	{0, "LUKS\xba\xbe", formatError{"is encrypted (LUKS)", true}},
	{0, "\x1f\x8b", formatError{"is compressed (gzip); unpack it first", false}},
	{0, "\xfd7zXZ\x00", formatError{"is compressed (xz); unpack it first", false}},
	{0, "\x28\xb5\x2f\xfd", formatError{"is compressed (zstd); unpack it first", false}},
	{0, "BZh", formatError{"is compressed (bzip2); unpack it first", false}},
	{0, "PK\x03\x04", formatError{"is a ZIP archive; unpack it first", false}},
}

// inspect is inspectFile for any source.
func inspect(r io.ReaderAt, size int64) (diskFile, error) {
	head := make([]byte, 33*1024)
	n, err := r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return diskFile{}, err
	}
	head = head[:n]
	if bytes.HasPrefix(head, []byte("QFI\xfb")) {
		capacity, err := qcow2Capacity(head)
		return diskFile{format: "qcow2", capacity: capacity}, err
	}
	for _, f := range foreignFormats {
		if len(head) > f.offset && bytes.HasPrefix(head[f.offset:], []byte(f.magic)) {
			return diskFile{}, &f.formatError
		}
	}
	if !hasBootSector(head) {
		return diskFile{}, &formatError{reason: "is not a bootable disk image (neither qcow2, nor raw with a boot sector or GPT)"}
	}
	return diskFile{format: "raw", capacity: uint64(size)}, nil
}

func hasBootSector(head []byte) bool {
	if len(head) >= 512 && head[510] == 0x55 && head[511] == 0xaa {
		return true
	}
	for _, offset := range []int{512, 4096} { // the second sector, of 512 bytes or 4 KiB
		if len(head) > offset && bytes.HasPrefix(head[offset:], []byte("EFI PART")) {
			return true
		}
	}
	return false
}

// qcow2Capacity reads the header (docs/interop/qcow2.txt of QEMU) and refuses
// images that need anything besides their own file.
func qcow2Capacity(head []byte) (uint64, error) {
	const (
		headerSize      = 72
		featuresEnd     = 80
		featureCorrupt  = 1 << 1
		featureDataFile = 1 << 2
	)
	if len(head) < headerSize {
		return 0, &formatError{reason: "is a qcow2 image that was cut off"}
	}
	version := binary.BigEndian.Uint32(head[4:])
	var features uint64
	if version >= 3 && len(head) >= featuresEnd {
		features = binary.BigEndian.Uint64(head[72:])
	}
	capacity := binary.BigEndian.Uint64(head[24:])
	switch {
	case version < 2:
		return 0, &formatError{"is an image of the old qcow format", true}
	case version > 3:
		return 0, &formatError{fmt.Sprintf("is a qcow2 image of the unknown version %d", version), true}
	case binary.BigEndian.Uint64(head[8:]) != 0:
		return 0, &formatError{"is a qcow2 image with a backing file, without which it is incomplete", true}
	case binary.BigEndian.Uint32(head[32:]) != 0:
		return 0, &formatError{"is an encrypted qcow2 image", true}
	case features&featureDataFile != 0:
		return 0, &formatError{"is a qcow2 image with an external data file, without which it is incomplete", true}
	case features&featureCorrupt != 0:
		return 0, &formatError{reason: "is a qcow2 image marked as corrupt; see qemu-img check -r"}
	case capacity == 0:
		return 0, &formatError{reason: "is an empty qcow2 image"}
	}
	return capacity, nil
}
