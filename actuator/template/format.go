package template

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/vmscaler/vmscaler/actuator/template/internal/unpack"
)

// A diskFile is what an image file's own first bytes say about it. qemu-img is
// not asked: given a hostile file it may follow references to others.
type diskFile struct {
	packed   unpack.Kind // how the image is packed, of which nothing else is known then
	format   string      // "qcow2", "raw", or one of other systems
	capacity uint64      // bytes that the guest sees; 0 for those, of which QEMU knows
}

// kind names it for a person.
func (d diskFile) kind() string {
	if d.packed != unpack.None {
		return string(d.packed) + " file"
	}
	return d.format + " image"
}

// A formatError is why an image cannot be a template.
type formatError struct {
	reason  string
	convert string // the format that qemu-img converts it from; "" where that does not help
}

func (e *formatError) Error() string { return e.reason }

// foreignFormats are recognized to be named in the refusal. ISO comes first: its
// images often carry a boot sector too.
var foreignFormats = []struct {
	offset int
	magic  string
	formatError
}{
	{
		32769,
		"CD001",
		formatError{
			"is an ISO 9660 image, which installs a system rather than being one; install it into a disk image and import that",
			"",
		},
	},
	{0, "COWD", formatError{"is a VMDK image of ESX", "vmdk"}},
	{0, "# Disk DescriptorFile", formatError{"is the descriptor of a VMDK image, whose content is in other files", "vmdk"}},
	{0, "WithoutFreeSpace", formatError{"is a Parallels image", "parallels"}},
	{0, "WithouFreSpacExt", formatError{"is a Parallels image", "parallels"}},
	{0, "QED\x00", formatError{"is a QED image", "qed"}},
	{0, "LUKS\xba\xbe", formatError{"is encrypted (LUKS); decrypt it first", ""}},
	{0, "\x04\x22\x4d\x18", formatError{"is an lz4 file; unpack it first: unlz4", ""}},
	{0, "BZh", formatError{"is a bzip2 file; unpack it first: bunzip2", ""}},
	{0, "7z\xbc\xaf\x27\x1c", formatError{"is a 7z archive; unpack it first", ""}},
	{0, "PK\x03\x04", formatError{"is a ZIP archive; unpack it first", ""}},
	{257, "ustar", formatError{"is a tar archive (as an OVA is); unpack it first, and import the disk image in it", ""}},
}

// inspect reads what kind of image a file is, of which head is the start.
func inspect(head []byte, file io.ReaderAt, size int64) (diskFile, error) {
	if size == 0 {
		return diskFile{}, &formatError{reason: "is an empty file"}
	}
	if bytes.HasPrefix(head, []byte(qcow2Magic)) {
		capacity, err := qcow2Capacity(head, size)
		return diskFile{format: "qcow2", capacity: capacity}, err
	}
	for _, f := range foreignFormats {
		if len(head) > f.offset && bytes.HasPrefix(head[f.offset:], []byte(f.magic)) {
			return diskFile{}, &f.formatError
		}
	}
	if kind := unpack.KindOf(head); kind != unpack.None {
		return diskFile{packed: kind}, nil
	}
	if format, err := inspectForeign(head, file, size); format != "" {
		return diskFile{format: format}, err
	}
	if !hasBootSector(head) {
		return diskFile{}, &formatError{
			reason: "is not a bootable disk image (neither qcow2, VMDK, VDI, VHD or VHDX, nor raw with a boot sector or GPT)",
		}
	}
	return diskFile{format: "raw", capacity: uint64(size)}, nil
}

// be32 and be64 read big-endian numbers, as these formats have them.
func be32(b []byte, at int) uint64 { return uint64(binary.BigEndian.Uint32(b[at:])) }

func be64(b []byte, at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }
