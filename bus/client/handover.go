package client

import (
	"context"

	"github.com/vmscaler/vmscaler/bus"
)

// Handover gives a stage's loop other groups.
type Handover chan Handed

// Handed are groups that the loop takes over; Done is to be called once they hold.
type Handed struct {
	bus.Reload
	Done func()
}

// NewHandover makes one.
func NewHandover() Handover { return make(Handover) }

// Reload hands groups over, and returns once they hold, or with an error when ctx ends before.
func (h Handover) Reload(ctx context.Context, r bus.Reload) error {
	held := make(chan struct{})
	select {
	case h <- Handed{r, func() { close(held) }}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-held:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
