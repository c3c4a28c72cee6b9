// Package feed brings what the stages publish to the owner of a model.
package feed

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// Feed is where the subscriptions deliver.
type Feed struct {
	samples   chan bus.Sample
	decisions chan bus.Decision
	events    chan bus.Event
	health    chan bus.Health
}

// New is a feed without subscriptions.
func New() *Feed {
	return &Feed{make(chan bus.Sample), make(chan bus.Decision), make(chan bus.Event), make(chan bus.Health)}
}

// Subscribe subscribes to what all stages publish, until the connection is closed.
func (f *Feed) Subscribe(conn *client.Conn) error {
	return errors.Join(
		client.SubscribeNewest(conn, bus.AllSamples, f.samples),
		client.Subscribe(conn, bus.AllDecisions, f.decisions),
		client.Subscribe(conn, bus.AllEvents, f.events),
		client.SubscribeNewest(conn, bus.AllHealth, f.health),
	)
}

// Pump moves messages to the owner of the model until ctx ends. It never waits for it: one that takes its time must cost
// messages, not the bus's memory. What did not fit is counted.
func (f *Feed) Pump(ctx context.Context, inbox chan<- any, dropped *atomic.Uint64) {
	for {
		var message any
		select {
		case <-ctx.Done():
			return
		case message = <-f.samples:
		case message = <-f.decisions:
		case message = <-f.events:
		case message = <-f.health:
		}
		select {
		case inbox <- message:
		default:
			dropped.Add(1)
		}
	}
}
