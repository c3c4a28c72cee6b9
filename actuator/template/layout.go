package template

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Layout is how a disk is divided, as its first sectors and the first bytes of its partitions tell.
type Layout struct {
	Table      string // "gpt", "mbr", or "none"
	Partitions []Partition
}

// Partition is one part of a disk. The logical ones inside an extended partition are not among them.
type Partition struct {
	Number     int
	Type       string // for people, such as "Linux"; or the type's code
	Start      uint64 // bytes
	Size       uint64 // bytes
	FileSystem string // "" where there is none that is known here
	Label      string // of the file system
}

func (p Partition) String() string {
	text := fmt.Sprintf("%d: %s, %d MiB at %d MiB", p.Number, p.Type, p.Size/mibBytes, p.Start/mibBytes)
	if p.FileSystem != "" {
		text += ", " + p.FileSystem
	}
	if p.Label != "" {
		text += fmt.Sprintf(" %q", p.Label)
	}
	return text
}

// ReadLayout looks into the file of a template on this machine. It reads some sectors, and mounts nothing.
func ReadLayout(ctx context.Context, path string) (l Layout, err error) {
	s, err := openSource(path)
	if err != nil {
		return Layout{}, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	dir, err := os.MkdirTemp("", "vmscaler-look-")
	if err != nil {
		return Layout{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	head, err := diskBytes(ctx, s, dir, 0, headSize)
	if err != nil {
		return Layout{}, err
	}
	l = layoutOf(head)
	for i := range l.Partitions {
		p := &l.Partitions[i]
		if p.Start > s.disk.capacity {
			continue
		}
		first, err := diskBytes(ctx, s, dir, p.Start, fileSystemHead)
		if err != nil {
			return Layout{}, err
		}
		p.FileSystem, p.Label = fileSystemOf(first)
	}
	return l, nil
}

const sector = 512

// diskBytes are some bytes of the disk in an image; size and at are whole sectors.
func diskBytes(ctx context.Context, s *source, dir string, at, size uint64) ([]byte, error) {
	out := filepath.Join(dir, "part")
	_, err := look(ctx, s.file, "dd", "-U", "-f", s.disk.format, "-O", "raw", "bs="+strconv.Itoa(sector),
		"skip="+strconv.FormatUint(at/sector, 10), "count="+strconv.FormatUint((at+size)/sector, 10), "if="+sourcePath, "of="+out)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.path, err)
	}
	return os.ReadFile(out)
}

// What partitions are mostly, by their types.
var (
	mbrTypes = map[byte]string{
		0x05: "extended", 0x0f: "extended", 0x85: "extended", 0x06: "FAT16", 0x0e: "FAT16", 0x0b: "FAT32", 0x0c: "FAT32", 0x07: "NTFS",
		0x82: "Linux swap", 0x83: "Linux", 0x8e: "LVM", 0xa5: "FreeBSD", 0xfd: "Linux RAID", mbrTypeESP: "EFI system",
	}
	gptTypes = map[string]string{
		"c12a7328-f81f-11d2-ba4b-00a0c93ec93b": "EFI system", "21686148-6449-6e6f-744e-656564454649": "BIOS boot",
		"0fc63daf-8483-4772-8e79-3d69d8477de4": "Linux", "4f68bce3-e8cd-4db1-96e7-fbcaf984b709": "Linux root",
		"bc13c2ff-59e6-4262-a352-b275fd6f7172": "Linux boot", "0657fd6d-a4ab-43c4-84e5-0933c84b4f4f": "Linux swap",
		"e6d6d379-f507-44c2-a23c-238f2a3df928": "LVM", "ebd0a0a2-b9e5-4433-87c0-68b6b72699c7": "Microsoft basic data",
	}
)

// layoutOf reads the partition table of a disk, of which head is the start.
func layoutOf(head []byte) Layout {
	if l, ok := gptLayout(head); ok {
		return l
	}
	l := Layout{Table: "none"}
	if !hasSignature(head) {
		return l
	}
	for i := range 4 {
		e := head[mbrEntries+i*mbrEntrySize:]
		start, size := binary.LittleEndian.Uint32(e[8:]), binary.LittleEndian.Uint32(e[12:])
		if e[4] == 0 || size == 0 {
			continue
		}
		kind := mbrTypes[e[4]]
		if kind == "" {
			kind = fmt.Sprintf("type 0x%02x", e[4])
		}
		l.Table = "mbr"
		l.Partitions = append(l.Partitions, Partition{
			Number: i + 1, Type: kind, Start: uint64(start) * sector, Size: uint64(size) * sector,
		})
	}
	return l
}

func gptLayout(head []byte) (Layout, bool) {
	for _, size := range gptSector {
		if len(head) < size+92 || !bytes.HasPrefix(head[size:], []byte("EFI PART")) {
			continue
		}
		l := Layout{Table: "gpt"}
		block := uint64(size)
		at := binary.LittleEndian.Uint64(head[size+72:])
		count, entry := binary.LittleEndian.Uint32(head[size+80:]), uint64(binary.LittleEndian.Uint32(head[size+84:]))
		if entry < 128 || entry > headSize || at > headSize {
			return l, true
		}
		at *= block
		for i := 0; uint64(i) < uint64(count) && at+entry <= uint64(len(head)); i, at = i+1, at+entry {
			e := head[at:]
			first, last := binary.LittleEndian.Uint64(e[32:]), binary.LittleEndian.Uint64(e[40:])
			const far = 1 << 48 // in blocks, beyond any disk
			if len(bytes.Trim(e[:16], "\x00")) == 0 || last < first || last > far {
				continue
			}
			id := guid(e[:16])
			kind := gptTypes[id]
			if kind == "" {
				kind = "type " + id
			}
			l.Partitions = append(l.Partitions, Partition{
				Number: i + 1, Type: kind, Start: first * block, Size: (last - first + 1) * block,
			})
		}
		return l, true
	}
	return Layout{}, false
}

// guid is one in the usual way of writing, of which the first three parts are turned around on the disk.
func guid(b []byte) string {
	turned := slices.Concat([]byte{b[3], b[2], b[1], b[0], b[5], b[4], b[7], b[6]}, b[8:16])
	x := hex.EncodeToString(turned)
	return x[:8] + "-" + x[8:12] + "-" + x[12:16] + "-" + x[16:20] + "-" + x[20:]
}

// fileSystemHead is how much of a partition is looked at.
const fileSystemHead = 68 * 1024

// fileSystemOf reports what begins with some bytes, and its label; "" where that is not known here.
func fileSystemOf(head []byte) (kind, label string) {
	text := func(at, size int) string {
		if len(head) < at+size {
			return ""
		}
		name, _, _ := bytes.Cut(head[at:at+size], []byte{0})
		return strings.TrimSpace(strings.ToValidUTF8(string(name), "\uFFFD"))
	}
	has := func(at int, magic string) bool {
		return len(head) >= at+len(magic) && string(head[at:at+len(magic)]) == magic
	}
	const ext = 1024 // where the superblock of ext2, 3 and 4 is
	switch {
	case has(ext+56, "\x53\xef"):
		kind = "ext2"
		if len(head) > ext+100 {
			switch compatible, incompatible := binary.LittleEndian.Uint32(head[ext+92:]), binary.LittleEndian.Uint32(head[ext+96:]); {
			case incompatible&0x40 != 0: // extents
				kind = "ext4"
			case compatible&0x4 != 0: // a journal
				kind = "ext3"
			}
		}
		return kind, text(ext+120, 16)
	case has(0, "XFSB"):
		return "xfs", text(108, 12)
	case has(64*1024+64, "_BHRfS_M"):
		return "btrfs", text(64*1024+299, 256)
	case has(54, "FAT1"):
		return "vfat", fatLabel(text(43, 11))
	case has(82, "FAT32"):
		return "vfat", fatLabel(text(71, 11))
	case has(3, "NTFS"):
		return "ntfs", ""
	case has(4086, "SWAPSPACE2"):
		return "swap", text(1024+28, 16)
	case has(0, "LUKS\xba\xbe"):
		return "luks", ""
	case has(512, "LABELONE"), has(536, "LVM2 001"):
		return "lvm", ""
	case has(0, "hsqs"):
		return "squashfs", ""
	}
	return "", ""
}

func fatLabel(label string) string {
	if label == "NO NAME" {
		return ""
	}
	return label
}
