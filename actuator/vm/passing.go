package vm

import (
	"context"
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/actuator/check"
	"github.com/vmscaler/vmscaler/bus"
)

// longestReadyPause is the time between two tries of a check before its VM is ready, whatever its interval: a service that has
// just come up is not to wait.
const longestReadyPause = time.Second

// unpassable is why no VM of a group, of which nothing is left open, can become ready; leased is a network of it on which libvirt
// hands out addresses, "" none. Nil: nothing speaks against it.
func unpassable(spec bus.Group, leased string) error {
	if spec.ReadyWhen == bus.ReadyLease && leased == "" {
		return fmt.Errorf("ready_when: found lease, want agent or uptime: libvirt hands out no addresses on network %q, so it sees "+
			"no lease", spec.Network)
	}
	for _, c := range spec.Checks {
		switch {
		case c.Type == bus.CheckLease && leased == "":
			return fmt.Errorf("the check %q: libvirt hands out no addresses on network %q, so it sees no lease; use another type", c,
				spec.Network)
		case spec.Secluded() && c.Type == bus.CheckAddress:
			return fmt.Errorf("the check %q: with user-mode networking a VM has no address for others; use another type", c)
		case spec.Secluded() && c.Reaches() && spec.ForwardsOf(1)[c.Port] == 0:
			return fmt.Errorf("the check %q: with user-mode networking nobody reaches port %d; forward it (nics), or use the type command",
				c, c.Port)
		}
	}
	return nil
}

// passing goes through the checks that a VM must pass before it is ready, in their order, one try at a time. It is used by one
// goroutine.
type passing struct {
	left  []bus.Check // the first is being passed
	guest check.Guest
	done  int                // checks passed
	row   int                // tries of the first that passed in a row
	next  time.Time          // of its next try
	tried chan check.Result  // of the try under way; nil: there is none
	stop  context.CancelFunc // ends that
	why   string             // what its last try lacked
}

// newPassing is all of a group's checks that count before a VM is ready.
func newPassing(checks []bus.Check, g check.Guest) *passing {
	p := &passing{guest: g}
	for _, c := range checks {
		if c.ForReady() {
			p.left = append(p.left, c)
		}
	}
	return p
}

// step goes on without waiting, and reports whether all are passed.
func (p *passing) step(ctx context.Context, now time.Time) bool {
	if p.tried != nil {
		select {
		case r := <-p.tried:
			p.take(r, now)
		default:
			return false
		}
	}
	if len(p.left) == 0 {
		return true
	}
	if !now.Before(p.next) {
		c, tried := p.left[0], make(chan check.Result, 1)
		p.next = now.Add(min(c.Interval, longestReadyPause))
		p.tried = tried
		ctx, p.stop = context.WithCancel(ctx)
		go func() { tried <- check.Try(ctx, c, p.guest) }()
	}
	return false
}

// take records what a try has shown.
func (p *passing) take(r check.Result, now time.Time) {
	p.stop()
	p.tried = nil
	switch r.Outcome {
	case check.Well:
		if p.row++; p.row >= p.left[0].Successes {
			p.left, p.row, p.why, p.next = p.left[1:], 0, "", now
			p.done++
		}
	case check.Failing:
		p.row, p.why = 0, r.Why
	case check.Unknown:
		p.why = r.Why
	}
}

// lacks reports which check is not passed, and why.
func (p *passing) lacks() string {
	if len(p.left) == 0 {
		return ""
	}
	why := p.why
	if why == "" {
		why = "it has not been tried to its end"
	}
	return fmt.Sprintf("it does not pass the check %q: %s", p.left[0], why)
}

// end ends the try under way, and waits for it.
func (p *passing) end() {
	if p.tried != nil {
		p.stop()
		<-p.tried
	}
}
