package actuator

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestDrain(t *testing.T) {
	t.Run("over", func(t *testing.T) {
		d := &drain{}
		if err := d.wait(t.Context(), time.Now()); err != nil || d.open() || d.callOff() {
			t.Errorf("got %v, open %t: want it committed", err, d.open())
		}
	})
	t.Run("called off", func(t *testing.T) {
		d := &drain{}
		ctx, cancel := context.WithCancelCause(t.Context())
		if !d.callOff() || d.callOff() {
			t.Error("called off other than once")
		}
		cancel(calledOff{"needed"})
		if err := d.wait(ctx, time.Now().Add(time.Hour)); !isCalledOff(err) || err.Error() != "called off: needed" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("called off at the last moment", func(t *testing.T) {
		d := &drain{}
		ctx, cancel := context.WithCancelCause(t.Context())
		d.callOff()
		done := make(chan error)
		go func() { done <- d.wait(ctx, time.Now()) }()
		cancel(calledOff{"needed"})
		if err := <-done; !isCalledOff(err) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("cut off", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("stop"))
		d := &drain{}
		if err := d.wait(ctx, time.Now().Add(time.Hour)); err == nil || isCalledOff(err) || !d.open() {
			t.Errorf("got %v", err)
		}
	})
	if (*drain)(nil).open() {
		t.Error("what is no drain is open")
	}
}
