package vm

import (
	"context"
	"errors"
	"sync"
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// libvirt serves five calls of a connection at a time: whatever waits must leave room for what does not.
func TestCallsThatWaitLeaveRoom(t *testing.T) {
	c := NewCalls()
	ctx, cancel := context.WithCancelCause(t.Context())
	release, started := make(chan struct{}), make(chan struct{}, 100)
	var wg sync.WaitGroup
	for range 10 {
		hang := func() { started <- struct{}{}; <-release }
		wg.Go(func() { _ = c.ask(ctx, "hang", hang) })
		wg.Go(func() {
			_ = c.act(ctx, "act", func() error {
				hang()
				return nil
			})
		})
	}
	for range 2 * callsAtOnce {
		<-started
	}
	if cap(c.asks)+cap(c.acts) >= 5 {
		t.Errorf("%d and %d calls may wait at a time, want less than 5 together", cap(c.asks), cap(c.acts))
	}
	gone := errors.New("gone")
	cancel(gone)
	asked := func() { t.Error("called though its context has ended and nothing was free") }
	if err := c.ask(ctx, "ask", asked); !errors.Is(err, gone) {
		t.Errorf("got %v, want the cause", err)
	}
	if err := c.act(ctx, "act", func() error { t.Error("called"); return nil }); !errors.Is(err, gone) {
		t.Errorf("got %v, want the cause", err)
	}
	close(release)
	wg.Wait()
	want := errors.New("refused")
	if err := NewCalls().act(t.Context(), "act", func() error { return want }); !errors.Is(err, want) {
		t.Errorf("got %v, want the call's error", err)
	}
}

// Calls are counted by their names, also those that fail.
func TestCallsAreCounted(t *testing.T) {
	c := NewCalls()
	c.Times = new(bus.CallTimes)
	_ = c.ask(t.Context(), "agent", func() {})
	for range 2 {
		_ = c.act(t.Context(), "start", func() error { return errors.New("refused") })
	}
	all := c.Times.All()
	if len(all) != 2 || all[0].Call != "agent" || all[0].Count != 1 || all[1].Call != "start" || all[1].Count != 2 ||
		all[1].API != bus.APILibvirt {
		t.Errorf("counted %+v", all)
	}
}

// What reads a guest's memory from a file waits while another is written, and leaves the other turn to act to others.
func TestRestoresTakeTurns(t *testing.T) {
	h := Manager{Calls: NewCalls()}
	done, err := h.Calls.memory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	for range 20 {
		if err := h.restore(ctx, new(libvirt.Domain), VM{}); err != gone { //nolint:errorlint // from its wait, before any call
			t.Fatalf("got %v, want the cause", err)
		}
	}
	done()
	if done, err = h.Calls.memory(t.Context()); err != nil {
		t.Fatal(err)
	}
	done()
}
