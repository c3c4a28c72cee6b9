package template

import (
	"context"
	"io"
)

// readerFunc is a reader that is a function.
type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// counted is in, and tells how far it is of total bytes; it ends with ctx.
func counted(ctx context.Context, in io.Reader, total int64, progress func(done, total int64)) io.Reader {
	done := int64(0)
	return readerFunc(func(p []byte) (int, error) {
		if ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		n, err := in.Read(p)
		done += int64(n)
		progress(done, total)
		return n, err
	})
}
