package staging

import (
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// cutting is a way to a host on which each connection ends after so many bytes, until it is mended; count is all that came.
func cutting(t *testing.T, to string, after int64) (address string, mended *atomic.Bool, count *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	mended, count = &atomic.Bool{}, &atomic.Int64{}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); all.Wait() })
	all.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close()
				continue
			}
			all.Go(func() { _, _ = io.Copy(out, in); _ = out.Close() })
			all.Go(func() {
				most := after
				if mended.Load() {
					most = 1 << 40
				}
				n, _ := io.CopyN(in, out, most)
				count.Add(n)
				_, _ = in.Close(), out.Close()
			})
		}
	})
	return l.Addr().String(), mended, count
}

// Who is not heard on the bus gets nothing, and one that shows another certificate than was said is sent nothing.
func TestStrangers(t *testing.T) {
	s := &site{t: t}
	a, stranger := s.add("a", Wanted{"web", ""}), s.add("stranger")
	digest := a.has("web", image(0, 2))
	s.hosts = []*host{a} // a does not hear the other
	s.until("a offers it", func() bool { return a.ready("web") && a.Serves().Addresses != nil })
	for _, tt := range []struct {
		name, fingerprint string
	}{{"a knows nobody", a.Serves().Fingerprint}, {"it is another's certificate", digestA}} {
		serves := *a.Serves()
		serves.Fingerprint = tt.fingerprint
		conn, err := stranger.connect(t.Context(), "tcp", serves.Addresses[0], serves.Fingerprint)
		if err != nil {
			continue
		}
		_, err = fmt.Fprintf(conn, "GET /template/%s HTTP/1.1\r\nHost: a\r\n\r\n", digest)
		if err == nil {
			_, err = conn.Read(make([]byte, 1))
		}
		if _ = conn.Close(); err == nil {
			t.Errorf("%s: there is an answer", tt.name)
		}
	}
	a.Hear(stranger.health())
	conn, err := stranger.connect(t.Context(), "tcp", a.Serves().Addresses[0], a.Serves().Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET /template/%s HTTP/1.1\r\nHost: a\r\n\r\n", digestB); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 12)
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 404" {
		t.Errorf("a template that is not there: %q, %v", answer, err)
	}
}
