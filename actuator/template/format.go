package template

import (
	"bytes"
	"encoding/binary"
	"io"
)

// A diskFile is what an image file's own first bytes say about it. qemu-img is
// not asked: given a hostile file it may follow references to others.
type diskFile struct {
	format   string // "qcow2" or "raw"
	capacity uint64 // bytes that the guest sees
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
	{0, "KDMV", formatError{"is a VMDK image", "vmdk"}},
	{0, "COWD", formatError{"is a VMDK image", "vmdk"}},
	{0, "# Disk DescriptorFile", formatError{"is the descriptor of a VMDK image, whose content is in other files", "vmdk"}},
	{0x40, "\x7f\x10\xda\xbe", formatError{"is a VDI image", "vdi"}},
	{0, "vhdxfile", formatError{"is a VHDX image", "vhdx"}},
	{0, "conectix", formatError{"is a VHD image", "vpc"}},
	{0, "WithoutFreeSpace", formatError{"is a Parallels image", "parallels"}},
	{0, "WithouFreSpacExt", formatError{"is a Parallels image", "parallels"}},
	{0, "QED\x00", formatError{"is a QED image", "qed"}},
	{0, "LUKS\xba\xbe", formatError{"is encrypted (LUKS); decrypt it first", ""}},
	{0, "\x1f\x8b", formatError{"is a gzip file; unpack it first: gunzip", ""}},
	{0, "\xfd7zXZ\x00", formatError{"is an xz file; unpack it first: unxz", ""}},
	{0, "\x28\xb5\x2f\xfd", formatError{"is a zstd file; unpack it first: unzstd", ""}},
	{0, "\x04\x22\x4d\x18", formatError{"is an lz4 file; unpack it first: unlz4", ""}},
	{0, "BZh", formatError{"is a bzip2 file; unpack it first: bunzip2", ""}},
	{0, "7z\xbc\xaf\x27\x1c", formatError{"is a 7z archive; unpack it first", ""}},
	{0, "PK\x03\x04", formatError{"is a ZIP archive; unpack it first", ""}},
	{257, "ustar", formatError{"is a tar archive (as an OVA is); unpack it first, and import the disk image in it", ""}},
}

// A fixed VHD image is a raw one with a footer.
const (
	vhdFooter = 512
	vhdMagic  = "conectix"
)

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
	if size > vhdFooter {
		footer := make([]byte, len(vhdMagic))
		if _, err := file.ReadAt(footer, size-vhdFooter); err == nil && string(footer) == vhdMagic {
			return diskFile{}, &formatError{"is a VHD image", "vpc"}
		}
	}
	if !hasBootSector(head) {
		return diskFile{}, &formatError{reason: "is not a bootable disk image (neither qcow2, nor raw with a boot sector or GPT)"}
	}
	return diskFile{format: "raw", capacity: uint64(size)}, nil
}

// be32 and be64 read big-endian numbers, as these formats have them.
func be32(b []byte, at int) uint64 { return uint64(binary.BigEndian.Uint32(b[at:])) }

func be64(b []byte, at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }
