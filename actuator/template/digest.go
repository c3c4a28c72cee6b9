package template

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
)

// sums are the digests of a file, in hexadecimal digits.
type sums struct{ sha256, sha512 string }

// sumsOf reads all of a file.
func sumsOf(ctx context.Context, s *source, progress func(done, total int64)) (sums, error) {
	short, long := sha256.New(), sha512.New()
	in := counted(ctx, s.reader(), s.size, progress)
	if _, err := io.Copy(io.MultiWriter(short, long), in); err != nil {
		return sums{}, fmt.Errorf("%s: %w", s.path, err)
	}
	return sums{hex.EncodeToString(short.Sum(nil)), hex.EncodeToString(long.Sum(nil))}, nil
}

// check compares them with what is wanted of an image.
func (s sums) check(path string, image Image) error {
	for _, d := range []struct{ name, found, want string }{
		{"SHA-256", s.sha256, image.SHA256},
		{"SHA-512", s.sha512, image.SHA512},
	} {
		if d.want != "" && !strings.EqualFold(d.found, d.want) {
			return fmt.Errorf("%s is not the file that was published: found %s %s, want %s", path, d.name, d.found, d.want)
		}
	}
	return nil
}

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
