package actuator

import (
	"context"
	"fmt"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
)

// session is the work over one connection. It is owned by Run's goroutine.
type session struct {
	*Actuator
	lv        *libvirt.Connect
	local     bool // what systemd says is said of this machine
	manager   vm.Manager
	slots     int
	events    <-chan struct{} // a domain has changed
	restarted *vm.Restarts
	stop      []func() // what listens on the connection

	looks   chan snapshot
	looking bool
	late    *time.Timer // for a look
	changed bool        // since the look began: what it saw may be out of date
	again   bool        // another look is wanted
	heard   chan vm.Answers
	asking  bool
	loaded  chan vm.Loads // what guests have to do
	tried   chan tried
	trying  map[try]bool // of checks, and not taken yet

	askingLoads bool
}

// connect reaches libvirt and listens to it.
func (a *Actuator) connect(ctx context.Context) (*session, error) {
	lv, err := a.cfg.Dial(ctx)
	if err != nil {
		return nil, fmt.Errorf("reach libvirt: %w", err)
	}
	s := &session{
		Actuator: a, lv: lv, local: true, restarted: vm.NewRestarts(),
		looks: make(chan snapshot, 1), late: time.NewTimer(lookDeadline), again: true,
		heard: make(chan vm.Answers, 1), loaded: make(chan vm.Loads, 1),
		tried: make(chan tried, mostTries), trying: map[try]bool{},
	}
	a.done = make(chan result, 1024) // never full, so that a worker that was given up can still end
	var stop func()
	if s.events, stop, err = domainEvents(lv, s.restarted); err == nil {
		s.stop = append(s.stop, stop)
		if stop, err = s.restarted.Listen(lv); err == nil {
			s.stop = append(s.stop, stop)
		}
	}
	if err != nil {
		s.hangUp()
		return nil, err
	}
	if uri, err := lv.GetURI(); err != nil || !vm.IsLocal(uri) {
		s.local = false
	}
	return s, nil
}

// close waits for what uses the connection, and ends it. It stays with a call that hangs; to end it takes calls as well.
func (s *session) close() {
	defer s.late.Stop()
	s.stopAsking()
	left := s.stopWorkers() && s.stopSweep()
	if left && s.looking {
		select {
		case <-s.looks: // it is over in a moment
		case <-time.After(stopDeadline):
			left = false
		}
	}
	if left = left && within(closeTimeout, s.hangUp); !left {
		s.log.Warn().Msg("a libvirt call has not returned; it is given up")
	}
}

func (s *session) hangUp() {
	for _, stop := range s.stop {
		stop()
	}
	_, _ = s.lv.Close()
}

// domainEvents wakes the loop whenever a domain changes.
func domainEvents(lv *libvirt.Connect, restarted *vm.Restarts) (<-chan struct{}, func(), error) {
	events := make(chan struct{}, 1)
	changed := func(_ *libvirt.Connect, dom *libvirt.Domain, e *libvirt.DomainEventLifecycle) {
		restarted.Changed(dom, e)
		select {
		case events <- struct{}{}:
		default: // one wake-up is enough
		}
	}
	id, err := lv.DomainEventLifecycleRegister(nil, changed)
	if err != nil {
		return nil, nil, fmt.Errorf("ask for domain events: %w", err)
	}
	return events, func() { _ = lv.DomainEventDeregister(id) }, nil
}
