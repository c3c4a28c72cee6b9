package vm

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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
	if cap(c.asks)+cap(c.acts) >= 5 { // among which are those that save and restore
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

// What reads a guest's memory from a file waits for another, and not for one that is written. Both leave a turn to ask and one to
// act to others.
func TestRestoresTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewCalls()
		reads, release := make(chan struct{}, 2), make(chan struct{})
		hang := func() error { reads <- struct{}{}; <-release; return nil }
		done, err := c.save(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		go func() { _ = c.act(t.Context(), "save", hang) }()
		<-reads
		for range 2 {
			go func() { _ = c.restore(t.Context(), hang) }()
		}
		<-reads // and would hang here, if it waited for the save
		synctest.Wait()
		if len(reads) > 0 {
			t.Error("two are read at a time")
		}
		asked := false
		if err := c.ask(t.Context(), "ask", func() { asked = true }); err != nil || !asked {
			t.Errorf("nobody can ask: %v", err)
		}
		if err := c.act(t.Context(), "act", func() error { return nil }); err != nil {
			t.Errorf("nobody can act: %v", err)
		}
		close(release)
		<-reads
		done()
	})
}

// A VM whose turn to go on does not come fails in the end.
func TestHandoverDoesNotWaitForever(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := Manager{Calls: NewCalls()}
		done, err := hold(t.Context(), h.Calls.restores)
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		o := handover{Manager: h, spec: bus.Group{BootTimeout: time.Minute}, dom: new(libvirt.Domain)}
		began := time.Now()
		err = o.wake(t.Context(), VM{Name: "web-1", State: bus.StateSaved})
		if err == nil || !strings.Contains(err.Error(), "web-1 did not go on within 1m0s of leaving the warm pool") {
			t.Errorf("got %v", err)
		}
		if waited := time.Since(began); waited != time.Minute {
			t.Errorf("after %s", waited)
		}
	})
}
