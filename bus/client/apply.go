package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/vmscaler/vmscaler/bus"
)

// ServeApply answers the requests to have other groups hold, one after the other, until ctx ends or the connection is closed.
// What cannot be read is dropped: who asks learns by whom it was not answered.
func (c *Conn) ServeApply(ctx context.Context, answer func(context.Context, bus.Apply) bus.Applied) error {
	err := c.serveSubject(ctx, bus.ApplySubject, bus.MaxPayload, func(msg *nats.Msg) {
		order, err := bus.Decode[bus.Apply](msg.Data)
		if err != nil {
			c.Drop(msg.Subject, err)
			return
		}
		a := answer(ctx, order)
		a.V, a.ID, a.Step = bus.Version, order.ID, order.Step
		data, err := bus.EncodeAnswer(&a)
		if err != nil {
			c.Drop(msg.Subject, err)
			return
		}
		c.respond(msg, &reply{data: data})
	})
	if err != nil {
		return fmt.Errorf("bus: serve %s: %w", bus.ApplySubject, err)
	}
	return c.announce()
}

// AskApply sends one step to all processes, and gives each answer to it to heard until that wants no more, or ctx ends, which
// is no error. That nobody is there to answer is a *NobodyError, that this connection may not ask a *DeniedError, and that a
// process has not even looked at what is to be prepared, as it is busy, a *bus.RefusedError.
func (c *Conn) AskApply(ctx context.Context, order bus.Apply, heard func(bus.Applied) (more bool)) error {
	data, err := json.Marshal(order)
	if err != nil {
		return fmt.Errorf("ask %s: %w", bus.ApplySubject, err)
	}
	if most := c.nc.MaxPayload(); int64(len(data)) > most {
		return fmt.Errorf("the groups have %d bytes, %d are allowed", len(data), most)
	}
	inbox := c.nc.NewInbox() + rand.Text()
	sub, err := c.nc.SubscribeSync(inbox)
	if err != nil {
		return fmt.Errorf("ask %s: %w", bus.ApplySubject, err)
	}
	defer func() { _ = sub.Unsubscribe() }() // which fails on a closed connection only
	began := time.Now()
	if err := c.nc.PublishRequest(bus.ApplySubject, inbox, data); err != nil {
		return fmt.Errorf("ask %s: %w", bus.ApplySubject, err)
	}
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		denied := c.deniedSince(began)
		switch {
		case errors.Is(err, nats.ErrNoResponders):
			return &NobodyError{bus.RoleDecider}
		case err != nil && denied != nil:
			return denied
		case errors.Is(err, context.DeadlineExceeded):
			return nil
		case err != nil:
			return fmt.Errorf("ask %s: %w", bus.ApplySubject, err)
		}
		if refusal := refusalOf(msg); refusal != nil {
			if order.Step == bus.ApplyPrepare {
				return refusal
			}
			c.Drop(bus.ApplySubject, refusal)
			continue
		}
		a, err := bus.Decode[bus.Applied](msg.Data)
		if err != nil {
			c.Drop(bus.ApplySubject, fmt.Errorf("the answer: %w", err))
			continue
		}
		if a.ID == order.ID && a.Step == order.Step && !heard(a) {
			return nil
		}
	}
}
