package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// listener keeps the newest messages of the bus, which anybody may hear.
type listener struct {
	mu       sync.Mutex
	sample   bus.Sample
	decision bus.Decision
	health   map[string]bus.Health // by stage and process
	events   []bus.Event
}

func (c *chaos) startListener() *listener {
	c.t.Helper()
	conn, err := client.Dial(client.Remote{URL: c.url}, "chaos", zerolog.Nop())
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(conn.Close)
	samples, decisions := make(chan bus.Sample, 64), make(chan bus.Decision, 64)
	health, events := make(chan bus.Health, 64), make(chan bus.Event, 64)
	if err := errors.Join(
		client.Subscribe(conn, bus.AllSamples, samples), client.Subscribe(conn, bus.AllDecisions, decisions),
		client.Subscribe(conn, bus.AllHealth, health), client.Subscribe(conn, bus.AllEvents, events),
	); err != nil {
		c.t.Fatal(err)
	}
	l := &listener{health: map[string]bus.Health{}}
	done := c.t.Context().Done()
	go func() {
		for {
			select {
			case <-done:
				return
			case s := <-samples:
				l.note(func() {
					if s.Group == c.group && s.Time.After(l.sample.Time) { // the fuzzer's are older
						l.sample = s
					}
				})
			case d := <-decisions:
				l.note(func() {
					if d.Group == c.group && d.ExpiresAt.After(time.Now()) {
						l.decision = d
					}
				})
			case h := <-health:
				l.note(func() { l.health[h.Stage+h.Instance[strings.LastIndex(h.Instance, "-"):]] = h })
			case e := <-events:
				l.note(func() { l.events = append(l.events, e) })
			}
		}
	}()
	return l
}

func (l *listener) note(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func (l *listener) newest() (s bus.Sample, d bus.Decision) {
	l.note(func() { s, d = l.sample, l.decision })
	return s, d
}

func (l *listener) healthOf(stage string, pid int) (h bus.Health) {
	l.note(func() { h = l.health[fmt.Sprintf("%s-%d", stage, pid)] })
	return h
}

// heard are the events since a moment that a filter lets through.
func (l *listener) heard(since time.Time, filter func(bus.Event) bool) (found []bus.Event) {
	l.note(func() {
		for _, e := range l.events {
			if e.Time.After(since) && filter(e) {
				found = append(found, e)
			}
		}
	})
	return found
}

// lookout polls libvirt over a connection of its own, which may be lost, and checks at each moment that no group has more
// VMs than its max. It remembers each VM that it saw.
type lookout struct {
	c    *chaos
	quit chan struct{}
	done chan struct{}

	mu   sync.Mutex
	vms  []vm.VM
	at   time.Time
	seen map[string]*sighting // by UUID
	most int
}

// sighting is what is known of one VM.
type sighting struct {
	names   map[string]bool // a person may rename it
	created time.Time
	gone    time.Time // zero: it is there
}

func (c *chaos) startLookout() *lookout {
	o := &lookout{c: c, quit: make(chan struct{}), done: make(chan struct{}), seen: map[string]*sighting{}}
	go o.run()
	return o
}

func (o *lookout) stop() {
	close(o.quit)
	<-o.done
}

func (o *lookout) run() {
	defer close(o.done)
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	var conn *libvirt.Connect
	defer func() {
		if conn != nil {
			_, _ = conn.Close()
		}
	}()
	for {
		select {
		case <-o.quit:
			return
		case <-poll.C:
		}
		if conn == nil {
			var err error
			if conn, err = libvirt.NewConnect(o.c.uri); err != nil {
				conn = nil
				continue // it is down
			}
		}
		inv, err := vm.ReadInventory(conn)
		if err != nil {
			_, _ = conn.Close()
			conn = nil
			continue
		}
		o.note(inv.Owned)
	}
}

func (o *lookout) note(owned []vm.VM) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.at = time.Now()
	o.vms = owned
	there := map[string]bool{}
	for _, vm := range owned {
		there[vm.UUID] = true
		s := o.seen[vm.UUID]
		if s == nil {
			s = &sighting{names: map[string]bool{}, created: vm.Meta.Created}
			o.seen[vm.UUID] = s
		}
		s.names[vm.Name], s.gone = true, time.Time{}
	}
	for uuid, s := range o.seen {
		if !there[uuid] && s.gone.IsZero() {
			s.gone = o.at
		}
	}
	if len(owned) > o.c.max && len(owned) > o.most {
		o.most = len(owned)
		var names []string
		for _, vm := range owned {
			names = append(names, fmt.Sprintf("%s (%s, %s)", vm.Name, vm.State, vm.Meta.Phase))
		}
		o.c.t.Errorf("%d VMs are owned, more than max %d: %v", len(owned), o.c.max, names)
	}
}

func (o *lookout) newest() ([]vm.VM, time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.vms, o.at
}

// slack is for the moments between what happens and when it is seen or said.
const slack = 3 * time.Second

// explainedBy checks that events have a beginning and an end for each VM that was seen since epoch.
func (o *lookout) explainedBy(events []bus.Event, epoch time.Time) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for uuid, s := range o.seen {
		until := time.Now()
		if !s.gone.IsZero() {
			until = s.gone
		}
		if s.created.After(epoch) && !s.has(events, s.created, until, bus.EventCreating, bus.EventAdopted) {
			return fmt.Errorf("no beginning of %s, created at %s, among %d events", s.name(uuid), s.created, len(events))
		}
		if !s.gone.IsZero() && s.gone.After(epoch.Add(slack)) &&
			!s.has(events, s.created, o.nextOf(s), bus.EventRemoved, bus.EventFailed, bus.EventDied, bus.EventDetached) {
			return fmt.Errorf(
				"no end of %s, created at %s and seen to be gone at %s, among %d events",
				s.name(uuid),
				s.created,
				s.gone,
				len(events),
			)
		}
	}
	return nil
}

// nextOf is when the name of a VM that is gone was used again; or a while later.
func (o *lookout) nextOf(s *sighting) time.Time {
	next := s.gone.Add(time.Minute)
	for _, other := range o.seen {
		for name := range s.names {
			if other.names[name] && other.created.After(s.created) && other.created.Before(next) {
				next = other.created
			}
		}
	}
	return next
}

func (s *sighting) name(uuid string) string {
	for name := range s.names {
		return name + " " + uuid
	}
	return uuid
}

func (s *sighting) has(events []bus.Event, from, to time.Time, kinds ...bus.EventType) bool {
	return slices.ContainsFunc(events, func(e bus.Event) bool {
		return s.names[e.VM] && slices.Contains(kinds, e.Event) && !e.Time.Before(from.Add(-slack)) && !e.Time.After(to.Add(slack))
	})
}
