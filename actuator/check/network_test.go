package check

import (
	"bufio"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// at is where a server of a test listens.
func at(t *testing.T, a net.Addr) netip.AddrPort {
	t.Helper()
	p, err := netip.ParseAddrPort(a.String())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// speak is a server that answers each connection's first request in its own way.
func speak(t *testing.T, answer func(net.Conn)) netip.AddrPort {
	t.Helper()
	return speakFirst(t, func(conn net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(conn))
		answer(conn)
	})
}

// speakFirst is a server that takes no request first.
func speakFirst(t *testing.T, answer func(net.Conn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			answer(conn)
			_ = conn.Close()
		}
	}()
	return at(t, l.Addr())
}

func httpCheck(change ...func(*bus.Check)) bus.Check {
	c := bus.Check{Type: bus.CheckHTTP, Timeout: 10 * time.Second}.WithDefaults()
	for _, f := range change {
		f(&c)
	}
	return c
}

// An answer counts by its status, and by its body where the check names one.
func TestHTTP(t *testing.T) {
	var elsewhere atomic.Int32
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	defer other.Close()
	var heard atomic.Pointer[http.Request]
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		heard.Store(r.Clone(r.Context()))
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		_, _ = fmt.Fprint(w, "all is well")
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	mux.HandleFunc("/huge", func(w http.ResponseWriter, _ *http.Request) {
		for range 64 {
			_, _ = fmt.Fprint(w, strings.Repeat("x", 64<<10))
		}
		_, _ = fmt.Fprint(w, "the end")
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	guest := &fake{at: at(t, server.Listener.Addr())}
	for _, tt := range []struct {
		name  string
		check bus.Check
		want  Outcome
		why   string
	}{
		{"well", httpCheck(), Well, "status was 200"},
		{"another status", httpCheck(func(c *bus.Check) { c.Path = "/broken" }), Failing, "status was 503, want [200-299]"},
		{"a status that is wanted", httpCheck(func(c *bus.Check) {
			c.Path, c.Status = "/broken", []bus.Statuses{{From: 200, To: 200}, {From: 500, To: 599}}
		}), Well, "503"},
		{"a redirect", httpCheck(func(c *bus.Check) { c.Path = "/moved" }), Failing, "status was 302"},
		{"a redirect that is wanted", httpCheck(func(c *bus.Check) {
			c.Path, c.Status = "/moved", []bus.Statuses{{From: 302, To: 302}}
		}), Well, "302"},
		{"its body", httpCheck(func(c *bus.Check) { c.Body = "is well" }), Well, "body"},
		{"another body", httpCheck(func(c *bus.Check) { c.Body = "is ill" }), Failing, `does not contain "is ill"`},
		{"beyond what is read", httpCheck(func(c *bus.Check) { c.Path, c.Body = "/huge", "the end" }), Failing, "first 65536 bytes"},
		{"no TLS there", httpCheck(func(c *bus.Check) { c.Scheme = bus.SchemeHTTPS }), Failing, ""},
	} {
		if got := Try(t.Context(), tt.check, guest); got.Outcome != tt.want || !strings.Contains(got.Why, tt.why) {
			t.Errorf("%s: %+v, want %v, %q", tt.name, got, tt.want, tt.why)
		}
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("another server got %d requests, by a redirect", n)
	}
	named := httpCheck(func(c *bus.Check) { c.Host, c.Path = "www.example.org", "/a?b=c" })
	if got := Try(t.Context(), named, guest); got.Outcome != Well {
		t.Errorf("%+v", got)
	}
	r := heard.Load()
	if r.Host != "www.example.org" || r.RequestURI != "/a?b=c" || r.Method != http.MethodGet || len(r.Cookies()) != 0 {
		t.Errorf("the server heard %s %s of %s, cookies %v", r.Method, r.RequestURI, r.Host, r.Cookies())
	}
}

// An IPv6 address in the header is written as a URL has it.
func TestHostHeader(t *testing.T) {
	heard := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { heard <- r.Host }))
	defer server.Close()
	guest := &fake{at: at(t, server.Listener.Addr())}
	for host, want := range map[string]string{"fd00::1": "[fd00::1]", "example.org": "example.org", "": guest.at.String()} {
		if got := Try(t.Context(), httpCheck(func(c *bus.Check) { c.Host = host }), guest); got.Outcome != Well {
			t.Fatalf("%q: %+v", host, got)
		}
		if got := <-heard; got != want {
			t.Errorf("%q: the server heard %q, want %q", host, got, want)
		}
	}
}

// No proxy of the environment is asked, and no connection kept.
func TestTransport(t *testing.T) {
	if tr := transportTo(httpCheck(), netip.AddrPort{}); tr.Proxy != nil || !tr.DisableKeepAlives {
		t.Errorf("%+v", tr)
	}
}

