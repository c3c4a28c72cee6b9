package demo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/vmscaler/vmscaler/actuator/template/internal/hosttool"
)

const (
	mib        = 1 << 20
	sectorSize = 512

	// The disk: MBR and its gap, a FAT partition that syslinux boots from, and
	// the root file system. Space that nothing is written to costs nothing in
	// the file; clones share the template and grow by what they write.
	bootStart = 1 * mib
	bootSize  = 31 * mib
	rootStart = bootStart + bootSize
	rootSize  = 224 * mib

	rootLabel = "vmscaler-root" // guest/initrd-init looks for it
)

// makeBootPartition writes a FAT file system with boot loader, kernel and
// initrd into a file. syslinux installs itself through mtools: no mount.
func makeBootPartition(ctx context.Context, file string, files map[string]string) error {
	if err := makeSparse(file, bootSize); err != nil {
		return err
	}
	// The boot sector must know where the partition lies on the disk (-H).
	err := hosttool.Run(ctx, nil, "mformat", "-i", file, "-v", "BOOT", "-T", strconv.Itoa(bootSize/sectorSize),
		"-h", "255", "-s", "63", "-H", strconv.Itoa(bootStart/sectorSize), "::")
	if err != nil {
		return err
	}
	for name, from := range files {
		if err := hosttool.Run(ctx, nil, "mcopy", "-i", file, from, "::"+name); err != nil {
			return err
		}
	}
	return hosttool.Run(ctx, nil, "syslinux", "--install", file)
}

// makeRootPartition writes tree as an ext4 file system into disk at rootStart.
func makeRootPartition(ctx context.Context, disk, tree string) error {
	err := hosttool.Run(ctx, nil, "mke2fs", "-q", "-t", "ext4", "-L", rootLabel, "-d", tree,
		"-E", fmt.Sprintf("offset=%d,root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0", rootStart),
		"-m", "0", disk, strconv.Itoa(rootSize/1024)+"k")
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		return nil
	}
	return ownByRoot(ctx, disk, tree)
}

// ownByRoot makes every file in the image root's: mke2fs has copied the owner
// of the staged files, which is whoever builds.
func ownByRoot(ctx context.Context, disk, tree string) error {
	var commands strings.Builder
	err := filepath.WalkDir(tree, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(tree, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&commands, "sif \"/%[1]s\" uid 0\nsif \"/%[1]s\" gid 0\n", rel)
		return nil
	})
	if err != nil {
		return err
	}
	script := disk + ".owners"
	if err := os.WriteFile(script, []byte(commands.String()), 0o644); err != nil {
		return err
	}
	return hosttool.Run(ctx, nil, "debugfs", "-w", "-f", script, fmt.Sprintf("%s?offset=%d", disk, rootStart))
}

// A partition is an entry of the MBR.
type partition struct {
	start, size int64 // bytes
	kind        byte
	active      bool
}

// masterBootRecord is a disk's first sector: boot code and partition table.
// Addresses are linear; the older cylinder fields say "beyond what fits".
func masterBootRecord(code []byte, signature uint32, partitions []partition) ([]byte, error) {
	const tableOffset, entrySize, codeMax = 446, 16, 440
	if len(code) > codeMax {
		return nil, fmt.Errorf("boot code has %d bytes, at most %d fit", len(code), codeMax)
	}
	if len(partitions) > 4 {
		return nil, errors.New("more than four partitions")
	}
	mbr := make([]byte, sectorSize)
	copy(mbr, code)
	binary.LittleEndian.PutUint32(mbr[codeMax:], signature)
	for i, p := range partitions {
		e := mbr[tableOffset+i*entrySize:][:entrySize]
		if p.active {
			e[0] = 0x80
		}
		copy(e[1:4], []byte{0xfe, 0xff, 0xff})
		e[4] = p.kind
		copy(e[5:8], []byte{0xfe, 0xff, 0xff})
		binary.LittleEndian.PutUint32(e[8:], uint32(p.start/sectorSize))
		binary.LittleEndian.PutUint32(e[12:], uint32(p.size/sectorSize))
	}
	mbr[510], mbr[511] = 0x55, 0xaa
	return mbr, nil
}

// assembleDisk makes the raw disk from its parts.
func assembleDisk(ctx context.Context, disk, boot, tree string) error {
	const fat16, linux, signature = 0x0e, 0x83, 0x766d7363
	path, err := hosttool.Find(mbrCode)
	if err != nil {
		return err
	}
	code, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	mbr, err := masterBootRecord(code, signature, []partition{
		{start: bootStart, size: bootSize, kind: fat16, active: true},
		{start: rootStart, size: rootSize, kind: linux},
	})
	if err != nil {
		return err
	}
	if err := makeSparse(disk, rootStart+rootSize); err != nil {
		return err
	}
	if err := makeRootPartition(ctx, disk, tree); err != nil {
		return err
	}
	return writeParts(disk, mbr, boot)
}

func writeParts(disk string, mbr []byte, boot string) (err error) {
	out, err := os.OpenFile(disk, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := out.WriteAt(mbr, 0); err != nil {
		return err
	}
	in, err := os.Open(boot)
	if err != nil {
		return err
	}
	defer in.Close()
	_, err = io.Copy(io.NewOffsetWriter(out, bootStart), in)
	return err
}

func makeSparse(file string, size int64) (err error) {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return f.Truncate(size)
}

// compressDisk converts the raw disk into a compressed qcow2 file. zstd is
// unpacked several times faster than the default.
func compressDisk(ctx context.Context, disk, qcow2 string) error {
	return hosttool.Run(ctx, nil, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c",
		"-o", "compression_type=zstd,lazy_refcounts=off", disk, qcow2)
}
