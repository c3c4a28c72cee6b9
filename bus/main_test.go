package bus

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = zerolog.Nop()

// limit ends a test that waits for something that does not come.
func limit(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// receive is the next value of ch.
func receive[T any](t *testing.T, ch <-chan T, what string) T {
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
func eventually(t *testing.T, what string, holds func() bool) {
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
func startServer(t *testing.T) *Server {
	t.Helper()
	s, err := StartServer("127.0.0.1:0", quiet)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// join connects a stage in this process for the length of the test.
func join(t *testing.T, s *Server, name string) *Conn {
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
}](t *testing.T, c *Conn, subject string,
) <-chan T {
	t.Helper()
	ch := make(chan T, 64)
	if err := Subscribe[T, PT](c, subject, ch); err != nil {
		t.Fatal(err)
	}
	return ch
}
