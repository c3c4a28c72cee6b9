package staging

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

const (
	headerTime = 10 * time.Second // for a request
	stallTime  = 30 * time.Second // for a part of an answer to be taken
	transfers  = 4                // at the same time, for all hosts
	askAgain   = "10"             // seconds, for one more
	pathPrefix = "/template/"     // a template's digest follows
)

// serve hands templates out until ctx ends. Where it cannot listen it says so, and the host only gets what it lacks.
func (s *Stager) serve(ctx context.Context) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.cfg.Listen)
	if err != nil {
		s.log.Warn().Err(err).Msg("no template is handed out to other hosts; host.template_listen names another address, or off")
		return nil
	}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		interfaces = nil // then an address must be named
	}
	host, _, _ := net.SplitHostPort(s.cfg.Listen)
	s.announce(addressesOf(host, listener.Addr(), interfaces))
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+pathPrefix+"{digest}", s.hand)
	open := &connections{asking: map[net.Conn]bool{}}
	server := &http.Server{
		Handler: mux, ConnState: open.changed, ReadHeaderTimeout: headerTime, IdleTimeout: stallTime, MaxHeaderBytes: 16 << 10,
		ErrorLog: stdlog.New(io.Discard, "", 0), BaseContext: func(net.Listener) context.Context { return ctx },
		TLSNextProto: map[string]func(*http.Server, *tls.Conn, http.Handler){}, // HTTP/1.1: one file each
	}
	server.SetKeepAlivesEnabled(false) // a connection is for one request, by who is known then
	ended := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer ended()
	if err := server.Serve(tls.NewListener(listener, pinned(s.own, s.knows))); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("hand templates out: %w", err)
	}
	return nil
}

// hand answers one request for a template, or a part of one. Who asks was known when it connected, and must still be.
func (s *Stager) hand(w http.ResponseWriter, r *http.Request) {
	asks := fingerprintOf(r.TLS.PeerCertificates[0].Raw)
	if !s.knows(asks) {
		http.Error(w, errStranger.Error(), http.StatusForbidden)
		return
	}
	digest := r.PathValue("digest")
	name := s.named(digest)
	if name == "" {
		http.NotFound(w, r)
		return
	}
	if !s.beginSending(asks) {
		w.Header().Set("Retry-After", askAgain)
		http.Error(w, "as many transfers go on as may", http.StatusServiceUnavailable)
		return
	}
	defer s.endSending(asks)
	if err := s.send(w, r, name, digest); err != nil {
		s.log.Warn().Err(err).Str("template", name).Msg("it could not be handed out")
		http.Error(w, "it cannot be read", http.StatusInternalServerError)
	}
}

// beginSending reports whether a host may have one more file now: it has one at a time, so that none keeps the others from
// theirs.
func (s *Stager) beginSending(to string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sending[to] || len(s.sending) >= transfers {
		return false
	}
	s.sending[to] = true
	return true
}

func (s *Stager) endSending(to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sending, to)
}

func (s *Stager) send(w http.ResponseWriter, r *http.Request, name, digest string) error {
	file, err := s.cfg.Pool.Open(r.Context(), name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	w.Header().Set("ETag", `"`+digest+`"`)
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", time.Time{}, impatient{file, http.NewResponseController(w)})
	return nil
}

// impatient is a file of which each part must be taken in time.
type impatient struct {
	io.ReadSeeker
	answer *http.ResponseController
}

func (i impatient) Read(buf []byte) (int, error) {
	if err := i.answer.SetWriteDeadline(time.Now().Add(stallTime)); err != nil {
		return 0, err //nolint:wrapcheck // the connection is gone
	}
	return i.ReadSeeker.Read(buf) //nolint:wrapcheck // io.EOF must stay that
}

// named is the template that has a digest and is handed out; "": none.
func (s *Stager) named(digest string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.said {
		if t.State == bus.TemplateReady && t.SHA256 == digest && digest != "" {
			return t.Name
		}
	}
	return ""
}

// knows reports whether a certificate is one of an actuator that is heard.
func (s *Stager) knows(fingerprint string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.heard(s.cfg.Now()) {
		if p.serves.Fingerprint == fingerprint {
			return true
		}
	}
	return false
}
