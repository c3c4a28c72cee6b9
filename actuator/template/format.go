package template

import (
	"bytes"
	"encoding/binary"
	"fmt"
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

// qcow2Magic is how a qcow2 file begins.
const qcow2Magic = "QFI\xfb"

func be32(b []byte, at int) uint64 { return uint64(binary.BigEndian.Uint32(b[at:])) }

func be64(b []byte, at int) uint64 { return binary.BigEndian.Uint64(b[at:]) }

// The bounds that QEMU sets itself (block/qcow2.h).
const (
	minClusterBits   = 9
	maxClusterBits   = 21
	maxL1Bytes       = 32 << 20
	maxRefcountBytes = 8 << 20
	maxRefcountOrder = 6
)

// qcow2Capacity reads the header (docs/interop/qcow2.txt of QEMU). It refuses images that need anything besides their own file,
// and those that QEMU would refuse: libvirt believes a header, and VMs would fail to start later.
func qcow2Capacity(head []byte, fileSize int64) (uint64, error) {
	const (
		headerSize2       = 72
		headerSize3       = 104
		featureDirty      = 1 << 0
		featureCorrupt    = 1 << 1
		featureDataFile   = 1 << 2
		featureExtendedL2 = 1 << 4
		featuresKnown     = 1<<5 - 1 // with bit 3, the compression type
	)
	if len(head) < headerSize2 {
		return 0, &formatError{reason: "is a qcow2 image that was cut off"}
	}
	u32 := func(at int) uint64 { return be32(head, at) }
	u64 := func(at int) uint64 { return be64(head, at) }
	damaged := func(format string, args ...any) (uint64, error) {
		return 0, &formatError{reason: "is a damaged qcow2 image: " + fmt.Sprintf(format, args...)}
	}
	version, capacity, clusterBits := u32(4), u64(24), u32(20)
	var features uint64
	switch {
	case version == 1:
		return 0, &formatError{"is an image of the old qcow format", "qcow"}
	case version < 2:
		return damaged("version %d", version)
	case version > 3:
		return 0, &formatError{reason: fmt.Sprintf("is a qcow2 image of the unknown version %d", version)}
	case version == 3 && len(head) < headerSize3:
		return 0, &formatError{reason: "is a qcow2 image that was cut off"}
	case version == 3:
		features = u64(72)
	}
	switch {
	case u64(8) != 0:
		return 0, &formatError{"is a qcow2 image with a backing file, without which it is incomplete", "qcow2"}
	case u32(32) != 0:
		return 0, &formatError{reason: "is an encrypted qcow2 image; decrypt it first"}
	case features&featureDataFile != 0:
		return 0, &formatError{"is a qcow2 image with an external data file, without which it is incomplete", "qcow2"}
	case features&featureCorrupt != 0:
		return 0, &formatError{reason: "is a qcow2 image marked as corrupt; see qemu-img check -r"}
	case features&^featuresKnown != 0:
		return 0, &formatError{
			reason: fmt.Sprintf("is a qcow2 image that needs features that are not known here (%#x)", features&^featuresKnown),
		}
	case features&featureDirty != 0:
		return 0, &formatError{
			reason: "is a qcow2 image that was not closed: a VM uses it, or ended without closing it; shut the VM down, or see " +
				"qemu-img check -r all",
		}
	case u32(60) != 0:
		return 0, &formatError{
			fmt.Sprintf("is a qcow2 image with %d internal snapshots, which every VM would carry along", u32(60)),
			"qcow2",
		}
	case capacity == 0:
		return 0, &formatError{reason: "is a qcow2 image of an empty disk"}
	case clusterBits < minClusterBits || clusterBits > maxClusterBits:
		return damaged("cluster_bits %d, want %d to %d", clusterBits, minClusterBits, maxClusterBits)
	}
	cluster, entry := uint64(1)<<clusterBits, uint64(8)
	if features&featureExtendedL2 != 0 {
		entry = 16
	}
	l1Entries, l1At, refcountsAt, refcountClusters := u32(36), u64(40), u64(48), u32(56)
	perL1Entry := cluster / entry * cluster // bytes of the guest's disk
	wantL1 := capacity / perL1Entry
	if capacity%perL1Entry != 0 {
		wantL1++
	}
	switch {
	case version == 3 && (u32(100) < headerSize3 || u32(100) > cluster):
		return damaged("header_length %d", u32(100))
	case version == 3 && u32(96) > maxRefcountOrder:
		return damaged("refcount_order %d, want at most %d", u32(96), maxRefcountOrder)
	case l1Entries*8 > maxL1Bytes:
		return damaged("l1_size %d, want at most %d", l1Entries, maxL1Bytes/8)
	case l1Entries < wantL1:
		return damaged("l1_size %d, want %d for a disk of %d bytes", l1Entries, wantL1, capacity)
	case l1At%cluster != 0 || refcountsAt%cluster != 0 || l1At == 0 || refcountsAt == 0:
		return damaged("its tables are not where a cluster begins")
	case refcountClusters == 0 || refcountClusters > maxRefcountBytes/cluster:
		return damaged("refcount_table_clusters %d", refcountClusters)
	case l1At > uint64(fileSize) || refcountsAt > uint64(fileSize):
		return 0, &formatError{reason: "is a qcow2 image that was cut off: its tables are beyond its end"}
	}
	return capacity, nil
}