// A certificate counts unless the check says that any will do.
func TestHTTPS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	guest := &fake{at: at(t, server.Listener.Addr())}
	secure := httpCheck(func(c *bus.Check) { c.Scheme = bus.SchemeHTTPS })
	if got := Try(t.Context(), secure, guest); got.Outcome != Failing || !strings.Contains(got.Why, "certificate") {
		t.Errorf("an unknown certificate: %+v", got)
	}
	secure.Insecure = true
	if got := Try(t.Context(), secure, guest); got.Outcome != Well {
		t.Errorf("any certificate: %+v", got)
	}
}

// A guest that answers in hostile ways fails its check in time, with a harmless reason.
func TestHostileHTTP(t *testing.T) {
	write := func(texts ...string) func(net.Conn) {
		return func(conn net.Conn) {
			for _, text := range texts {
				_, _ = conn.Write([]byte(text))
			}
		}
	}
	drip := func(head string) func(net.Conn) {
		return func(conn net.Conn) {
			for text := head; ; text = "x" {
				if _, err := conn.Write([]byte(text)); err != nil {
					return
				}
				time.Sleep(10 * time.Millisecond) // until the client has gone
			}
		}
	}
	soon := func(c *bus.Check) { c.Timeout = 300 * time.Millisecond }
	body := func(c *bus.Check) { c.Body = "well" }
	for _, tt := range []struct {
		name   string
		answer func(net.Conn)
		check  bus.Check
		why    string
	}{
		{"nothing", write(), httpCheck(), ""},
		{"no HTTP", write("HTTP/1.1 \x1b[2J OK\r\n\r\n"), httpCheck(), "malformed"},
		{"a header without an end", drip("HTTP/1.1 200 OK\r\nA: "), httpCheck(soon), "longer than 300ms"},
		{"a huge header", write("HTTP/1.1 200 OK\r\n" + strings.Repeat("A: xxxxxxx\r\n", 20000) + "\r\n"), httpCheck(), "header"},
		{"a body that drips", drip("HTTP/1.1 200 OK\r\n\r\n"), httpCheck(soon, body), "longer than 300ms"},
		{"silence", func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }, httpCheck(soon), "longer than 300ms"},
		{"hints without end", write(strings.Repeat("HTTP/1.1 103 Early Hints\r\nA: b\r\n\r\n", 10000)), httpCheck(), ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := Try(t.Context(), tt.check, &fake{at: speak(t, tt.answer)})
			harmless := !strings.ContainsAny(got.Why, "\x1b\n") && len(got.Why) <= maxReason
			if got.Outcome != Failing || !strings.Contains(got.Why, tt.why) || !harmless {
				t.Errorf("%+v, want %q", got, tt.why)
			}
		})
	}
	t.Run("a body that is cut off behind what is wanted", func(t *testing.T) {
		cut := speak(t, write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nall is well"))
		if got := Try(t.Context(), httpCheck(body), &fake{at: cut}); got.Outcome != Well {
			t.Errorf("%+v", got)
		}
	})
}

// A port takes connections or not. At one of loopback, which is a forwarded one, taking one is not enough: QEMU does that for
// whatever guest.
func TestTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	guest := &fake{at: at(t, l.Addr())}
	c := bus.Check{Type: bus.CheckTCP, Timeout: 10 * time.Second}.WithDefaults()
	soon := c
	soon.Timeout = 300 * time.Millisecond
	if got := Try(t.Context(), soon, guest); got.Outcome != Failing || !strings.Contains(got.Why, "neither speaks nor ends") {
		t.Errorf("a connection that stays, and nothing comes of it: %+v", got)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	waits := speakFirst(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	if got := Try(t.Context(), c, &fake{at: waits}); got.Outcome != Well {
		t.Errorf("a service that waits for a request, and ends when none comes: %+v", got)
	}
	closes := speakFirst(t, func(conn net.Conn) {})
	if got := Try(t.Context(), c, &fake{at: closes}); got.Outcome != Failing || !strings.Contains(got.Why, "closed at once") {
		t.Errorf("a forwarded port without a service: %+v", got)
	}
	greets := speakFirst(t, func(conn net.Conn) { _, _ = conn.Write([]byte("SSH-2.0\r\n")) })
	if got := Try(t.Context(), c, &fake{at: greets}); got.Outcome != Well {
		t.Errorf("a service that greets and ends: %+v", got)
	}
	if got := Try(t.Context(), c, guest); got.Outcome != Failing || !strings.Contains(got.Why, "refused") {
		t.Errorf("%+v", got)
	}
}
