package bustest

import (
	"context"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

// Quiet is a log that nobody reads.
var Quiet = zerolog.Nop()

// LimitTime is when a wait has failed; nothing depends on it while all is well.
const LimitTime = 20 * time.Second

// Limit ends a test that waits for something that does not come.
func Limit(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), LimitTime)
	t.Cleanup(cancel)
	return ctx
}

// Receive is the next value of ch.
func Receive[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-Limit(t).Done():
		t.Fatalf("no %s came", what)
	}
	panic("unreachable")
}

// Eventually waits until a condition holds.
func Eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx := Limit(t)
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for !holds() {
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("never happened: %s", what)
		}
	}
}

// StartServer starts a server on any free port for the length of the test.
func StartServer(t testing.TB) *server.Server {
	t.Helper()
	s, err := server.Start(server.Config{Listen: "127.0.0.1:0"}, Quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// Join connects a stage in this process for the length of the test.
func Join(t testing.TB, s *server.Server, name string) *client.Conn {
	t.Helper()
	c, err := s.Connect(name, Quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Subscribe collects the messages of a subject.
func Subscribe[T any, PT interface {
	*T
	bus.Message
}](t testing.TB, c *client.Conn, subject string,
) <-chan T {
	t.Helper()
	ch := make(chan T, 64)
	if err := client.Subscribe[T, PT](c, subject, ch); err != nil {
		t.Fatal(err)
	}
	return ch
}

// StartWith starts a server for the length of the test; without an address, on any free port.
func StartWith(t testing.TB, cfg server.Config) *server.Server {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	s, err := server.Start(cfg, Quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// DialAs connects over TCP with a role's credentials from the state folder; no folder is no credentials.
func DialAs(t testing.TB, s *server.Server, stateDir string, role bus.Role, log zerolog.Logger) *client.Conn {
	t.Helper()
	remote := client.Remote{URL: s.URL()}
	if stateDir != "" {
		remote.Nkey = server.CredentialsFile(stateDir, role)
	}
	c, err := client.DialNow(remote, string(role), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// Publish sends raw bytes, and returns once the server has dealt with them.
func Publish(t testing.TB, c *client.Conn, subject string, data []byte) {
	t.Helper()
	if err := c.NATS().Publish(subject, data); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
}

// Collect has all messages of a subject, of whatever form.
func Collect(t testing.TB, c *client.Conn, subject string) <-chan *nats.Msg {
	t.Helper()
	ch := make(chan *nats.Msg, 1024)
	if _, err := c.NATS().ChanSubscribe(subject, ch); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	return ch
}

// PublishAll sends messages, and returns once the server has dealt with them.
func PublishAll(t testing.TB, c *client.Conn, messages ...bus.Outgoing) {
	t.Helper()
	for _, m := range messages {
		if err := c.Publish(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
}

// KeptRecords waits until the history has taken this many; this happens after the publisher's acknowledgment.
func KeptRecords(t testing.TB, c *client.Conn, n uint64) {
	t.Helper()
	js, err := jetstream.New(c.NATS())
	if err != nil {
		t.Fatal(err)
	}
	Eventually(t, fmt.Sprintf("%d records are kept", n), func() bool {
		stream, err := js.Stream(Limit(t), bus.HistoryStream)
		return err == nil && stream.CachedInfo().State.LastSeq == n
	})
}

// FreeAddress is an address on which nothing listens.
func FreeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// ReadAll is what the history has.
func ReadAll(t testing.TB, c *client.Conn, q client.HistoryQuery) (records []client.HistoryEntry) {
	t.Helper()
	err := client.ReadHistory(Limit(t), c, q, func(r client.HistoryEntry) error { records = append(records, r); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// What is a record in short: the group, and what happened.
func What(r client.HistoryEntry) string {
	if r.Event != nil {
		return r.Event.Group + " " + r.Event.VM + " " + string(r.Event.Event)
	}
	return r.Decision.Group + " " + string(r.Decision.Direction)
}

// Whats are records in short, in their order.
func Whats(records []client.HistoryEntry) (all []string) {
	for _, r := range records {
		all = append(all, What(r))
	}
	return all
}

// EventAt is an event of a VM at a time.
func EventAt(group, vm string, at time.Time) *bus.Event {
	e := Event()
	e.Group, e.VM, e.Time = group, vm, at
	return e
}

// DecisionAt is a decision of a group at a time.
func DecisionAt(group string, d bus.Direction, at time.Time) *bus.Decision {
	m := Decision()
	m.Group, m.Direction, m.Time = group, d, at
	return m
}
