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
