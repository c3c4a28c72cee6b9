package demo

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
)

// A cpioEntry is one file of an initrd; the mode has its type in it, as Unix has it.
type cpioEntry struct {
	name string
	mode uint32
	data []byte
}

const (
	unixDir     = 0o040000
	unixRegular = 0o100000
	cpioEnd     = "TRAILER!!!"
)

// writeInitrd writes entries as a gzipped cpio archive in the "newc" format,
// the only one that every kernel unpacks. Parents come before children.
// Everything belongs to root, whoever builds.
func writeInitrd(w io.Writer, entries []cpioEntry) error {
	var archive bytes.Buffer
	for i, e := range append(entries, cpioEntry{name: cpioEnd}) {
		// magic, inode, mode, uid, gid, links, mtime, size, device (2), special device (2), name size, checksum
		fmt.Fprintf(&archive, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X",
			i+1, e.mode, 0, 0, 1, 0, len(e.data), 0, 0, 0, 0, len(e.name)+1, 0)
		archive.WriteString(e.name + "\x00")
		pad4(&archive)
		archive.Write(e.data)
		pad4(&archive)
	}
	z := gzip.NewWriter(w)
	if _, err := z.Write(archive.Bytes()); err != nil {
		return fmt.Errorf("write initrd: %w", err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("write initrd: %w", err)
	}
	return nil
}

func pad4(b *bytes.Buffer) {
	for b.Len()%4 != 0 {
		b.WriteByte(0)
	}
}

// initrdEntries is the initrd: busybox, a script, and the modules that the root
// file system needs, with the order to load them in.
func initrdEntries(busybox, script []byte, order []string, module func(string) ([]byte, error)) ([]cpioEntry, error) {
	entries := []cpioEntry{
		{name: "bin", mode: unixDir | 0o755},
		{name: "dev", mode: unixDir | 0o755},
		{name: "proc", mode: unixDir | 0o755},
		{name: "sys", mode: unixDir | 0o755},
		{name: "root", mode: unixDir | 0o755},
		{name: "modules", mode: unixDir | 0o755},
		{name: "bin/busybox", mode: unixRegular | 0o755, data: busybox},
		{name: "init", mode: unixRegular | 0o755, data: script},
		{name: "modules/order", mode: unixRegular | 0o644, data: orderFile(order)},
	}
	for _, name := range order {
		ko, err := module(name)
		if err != nil {
			return nil, err
		}
		entries = append(entries, cpioEntry{name: "modules/" + name + ".ko", mode: unixRegular | 0o644, data: ko})
	}
	return entries, nil
}

// orderFile is what the guest's scripts read: one module a line.
func orderFile(order []string) []byte {
	var b bytes.Buffer
	for _, name := range order {
		b.WriteString(name + "\n")
	}
	return b.Bytes()
}
