package bus

import (
	"net"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
)

func TestMalformedMessagesAreDropped(t *testing.T) {
	s := startServer(t)
	sender, receiver := join(t, s, "sender"), join(t, s, "receiver")
	decisions := subscribe[Decision](t, receiver, AllDecisions)
	good := exampleDecision()
	for _, data := range []string{``, `{`, `null`, `{"v":99,"group":"web","id":"x","expires_at":"2026-05-04T12:00:00Z"}`, `{"v":1}`} {
		if err := sender.nc.Publish(good.Subject(), []byte(data)); err != nil {
			t.Fatal(err)
		}
		if err := sender.Publish(good); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, decisions, "decision after a malformed one"); got.ID != good.ID {
			t.Errorf("%q came through: %+v", data, got)
		}
	}
}

func TestMessagesKeepTheirOrder(t *testing.T) {
	s := startServer(t)
	sender, receiver := join(t, s, "sender"), join(t, s, "receiver")
	decisions := subscribe[Decision](t, receiver, AllDecisions)
	const n = 50
	for i := range n {
		d := exampleDecision()
		d.Term = int64(i)
		if err := sender.Publish(d); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if d := receive(t, decisions, "decision"); d.Term != int64(i) {
			t.Fatalf("number %d is %d", i, d.Term)
		}
	}
}

func TestCloseSendsWhatWasPublished(t *testing.T) {
	s := startServer(t)
	events := subscribe[Event](t, join(t, s, "receiver"), AllEvents)
	sender, err := s.Connect("sender", quiet)
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Publish(exampleEvent()); err != nil {
		t.Fatal(err)
	}
	sender.Close()
	receive(t, events, "event")
	if err := sender.Publish(exampleEvent()); err == nil {
		t.Error("a closed connection publishes")
	}
}

func TestCloseFreesAReceiverThatNobodyReads(t *testing.T) {
	s := startServer(t)
	sender := join(t, s, "sender")
	receiver, err := s.Connect("receiver", quiet)
	if err != nil {
		t.Fatal(err)
	}
	if err := Subscribe(receiver, AllEvents, make(chan Event)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := sender.Publish(exampleEvent()); err != nil {
			t.Fatal(err)
		}
	}
	if err := sender.Flush(); err != nil {
		t.Fatal(err)
	}
	receiver.Close() // hangs, or leaves a goroutine, if the receiver is not freed
}

// freeAddress is an address on which nothing listens.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

func TestDialWaitsForItsServer(t *testing.T) {
	address := freeAddress(t)
	c, err := Dial(Remote{URL: "nats://" + address}, "early", quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, connected := c.Connected(); connected {
		t.Fatal("connected to nothing")
	}
	samples := subscribe[Sample](t, c, AllSamples)
	if err := c.Publish(exampleSample()); err == nil {
		t.Error("a message that is lost is no error")
	}

	for range 2 { // a late server, and one that was restarted
		s, err := StartServer(ServerConfig{Listen: address}, quiet)
		if err != nil {
			t.Fatal(err)
		}
		eventually(t, "connected", func() bool { _, connected := c.Connected(); return connected })
		if err := c.Flush(); err != nil { // the server has the subscription, too
			t.Fatal(err)
		}
		if url, _ := c.Connected(); !strings.Contains(url, address) {
			t.Errorf("connected to %s, want %s", url, address)
		}
		stage, err := s.Connect("stage", quiet)
		if err != nil {
			t.Fatal(err)
		}
		if err := stage.Publish(exampleSample()); err != nil {
			t.Fatal(err)
		}
		if got := receive(t, samples, "sample"); got.Group != "web" {
			t.Errorf("got %+v", got)
		}
		stage.Close()
		s.Stop()
		eventually(t, "disconnected", func() bool { _, connected := c.Connected(); return !connected })
	}
}

func TestDialRefusesAnAddressThatIsNone(t *testing.T) {
	c, err := Dial(Remote{URL: "nats://[::1"}, "x", quiet)
	if err == nil {
		c.Close()
		t.Fatal("no error")
	}
}

// A stage's answers go to its own inbox, so that nobody reads another's.
func TestInboxOfItsOwn(t *testing.T) {
	s := startServer(t)
	for name, want := range map[string]string{"decider": "_VMSCALER.decider.", "kvm1.example.org": "_VMSCALER.kvm1%2Eexample%2Eorg."} {
		if got := join(t, s, name).nc.NewRespInbox(); !strings.HasPrefix(got, want) {
			t.Errorf("%s has inbox %s", name, got)
		}
	}
	c := join(t, s, "asker")
	if _, err := c.nc.Subscribe("vmscaler.ctl.ping", func(m *nats.Msg) { _ = m.Respond([]byte("pong")) }); err != nil {
		t.Fatal(err)
	}
	if msg, err := c.nc.RequestWithContext(limit(t), "vmscaler.ctl.ping", nil); err != nil || string(msg.Data) != "pong" {
		t.Errorf("request: %v", err)
	}
}
