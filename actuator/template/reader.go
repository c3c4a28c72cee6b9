package template

import (
	"errors"
	"fmt"
	"io"

	"libvirt.org/go/libvirt"
)

// Reader reads a template's file through libvirt, whoever may open that. It is not safe for concurrent use.
type Reader struct {
	conn   *libvirt.Connect
	volume *libvirt.StorageVol
	size   int64
	at     int64           // where the next byte is
	stream *libvirt.Stream // sends from there on; nil: none yet
}

// Open opens a template's file for reading. The connection must outlive the reader.
func Open(conn *libvirt.Connect, pool, name string) (*Reader, error) {
	p, err := openPool(conn, pool)
	if err != nil {
		return nil, fmt.Errorf("read template %s: %w", name, err)
	}
	defer p.Free()
	v, err := findVolume(p, VolumeName(name))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read template %s: %w", name, err)
	case v == nil:
		return nil, &NotFoundError{Name: name, Pool: pool}
	}
	info, err := describe(v)
	if err != nil {
		_ = v.Free()
		return nil, fmt.Errorf("read template %s: %w", name, err)
	}
	return &Reader{conn: conn, volume: v, size: int64(info.Size)}, nil
}

// Seek sets where the next byte is read.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	default:
		return 0, fmt.Errorf("seek: found whence %d, want 0, 1 or 2", whence)
	}
	if offset < 0 {
		return 0, errors.New("seek: found a place before the first byte")
	}
	if offset != r.at {
		r.hangUp()
	}
	r.at = offset
	return offset, nil
}

// Read reads on.
func (r *Reader) Read(buf []byte) (int, error) {
	if r.at >= r.size {
		return 0, io.EOF
	}
	if r.stream == nil {
		stream, err := r.conn.NewStream(0)
		if err != nil {
			return 0, fmt.Errorf("open stream: %w", err)
		}
		if err := r.volume.Download(stream, uint64(r.at), uint64(r.size-r.at), 0); err != nil {
			return 0, errors.Join(fmt.Errorf("download volume: %w", err), stream.Free())
		}
		r.stream = stream
	}
	n, err := r.stream.Recv(buf[:min(len(buf), uploadChunk)])
	if n > 0 {
		r.at += int64(n)
		return n, nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return 0, io.ErrUnexpectedEOF
	}
	return 0, fmt.Errorf("download volume: %w", err)
}

// hangUp ends the stream, if there is one.
func (r *Reader) hangUp() {
	if r.stream == nil {
		return
	}
	if r.at < r.size || r.stream.Finish() != nil {
		_ = r.stream.Abort() // what it sends is not wanted any more
	}
	_ = r.stream.Free()
	r.stream = nil
}

// Close lets the file go.
func (r *Reader) Close() error {
	r.hangUp()
	return r.volume.Free() //nolint:wrapcheck // it cannot fail
}
