package web

import (
	"fmt"
	stdlog "log"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/metrics"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

const (
	scrapes      = 4 // at a time; more wait for a 503
	scrapeWithin = 10 * time.Second
)

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	registry := metrics.NewRegistry(s.exporter, func() bool { return s.unhealthy() == "" }, s.dropped.Load)
	s.api(mux)
	mux.Handle("GET /metrics", s.reading(promhttp.HandlerFor(registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: scrapes, Timeout: scrapeWithin, EnableOpenMetrics: true, ErrorLog: errorLog{s.c.Log},
	})))
	mux.Handle("/", page())
	mux.Handle("GET "+apiPath+"/stream", s.reading(http.HandlerFunc(s.stream)))
	mux.Handle("GET /sd/{group}", s.reading(http.HandlerFunc(s.discover)))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.unhealthy()) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		why := s.unready()
		if why != "" && s.mayRead(r) != nil {
			why = "not ready" // why, which names groups, is for those who may know them
		}
		answer(w, why)
	})
	return s.guard(mux)
}

// guard refuses a page that was led here by a name of its own: a browser takes it for the same origin, and lets it read what is
// on this machine's loopback (DNS rebinding).
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		if s.loopback.Load() && !bus.IsLoopback(hostOf(r.Host)) {
			http.Error(w, fmt.Sprintf("host: found %q, want localhost or a loopback address", bus.Clip(r.Host, 80)), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostOf is a Host header without its port.
func hostOf(header string) string {
	if host, _, err := net.SplitHostPort(header); err == nil {
		return host
	}
	if n := len(header); n > 2 && header[0] == '[' && header[n-1] == ']' {
		return header[1 : n-1]
	}
	return header
}

// unhealthy is why this process is of no use, "" where it is.
func (s *Server) unhealthy() string {
	b := s.bus.Load()
	if b == nil {
		return *s.waiting.Load()
	}
	if _, connected := b.Watch.Connected(); !connected {
		return "there is no connection to the bus"
	}
	return ""
}

// unready is why what it serves is not to be relied on, "" where it is.
func (s *Server) unready() string {
	why := s.unhealthy()
	if why == "" {
		s.read(func(m *model.Model, now time.Time) { why = m.Unready(now) })
	}
	return why
}

// reading lets those through who may read.
func (s *Server) reading(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.mayRead(r); err != nil {
			problemOf(err).write(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, why string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if why == "" {
		fmt.Fprintln(w, "ok")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprintln(w, why)
}

// errorLog is for what promhttp has to say.
type errorLog struct{ log zerolog.Logger }

func (l errorLog) Println(v ...any) { l.log.Error().Msg(fmt.Sprint(v...)) }

// quietLog is for what net/http has to say, which any client can cause.
func quietLog(log zerolog.Logger) *stdlog.Logger { return stdlog.New(debugLog{log}, "", 0) }

type debugLog struct{ log zerolog.Logger }

func (l debugLog) Write(line []byte) (int, error) {
	l.log.Debug().Msg("HTTP: " + bus.Line(string(line)))
	return len(line), nil
}
