package seed

import (
	"encoding/binary"
	"fmt"
)

// The layout is fixed, as all files are in the root folder: descriptors, two path tables, the folder, the files. Names keep
// lower-case letters and '-', which ISO 9660 does not allow and every reader accepts: without extensions it is the only way to
// have a file called "meta-data".
const (
	sector         = 2048 // bytes
	primarySector  = 16
	endSector      = 17
	littleTable    = 18
	bigTable       = 19
	rootSector     = 20
	firstFile      = 21
	pathTableBytes = 10
)

// file is a file in an image.
type file struct {
	name string // at most 30 bytes, without '.'
	data []byte
}

// image returns an ISO 9660 file system with the files, which must be sorted by name. It is built in memory, as its content may
// be secret.
func image(label string, files []file) []byte {
	sectors := firstFile
	for _, f := range files {
		sectors += sectorsOf(len(f.data))
	}
	out := make([]byte, sectors*sector)
	at := func(n int) []byte { return out[n*sector : (n+1)*sector] }

	root := append(record(rootSector, sector, "\x00", true), record(rootSector, sector, "\x01", true)...)
	next := firstFile
	for _, f := range files {
		root = append(root, record(next, len(f.data), f.name+";1", false)...)
		copy(out[next*sector:], f.data)
		next += sectorsOf(len(f.data))
	}
	if len(root) > sector {
		panic("a seed with too many files") // there are at most four
	}
	copy(at(rootSector), root)
	copy(at(littleTable), pathTable(binary.LittleEndian))
	copy(at(bigTable), pathTable(binary.BigEndian))
	describe(at(primarySector), label, sectors)
	copy(at(endSector), "\xffCD001\x01")
	return out
}

func sectorsOf(bytes int) int { return (bytes + sector - 1) / sector }

// describe fills in the primary volume descriptor. Times are left unset, so that the same files always give the same image.
func describe(d []byte, label string, sectors int) {
	copy(d, "\x01CD001\x01")
	fill(d[8:40], "")
	fill(d[40:72], label)
	both32(d[80:], sectors)
	both16(d[120:], 1) // volumes in the set
	both16(d[124:], 1) // of which this is the first
	both16(d[128:], sector)
	both32(d[132:], pathTableBytes)
	binary.LittleEndian.PutUint32(d[140:], littleTable)
	binary.BigEndian.PutUint32(d[148:], bigTable)
	copy(d[156:190], record(rootSector, sector, "\x00", true))
	fill(d[190:813], "") // names of people, programs and files
	for _, date := range []int{813, 830, 847, 864} {
		copy(d[date:], "0000000000000000\x00")
	}
	d[881] = 1 // version of the structure
}

// record returns the directory record of a file.
func record(start, bytes int, name string, folder bool) []byte {
	size := 33 + len(name)
	size += size % 2
	r := make([]byte, size)
	r[0] = byte(size)
	both32(r[2:], start)
	both32(r[10:], bytes)
	if folder {
		r[25] = 2
	}
	both16(r[28:], 1)
	r[32] = byte(len(name))
	copy(r[33:], name)
	return r
}

// pathTable returns the path table of the root folder, which is its own parent.
func pathTable(order binary.ByteOrder) []byte {
	t := make([]byte, pathTableBytes)
	t[0] = 1
	order.PutUint32(t[2:], rootSector)
	order.PutUint16(t[6:], 1)
	return t
}

func fill(field []byte, text string) { copy(field, fmt.Sprintf("%-*s", len(field), text)) }

func both16(b []byte, n int) {
	binary.LittleEndian.PutUint16(b, uint16(n))
	binary.BigEndian.PutUint16(b[2:], uint16(n))
}

func both32(b []byte, n int) {
	binary.LittleEndian.PutUint32(b, uint32(n))
	binary.BigEndian.PutUint32(b[4:], uint32(n))
}
