package client

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
)

// TestEventsWaitForTheHistory: what is sent while the history cannot be made yet is sent again once it is there; where nobody
// here makes one, and nobody confirms, it is given up.
func TestEventsWaitForTheHistory(t *testing.T) {
	t.Parallel()
	conn := plainStore(t)
	o := NewOutbox(conn, zerolog.Nop())
	o.prefix = conn.nc.NewInbox() + "."
	now := time.Now()
	later := func() *pendingEvent {
		now = now.Add(2 * acknowledged)
		o.again(now)
		if len(o.waiting) == 0 {
			return nil
		}
		return o.waiting[0]
	}
	event := bus.Event{V: bus.Version, Group: "web", VM: "web-1", Event: bus.EventReady, Time: now}
	o.take(&pendingEvent{EventAt: event})
	if l := later(); l != nil {
		t.Error("an event waits for a history that nobody makes")
	}

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := EnsureHistory(ended, conn); err == nil {
		t.Fatal("a history was made")
	}
	o.take(&pendingEvent{EventAt: event})
	first := o.waiting[0].sent
	if l := later(); l == nil || !l.sent.Equal(first) {
		t.Errorf("while the history cannot be made: %+v, want an event that waits and is not sent again", l)
	}
	if now = now.Add(historyPatience); later() != nil {
		t.Error("an event waits forever for a history that may never be made")
	}
	o.take(&pendingEvent{EventAt: event})
	if err := EnsureHistory(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	if l := later(); l == nil || !l.sent.Equal(now) {
		t.Errorf("once the history is there: %+v, want that it is sent again", l)
	}
	if now = now.Add(2 * historyPatience); later() == nil {
		t.Error("an event is given up although there is a history")
	}
}

// TestEventsThatNobodyTakes: while no server leads the history the bus says at once that nobody is there for an event. That is no
// confirmation: it is kept once one does.
func TestEventsThatNobodyTakes(t *testing.T) {
	t.Parallel()
	conn := plainStore(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := EnsureHistory(ended, conn); err == nil {
		t.Fatal("a history was made")
	}
	o, done := NewOutbox(conn, zerolog.Nop()), make(chan error, 1)
	running, stop := context.WithCancel(t.Context())
	go func() { done <- o.Run(running) }()
	confirmed := make(chan struct{})
	o.Send(letterOf(1), func() { close(confirmed) })
	tries(t, "it is sent", func(context.Context) error {
		if sent := conn.nc.Stats().OutMsgs; sent == 0 {
			return errors.New("nothing is sent")
		}
		return conn.nc.Flush()
	})
	if err := EnsureHistory(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	select {
	case <-confirmed:
	case <-time.After(30 * time.Second):
		t.Fatal("it is never confirmed")
	}
	js, err := jetstream.New(conn.nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), bus.HistoryStream)
	if err != nil {
		t.Fatal(err)
	}
	if n := stream.CachedInfo().State.Msgs; n != 1 {
		t.Errorf("the history has %d events, want one", n)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestEventsKeepTheirOrder: an event that may have gone down with a connection is sent again before one that came later.
func TestEventsKeepTheirOrder(t *testing.T) {
	t.Parallel()
	conn := plainStore(t)
	if err := EnsureHistory(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	o := NewOutbox(conn, zerolog.Nop())
	o.prefix = conn.nc.NewInbox() + "."
	event := bus.Event{V: bus.Version, Group: "web", VM: "web-1", Event: bus.EventReady, Time: time.Now()}
	o.take(&pendingEvent{EventAt: event})
	if err := conn.nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for conn.nc.Stats().Reconnects == 0 || !conn.nc.IsConnected() {
		select {
		case <-poll.C:
		case <-t.Context().Done():
			t.Fatal("it does not connect again")
		}
	}
	o.take(&pendingEvent{EventAt: event})
	if !o.waiting[1].sent.IsZero() {
		t.Error("the second is sent, and the first may be lost")
	}
	o.again(time.Now())
	for i, l := range o.waiting {
		if l.over != 1 {
			t.Errorf("event %d is sent over connection %d, want 1: %+v", i+1, l.over, l)
		}
	}
}
