package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/vmscaler/vmscaler/bus"
)

// noResponders is the status of a reply by which the server says that nobody listens.
const noResponders = "503"

// askAgain is when a question is sent again to which nobody listens, as while the listener is started again.
const askAgain = time.Second

// AskVictims asks a listener which VMs may be scaled in, until ctx ends. An answer that is malformed, or names what it was not
// asked about, is dropped, and another one is waited for.
func (c *Conn) AskVictims(ctx context.Context, q *bus.Victims) (bus.VictimsAnswer, error) {
	for {
		a, err := c.askVictimsOnce(ctx, q)
		if !errors.Is(err, nats.ErrNoResponders) {
			return a, err
		}
		again := time.NewTimer(askAgain)
		select {
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return a, fmt.Errorf("ask %s: %w", q.Subject(), err)
		}
	}
}

func (c *Conn) askVictimsOnce(ctx context.Context, q *bus.Victims) (a bus.VictimsAnswer, err error) {
	defer c.calls.Begin(bus.APIBus, "victims")()
	data, err := bus.Encode(q, int(c.nc.MaxPayload()))
	if err != nil {
		return a, fmt.Errorf("ask %s: %w", q.Subject(), err)
	}
	inbox := bus.VictimsInbox + "." + rand.Text()
	sub, err := c.nc.SubscribeSync(inbox)
	if err != nil {
		return a, fmt.Errorf("ask %s: %w", q.Subject(), err)
	}
	defer func() { _ = sub.Unsubscribe() }() // which fails on a closed connection only
	if err := c.nc.PublishRequest(q.Subject(), inbox, data); err != nil {
		return a, fmt.Errorf("ask %s: %w", q.Subject(), err)
	}
	for {
		msg, err := sub.NextMsgWithContext(ctx)
		switch {
		case err != nil:
			return a, fmt.Errorf("ask %s: %w", q.Subject(), err)
		case len(msg.Data) == 0 && msg.Header.Get("Status") == noResponders:
			return a, nats.ErrNoResponders
		}
		if a, err = bus.Decode[bus.VictimsAnswer](msg.Data); err == nil {
			err = within(a, q)
		}
		if err == nil {
			return a, nil
		}
		c.Drop(q.Subject(), fmt.Errorf("the answer: %w", err))
	}
}

// within reports what an answer names that was not asked about.
func within(a bus.VictimsAnswer, q *bus.Victims) error {
	for _, uuid := range a.VMs {
		if !slices.ContainsFunc(q.Candidates, func(c bus.Candidate) bool { return c.UUID == uuid }) {
			return fmt.Errorf("vms: found %q, which is no candidate", bus.Clip(uuid, 80))
		}
	}
	return nil
}
