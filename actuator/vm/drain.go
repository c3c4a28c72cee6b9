package vm

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// Drain is a removal that can be called off until it is committed.
type Drain struct{ state atomic.Int32 }

const (
	drainOpen = iota
	drainCommitted
	drainCalledOff
)

// commit reports that the removal goes on, or false where it was called off.
func (d *Drain) commit() bool { return d.state.CompareAndSwap(drainOpen, drainCommitted) }

// CallOff reports whether the removal was called off in time.
func (d *Drain) CallOff() bool { return d.state.CompareAndSwap(drainOpen, drainCalledOff) }

// Open reports whether the removal can still be called off.
func (d *Drain) Open() bool { return d != nil && d.state.Load() == drainOpen }

// CalledOff is the cause that ends a drain when its VM is to stay.
type CalledOff struct{ Why string }

func (c CalledOff) Error() string { return "called off: " + c.Why }

// IsCalledOff reports whether an error is a [CalledOff].
func IsCalledOff(err error) bool {
	var c CalledOff
	return errors.As(err, &c)
}

// wait gives a VM its time before it is shut down. The error is the context's cause, a [CalledOff] among others.
func (d *Drain) wait(ctx context.Context, until time.Time) error {
	if left := time.Until(until); left > 0 {
		timer := time.NewTimer(left)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if !d.commit() {
		<-ctx.Done() // it comes with the reason
		return context.Cause(ctx)
	}
	return nil
}
