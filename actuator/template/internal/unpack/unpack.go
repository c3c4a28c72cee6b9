package unpack

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Kind is how a file is packed; "" is not at all.
type Kind string

// What can be unpacked.
const (
	None Kind = ""
	Gzip Kind = "gzip"
	XZ   Kind = "xz"
	Zstd Kind = "zstd"
)

var magics = []struct {
	magic string
	kind  Kind
}{{"\x1f\x8b", Gzip}, {"\xfd7zXZ\x00", XZ}, {"\x28\xb5\x2f\xfd", Zstd}}

// KindOf tells by its first bytes how a file is packed.
func KindOf(head []byte) Kind {
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.magic)) {
			return m.kind
		}
	}
	return None
}

// maxWindow is how far back what is packed may refer, which is the memory that unpacking takes: xz -9 has 64 MiB.
const maxWindow = 256 << 20

const (
	blockSize  = 64 * 1024 // of zeroes that are left out
	roomPeriod = 16 << 20  // bytes written between two looks at the room
)

// Bounds are how much may be written.
type Bounds struct {
	Size int64                 // bytes of the unpacked file, holes included
	Room func() (int64, error) // bytes that may still be written to where it is; asked again and again
}

// ErrTooLarge is that what comes out is larger than allowed.
var ErrTooLarge = errors.New("unpacks to more than allowed")

// File unpacks in into an empty file, in which blocks of zeroes are holes, and returns its size in bytes. Of what it wrote
// nothing is taken back when it fails.
func File(ctx context.Context, kind Kind, in io.Reader, out *os.File, bounds Bounds) (int64, error) {
	r, err := reader(kind, bufio.NewReaderSize(in, 1<<20))
	if err != nil {
		return 0, fmt.Errorf("unpack it (%s): %w", kind, err)
	}
	defer r.Close()
	size, err := sparse(ctx, r, out, bounds)
	if err != nil {
		return 0, fmt.Errorf("unpack it (%s): %w", kind, err)
	}
	return size, nil
}

func reader(kind Kind, in *bufio.Reader) (io.ReadCloser, error) {
	switch kind {
	case Gzip:
		return gzip.NewReader(in)
	case XZ:
		if err := smallWindow(in); err != nil {
			return nil, err
		}
		r, err := xz.NewReader(in)
		return io.NopCloser(r), err
	case Zstd:
		r, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		return r.IOReadCloser(), nil
	case None:
	}
	return nil, fmt.Errorf("found the unknown kind %q, want gzip, xz or zstd", kind)
}

// sparse copies in to out and leaves out blocks of zeroes.
func sparse(ctx context.Context, in io.Reader, out *os.File, bounds Bounds) (size int64, err error) {
	block, zeroes := make([]byte, blockSize), make([]byte, blockSize)
	room, sinceLook := int64(0), int64(roomPeriod) // so that the first block looks
	for {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		n, err := fill(in, block)
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return 0, err
		}
		if size+int64(n) > bounds.Size {
			return 0, fmt.Errorf("%w: found over %d bytes, want at most %d", ErrTooLarge, size, bounds.Size)
		}
		if n > 0 && !bytes.Equal(block[:n], zeroes[:n]) {
			if sinceLook >= roomPeriod {
				if room, err = bounds.Room(); err != nil {
					return 0, err
				}
				sinceLook = 0
			}
			if sinceLook += int64(n); sinceLook > room {
				return 0, fmt.Errorf("%w: there is no room for more after %d bytes", ErrTooLarge, size)
			}
			if _, err := out.WriteAt(block[:n], size); err != nil {
				return 0, err
			}
		}
		if size += int64(n); last {
			return size, out.Truncate(size)
		}
	}
}

// fill is io.ReadFull that keeps the end of in apart from one in the middle of what is packed.
func fill(in io.Reader, block []byte) (n int, err error) {
	for n < len(block) && err == nil {
		var more int
		more, err = in.Read(block[n:])
		n += more
	}
	return n, err
}
