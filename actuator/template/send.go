package template

import (
	"context"
	"errors"
	"fmt"
	"io"

	"libvirt.org/go/libvirt"
)

// send writes the file into the volume. A daemon that does not answer is the
// connection's keepalive's affair.
func send(
	ctx context.Context,
	conn *libvirt.Connect,
	v *libvirt.StorageVol,
	in io.Reader,
	size int64,
	progress func(done, total int64),
) error {
	stream, err := conn.NewStream(0)
	if err != nil {
		return fmt.Errorf("open stream: %w", err)
	}
	defer stream.Free()
	if err := v.Upload(stream, 0, uint64(size), 0); err != nil {
		return fmt.Errorf("start upload: %w", err)
	}
	if err := sendAll(ctx, stream, in, size, progress); err != nil {
		return errors.Join(err, abort(stream))
	}
	if err := stream.Finish(); err != nil {
		return fmt.Errorf("finish upload: %w", err)
	}
	return nil
}

func abort(stream *libvirt.Stream) error {
	if err := stream.Abort(); err != nil {
		return fmt.Errorf("abort upload: %w", err)
	}
	return nil
}

func sendAll(ctx context.Context, stream *libvirt.Stream, in io.Reader, size int64, progress func(done, total int64)) error {
	buf := make([]byte, uploadChunk)
	for done := int64(0); done < size; {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := io.ReadFull(in, buf[:min(int64(len(buf)), size-done)])
		if err != nil {
			return fmt.Errorf("read image: %w", err)
		}
		for chunk := buf[:n]; len(chunk) > 0; {
			sent, err := stream.Send(chunk)
			if err != nil {
				return fmt.Errorf("send image: %w", err)
			}
			chunk = chunk[sent:]
		}
		done += int64(n)
		progress(done, size)
	}
	return nil
}
