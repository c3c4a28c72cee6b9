package ext4

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
)

// ErrUnsupported is that a file system has what this package does not know.
var ErrUnsupported = errors.New("not supported")

func unsupported(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrUnsupported, fmt.Sprintf(format, args...))
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("the file system is damaged: %s", fmt.Sprintf(format, args...))
}

// Where things are in the superblock, and what is looked at of it (Documentation/filesystems/ext4 of Linux).
const (
	superblockAt   = 1024
	superblockSize = 1024
	magic          = 0xef53

	incompatMetaGroups = 0x10
	incompat64Bit      = 0x80
	// File types, a journal to be replayed, extents, 64 bits, MMP, flexible groups, checksum seed, large folders; and inline or
	// encrypted content, which each file that has it says.
	incompatKnown = 0x2 | 0x4 | 0x40 | incompat64Bit | 0x100 | 0x200 | 0x2000 | 0x4000 | 0x8000 | 0x10000
)

// The bounds of what is read.
const (
	maxFolder = 1 << 20 // bytes
	maxDepth  = 5       // of a tree of extents
	rootInode = 2
)

// FS is a file system.
type FS struct {
	r              io.ReaderAt
	blockSize      int64
	blocks         int64
	firstBlock     int64
	inodes         uint32
	inodesPerGroup uint32
	inodeSize      int64
	descSize       int64
	wide           bool // group descriptors of 64 bits
}

// Open reads the superblock of the file system that begins where r does.
func Open(r io.ReaderAt) (*FS, error) {
	b := make([]byte, superblockSize)
	if _, err := r.ReadAt(b, superblockAt); err != nil {
		return nil, fmt.Errorf("read the superblock: %w", err)
	}
	le := binary.LittleEndian
	if le.Uint16(b[0x38:]) != magic {
		return nil, errors.New("found no ext2, ext3 or ext4 file system")
	}
	logBlock, incompat := le.Uint32(b[0x18:]), le.Uint32(b[0x60:])
	if le.Uint32(b[0x4c:]) == 0 {
		return nil, unsupported("revision 0")
	}
	if incompat&incompatMetaGroups != 0 || incompat&^incompatKnown != 0 {
		return nil, unsupported("the features %#x", incompat)
	}
	const largestLog = 6 // 64 KiB
	if logBlock > largestLog {
		return nil, damaged("log_block_size %d", logBlock)
	}
	f := &FS{
		r: r, blockSize: 1024 << logBlock, blocks: int64(le.Uint32(b[4:])), firstBlock: int64(le.Uint32(b[0x14:])),
		inodes: le.Uint32(b), inodesPerGroup: le.Uint32(b[0x28:]), inodeSize: int64(le.Uint16(b[0x58:])), descSize: 32,
	}
	if incompat&incompat64Bit != 0 {
		f.descSize, f.wide = int64(le.Uint16(b[0xfe:])), true
		f.blocks |= int64(le.Uint32(b[0x150:])) << 32
	}
	switch {
	case f.inodesPerGroup == 0:
		return nil, damaged("inodes_per_group 0")
	case f.inodeSize < 128 || f.inodeSize > f.blockSize:
		return nil, damaged("inode_size %d", f.inodeSize)
	case f.descSize < 32 || f.descSize > 1024 || f.wide && f.descSize < 64:
		return nil, damaged("desc_size %d", f.descSize)
	case f.blocks <= 0 || f.blocks > 1<<44:
		return nil, damaged("blocks_count %d", f.blocks)
	}
	return f, nil
}

// block reads one.
func (f *FS) block(n int64) ([]byte, error) {
	if n <= 0 && f.firstBlock > 0 || n < 0 || n >= f.blocks {
		return nil, damaged("block %d of %d", n, f.blocks)
	}
	b := make([]byte, f.blockSize)
	if _, err := f.r.ReadAt(b, n*f.blockSize); err != nil {
		return nil, fmt.Errorf("read block %d: %w", n, err)
	}
	return b, nil
}

// inode is a file, a folder or something else.
type inode struct {
	mode  uint16
	flags uint32
	size  int64
	data  []byte // 60 bytes that tell where its content is
}

const (
	modeType   = 0xf000
	modeFolder = 0x4000
	modeFile   = 0x8000
	modeLink   = 0xa000

	flagExtents   = 0x80000
	flagInline    = 0x10000000
	flagEncrypted = 0x800
)

func (f *FS) inode(n uint32) (inode, error) {
	if n == 0 || n > f.inodes {
		return inode{}, damaged("inode %d of %d", n, f.inodes)
	}
	group, index := int64((n-1)/f.inodesPerGroup), int64((n-1)%f.inodesPerGroup)
	desc := make([]byte, f.descSize)
	if _, err := f.r.ReadAt(desc, (f.firstBlock+1)*f.blockSize+group*f.descSize); err != nil {
		return inode{}, fmt.Errorf("read group %d: %w", group, err)
	}
	le := binary.LittleEndian
	table := int64(le.Uint32(desc[8:]))
	if f.wide {
		table |= int64(le.Uint32(desc[0x28:])) << 32
	}
	if table <= 0 || table >= f.blocks {
		return inode{}, damaged("the inodes of group %d at block %d of %d", group, table, f.blocks)
	}
	b := make([]byte, 128)
	if _, err := f.r.ReadAt(b, table*f.blockSize+index*f.inodeSize); err != nil {
		return inode{}, fmt.Errorf("read inode %d: %w", n, err)
	}
	i := inode{
		mode: le.Uint16(b), flags: le.Uint32(b[0x20:]), data: b[0x28:0x64],
		size: int64(le.Uint32(b[4:])) | int64(le.Uint32(b[0x6c:]))<<32,
	}
	if i.flags&(flagInline|flagEncrypted) != 0 {
		return inode{}, unsupported("inline or encrypted content")
	}
	return i, nil
}

