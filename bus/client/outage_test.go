package client_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

// startOutbox runs one for an actuator of another process.
func startOutbox(t *testing.T, url, dir string) (o *client.Outbox, stop func()) {
	t.Helper()
	conn, err := client.Dial(
		client.Remote{URL: url, Nkey: server.CredentialsFile(dir, bus.RoleActuator)},
		string(bus.RoleActuator),
		zerolog.Nop(),
	)
	if err != nil {
		t.Fatal(err)
	}
	o = client.NewOutbox(conn, zerolog.Nop())
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	stop = func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		conn.Close()
	}
	return o, stop
}

// Events that were sent while the bus was away are in its history when it is back, each once and in their order.
func TestOutboxOutlivesTheBus(t *testing.T) {
	dir, listen := t.TempDir(), bustest.FreeAddress(t)
	start := func() *server.Server {
		t.Helper()
		s, err := server.Start(server.Config{Listen: listen, StateDir: dir}, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	kept := func(s *server.Server, want []string) []string {
		t.Helper()
		conn, err := s.Connect("test", zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		deadline := time.After(20 * time.Second)
		for {
			got := bustest.Whats(bustest.ReadAll(t, conn, client.HistoryQuery{}))
			if len(got) >= len(want) {
				return got
			}
			select {
			case <-time.After(50 * time.Millisecond):
			case <-deadline:
				return got
			}
		}
	}
	s := start()
	o, stop := startOutbox(t, "nats://"+listen, dir)
	confirmed := make(chan bool, 1)
	o.Send(client.LetterOf(1), func() { confirmed <- true })
	want := []string{"web web-1 ready"}
	if got := kept(s, want); !slices.Equal(got, want) {
		t.Fatalf("kept %q, want %q", got, want)
	}
	<-confirmed
	s.Stop()
	for n := 2; n <= 20; n++ {
		o.Send(client.LetterOf(n), nil)
		want = append(want, fmt.Sprintf("web web-%d ready", n))
	}
	s = start()
	if got := kept(s, want); !slices.Equal(got, want) {
		t.Errorf("kept %q, want %q", got, want)
	}
	o.Send(client.LetterOf(21), nil) // at the very end
	stop()
	want = append(want, "web web-21 ready")
	if got := kept(s, want); !slices.Equal(got, want) {
		t.Errorf("kept %q, want %q", got, want)
	}
	o.Send(client.LetterOf(22), nil) // nobody sends it, and nobody waits
	s.Stop()
}
