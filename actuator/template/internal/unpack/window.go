package unpack

import (
	"bufio"
	"fmt"
)

// smallWindow looks at the header of an xz file's first block (the xz file format, 3.1), as the library takes as much memory as
// that says. What it does not understand is for the library to refuse.
func smallWindow(in *bufio.Reader) error {
	const (
		streamHeader  = 12
		packedSize    = 0x40 // flags of what comes before the filters
		unpackedSize  = 0x80
		lzma2         = 0x21
		largestHeader = 1024
	)
	head, _ := in.Peek(streamHeader + largestHeader) // less at the end of a short file
	if len(head) < streamHeader+2 {
		return nil
	}
	flags, rest := head[streamHeader+1], head[streamHeader+2:]
	for _, size := range []byte{packedSize, unpackedSize} {
		if flags&size != 0 {
			rest = afterNumber(rest)
		}
	}
	if len(rest) < 3 || rest[0] != lzma2 {
		return nil
	}
	const largest = 40 // of the byte that says how large the dictionary is
	bits := rest[2]
	if bits > largest {
		return nil
	}
	if window := uint64(2|bits&1) << (bits/2 + 11); window > maxWindow {
		return fmt.Errorf("found a dictionary of %d MiB, want at most %d MiB", window>>20, maxWindow>>20)
	}
	return nil
}

// afterNumber is what follows a number, which has seven bits in each byte.
func afterNumber(b []byte) []byte {
	for i := range b {
		if b[i]&0x80 == 0 {
			return b[i+1:]
		}
	}
	return nil
}
