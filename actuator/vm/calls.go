package vm

import (
	"context"

	"github.com/vmscaler/vmscaler/bus"
)

// callsAtOnce is how many calls of one kind that may wait for a guest or for QEMU are on their way on a connection. libvirt
// serves five calls of a connection at a time and reads nothing more from it meanwhile, keepalive neither: five that wait
// for longer than the keepalive would cut the connection under everybody.
const callsAtOnce = 2

// Calls bounds the calls on one connection that may wait. There are two kinds, so that what ends a VM never waits for what
// asks one: a call that hangs on a QEMU returns as soon as that is killed. A nil one lets everything through.
type Calls struct {
	Times *bus.CallTimes // counts them, without what they wait for their turn; nil: nobody does

	asks     chan struct{} // the guest, or QEMU for its guest
	acts     chan struct{} // start, destroy, write to a running domain
	saves    chan struct{} // of those that act, what writes a guest's memory to a file
	restores chan struct{} // what reads one; see restore
}

// NewCalls makes the slots of one connection.
func NewCalls() *Calls {
	return &Calls{
		asks: make(chan struct{}, callsAtOnce), acts: make(chan struct{}, callsAtOnce),
		saves: make(chan struct{}, 1), restores: make(chan struct{}, 1),
	}
}

// ask calls f, which asks a guest, when it is its turn; call is what it is counted as. The error is the context's cause, if that
// ended before.
func (c *Calls) ask(ctx context.Context, call string, f func()) error {
	if c == nil {
		f()
		return nil
	}
	return c.turn(ctx, c.asks, call, f)
}

// act calls f, which changes a domain, when it is its turn; call is what it is counted as. The error is f's, or the context's
// cause if that ended before.
func (c *Calls) act(ctx context.Context, call string, f func() error) error {
	if c == nil {
		return f()
	}
	var err error
	if gone := c.turn(ctx, c.acts, call, func() { err = f() }); gone != nil {
		return gone
	}
	return err
}

// save waits for the turn to write a guest's memory to a file, one at a time: that takes seconds, in which others are to be
// started. The turn is over with done.
func (c *Calls) save(ctx context.Context) (done func(), err error) {
	if c == nil {
		return func() {}, nil
	}
	return hold(ctx, c.saves)
}

// restore calls f, which starts a domain from its saved memory, one at a time. It waits for no save, which may take long and
// cannot be ended, and it is counted with what asks: with a save and a restore under way there is still a turn to end a VM.
func (c *Calls) restore(ctx context.Context, f func() error) error {
	if c == nil {
		return f()
	}
	done, err := hold(ctx, c.restores)
	if err != nil {
		return err
	}
	defer done()
	if gone := c.ask(ctx, "start", func() { err = f() }); gone != nil {
		return gone
	}
	return err
}

// hold waits for a slot, which is free again with done. The error is the context's cause, if that ended before.
func hold(ctx context.Context, slots chan struct{}) (done func(), err error) {
	select {
	case slots <- struct{}{}:
		return func() { <-slots }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (c *Calls) turn(ctx context.Context, slots chan struct{}, call string, f func()) error {
	done, err := hold(ctx, slots)
	if err != nil {
		return err
	}
	defer done()
	defer c.Times.Begin(bus.APILibvirt, call)()
	f()
	return nil
}
