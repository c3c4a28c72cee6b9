package vm

import (
	"context"
	"errors"
	"testing"
	"time"
)

func TestDrain(t *testing.T) {
	t.Run("over", func(t *testing.T) {
		d := &Drain{}
		if err := d.wait(t.Context(), time.Now()); err != nil || d.Open() || d.CallOff() {
			t.Errorf("got %v, open %t: want it committed", err, d.Open())
		}
	})
	t.Run("called off", func(t *testing.T) {
		d := &Drain{}
		ctx, cancel := context.WithCancelCause(t.Context())
		if !d.CallOff() || d.CallOff() {
			t.Error("called off other than once")
		}
		cancel(CalledOff{"needed"})
		if err := d.wait(ctx, time.Now().Add(time.Hour)); !IsCalledOff(err) || err.Error() != "called off: needed" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("called off at the last moment", func(t *testing.T) {
		d := &Drain{}
		ctx, cancel := context.WithCancelCause(t.Context())
		d.CallOff()
		done := make(chan error)
		go func() { done <- d.wait(ctx, time.Now()) }()
		cancel(CalledOff{"needed"})
		if err := <-done; !IsCalledOff(err) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("cut off", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("stop"))
		d := &Drain{}
		if err := d.wait(ctx, time.Now().Add(time.Hour)); err == nil || IsCalledOff(err) || !d.Open() {
			t.Errorf("got %v", err)
		}
	})
	if (*Drain)(nil).Open() {
		t.Error("what is no drain is open")
	}
}
