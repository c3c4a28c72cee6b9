package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
	"github.com/vmscaler/vmscaler/dashboard"
)

// watcher prints what changes: decisions that differ from the one before of their group, and events.
type watcher struct {
	out       io.Writer
	output    *printer.Output
	changes   *dashboard.Changes
	decisions chan bus.Decision
	events    chan bus.Event // nil: without them
}

// watch subscribes to the decisions of a group, or of all where that is "", and to their events where those are wanted.
func watch(conn *client.Conn, group string, withEvents bool) (*watcher, error) {
	w := &watcher{changes: dashboard.NewChanges(time.Local), decisions: make(chan bus.Decision, 64)}
	ofEvents, ofDecisions := bus.AllEvents, bus.AllDecisions
	if group != "" {
		ofEvents, ofDecisions = bus.EventsOf(group), bus.DecisionsOf(group)
	}
	if withEvents {
		w.events = make(chan bus.Event, 64)
		if err := client.Subscribe(conn, ofEvents, w.events); err != nil {
			return nil, err
		}
	}
	return w, client.SubscribeNewest(conn, ofDecisions, w.decisions)
}

// run prints until ctx ends; decision is what it prints of a decision that changes something, and its line.
func (w *watcher) run(ctx context.Context, decision func(d bus.Decision, line string) error) error {
	for {
		var err error
		select {
		case e := <-w.events:
			err = w.entry(client.HistoryEntry{Event: &e}, dashboard.EventLine(e, time.Local))
		case d := <-w.decisions:
			if line := w.changes.Decision(d); line != "" {
				err = decision(d, line)
			}
		case <-ctx.Done():
			return nil // Ctrl-C is how it ends
		}
		if err != nil {
			return err
		}
	}
}

// entry prints a line, or what it is of for programs, as `vmscaler events` has it.
func (w *watcher) entry(entry client.HistoryEntry, line string) error {
	if !w.output.ForPeople() {
		return printer.Line(w.out, w.output, entry)
	}
	if _, err := fmt.Fprintln(w.out, line); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}
