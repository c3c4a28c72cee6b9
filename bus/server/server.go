package server

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/internal/throttle"
)

// ErrListenTaken means that the embedded server's address is in use.
var ErrListenTaken = errors.New("address already in use")

// stageUser is this process itself. A stage in it has the user of stageUserOf, with the permissions of its role: a
// requester must not make a stage publish elsewhere. None of them can log in over the network.
const stageUser = "stage"

func stageUserOf(name string) string {
	if role := bus.Role(name); slices.Contains(bus.Roles(), role) {
		return stageUser + "-" + name
	}
	return stageUser
}

// The most that JetStream may take. The history is the bulk of the disk.
const (
	maxStore  = 128 << 20
	maxMemory = 16 << 20
)

// Config is what the embedded server needs.
type Config struct {
	// Listen is its HOST:PORT, such as "127.0.0.1:4222"; port 0 takes any free one. Other addresses than loopback
	// need Cert and Key.
	Listen string
	// StateDir is where JetStream and the credentials of the roles are. With "" there is neither: no history, and
	// no stage of another process can join.
	StateDir string
	// Cert and Key are files (PEM) for TLS, both or none; CA, if set, is the one that clients' certificates must be
	// from.
	Cert, Key, CA string
	// NoTaps refuses clients without credentials from this machine, too.
	NoTaps bool
	// Cluster is nil for a bus that is alone.
	Cluster *Cluster
}

// Server is the embedded NATS server.
type Server struct {
	ns       *server.Server
	state    *stateFolder      // nil without one
	live     *liveCertificate  // nil without TLS
	cert     *x509.Certificate // what live had at the start, for its names
	password string

	lines     *throttle.Throttle // of its log
	stopGuard func()             // and what follows the certificate's files
	stopDoor  func()             // nil without a state folder
	stopKeep  func()             // nil without a cluster
}

// Start starts the embedded server. A client from this machine that has no credentials has the rights of [bus.RoleTap], unless
// there are to be none; from elsewhere it is refused. The error is ErrListenTaken or a *StateLockedError where another process
// has the address or the state folder.
func Start(cfg Config, log zerolog.Logger) (_ *Server, err error) {
	if err := bus.CheckListen(cfg.Listen, cfg.Cert != ""); err != nil {
		return nil, err
	}
	host, port, err := bus.SplitListen(cfg.Listen)
	if err != nil {
		return nil, err
	}
	s := &Server{password: rand.Text()}
	options := s.options(bus.IsLoopback(host) && !cfg.NoTaps)
	setLimits(options, cfg.Cert != "")
	if err := s.useTLS(options, cfg); err != nil {
		return nil, err
	}
	var undo []func() // what was done so far, the last first
	defer func() {
		if err != nil {
			for _, step := range slices.Backward(undo) {
				step()
			}
		}
	}()
	if cfg.StateDir != "" { // first, as its holder can be named
		if s.state, err = openState(cfg.StateDir, os.Geteuid()); err != nil {
			return nil, err
		}
		undo = append(undo, s.state.Close)
	}
	if err := isFree(host, port); err != nil {
		return nil, fmt.Errorf("bus: listen on %s: %w", cfg.Listen, err)
	}
	listenOn(options, host, port)
	if err := s.store(options, cfg); err != nil {
		return nil, err
	}
	if s.ns, err = server.NewServer(options); err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	bridge := newLogBridge(log)
	s.lines = bridge.lines
	undo = append(undo, s.lines.Close)
	s.ns.SetLoggerV2(bridge, false, false, false)
	s.ns.Start()
	undo = append(undo, func() {
		s.ns.Shutdown()
		s.ns.WaitForShutdown() // before another may have the state folder
	})
	if err := s.awaitReady(bridge, cfg.Listen, options.StoreDir); err != nil {
		return nil, err
	}
	if err := s.guard(cfg, log); err != nil {
		return nil, err
	}
	undo = append(undo, s.stopGuard)
	if s.state == nil {
		return s, nil
	}
	if err := s.keepAll(cfg, options, log); err != nil {
		return nil, err
	}
	undo = append(undo, s.stopKeep)
	if err := s.admit(cfg, options, log); err != nil {
		return nil, err
	}
	undo = append(undo, s.stopDoor)
	if err := s.describe(cfg.Cert); err != nil {
		return nil, err
	}
	return s, nil
}

