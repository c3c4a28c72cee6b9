package staging

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// A host gets one file at a time, so that it keeps others from none, and nothing once it is not heard any more.
func TestHand(t *testing.T) {
	now := time.Unix(1000, 0)
	l := ear(t, &now)
	if err := l.cfg.Pool.(*folder).put("web", image(0, 1)); err != nil {
		t.Fatal(err)
	}
	l.said = []bus.HostTemplate{{Name: "web", State: bus.TemplateReady, SHA256: digestA}}
	certificate := &x509.Certificate{Raw: []byte("a's")}
	a := offering("a", "web", digestA, bus.TemplateFetching)
	a.serves.Fingerprint = fingerprintOf(certificate.Raw)
	status := func() int {
		r := httptest.NewRequest(http.MethodGet, pathPrefix+digestA, http.NoBody)
		r.SetPathValue("digest", digestA)
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{certificate}}
		w := deadlines{httptest.NewRecorder()}
		l.hand(w, r)
		return w.Code
	}
	expect := func(what string, want int) {
		t.Helper()
		if got := status(); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	expect("not heard", http.StatusForbidden)
	l.says("a", "1", a)
	expect("heard", http.StatusOK)
	if !l.beginSending(a.serves.Fingerprint) {
		t.Error("what has ended still counts")
	}
	expect("one goes on", http.StatusServiceUnavailable)
	l.endSending(a.serves.Fingerprint)
	expect("it has ended", http.StatusOK)
	now = now.Add(peerAge + 1)
	expect("silent", http.StatusForbidden)
}

// deadlines is an answer that takes one.
type deadlines struct{ *httptest.ResponseRecorder }

func (deadlines) SetWriteDeadline(time.Time) error { return nil }

// Who opens many connections and asks for nothing has the oldest of these closed, and no other.
func TestConnectionsAreBounded(t *testing.T) {
	c := &connections{asking: map[net.Conn]bool{}}
	var far []net.Conn
	add := func() net.Conn {
		near, other := net.Pipe()
		t.Cleanup(func() { _, _ = near.Close(), other.Close() })
		far = append(far, other)
		c.changed(near, http.StateNew)
		return near
	}
	closed := func(i int) bool {
		_ = far[i].SetReadDeadline(time.Now())
		_, err := far[i].Read(make([]byte, 1))
		return errors.Is(err, io.EOF)
	}
	c.changed(add(), http.StateActive)
	second := add()
	for len(far) < maxOpen {
		add()
	}
	c.changed(second, http.StateClosed)
	add()
	for i := range far {
		if closed(i) {
			t.Fatalf("%d is closed, of as many as may be", i)
		}
	}
	add()
	for i := range far {
		if closed(i) != (i == 2) {
			t.Errorf("%d: closed is %t", i, closed(i))
		}
	}
	if n := len(c.waiting) + len(c.asking); n != maxOpen {
		t.Errorf("%d are open, want %d", n, maxOpen)
	}
}
