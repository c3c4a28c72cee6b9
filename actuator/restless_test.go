package actuator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// VMs that could serve and cannot wait put off the pool alone, longer each time, until one waits.
func TestRestless(t *testing.T) {
	now := t0
	a, err := New(Config{
		Groups: []bus.Group{poolSpec(bus.WarmSaved)}, Now: func() time.Time { return now },
		Dial: func(context.Context) (*libvirt.Connect, error) { return nil, errors.New("no") }, Identify: here,
	}, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	g := a.groups["web"]
	w := &worker{name: "web-1", group: "web", up: true, pooled: true, cancel: func(error) {}}
	full := fmt.Errorf("web-1: %w: %w", vm.ErrCannotWait, errors.New("no space left on device"))
	for i, wait := range []time.Duration{5 * time.Second, 10 * time.Second, 20 * time.Second} {
		if e := g.couldNotWait(w, full, now); e.Event != bus.EventFailed || e.VM != "web-1" || e.Error != full.Error() {
			t.Errorf("after %d: %+v", i+1, e)
		}
		if s := a.situation(g, 1, vm.Inventory{Taken: map[string]bool{}}); !s.Restless || s.Backoff {
			t.Errorf("after %d: restless %t, backoff %t", i+1, s.Restless, s.Backoff)
		}
		now = now.Add(wait - time.Millisecond)
		if s := a.situation(g, 1, vm.Inventory{Taken: map[string]bool{}}); !s.Restless {
			t.Errorf("after %d, and almost %s: it is tried again", i+1, wait)
		}
		now = now.Add(time.Millisecond)
		if s := a.situation(g, 1, vm.Inventory{Taken: map[string]bool{}}); s.Restless {
			t.Errorf("after %d, and %s: it is not tried again", i+1, wait)
		}
		if why := a.problem(); why == nil || !strings.Contains(why.Error(), "no space left") {
			t.Errorf("health says %v", why)
		}
	}
	a.workers[someUUID] = w
	a.ended(result{someUUID, nil})
	if all := g.restlessTroubles(); len(all) != 0 {
		t.Errorf("one waits, and health says %v", all)
	}
}

// That is over once as many wait as are to, however they came there, and not while that is not known.
func TestRestlessIsOver(t *testing.T) {
	saved := vmOf(2, bus.PhaseWarm, bus.StateSaved)
	saved.Meta.Saver = "qemu 10.0.0"
	for _, tt := range []struct {
		name          string
		desired, warm int
		owned         []vm.VM
		over          bool
	}{
		{"none waits", 1, 1, []vm.VM{running(1)}, false},
		{"one waits", 1, 1, []vm.VM{running(1), saved}, true},
		{"one of two", 1, 2, []vm.VM{running(1), saved}, false},
		{"it is still being saved", 1, 1, []vm.VM{running(1), vmOf(2, bus.PhaseWarm, bus.StateRunning)}, false},
		{"its memory is gone", 1, 1, []vm.VM{running(1), vmOf(2, bus.PhaseWarm, bus.StateShutoff)}, false},
		{"none is to wait any more", 1, 0, []vm.VM{running(1)}, true},
		{"how many are to is not known", Unknown, 0, []vm.VM{running(1)}, false},
	} {
		g := &group{spec: poolSpec(bus.WarmSaved)}
		g.restless = g.restless.again("full", t0)
		s := situationOf(g.spec, tt.owned...)
		s.Desired, s.Warm, s.Saver = tt.desired, tt.warm, "qemu 10.0.0"
		g.settle(s)
		if over := len(g.restlessTroubles()) == 0; over != tt.over {
			t.Errorf("%s: it is over: %t", tt.name, over)
		}
	}
}

// What could not wait in one way may in another.
func TestRestlessIsOverWithItsState(t *testing.T) {
	a, err := New(Config{
		Groups: []bus.Group{poolSpec(bus.WarmSaved)}, Now: func() time.Time { return t0 },
		Dial: func(context.Context) (*libvirt.Connect, error) { return nil, errors.New("no") }, Identify: here,
	}, nil, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		state bus.WarmState
		over  bool
	}{{bus.WarmSaved, false}, {bus.WarmPaused, true}} {
		g := a.groups["web"]
		g.restless = g.restless.again("full", t0)
		a.reload(client.Handed{Reload: bus.Reload{Groups: []bus.Group{poolSpec(tt.state)}}, Done: func() {}})
		if over := a.groups["web"].restless.times == 0; over != tt.over {
			t.Errorf("state %q: it is over: %t", tt.state, over)
		}
	}
}
