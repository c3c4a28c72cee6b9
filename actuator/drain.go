package actuator

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// drain is a removal that can be called off until it is committed.
type drain struct{ state atomic.Int32 }

const (
	drainOpen = iota
	drainCommitted
	drainCalledOff
)

// commit says that the removal goes on, or false where it was called off.
func (d *drain) commit() bool { return d.state.CompareAndSwap(drainOpen, drainCommitted) }

// callOff says whether the removal was called off in time.
func (d *drain) callOff() bool { return d.state.CompareAndSwap(drainOpen, drainCalledOff) }

func (d *drain) open() bool { return d != nil && d.state.Load() == drainOpen }

// calledOff is the cause that ends a drain when its VM is to stay.
type calledOff struct{ why string }

func (c calledOff) Error() string { return "called off: " + c.why }

func isCalledOff(err error) bool {
	var c calledOff
	return errors.As(err, &c)
}

// wait gives a VM its time before it is shut down. The error is the context's cause, a calledOff among others.
func (d *drain) wait(ctx context.Context, until time.Time) error {
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
