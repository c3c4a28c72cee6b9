package metrics

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/dashboard/internal/feed"
)

const (
	scrapes       = 4 // at a time; more wait for a 503
	scrapeWithin  = 10 * time.Second
	forgetEvery   = 30 * time.Second
	stopWithin    = 2 * time.Second
	readWithin    = 5 * time.Second
	idleWithin    = time.Minute
	longestHeader = 16 << 10
)

// Server is the stage that serves the figures over HTTP: /metrics, /healthz and /readyz. It publishes nothing on the bus.
type Server struct {
	conn     *client.Conn
	exporter *Exporter
	log      zerolog.Logger
	dropped  atomic.Uint64
}

// NewServer is one for a connection, which stays the caller's.
func NewServer(conn *client.Conn, exporter *Exporter, log zerolog.Logger) *Server {
	return &Server{conn: conn, exporter: exporter, log: log}
}

// Run serves on a listener, which it closes, until ctx ends.
func (s *Server) Run(ctx context.Context, listener net.Listener) error {
	messages := feed.New()
	if err := messages.Subscribe(s.conn); err != nil {
		return errors.Join(fmt.Errorf("metrics: %w", err), listener.Close())
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	inbox := make(chan any, 1024)
	wg.Go(func() { messages.Pump(ctx, inbox, &s.dropped) })
	wg.Go(func() { s.fold(ctx, inbox) })
	server := &http.Server{
		Handler: s.handler(), ReadHeaderTimeout: readWithin, ReadTimeout: readWithin, IdleTimeout: idleWithin,
		MaxHeaderBytes: longestHeader,
	}
	wg.Go(func() {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		if err := server.Shutdown(end); err != nil {
			_ = server.Close()
		}
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil
}

func (s *Server) fold(ctx context.Context, inbox <-chan any) {
	forget := time.NewTicker(forgetEvery)
	defer forget.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case message := <-inbox:
			s.exporter.Fold(message)
		case <-forget.C:
			s.exporter.Forget()
		}
	}
}

func (s *Server) registry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		s.exporter, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: namespace, Name: "exporter_dropped_messages_total", Help: "Messages that came faster than they were read.",
		}, func() float64 { return float64(s.dropped.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Namespace: namespace, Name: "exporter_bus_connected", Help: "1 while this process is connected to the bus.",
		}, func() float64 { _, connected := s.conn.Connected(); return truth(connected) }),
	)
	return registry
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry(), promhttp.HandlerOpts{
		MaxRequestsInFlight: scrapes, Timeout: scrapeWithin, EnableOpenMetrics: true, ErrorLog: errorLog{s.log},
	}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.unhealthy()) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		why := s.unhealthy()
		if why == "" {
			why = s.exporter.Readiness()
		}
		answer(w, why)
	})
	return mux
}

// unhealthy is why this process is of no use, "" where it is.
func (s *Server) unhealthy() string {
	if _, connected := s.conn.Connected(); !connected {
		return "there is no connection to the bus"
	}
	return ""
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
