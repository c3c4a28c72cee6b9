package client_test

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

func TestMalformedMessagesAreDropped(t *testing.T) {
	s := bustest.StartServer(t)
	sender, receiver := bustest.Join(t, s, "sender"), bustest.Join(t, s, "receiver")
	decisions := bustest.Subscribe[bus.Decision](t, receiver, bus.AllDecisions)
	good := bustest.Decision()
	for _, data := range []string{
		``, `{`, `null`, `{"v":99,"group":"web","id":"x","expires_at":"2026-05-04T12:00:00Z"}`,
		`{"v":1}`,
	} {
		if err := sender.NATS().Publish(good.Subject(), []byte(data)); err != nil {
			t.Fatal(err)
		}
		if err := sender.Publish(good); err != nil {
			t.Fatal(err)
		}
		if got := bustest.Receive(t, decisions, "decision after a malformed one"); got.ID != good.ID {
			t.Errorf("%q came through: %+v", data, got)
		}
	}
}

func TestMessagesKeepTheirOrder(t *testing.T) {
	s := bustest.StartServer(t)
	sender, receiver := bustest.Join(t, s, "sender"), bustest.Join(t, s, "receiver")
	decisions := bustest.Subscribe[bus.Decision](t, receiver, bus.AllDecisions)
	const n = 50
	for i := range n {
		d := bustest.Decision()
		d.Term = int64(i)
		if err := sender.Publish(d); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if d := bustest.Receive(t, decisions, "decision"); d.Term != int64(i) {
			t.Fatalf("number %d is %d", i, d.Term)
		}
	}
}

func TestCloseSendsWhatWasPublished(t *testing.T) {
	s := bustest.StartServer(t)
	events := bustest.Subscribe[bus.Event](t, bustest.Join(t, s, "receiver"), bus.AllEvents)
	sender, err := s.Connect("sender", bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Publish(bustest.Event()); err != nil {
		t.Fatal(err)
	}
	sender.Close()
	bustest.Receive(t, events, "event")
	if err := sender.Publish(bustest.Event()); err == nil {
		t.Error("a closed connection publishes")
	}
}

func TestCloseFreesAReceiverThatNobodyReads(t *testing.T) {
	s := bustest.StartServer(t)
	sender := bustest.Join(t, s, "sender")
	receiver, err := s.Connect("receiver", bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Subscribe(receiver, bus.AllEvents, make(chan bus.Event)); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := sender.Publish(bustest.Event()); err != nil {
			t.Fatal(err)
		}
	}
	if err := sender.Flush(); err != nil {
		t.Fatal(err)
	}
	receiver.Close() // hangs, or leaves a goroutine, if the receiver is not freed
}

func TestDialWaitsForItsServer(t *testing.T) {
	address := bustest.FreeAddress(t)
	c, err := client.Dial(client.Remote{URL: "nats://" + address}, "early", bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, connected := c.Connected(); connected {
		t.Fatal("connected to nothing")
	}
	samples := bustest.Subscribe[bus.Sample](t, c, bus.AllSamples)
	if err := c.Publish(bustest.Sample()); err == nil {
		t.Error("a message that is lost is no error")
	}

	for range 2 { // a late server, and one that was restarted
		s, err := server.Start(server.Config{Listen: address}, bustest.Quiet)
		if err != nil {
			t.Fatal(err)
		}
		bustest.Eventually(t, "connected", func() bool { _, connected := c.Connected(); return connected })
		if err := c.Flush(); err != nil { // the server has the subscription, too
			t.Fatal(err)
		}
		if url, _ := c.Connected(); !strings.Contains(url, address) {
			t.Errorf("connected to %s, want %s", url, address)
		}
		stage, err := s.Connect("stage", bustest.Quiet)
		if err != nil {
			t.Fatal(err)
		}
		if err := stage.Publish(bustest.Sample()); err != nil {
			t.Fatal(err)
		}
		if got := bustest.Receive(t, samples, "sample"); got.Group != "web" {
			t.Errorf("got %+v", got)
		}
		stage.Close()
		s.Stop()
		bustest.Eventually(t, "disconnected", func() bool { _, connected := c.Connected(); return !connected })
	}
}

func TestDialRefusesAnAddressThatIsNone(t *testing.T) {
	c, err := client.Dial(client.Remote{URL: "nats://[::1"}, "x", bustest.Quiet)
	if err == nil {
		c.Close()
		t.Fatal("no error")
	}
}

// A stage's answers go to its own inbox, so that nobody reads another's.
func TestInboxOfItsOwn(t *testing.T) {
	s := bustest.StartServer(t)
	for name, want := range map[string]string{
		"decider":          "_VMSCALER.decider.",
		"kvm1.example.org": "_VMSCALER.kvm1%2Eexample%2Eorg.",
	} {
		if got := bustest.Join(t, s, name).NATS().NewRespInbox(); !strings.HasPrefix(got, want) {
			t.Errorf("%s has inbox %s", name, got)
		}
	}
	c := bustest.Join(t, s, "asker")
	if _, err := c.NATS().Subscribe("vmscaler.ctl.ping", func(m *nats.Msg) { _ = m.Respond([]byte("pong")) }); err != nil {
		t.Fatal(err)
	}
	if msg, err := c.NATS().RequestWithContext(bustest.Limit(t), "vmscaler.ctl.ping", nil); err != nil ||
		string(msg.Data) != "pong" {
		t.Errorf("request: %v", err)
	}
}
