package client

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
)

func letterOf(n int) bus.Event {
	return bus.Event{
		V:     bus.Version,
		Group: "web",
		VM:    fmt.Sprintf("web-%d", n),
		Event: bus.EventReady,
		Host:  "h",
		Time:  time.Now().UTC(),
	}
}

// Where no history is kept each event is heard once.
func TestOutboxWithoutHistory(t *testing.T) {
	url := plainServer(t, server.Options{})
	heard := make(chan bus.Event, 64)
	if err := Subscribe(plainConn(t, url), bus.AllEvents, heard); err != nil {
		t.Fatal(err)
	}
	o := NewOutbox(plainConn(t, url), zerolog.Nop())
	now, confirmed := time.Now(), 0
	for n := range 3 {
		o.take(&pendingEvent{EventAt: letterOf(n), confirmed: func() { confirmed++ }})
	}
	o.again(now.Add(acknowledged / 2))
	o.again(now.Add(2 * acknowledged))
	if len(o.waiting) != 0 {
		t.Errorf("%d wait for a history that is not there", len(o.waiting))
	}
	if confirmed != 3 {
		t.Errorf("%d are confirmed, want 3", confirmed)
	}
	o.take(&pendingEvent{EventAt: letterOf(3), confirmed: func() { confirmed++ }})
	for n := range 4 {
		if e := <-heard; e.VM != fmt.Sprintf("web-%d", n) {
			t.Errorf("event %d is about %s", n, e.VM)
		}
	}
}

// An event that nobody would take does not wait, and neither does who waits for it.
func TestOutboxOfWhatCannotBeSent(t *testing.T) {
	o := NewOutbox(plainConn(t, plainServer(t, server.Options{})), zerolog.Nop())
	confirmed := 0
	e := letterOf(1)
	e.VM = "web\x1b[2J-1"
	o.take(&pendingEvent{EventAt: e, confirmed: func() { confirmed++ }})
	if confirmed != 1 || len(o.waiting) != 0 {
		t.Errorf("%d confirmed, %d wait", confirmed, len(o.waiting))
	}
}

// What waits is bounded.
func TestOutboxIsBounded(t *testing.T) {
	conn, err := Dial(Remote{URL: "nats://127.0.0.1:1"}, "actuator", zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	o := NewOutbox(conn, zerolog.Nop())
	confirmed := 0
	for n := range outboxSize + 5 {
		o.take(&pendingEvent{EventAt: letterOf(n), confirmed: func() { confirmed++ }})
	}
	if len(o.waiting) != outboxSize || o.waiting[0].msg.Subject != "vmscaler.lifecycle.web.web-5.ready" {
		t.Errorf("%d wait, the first is %s", len(o.waiting), o.waiting[0].msg.Subject)
	}
	if confirmed != 0 {
		t.Errorf("%d are confirmed without a bus", confirmed)
	}
}