// content reads all of it, of at most so many bytes.
func (f *FS) content(i inode, limit int64) ([]byte, error) {
	if i.size < 0 || i.size > limit {
		return nil, unsupported("%d bytes, want at most %d", i.size, limit)
	}
	b := make([]byte, 0, i.size)
	for n := int64(0); int64(len(b)) < i.size; n++ {
		at, err := f.locate(i, n)
		if err != nil {
			return nil, err
		}
		block := make([]byte, f.blockSize) // of a hole
		if at != 0 {
			if block, err = f.block(at); err != nil {
				return nil, err
			}
		}
		b = append(b, block[:min(f.blockSize, i.size-int64(len(b)))]...)
	}
	return b, nil
}

// locate tells where the nth block of a content is; 0 for a hole.
func (f *FS) locate(i inode, n int64) (int64, error) {
	if i.flags&flagExtents != 0 {
		return f.extent(i.data, n, maxDepth)
	}
	const direct, pointer = 12, 4
	if n < direct {
		return int64(binary.LittleEndian.Uint32(i.data[pointer*n:])), nil
	}
	if n -= direct; n >= f.blockSize/pointer {
		return 0, unsupported("over %d blocks without extents", direct+f.blockSize/pointer)
	}
	indirect := int64(binary.LittleEndian.Uint32(i.data[pointer*direct:]))
	if indirect == 0 {
		return 0, nil
	}
	pointers, err := f.block(indirect)
	if err != nil {
		return 0, err
	}
	return int64(binary.LittleEndian.Uint32(pointers[pointer*n:])), nil
}

// extent looks for a block in a node of the tree of extents.
func (f *FS) extent(node []byte, n int64, depth int) (int64, error) {
	const (
		nodeMagic = 0xf30a
		entrySize = 12
		written   = 1 << 15 // longer ones are not written yet, and so zeroes
	)
	le := binary.LittleEndian
	if le.Uint16(node) != nodeMagic || depth == 0 {
		return 0, damaged("a node of extents")
	}
	entries, leaf := int(le.Uint16(node[2:])), le.Uint16(node[6:]) == 0
	if (entries+1)*entrySize > len(node) {
		return 0, damaged("%d extents in %d bytes", entries, len(node))
	}
	below := int64(0)
	for k := range entries {
		e := node[(k+1)*entrySize:]
		first := int64(le.Uint32(e))
		if first > n {
			break
		}
		if !leaf {
			below = int64(le.Uint32(e[4:])) | int64(le.Uint16(e[8:]))<<32
			continue
		}
		length := int64(le.Uint16(e[4:]))
		if length <= written && n < first+length {
			return (int64(le.Uint16(e[6:]))<<32 | int64(le.Uint32(e[8:]))) + n - first, nil
		}
	}
	if below == 0 {
		return 0, nil
	}
	next, err := f.block(below)
	if err != nil {
		return 0, err
	}
	return f.extent(next, n, depth-1)
}

// folder calls each for what a folder has, until it returns false.
func (f *FS) folder(i inode, each func(name string, inode uint32) bool) error {
	if i.mode&modeType != modeFolder {
		return unsupported("no folder")
	}
	b, err := f.content(i, maxFolder)
	if err != nil {
		return err
	}
	const head = 8
	for len(b) >= head {
		n, length, name := binary.LittleEndian.Uint32(b), int(binary.LittleEndian.Uint16(b[4:])), int(b[6])
		if length < head || length > len(b) || head+name > length {
			return damaged("an entry of a folder of %d bytes with a name of %d", length, name)
		}
		if n != 0 && !each(string(b[head:head+name]), n) {
			return nil
		}
		b = b[length:]
	}
	return nil
}

// find follows a path from the root.
func (f *FS) find(path string) (inode, error) {
	i, err := f.inode(rootInode)
	for part := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if err != nil {
			return inode{}, err
		}
		next := uint32(0)
		if err := f.folder(i, func(name string, n uint32) bool {
			if name == part {
				next = n
			}
			return next == 0
		}); err != nil {
			return inode{}, err
		}
		if next == 0 {
			return inode{}, fmt.Errorf("%s: %w", path, fs.ErrNotExist)
		}
		if i, err = f.inode(next); err == nil && i.mode&modeType == modeLink {
			return inode{}, unsupported("%s is a symbolic link", part)
		}
	}
	return i, err
}

// ReadFile reads a regular file of at most so many bytes. The error is fs.ErrNotExist where there is none.
func (f *FS) ReadFile(path string, limit int64) ([]byte, error) {
	i, err := f.find(path)
	if err != nil {
		return nil, err
	}
	if i.mode&modeType != modeFile {
		return nil, unsupported("%s is no regular file", path)
	}
	return f.content(i, limit)
}

// ReadNames reads the names in a folder. The error is fs.ErrNotExist where there is none.
func (f *FS) ReadNames(path string) ([]string, error) {
	i, err := f.find(path)
	if err != nil {
		return nil, err
	}
	var names []string
	err = f.folder(i, func(name string, _ uint32) bool {
		if name != "." && name != ".." {
			names = append(names, name)
		}
		return true
	})
	return names, err
}