// guard bounds what clients may take, and follows the files of the certificate.
func (s *Server) guard(cfg Config, log zerolog.Logger) error {
	stopCertificate := func() {}
	if s.live != nil {
		var err error
		if stopCertificate, err = s.keepCertificate(cfg, log); err != nil {
			return err
		}
	}
	stopGuard := startGuard(s.ns, s.lines, log)
	s.stopGuard = func() {
		stopGuard()
		stopCertificate()
	}
	return nil
}

// admit lets the hosts in that the state folder names, now and later, and lets others join by their tokens.
func (s *Server) admit(cfg Config, options *server.Options, log zerolog.Logger) error {
	d := &doorman{ns: s.ns, options: options.Clone(), stateDir: cfg.StateDir, cert: cfg.Cert, now: time.Now, log: log}
	if err := d.refresh(); err != nil {
		return err
	}
	conn, err := s.Connect("bus-door", log)
	if err != nil {
		return err
	}
	if cfg.Cluster != nil {
		d.members = &spreader{conn: conn, stateDir: cfg.StateDir}
	}
	if s.stopDoor, err = d.start(conn); err != nil {
		conn.Close()
	}
	return err
}

// options are those that do not depend on the address and the state folder. taps lets clients without credentials in.
func (s *Server) options(taps bool) *server.Options {
	options := &server.Options{
		ServerName:          client.ServerName,
		NoSigs:              true, // otherwise Ctrl-C exits the process before the stages have stopped
		NoFastProducerStall: true, // otherwise a tap that reads slowly slows the stages down
		PingInterval:        client.PingInterval,
		MaxPingsOut:         client.PingsOutstanding,
	}
	inProcess := func(user string, permissions *server.Permissions) {
		options.Users = append(options.Users, &server.User{
			Username: user, Password: s.password, Permissions: permissions,
			AllowedConnectionTypes: map[string]struct{}{"IN_PROCESS": {}},
		})
	}
	inProcess(stageUser, nil)
	for _, role := range bus.Roles() {
		inProcess(stageUserOf(string(role)), serverPermissions(role.Permissions()))
	}
	if taps {
		options.NoAuthUser = string(bus.RoleTap)
		options.Users = append(options.Users, &server.User{
			Username: string(bus.RoleTap), Password: rand.Text(), Permissions: serverPermissions(bus.RoleTap.Permissions()),
		})
	}
	return options
}

// useTLS has clients come by TLS, if there is a certificate.
func (s *Server) useTLS(options *server.Options, cfg Config) (err error) {
	if cfg.Cert == "" {
		return nil
	}
	options.TLS, options.TLSVerify, options.TLSTimeout = true, cfg.CA != "", 5
	options.TLSConfig, err = server.GenTLSConfig(&server.TLSConfigOpts{
		CertFile: cfg.Cert, KeyFile: cfg.Key, CaFile: cfg.CA, Verify: cfg.CA != "",
	})
	if err != nil {
		return fmt.Errorf("bus: TLS: %w", err)
	}
	if s.live, err = openCertificate(cfg.Cert, cfg.Key); err != nil {
		return err
	}
	s.live.show(options.TLSConfig)
	s.cert = s.live.leaf()
	return nil
}

// listenOn has the server listen on an address; port 0 is any free one.
func listenOn(options *server.Options, host string, port int) {
	if options.Host, options.Port = host, port; port == 0 {
		options.Port = server.RANDOM_PORT
	}
}

// isFree looks for another listener: the server's own "port in use" comes through its logger, after which it still reports itself
// as ready.
func isFree(host string, port int) error {
	probe, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return ErrListenTaken
	}
	if err != nil {
		return err //nolint:wrapcheck // the caller names the address
	}
	return probe.Close()
}

// useStore has the server keep what it must in a state folder, and lets the roles in whose credentials are there.
func useStore(options *server.Options, stateDir string) error {
	public, err := makeCredentials(stateDir)
	if err != nil {
		return err
	}
	for _, role := range bus.Roles() {
		permissions := serverPermissions(role.Permissions())
		options.Nkeys = append(options.Nkeys, &server.NkeyUser{Nkey: public[role], Permissions: permissions})
	}
	options.JetStream, options.StoreDir = true, filepath.Join(stateDir, "jetstream")
	options.JetStreamMaxStore, options.JetStreamMaxMemory = maxStore, maxMemory
	options.SyncAlways = true // so little is written that each record may wait for the disk
	return nil
}

