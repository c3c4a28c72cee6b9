package bus

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
)

// DefaultListen is where the embedded server listens: NATS's usual port, so that a bare `nats sub` finds it.
const DefaultListen = "127.0.0.1:4222"

// ErrListenTaken says that the embedded server's address is in use.
var ErrListenTaken = errors.New("address already in use")

const (
	stageUser = "stage" // the stages in this process; it cannot log in over the network
	tapUser   = "tap"   // whoever connects without credentials
)

// Server is the embedded NATS server.
type Server struct {
	ns       *server.Server
	password string
}

// StartServer starts the embedded server on listen ("127.0.0.1:4222"; port 0 takes any free one). Only loopback
// addresses are allowed, as the connection is neither encrypted nor authenticated. A client from outside this
// process may subscribe to samples, decisions, lifecycle events and health, and publish nothing.
func StartServer(listen string, log zerolog.Logger) (*Server, error) {
	host, port, err := splitListen(listen)
	if err != nil {
		return nil, err
	}
	// The server's own "port in use" comes through its logger, after which it still reports itself as ready.
	probe, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return nil, fmt.Errorf("bus: listen on %s: %w", listen, ErrListenTaken)
	}
	if err != nil {
		return nil, fmt.Errorf("bus: listen on %s: %w", listen, err)
	}
	if err := probe.Close(); err != nil {
		return nil, fmt.Errorf("bus: listen on %s: %w", listen, err)
	}
	if port == 0 {
		port = server.RANDOM_PORT
	}
	password := rand.Text()
	ns, err := server.NewServer(&server.Options{
		Host: host, Port: port, ServerName: "vmscaler",
		NoSigs:              true, // otherwise Ctrl-C exits the process before the stages have stopped
		NoFastProducerStall: true, // otherwise a tap that reads slowly slows the stages down
		MaxPayload:          8 << 20,
		NoAuthUser:          tapUser,
		Users: []*server.User{
			{
				Username: stageUser, Password: password,
				AllowedConnectionTypes: map[string]struct{}{"IN_PROCESS": {}},
			},
			{
				Username: tapUser, Password: rand.Text(),
				Permissions: &server.Permissions{
					Publish: &server.SubjectPermission{Deny: []string{">"}},
					Subscribe: &server.SubjectPermission{
						Allow: []string{"vmscaler.>"}, Deny: []string{"vmscaler.ctl.>"},
					},
				},
			},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	bridge := &logBridge{log: log}
	ns.SetLoggerV2(bridge, false, false, false)
	ns.Start()
	if !ns.ReadyForConnections(10 * time.Second) {
		ns.Shutdown()
		return nil, errors.New("bus: the embedded server was not ready after 10 s")
	}
	if msg := bridge.fatal.Load(); msg != nil {
		ns.Shutdown()
		if strings.Contains(*msg, "address already in use") {
			return nil, fmt.Errorf("bus: listen on %s: %w", listen, ErrListenTaken)
		}
		return nil, fmt.Errorf("bus: %s", *msg)
	}
	return &Server{ns: ns, password: password}, nil
}

// URL is where other processes reach the server.
func (s *Server) URL() string { return s.ns.ClientURL() }

// Connect connects a stage of this process, without a socket.
func (s *Server) Connect(name string, log zerolog.Logger) (*Conn, error) {
	return connect(s.URL(), name, log, nats.InProcessServer(s.ns), nats.UserInfo(stageUser, s.password))
}

// Stop ends the server and waits for it. Close the connections first.
func (s *Server) Stop() {
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
}

// CheckListen says what is wrong with an address for the embedded server.
func CheckListen(listen string) error {
	_, _, err := splitListen(listen)
	return err
}

func splitListen(listen string) (string, int, error) {
	host, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, fmt.Errorf("%q: want HOST:PORT, such as %s", listen, DefaultListen)
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%q: want a port from 0 to 65535", listen)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return "", 0, fmt.Errorf("%q: only loopback addresses (127.0.0.1, ::1, localhost) are allowed, as whoever reaches the bus can watch it unencrypted", listen)
	}
	return host, port, nil
}

// logBridge passes the server's log on and keeps its first fatal message, which must not end the process.
type logBridge struct {
	log   zerolog.Logger
	fatal atomic.Pointer[string]
}

func (b *logBridge) Noticef(format string, v ...any) { b.log.Debug().Msgf(format, v...) }
func (b *logBridge) Warnf(format string, v ...any) {
	// Ours are random, new at each start, and only in memory; the user without credentials cannot have a hashed one.
	if !strings.HasPrefix(format, "Plaintext passwords") {
		b.log.Warn().Msgf(format, v...)
	}
}
func (b *logBridge) Errorf(format string, v ...any) { b.log.Error().Msgf(format, v...) }
func (b *logBridge) Debugf(format string, v ...any) { b.log.Trace().Msgf(format, v...) }
func (b *logBridge) Tracef(format string, v ...any) { b.log.Trace().Msgf(format, v...) }
func (b *logBridge) Fatalf(format string, v ...any) {
	msg := fmt.Sprintf(format, v...)
	b.fatal.CompareAndSwap(nil, &msg)
}
