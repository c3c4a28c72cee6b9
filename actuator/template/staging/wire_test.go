package staging

import (
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// cutting is a way to a host on which each connection ends after so many bytes, until it is mended; count is all that came.
func cutting(t *testing.T, to string, after int64) (address string, mended *atomic.Bool, count *atomic.Int64) {
	t.Helper()
	mended, count = &atomic.Bool{}, &atomic.Int64{}
	back := func(in, out net.Conn) {
		most := after
		if mended.Load() {
			most = 1 << 40
		}
		n, _ := io.CopyN(in, out, most)
		count.Add(n)
		_, _ = in.Close(), out.Close()
	}
	return between(t, to, back, func(in, out net.Conn) { _, _ = io.Copy(out, in); _ = out.Close() }), mended, count
}

// holding is a way to a host on which each connection stands still after so many bytes.
func holding(t *testing.T, to string, after int64) (address string) {
	t.Helper()
	back := func(in, out net.Conn) { _, _ = io.CopyN(in, out, after) }
	return between(t, to, back, func(in, out net.Conn) { // until the other side has enough of it
		_, _ = io.Copy(out, in)
		_, _ = in.Close(), out.Close()
	})
}

// between is a way to a host on which each connection is copied back and forth so.
func between(t *testing.T, to string, back, forth func(in, out net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
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
			all.Go(func() { forth(in, out) })
			all.Go(func() { back(in, out) })
		}
	})
	return l.Addr().String()
}

// A host that sends less than it must in half a minute, though more than other servers must, is left for another one that has
// the file.
func TestASlowHostIsLeft(t *testing.T) {
	s := &site{t: t}
	a, b := s.host("a"), s.host("b")
	for _, h := range []*host{a, b} {
		h.has("web", image(0, 16))
		s.start(h, Wanted{"web", ""})
	}
	s.until("they offer it", func() bool {
		return a.ready("web") && a.Serves().Addresses != nil && b.ready("web") && b.Serves().Addresses != nil
	})
	a.via = holding(t, a.Serves().Addresses[0], leastBytes/2)
	ticks, left := make(chan time.Time), make(chan struct{})
	leave := sync.OnceFunc(func() { close(left) })
	tries := 0
	c := s.host("c")
	c.ticker = func(time.Duration) (<-chan time.Time, func()) {
		if tries++; tries > 1 { // by the other host
			return nil, func() {}
		}
		return ticks, leave
	}
	s.start(c, Wanted{"web", ""})
	s.until("a part has come", func() bool { return len(c.Templates()) == 1 && c.Templates()[0].DonePercent > 0 })
	ticks <- time.Time{}
	select {
	case <-left:
	case ticks <- time.Time{}:
		t.Fatal("the host that is too slow is not left")
	}
	s.until("it is had from the other", func() bool {
		return c.ready("web") && strings.Contains(fmt.Sprintf("%+v", c.told), "it came from b")
	})
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
