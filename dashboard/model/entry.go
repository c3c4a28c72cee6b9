package model

import (
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Entry is a decision that changed something, or an event.
type Entry struct {
	Time     time.Time
	Group    string
	Decision bool
	From, To int           // of a decision
	Decided  *bus.Decision // the decision itself, nil of an event
	VM       string
	Event    bus.EventType
	Sentence string
	Error    string
	Elapsed  time.Duration
}

func entryOfDecision(d bus.Decision) Entry {
	return Entry{
		Time: d.Time, Group: d.Group, Decision: true, From: d.Current, To: d.Desired, Sentence: shorten(d.Sentence), Decided: &d,
	}
}

func entryOfEvent(e bus.Event) Entry {
	return Entry{
		Time: e.Time, Group: e.Group, VM: e.VM, Event: e.Event, Sentence: shorten(e.Sentence), Error: shorten(e.Error),
		Elapsed: time.Duration(e.ElapsedMS) * time.Millisecond,
	}
}

// knows reports whether an entry is there already.
func (m *Model) knows(e Entry) bool {
	return slices.ContainsFunc(m.entries, func(old Entry) bool {
		return old.Decision == e.Decision && old.Time.Equal(e.Time) && old.Group == e.Group && old.VM == e.VM && old.Event == e.Event
	})
}

func (m *Model) add(e Entry) {
	m.entries = append(m.entries, e)
	if n := len(m.entries) - m.sizes.Entries; n > 0 {
		m.entries = slices.Delete(m.entries, 0, n)
	}
}

// Remember adds what happened before the model has heard anything: events, and decisions that changed something. They say
// nothing of the present.
func (m *Model) Remember(messages []any) {
	var past []Entry
	for _, message := range messages {
		switch message := message.(type) {
		case bus.Event:
			past = append(past, entryOfEvent(message))
		case bus.Decision:
			if message.HasSample && message.Desired != message.Current {
				past = append(past, entryOfDecision(message))
			}
		}
	}
	past = slices.DeleteFunc(past, m.knows)
	m.entries = append(past, m.entries...)
	slices.SortStableFunc(m.entries, func(a, b Entry) int { return a.Time.Compare(b.Time) })
	m.entries = slices.Delete(m.entries, 0, max(0, len(m.entries)-m.sizes.Entries))
}
