package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/dashboard/internal/feed"
	"github.com/vmscaler/vmscaler/dashboard/metrics"
	"github.com/vmscaler/vmscaler/dashboard/model"
)

// What one client, or all together, may take. None of it is the stages': they neither wait for this nor share memory with it.
const (
	maxConnections = 128
	maxHeader      = 16 << 10
	readWithin     = 5 * time.Second
	writeWithin    = 30 * time.Second
	idleWithin     = time.Minute
	stopWithin     = 2 * time.Second
	forgetEvery    = 30 * time.Second
)

// Config is what a server needs.
type Config struct {
	PerVM bool // metrics of each VM, too
	// Tokens are those that let their holders in. Closed has readers on loopback need one, too, as those elsewhere do.
	Tokens Tokens
	Closed bool
	// Cert and Key are files with the certificate and its key; "": what is served is not encrypted.
	Cert, Key string
	// Explain puts a decision into words; events are what its group's actuators said lately.
	Explain func(d *bus.Decision, events []bus.Event) any
	// Templates are those of the libvirt that this process reaches; nil: it reaches none.
	Templates func(context.Context) ([]TemplateState, error)
	// Replay has policies replay what was asked of a group, whose VMs boot for so long; nil: none does.
	Replay func(ctx context.Context, group string, minutes []bus.Demand, boot time.Duration) (Replay, error)
	Now    func() time.Time
	Log    zerolog.Logger
}

// Server serves what it hears from a bus, once it has one.
type Server struct {
	c        Config
	exporter *metrics.Exporter
	dropped  atomic.Uint64
	sessions sessions
	origins  http.CrossOriginProtection
	// histories has an element for each that reads the history.
	histories   chan struct{}
	streams     chan struct{} // the same for pages that are open
	replays     replays
	views       views
	templates   templates
	listenAgain time.Duration // between two tries to get its address

	bus      atomic.Pointer[Bus]    // nil: there is none yet, or not any more
	waiting  atomic.Pointer[string] // why there is none
	loopback atomic.Bool            // it listens there alone

	mu    sync.Mutex
	model *model.Model
}

// Bus is where a server hears the stages. The connections stay the caller's.
type Bus struct {
	Watch *client.Conn
	// Operator is for what changes something, and for the history; nil: that cannot be done, and ReadOnly says why.
	Operator *client.Conn
	ReadOnly string
}

// New is a server without a bus.
func New(c Config) *Server {
	s := &Server{
		c: c, model: model.New(c.Now(), sizes), histories: make(chan struct{}, historiesAtOnce), listenAgain: 5 * time.Second,
		streams: make(chan struct{}, streamsAtMost), replays: replays{answers: map[string]replayAnswer{}},
	}
	s.exporter = metrics.NewExporter(c.PerVM, s.read)
	s.Waiting("it has no bus yet")
	return s
}

// sizes are of the model. Its entries are remembered to know a duplicate, too.
var sizes = model.Sizes{Entries: 500, Window: 10 * time.Minute, Histories: 500, Past: time.Hour}

// read gives the model to look.
func (s *Server) read(look func(*model.Model, time.Time)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	look(s.model, s.c.Now())
}

// Waiting says why there is no bus yet, to those who ask whether the server is ready.
func (s *Server) Waiting(why string) { s.waiting.Store(&why) }

// Serve answers on a listener, which it closes, until ctx ends.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	s.loopback.Store(isLoopback(listener.Addr()))
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	open := newConnections(maxConnections)
	server := &http.Server{
		Handler: open.serve(s.handler()), ConnContext: open.add, ConnState: open.changed,
		ReadHeaderTimeout: readWithin, ReadTimeout: readWithin, WriteTimeout: writeWithin, IdleTimeout: idleWithin,
		MaxHeaderBytes: maxHeader, ErrorLog: quietLog(s.c.Log),
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	wg.Go(func() {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
		defer cancel()
		if err := server.Shutdown(end); err != nil {
			_ = server.Close()
		}
	})
	defer func() { _ = listener.Close() }() // where there is no certificate
	var err error
	if s.c.Cert == "" {
		err = server.Serve(listener)
	} else {
		err = server.ServeTLS(listener, s.c.Cert, s.c.Key)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// ServeWhenFree is Serve at an address that another process may have: it waits for it, and tells taken why, once for each reason.
func (s *Server) ServeWhenFree(ctx context.Context, address string, taken func(error)) error {
	again := time.NewTicker(s.listenAgain)
	defer again.Stop()
	for said := ""; ; {
		listener, err := net.Listen("tcp", address)
		if err == nil {
			return s.Serve(ctx, listener)
		}
		if err.Error() != said {
			said = err.Error()
			taken(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-again.C:
		}
	}
}

// Follow hears a bus until ctx ends.
func (s *Server) Follow(ctx context.Context, b Bus) error {
	messages := feed.New()
	if err := messages.Subscribe(b.Watch); err != nil {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	s.bus.Store(&b)
	defer s.bus.Store(nil)
	var wg sync.WaitGroup
	defer wg.Wait()
	inbox := make(chan any, 1024)
	wg.Go(func() { messages.Pump(ctx, inbox, &s.dropped) })
	forget := time.NewTicker(forgetEvery)
	defer forget.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case message := <-inbox:
			s.fold(message)
		case <-forget.C:
			s.forget()
		}
	}
}

func (s *Server) fold(message any) {
	s.read(func(m *model.Model, now time.Time) {
		if m.Fold(message, now) {
			s.exporter.Count(message)
		}
	})
}

// forget drops what was silent for too long.
func (s *Server) forget() {
	s.read(func(m *model.Model, now time.Time) {
		before := m.Groups()
		m.Forget(now)
		for _, g := range before {
			if m.Group(g.Name()) == nil {
				s.exporter.Forget(g.Name())
			}
		}
	})
}

func isLoopback(at net.Addr) bool {
	tcp, is := at.(*net.TCPAddr)
	return is && tcp.IP.IsLoopback()
}
