package notify

import (
	"slices"

	"github.com/vmscaler/vmscaler/bus"
)

// Kind is what a message is about: a lifecycle event by its name, or one of those below.
type Kind string

// The kinds that are no lifecycle events.
const (
	ScaleOut Kind = "scale-out" // a decision that makes a group larger
	ScaleIn  Kind = "scale-in"  // a decision that makes a group smaller
	Problem  Kind = "problem"   // a stage is not well, or silent
	Solved   Kind = "solved"    // it is well again
)

// Severity is how bad it is, in the words that alert managers use.
type Severity string

// The severities.
const (
	Info     Severity = "info"
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

// severities are all kinds with how bad they are.
func severities() map[Kind]Severity {
	all := map[Kind]Severity{ScaleOut: Info, ScaleIn: Info, Problem: Critical, Solved: Info}
	for severity, events := range map[Severity][]bus.EventType{
		Info: {
			bus.EventCreating, bus.EventStarted, bus.EventReady, bus.EventDraining, bus.EventStopping, bus.EventRemoved,
			bus.EventAdopted, bus.EventRecovered, bus.EventKept, bus.EventWaiting, bus.EventDryRun, bus.EventControl, bus.EventRefresh,
			bus.EventRetiring, bus.EventStandby, bus.EventDetached, bus.EventAttached, bus.EventOrdered,
			bus.EventWarmed, bus.EventHanded, bus.EventTemplate,
		},
		Warning: {
			bus.EventTakenName, bus.EventUnhealthy, bus.EventFailing, bus.EventRefused, bus.EventOrphan, bus.EventRetained,
			bus.EventIgnored, bus.EventHost, bus.EventIsolated,
		},
		Critical: {bus.EventFailed, bus.EventDied, bus.EventBraked},
	} {
		for _, e := range events {
			all[Kind(e)] = severity
		}
	}
	return all
}

// Kinds are all kinds, by name.
func Kinds() []Kind {
	var all []Kind
	for k := range severities() {
		all = append(all, k)
	}
	slices.Sort(all)
	return all
}

// DefaultKinds are those that a person wants to hear of unless something else is chosen.
func DefaultKinds() []Kind {
	return []Kind{
		Kind(bus.EventBraked), Kind(bus.EventDied), Kind(bus.EventFailed), Problem, Kind(bus.EventRefused), Kind(bus.EventRetained),
		Solved, Kind(bus.EventUnhealthy),
	}
}

// Severity is how bad a kind is; that of one of a later version is not known.
func (k Kind) Severity() Severity {
	if s, known := severities()[k]; known {
		return s
	}
	return Warning
}
