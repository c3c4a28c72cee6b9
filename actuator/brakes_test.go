package actuator

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// After some failures in a row launching stops for longer, then goes on with one trial, and a success ends it.
func TestLaunchFailures(t *testing.T) {
	spec := webSpec(func(g *bus.Group) { g.Brakes.LaunchFailures, g.Brakes.LaunchPause = 3, 5*time.Minute })
	now := t0
	a, err := New(Config{
		Groups: []bus.Group{spec}, Now: func() time.Time { return now },
		Dial: func(context.Context) (*libvirt.Connect, error) { return nil, errors.New("no") }, Identify: here,
	}, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	g, w := a.groups["web"], &worker{group: "web", name: "web-1"}
	for i, want := range []struct {
		wait  time.Duration
		trial bool
	}{{time.Second, false}, {2 * time.Second, false}, {5 * time.Minute, true}, {5 * time.Minute, true}} {
		events := g.failed(w, errors.New("no space left"), now)
		if e := events[0]; e.Event != bus.EventFailed || e.VM != "web-1" || e.Error != "no space left" {
			t.Errorf("failure %d: %+v", i+1, e)
		}
		if braked := len(events) == 2 && events[1].Event == bus.EventBraked && events[1].VM == ""; braked != want.trial {
			t.Errorf("failure %d: %+v", i+1, events)
		}
		if want.trial { // another that was begun before
			before := g.retryAt
			if later := g.failed(w, errors.New("no space left"), now.Add(time.Second)); len(later) != 1 || !g.retryAt.Equal(before) {
				t.Errorf("failure %d, and another: next try %s later, %+v", i+1, g.retryAt.Sub(before), later)
			}
		}
		s := a.situation(g, 4, Inventory{Taken: map[string]bool{}})
		if wait := g.retryAt.Sub(now); wait != want.wait || !s.Backoff || s.Trial != want.trial {
			t.Errorf("failure %d: next try after %s, backoff %t, trial %t", i+1, wait, s.Backoff, s.Trial)
		}
		why := a.problem()
		if (why != nil) != want.trial || why != nil && !strings.Contains(why.Error(), "failures in a row: no space left") {
			t.Errorf("failure %d: reported %v", i+1, why)
		}
		now = g.retryAt
		if s = a.situation(g, 4, Inventory{Taken: map[string]bool{}}); s.Backoff {
			t.Errorf("failure %d: no next try at its time", i+1)
		}
	}
	g.failures = 0 // as after a success
	if s := a.situation(g, 4, Inventory{Taken: map[string]bool{}}); s.Trial || a.problem() != nil {
		t.Errorf("after a success: %+v, %v", s, a.problem())
	}
}

func TestRemovalsWithinTheWindow(t *testing.T) {
	g := &group{spec: webSpec(func(g *bus.Group) { g.Brakes.RemovalWindow = 10 * time.Minute })}
	g.removals = []time.Time{t0, t0.Add(5 * time.Minute), t0.Add(10 * time.Minute)}
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{10*time.Minute - 1, 3}, {10 * time.Minute, 2}, {15 * time.Minute, 1}, {time.Hour, 0}} {
		if got := g.removed(t0.Add(c.after)); got != c.want {
			t.Errorf("after %s: %d, want %d", c.after, got, c.want)
		}
	}
}
