package template

import "fmt"

// qcow2Magic is how a qcow2 file begins.
const qcow2Magic = "QFI\xfb"

// The bounds that QEMU sets itself (block/qcow2.h).
const (
	minClusterBits   = 9
	maxClusterBits   = 21
	maxL1Bytes       = 32 << 20
	maxRefcountBytes = 8 << 20
	maxRefcountOrder = 6
)

// The lengths of a header of version 2, and at least of version 3.
const (
	headerSize2 = 72
	headerSize3 = 104
)

// The incompatible features.
const (
	featureDirty      = 1 << 0
	featureCorrupt    = 1 << 1
	featureDataFile   = 1 << 2
	featureExtendedL2 = 1 << 4
	featuresKnown     = 1<<5 - 1 // with bit 3, the compression type
)

// qcow2Head is what this package looks at of an image's header (docs/interop/qcow2.txt of QEMU).
type qcow2Head struct {
	version          uint64
	backing          uint64 // where the backing file's name is; 0 is none
	clusterBits      uint64
	capacity         uint64 // bytes that the guest sees
	encryption       uint64 // 0 is none
	l1Entries, l1At  uint64
	refcountsAt      uint64
	refcountClusters uint64
	snapshots        uint64
	features         uint64 // 0 before version 3, as what follows
	refcountOrder    uint64
	length           uint64 // of the header itself
}

// qcow2Capacity reads the header. It refuses images that need anything besides their own file, and those that QEMU would refuse:
// libvirt believes a header, and VMs would fail to start later.
func qcow2Capacity(head []byte, fileSize int64) (uint64, error) {
	h, err := readQcow2(head)
	if err == nil {
		err = h.checkAlone()
	}
	if err == nil {
		err = h.checkTables(uint64(fileSize))
	}
	if err != nil {
		return 0, err
	}
	return h.capacity, nil
}

// readQcow2 reads the header of a version that is known.
func readQcow2(head []byte) (qcow2Head, error) {
	cutOff := &formatError{reason: "is a qcow2 image that was cut off"}
	if len(head) < headerSize2 {
		return qcow2Head{}, cutOff
	}
	u32 := func(at int) uint64 { return be32(head, at) }
	u64 := func(at int) uint64 { return be64(head, at) }
	h := qcow2Head{
		version: u32(4), backing: u64(8), clusterBits: u32(20), capacity: u64(24), encryption: u32(32), l1Entries: u32(36),
		l1At: u64(40), refcountsAt: u64(48), refcountClusters: u32(56), snapshots: u32(60),
	}
	switch {
	case h.version == 1:
		return h, &formatError{"is an image of the old qcow format", "qcow"}
	case h.version < 2:
		return h, damagedQcow2("version %d", h.version)
	case h.version > 3:
		return h, &formatError{reason: fmt.Sprintf("is a qcow2 image of the unknown version %d", h.version)}
	case h.version == 3 && len(head) < headerSize3:
		return h, cutOff
	case h.version == 3:
		h.features, h.refcountOrder, h.length = u64(72), u32(96), u32(100)
	}
	return h, nil
}

// checkAlone refuses an image that needs more than its own file, or that carries more than one disk.
func (h qcow2Head) checkAlone() error {
	switch {
	case h.backing != 0:
		return &formatError{"is a qcow2 image with a backing file, without which it is incomplete", "qcow2"}
	case h.encryption != 0:
		return &formatError{reason: "is an encrypted qcow2 image; decrypt it first"}
	case h.features&featureDataFile != 0:
		return &formatError{"is a qcow2 image with an external data file, without which it is incomplete", "qcow2"}
	case h.features&featureCorrupt != 0:
		return &formatError{reason: "is a qcow2 image marked as corrupt; see qemu-img check -r"}
	case h.features&^featuresKnown != 0:
		return &formatError{
			reason: fmt.Sprintf("is a qcow2 image that needs features that are not known here (%#x)", h.features&^featuresKnown),
		}
	case h.features&featureDirty != 0:
		return &formatError{
			reason: "is a qcow2 image that was not closed: a VM uses it, or ended without closing it; shut the VM down, or see " +
				"qemu-img check -r all",
		}
	case h.snapshots != 0:
		return &formatError{
			fmt.Sprintf("is a qcow2 image with %d internal snapshots, which every VM would carry along", h.snapshots), "qcow2",
		}
	case h.capacity == 0:
		return &formatError{reason: "is a qcow2 image of an empty disk"}
	}
	return nil
}

// checkTables refuses sizes and places that QEMU does not accept.
func (h qcow2Head) checkTables(fileSize uint64) error {
	if h.clusterBits < minClusterBits || h.clusterBits > maxClusterBits {
		return damagedQcow2("cluster_bits %d, want %d to %d", h.clusterBits, minClusterBits, maxClusterBits)
	}
	cluster, entry := uint64(1)<<h.clusterBits, uint64(8)
	if h.features&featureExtendedL2 != 0 {
		entry = 16
	}
	perL1Entry := cluster / entry * cluster // bytes of the guest's disk
	wantL1 := h.capacity / perL1Entry
	if h.capacity%perL1Entry != 0 {
		wantL1++
	}
	switch {
	case h.version == 3 && (h.length < headerSize3 || h.length > cluster):
		return damagedQcow2("header_length %d", h.length)
	case h.refcountOrder > maxRefcountOrder:
		return damagedQcow2("refcount_order %d, want at most %d", h.refcountOrder, maxRefcountOrder)
	case h.l1Entries*8 > maxL1Bytes:
		return damagedQcow2("l1_size %d, want at most %d", h.l1Entries, maxL1Bytes/8)
	case h.l1Entries < wantL1:
		return damagedQcow2("l1_size %d, want %d for a disk of %d bytes", h.l1Entries, wantL1, h.capacity)
	case h.l1At%cluster != 0 || h.refcountsAt%cluster != 0 || h.l1At == 0 || h.refcountsAt == 0:
		return damagedQcow2("its tables are not where a cluster begins")
	case h.refcountClusters == 0 || h.refcountClusters > maxRefcountBytes/cluster:
		return damagedQcow2("refcount_table_clusters %d", h.refcountClusters)
	case h.l1At > fileSize || h.refcountsAt > fileSize:
		return &formatError{reason: "is a qcow2 image that was cut off: its tables are beyond its end"}
	}
	return nil
}

func damagedQcow2(format string, args ...any) error {
	return &formatError{reason: "is a damaged qcow2 image: " + fmt.Sprintf(format, args...)}
}
