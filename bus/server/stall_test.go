package server_test

import (
	"bytes"
	"net"
	"sync"
	"sync/atomic"
	"testing"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

// reader is a connection that can be told to read nothing more.
type reader struct {
	net.Conn
	stopped atomic.Bool
	closed  chan struct{}
	once    sync.Once
}

func (r *reader) Read(p []byte) (int, error) {
	if r.stopped.Load() {
		<-r.closed
		return 0, net.ErrClosed
	}
	return r.Conn.Read(p) //nolint:wrapcheck // it is the connection
}

func (r *reader) Close() error {
	r.once.Do(func() { close(r.closed) })
	return r.Conn.Close() //nolint:wrapcheck // it is the connection
}

func (r *reader) Dial(network, address string) (net.Conn, error) {
	conn, err := net.Dial(network, address) //nolint:noctx // nats gives none
	if err == nil {
		_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	}
	r.Conn = conn
	return r, err //nolint:wrapcheck // it is the connection
}

// stalledTap subscribes, with a dashboard's credentials, and then reads nothing more.
func stalledTap(t testing.TB, s *server.Server, dir string) *nats.Conn {
	t.Helper()
	r := &reader{closed: make(chan struct{})}
	login, err := nats.NkeyOptionFromSeed(server.CredentialsFile(dir, bus.RoleDashboard))
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(s.URL(), login, nats.SetCustomDialer(r), nats.NoReconnect())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Subscribe(bus.AllSamples, func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Subscribe(bus.AllHealth, func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushWithContext(bustest.Limit(t)); err != nil {
		t.Fatal(err)
	}
	r.stopped.Store(true)
	return nc
}

// stalls is how much the server has for a client that does not take it when the server, if it is left to its own
// settings, makes publishers wait: three quarters of what it keeps at most, after which it ends the connection.
const stalls = server.MaxPending/4*3 + 1

// stall publishes until the server has that much for a tap.
func stall(t testing.TB, s *server.Server, publish func()) {
	t.Helper()
	for range 4 * server.MaxPending / (1 << 20) {
		if publish(); isStalled(t, s) {
			return
		}
	}
	t.Fatal("the tap does not stall")
}

func isStalled(t testing.TB, s *server.Server) bool {
	t.Helper()
	z, err := s.NS().Connz(&natsserver.ConnzOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range z.Conns {
		if c.Pending >= stalls {
			return true
		}
	}
	return false
}

// A tap that stops reading costs the others nothing: they get every message, and no publisher is made to wait.
func TestStalledTapHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	publisher, receiver := bustest.DialAs(
		t,
		s,
		dir,
		bus.RoleCollector,
		bustest.Quiet,
	), bustest.DialAs(
		t,
		s,
		dir,
		bus.RoleDashboard,
		bustest.Quiet,
	)
	samples := make(chan bus.Sample, 1024)
	if err := client.Subscribe(receiver, bus.AllSamples, samples); err != nil {
		t.Fatal(err)
	}
	defer stalledTap(t, s, dir).Close()
	filler := bytes.Repeat([]byte("x"), 1<<20)
	stall(t, s, func() { bustest.Publish(t, publisher, "vmscaler.health.collector.x", filler) })
	const beside = 100
	m := bustest.Sample()
	for i := range beside {
		m.HostLoad.Cores = i
		bustest.PublishAll(t, publisher, m)
	}
	if !isStalled(t, s) {
		t.Error("the tap is not stalled any more")
	}
	for i := range beside {
		if got := bustest.Receive(t, samples, "sample"); got.HostLoad.Cores != i {
			t.Fatalf("number %d is %d", i, got.HostLoad.Cores)
		}
	}
	z, err := s.NS().Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	if z.StalledClients > 0 {
		t.Errorf("the server made publishers wait %d times", z.StalledClients)
	}
}
