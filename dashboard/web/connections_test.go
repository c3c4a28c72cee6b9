package web

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/dashboard/model/modeltest"
)

// Who never completes a request keeps nobody out.
func TestHalfSentRequests(t *testing.T) {
	for name, text := range map[string]string{
		"headers": "GET / HTTP/1.1\r\nHost: localhost\r\nX: ",
		"a body": "POST /api/v1/session HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" +
			"Content-Length: 100\r\n\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, Config{})
			for range 3 * maxConnections {
				conn, err := net.Dial("tcp", s.address)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				fmt.Fprint(conn, text) // and no more
			}
			s.client.Timeout = 2 * readWithin // in turns of so many at a time they would take three times that
			if code, _ := s.get("/healthz"); code != http.StatusServiceUnavailable {
				t.Errorf("beside them: %d, want that there is no bus", code)
			}
		})
	}
}

// The one that goes is the oldest without a request, of the address that has most of these.
func TestWhichConnectionGoes(t *testing.T) {
	c := newConnections(3)
	var all []*addressed
	add := func(from string) *connection {
		conn := &addressed{from: from}
		all = append(all, conn)
		return c.add(t.Context(), conn).Value(connectionKey{}).(*connection)
	}
	gone := func() (which []int) {
		for i, conn := range all {
			if conn.closed {
				which = append(which, i)
			}
		}
		return which
	}
	c.served(add("10.0.0.1:1"), 1) // is answered
	add("10.0.0.2:1")
	add("10.0.0.1:2")
	if add("10.0.0.2:2"); !slices.Equal(gone(), []int{1}) {
		t.Errorf("gone are %v, want the older one of the second address", gone())
	}
	c.changed(all[2], http.StateClosed)
	if add("10.0.0.1:3"); !slices.Equal(gone(), []int{1}) {
		t.Errorf("gone are %v, want none more where one has closed", gone())
	}
}

// Of connections of an address each the oldest one goes, and not one that has just come.
func TestOldestConnectionGoes(t *testing.T) {
	c := newConnections(20)
	var all []*addressed
	for i := range 40 {
		all = append(all, &addressed{from: fmt.Sprintf("10.0.0.%d:1", i)})
		c.add(t.Context(), all[i])
	}
	for i, conn := range all {
		if conn.closed != (i < 20) {
			t.Errorf("connection %d: closed %t", i, conn.closed)
		}
	}
}

// Who asks for answers and does not read them keeps nobody out.
func TestAnswersThatNobodyReads(t *testing.T) {
	var later atomic.Int64
	c := newConnections(2)
	c.now = func() time.Time { return modeltest.At(float64(later.Load())) }
	site := httptest.NewUnstartedServer(c.serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/large" {
			_, _ = w.Write(make([]byte, 64<<20))
		}
	})))
	site.Config.ConnContext, site.Config.ConnState = c.add, c.changed
	site.Start()
	defer site.Close() // last, as it waits for the answers
	for range 2 {
		conn, err := net.Dial("tcp", site.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n") // and reads nothing
	}
	writing := func() (n int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, open := range c.open {
			if !open.writing.IsZero() {
				n++
			}
		}
		return n
	}
	bustest.Eventually(t, "two answers are being written", func() bool { return writing() == 2 })
	if resp, err := http.Get(site.URL); err == nil {
		_ = resp.Body.Close()
		t.Error("a third one was let in while two answers have just begun to be read")
	}
	later.Add(int64(slowAfter / time.Second))
	resp, err := http.Get(site.URL)
	if err != nil {
		t.Fatalf("a third one, beside two that do not read: %v", err)
	}
	_ = resp.Body.Close()
}

// addressed is a connection from somewhere.
type addressed struct {
	net.Conn
	from   string
	closed bool
}

func (a *addressed) RemoteAddr() net.Addr {
	at, _ := net.ResolveTCPAddr("tcp", a.from)
	return at
}
func (a *addressed) Close() error { a.closed = true; return nil }

// A TLS connection goes without a word, for which one that reads nothing would make all others wait.
func TestTLSConnectionGoesAtOnce(t *testing.T) {
	site := httptest.NewTLSServer(nil)
	defer site.Close()
	near, far := net.Pipe()
	raw := &mute{Conn: near}
	secure := tls.Server(raw, &tls.Config{Certificates: site.TLS.Certificates}) //nolint:gosec // any version
	shaken := make(chan error, 1)
	go func() { shaken <- secure.Handshake() }()
	client := tls.Client(far, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // its certificate is this test's
	go func() { _, _ = client.Read(make([]byte, 1)) }()              // which does the handshake
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	raw.silent.Store(true)
	c := newConnections(1)
	c.add(t.Context(), secure)
	if c.add(t.Context(), &addressed{from: "10.0.0.1:1"}); !raw.closed.Load() || raw.said.Load() {
		t.Errorf("closed: %t, and it said something: %t", raw.closed.Load(), raw.said.Load())
	}
}

// mute is a connection that notes what is said after it should be silent.
type mute struct {
	net.Conn
	silent, said, closed atomic.Bool
}

func (m *mute) Write(p []byte) (int, error) {
	if m.silent.Load() {
		m.said.Store(true)
		return len(p), nil
	}
	return m.Conn.Write(p)
}
func (m *mute) Close() error { m.closed.Store(true); return m.Conn.Close() }
