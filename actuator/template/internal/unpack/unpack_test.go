package unpack

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

var kinds = []Kind{Gzip, XZ, Zstd}

// packed packs a content in each way.
func packed(t *testing.T, kind Kind, content []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w io.WriteCloser
	var err error
	switch kind {
	case Gzip:
		w = gzip.NewWriter(&out)
	case XZ:
		w, err = xz.NewWriter(&out)
	case Zstd:
		w, err = zstd.NewWriter(&out)
	case None:
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func output(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func plenty() (int64, error) { return 1 << 40, nil }

// What was packed comes out, several streams in one file too, and its zeroes take no room.
func TestFile(t *testing.T) {
	content := slicesOf(3*blockSize, 'a')
	content = append(content, make([]byte, 8<<20)...)
	content = append(content, "the end"...)
	content = append(content, make([]byte, blockSize+1)...)
	for _, kind := range kinds {
		p := packed(t, kind, content)
		if got := KindOf(p); got != kind {
			t.Errorf("%s is taken for %q", kind, got)
		}
		p = append(p, packed(t, kind, []byte("one more"))...)
		want := append(bytes.Clone(content), "one more"...)
		out := output(t)
		size, err := File(t.Context(), kind, bytes.NewReader(p), out, Bounds{Size: int64(len(want)), Room: plenty})
		if err != nil || size != int64(len(want)) {
			t.Fatalf("%s: %d bytes, %v; want %d", kind, size, err, len(want))
		}
		got, err := os.ReadFile(out.Name())
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: another content of %d bytes, %v", kind, len(got), err)
		}
		st, err := out.Stat()
		if err != nil {
			t.Fatal(err)
		}
		if used := st.Sys().(*syscall.Stat_t).Blocks * 512; used > 1<<20 {
			t.Errorf("%s: it takes %d bytes, though most are zeroes", kind, used)
		}
	}
	if got := KindOf([]byte("QFI\xfb")); got != None {
		t.Errorf("qcow2 is packed as %q", got)
	}
}

func slicesOf(n int, b byte) []byte { return bytes.Repeat([]byte{b}, n) }

func TestFileRefuses(t *testing.T) {
	little := func() (int64, error) { return 1 << 20, nil }
	unknown := func() (int64, error) { return 0, errors.New("statfs") }
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, kind := range kinds {
		whole := packed(t, kind, slicesOf(4<<20, 'a'))
		damaged := bytes.Clone(whole)
		damaged[len(damaged)/2] ^= 0xff
		for name, tt := range map[string]struct {
			ctx    context.Context
			in     []byte
			bounds Bounds
			want   string
		}{
			"a bomb":                   {t.Context(), whole, Bounds{1 << 20, plenty}, "want at most 1048576"},
			"no room":                  {t.Context(), whole, Bounds{1 << 30, little}, "no room for more after 1"},
			"room that cannot be read": {t.Context(), whole, Bounds{1 << 30, unknown}, "statfs"},
			"cut off":                  {t.Context(), whole[:len(whole)-5], Bounds{1 << 30, plenty}, "unexpected EOF"},
			"damaged":                  {t.Context(), damaged, Bounds{1 << 30, plenty}, "unpack it (" + string(kind) + "): "},
			"given up":                 {gone, whole, Bounds{1 << 30, plenty}, "canceled"},
			"nothing":                  {t.Context(), nil, Bounds{1 << 30, plenty}, "EOF"},
		} {
			if name == "nothing" && kind == Zstd {
				continue // an empty file is no error to zstd
			}
			_, err := File(tt.ctx, kind, bytes.NewReader(tt.in), output(t), tt.bounds)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s of %s: %v; want %q", name, kind, err, tt.want)
			}
			if limits := name == "a bomb" || name == "no room"; limits != errors.Is(err, ErrTooLarge) {
				t.Errorf("%s of %s: %v", name, kind, err)
			}
		}
	}
	if _, err := File(t.Context(), "arj", nil, output(t), Bounds{1, plenty}); err == nil || !strings.Contains(err.Error(), `"arj"`) {
		t.Errorf("an unknown kind: %v", err)
	}
}

// Some kilobytes cannot have the program take gigabytes of memory.
func TestWindow(t *testing.T) {
	for _, tt := range []struct {
		bits byte
		want string
	}{{24, ""}, {34, "512 MiB, want at most 256 MiB"}, {40, "4096 MiB"}} {
		for _, flags := range []string{"\x00", "\xc0\x81\x81\x01\x05"} {
			head := "\xfd7zXZ\x00\x00\x04\x00\x00\x00\x00" +
				"\x02" + flags + "\x21\x01" + string([]byte{tt.bits}) + strings.Repeat("\x00", 20)
			err := smallWindow(bufio.NewReader(strings.NewReader(head)))
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%d with flags %q: %v, want %q", tt.bits, flags, err, tt.want)
			}
		}
	}
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithWindowSize(512<<20))
	if err != nil {
		t.Fatal(err)
	}
	for range 64 {
		if _, err := w.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := File(t.Context(), Zstd, &out, output(t), Bounds{1 << 30, plenty}); !errors.Is(err, zstd.ErrWindowSizeExceeded) {
		t.Errorf("a window of 512 MiB: %v", err)
	}
}

func FuzzWindow(f *testing.F) {
	f.Add([]byte("\xfd7zXZ\x00\x00\x04\x00\x00\x00\x00\x02\xc0\x81\x81\x01\x05\x21\x01\x18"))
	f.Fuzz(func(_ *testing.T, head []byte) { _ = smallWindow(bufio.NewReader(bytes.NewReader(head))) })
}