// awaitReady waits until clients can connect, or the server says in its log that they never will.
func (s *Server) awaitReady(bridge *logBridge, listen, storeDir string) error {
	deadline := time.Now().Add(10 * time.Second)
	for bridge.fatal.Load() == nil && !s.ns.ReadyForConnections(100*time.Millisecond) {
		if time.Now().After(deadline) {
			return errors.New("bus: the embedded server was not ready after 10 s")
		}
	}
	switch msg := bridge.fatal.Load(); {
	case msg == nil:
		return nil
	case strings.Contains(*msg, "address already in use"):
		return fmt.Errorf("bus: listen on %s: %w", listen, ErrListenTaken)
	case strings.Contains(*msg, "JetStream"):
		return unusableStore(storeDir, errors.New(*msg))
	default:
		return fmt.Errorf("bus: %s", *msg)
	}
}

// describe writes into the state folder where the server is.
func (s *Server) describe(cert string) (err error) {
	if cert != "" {
		if cert, err = filepath.Abs(cert); err != nil {
			return fmt.Errorf("bus: TLS: %w", err)
		}
	}
	return s.state.describe(s.URL(), cert)
}

// unusableStore names the folder of the history and of what is kept of groups, and how to do without it.
func unusableStore(dir string, err error) error {
	return fmt.Errorf(
		"bus: the store in %s: %w; if it is damaged, move it away: then the history and what is paused begin again",
		dir,
		err,
	)
}

// store has the server keep what it must, alone or as a member of a cluster.
func (s *Server) store(options *server.Options, cfg Config) error {
	if cfg.StateDir != "" {
		if err := useStore(options, cfg.StateDir); err != nil {
			return err
		}
	}
	if cfg.Cluster == nil {
		return nil
	}
	if err := errors.Join(cfg.Cluster.check(cfg), cfg.Cluster.use(options, cfg, s.live)); err != nil {
		return err
	}
	s.advertise(options)
	return nil
}

// keepAll makes what is kept; in a cluster as soon as that can.
func (s *Server) keepAll(cfg Config, options *server.Options, log zerolog.Logger) error {
	if s.stopKeep = func() {}; cfg.Cluster != nil {
		s.stopKeep = s.keepInCluster(log)
		return nil
	}
	if err := s.keep(log); err != nil {
		return unusableStore(options.StoreDir, err)
	}
	return nil
}

// keep makes the history's stream and the buckets, so that no stage needs the right to.
func (s *Server) keep(log zerolog.Logger) error {
	conn, err := s.Connect("bus-store", log)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return errors.Join(client.EnsureHistory(ctx, conn), client.EnsureStore(ctx, conn, client.EmbeddedLockTTL))
}

// URL is where other processes on this machine reach the server. One that listens on all addresses is reached at loopback
// as well, or, where its certificate is not for that, by the certificate's first name.
func (s *Server) URL() string {
	u, err := url.Parse(s.ns.ClientURL())
	if err != nil {
		return s.ns.ClientURL()
	}
	if ip := net.ParseIP(u.Hostname()); u.Hostname() == "" || ip != nil && ip.IsUnspecified() {
		u.Host = net.JoinHostPort(s.localName(), u.Port())
	}
	return u.String()
}

// localName is a name of this machine that the server's certificate is for.
func (s *Server) localName() string {
	const loopback = "127.0.0.1"
	if s.cert == nil || s.cert.VerifyHostname(loopback) == nil || len(s.cert.DNSNames) == 0 {
		return loopback
	}
	return s.cert.DNSNames[0]
}

// Connect connects a stage of this process, without a socket. The name of a role gives its permissions, every other
// one all.
func (s *Server) Connect(name string, log zerolog.Logger) (*client.Conn, error) {
	// Not the server's URL, which may ask for TLS: there is nobody in between, and no certificate is for this process.
	return client.Connect("nats://in-process", name, log, nats.InProcessServer(s.ns), nats.UserInfo(stageUserOf(name), s.password))
}

// Stop ends the server and waits for it. Close the connections first.
func (s *Server) Stop() {
	s.stopGuard()
	for _, stop := range []func(){s.stopKeep, s.stopDoor} {
		if stop != nil {
			stop()
		}
	}
	s.ns.Shutdown()
	s.ns.WaitForShutdown()
	s.lines.Close()
	if s.state != nil {
		s.state.Close()
	}
}
