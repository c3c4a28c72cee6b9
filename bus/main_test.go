package bus

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = zerolog.Nop()

// limitTime is when a wait has failed; nothing depends on it while all is well.
const limitTime = 20 * time.Second

// limit ends a test that waits for something that does not come.
func limit(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limitTime)
	t.Cleanup(cancel)
	return ctx
}

// receive is the next value of ch.
func receive[T any](t testing.TB, ch <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-limit(t).Done():
		t.Fatalf("no %s came", what)
	}
	panic("unreachable")
}

// eventually waits until a condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	ctx := limit(t)
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

// startServer starts a server on any free port for the length of the test.
func startServer(t testing.TB) *Server {
	t.Helper()
	s, err := StartServer(ServerConfig{Listen: "127.0.0.1:0"}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// join connects a stage in this process for the length of the test.
func join(t testing.TB, s *Server, name string) *Conn {
	t.Helper()
	c, err := s.Connect(name, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// subscribe collects the messages of a subject.
func subscribe[T any, PT interface {
	*T
	message
}](t testing.TB, c *Conn, subject string,
) <-chan T {
	t.Helper()
	ch := make(chan T, 64)
	if err := Subscribe[T, PT](c, subject, ch); err != nil {
		t.Fatal(err)
	}
	return ch
}

// startWith starts a server for the length of the test; without an address, on any free port.
func startWith(t testing.TB, cfg ServerConfig) *Server {
	t.Helper()
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	s, err := StartServer(cfg, quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// dialAs connects over TCP with a role's credentials from the state folder; no folder is no credentials.
func dialAs(t testing.TB, s *Server, stateDir string, role Role, log zerolog.Logger) *Conn {
	t.Helper()
	remote := Remote{URL: s.URL()}
	if stateDir != "" {
		remote.Nkey = CredentialsFile(stateDir, role)
	}
	c, err := DialNow(remote, string(role), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// publish sends raw bytes, and returns once the server has dealt with them.
func publish(t testing.TB, c *Conn, subject string, data []byte) {
	t.Helper()
	if err := c.nc.Publish(subject, data); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
}

// collect has all messages of a subject, of whatever form.
func collect(t testing.TB, c *Conn, subject string) <-chan *nats.Msg {
	t.Helper()
	ch := make(chan *nats.Msg, 1024)
	if _, err := c.nc.ChanSubscribe(subject, ch); err != nil {
		t.Fatal(err)
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	return ch
}

// logLines is a log that can be read while it is written.
type logLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// with are the lines that contain a text.
func (l *logLines) with(part string) (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		if strings.Contains(line, part) {
			lines = append(lines, line)
		}
	}
	return lines
}

func (l *logLines) logger() zerolog.Logger { return zerolog.New(l) }
