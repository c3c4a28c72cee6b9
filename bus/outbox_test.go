package bus

import (
	"context"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// startOutbox runs one for an actuator of another process.
func startOutbox(t *testing.T, url, dir string) (o *Outbox, stop func()) {
	t.Helper()
	conn, err := Dial(Remote{URL: url, Nkey: CredentialsFile(dir, RoleActuator)}, string(RoleActuator), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	o = NewOutbox(conn, zerolog.Nop())
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

func letterOf(n int) Event {
	return Event{V: Version, Group: "web", VM: fmt.Sprintf("web-%d", n), Event: EventReady, Host: "h", Time: time.Now().UTC()}
}

// Events that were sent while the bus was away are in its history when it is back, each once and in their order.
func TestOutboxOutlivesTheBus(t *testing.T) {
	dir, listen := t.TempDir(), freePort(t)
	start := func() *Server {
		t.Helper()
		s, err := StartServer(ServerConfig{Listen: listen, StateDir: dir}, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	kept := func(s *Server, want []string) []string {
		t.Helper()
		conn, err := s.Connect("test", zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		deadline := time.After(20 * time.Second)
		for {
			got := whats(readAll(t, conn, HistoryQuery{}))
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
	o.Send(letterOf(1), func() { confirmed <- true })
	want := []string{"web web-1 ready"}
	if got := kept(s, want); !slices.Equal(got, want) {
		t.Fatalf("kept %q, want %q", got, want)
	}
	<-confirmed
	s.Stop()
	for n := 2; n <= 20; n++ {
		o.Send(letterOf(n), nil)
		want = append(want, fmt.Sprintf("web web-%d ready", n))
	}
	s = start()
	if got := kept(s, want); !slices.Equal(got, want) {
		t.Errorf("kept %q, want %q", got, want)
	}
	o.Send(letterOf(21), nil) // at the very end
	stop()
	want = append(want, "web web-21 ready")
	if got := kept(s, want); !slices.Equal(got, want) {
		t.Errorf("kept %q, want %q", got, want)
	}
	o.Send(letterOf(22), nil) // nobody sends it, and nobody waits
	s.Stop()
}

// Where no history is kept each event is heard once.
func TestOutboxWithoutHistory(t *testing.T) {
	s, err := StartServer(ServerConfig{Listen: "127.0.0.1:0"}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	connect := func(name string) *Conn {
		t.Helper()
		conn, err := s.Connect(name, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		return conn
	}
	heard := make(chan Event, 64)
	if err := Subscribe(connect("test"), AllEvents, heard); err != nil {
		t.Fatal(err)
	}
	o := NewOutbox(connect("actuator"), zerolog.Nop())
	now, confirmed := time.Now(), 0
	for n := range 3 {
		o.take(&letter{event: letterOf(n), confirmed: func() { confirmed++ }})
	}
	o.again(now.Add(acknowledged / 2))
	o.again(now.Add(2 * acknowledged))
	if len(o.waiting) != 0 {
		t.Errorf("%d wait for a history that is not there", len(o.waiting))
	}
	if confirmed != 3 {
		t.Errorf("%d are confirmed, want 3", confirmed)
	}
	o.take(&letter{event: letterOf(3), confirmed: func() { confirmed++ }})
	for n := range 4 {
		if e := <-heard; e.VM != fmt.Sprintf("web-%d", n) {
			t.Errorf("event %d is about %s", n, e.VM)
		}
	}
}

// What waits is bounded.
func TestOutboxIsBounded(t *testing.T) {
	conn, err := Dial(Remote{URL: "nats://" + freePort(t)}, "actuator", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	o := NewOutbox(conn, zerolog.Nop())
	confirmed := 0
	for n := range outboxSize + 5 {
		o.take(&letter{event: letterOf(n), confirmed: func() { confirmed++ }})
	}
	if len(o.waiting) != outboxSize || o.waiting[0].msg.Subject != "vmscaler.lifecycle.web.web-5.ready" {
		t.Errorf("%d wait, the first is %s", len(o.waiting), o.waiting[0].msg.Subject)
	}
	if confirmed != 0 {
		t.Errorf("%d are confirmed without a bus", confirmed)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}
