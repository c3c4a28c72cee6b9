package bus

import (
	"errors"
	"time"
)

// EventType names a lifecycle event; it is the last token of its subject.
type EventType string

// The lifecycle events.
const (
	EventCreating  EventType = "creating"  // the domain is defined
	EventStarted   EventType = "started"   // the volume exists and the domain runs
	EventReady     EventType = "ready"     // the VM is ready
	EventDraining  EventType = "draining"  // chosen for removal, guest asked to shut down
	EventStopping  EventType = "stopping"  // off or destroyed; volume and definition go next
	EventRemoved   EventType = "removed"   // nothing of it is left
	EventFailed    EventType = "failed"    // a step failed and was undone as far as Error says
	EventAdopted   EventType = "adopted"   // found at the start, taken over
	EventDied      EventType = "died"      // found off, crashed or gone though it should run
	EventTakenName EventType = "taken"     // a name is avoided because something foreign has it
	EventUnhealthy EventType = "unhealthy" // it runs, but does not serve; it is replaced
	EventFailing   EventType = "failing"   // it has begun to fail one of its group's checks
	EventRecovered EventType = "recovered" // it passes that check again
	EventKept      EventType = "kept"      // its removal was called off
	EventWaiting   EventType = "waiting"   // a hook is waited for until Deadline
	EventRefused   EventType = "refused"   // the host has no room for a launch, or a domain cannot be attached
	EventBraked    EventType = "braked"    // launching or removing stopped for a while
	EventOrphan    EventType = "orphan"    // a volume of ours without its domain was deleted, or was found and left
	EventDryRun    EventType = "dry-run"   // what would have been done
	EventControl   EventType = "control"   // a person paused or resumed something
	EventRefresh   EventType = "refresh"   // a refresh entered a phase
	EventRetained  EventType = "retained"  // its remove hook was abandoned, and it is kept, out of its group
	EventRetiring  EventType = "retiring"  // another VM is to take its place
	EventIgnored   EventType = "ignored"   // a part of its config has no effect on the group's VMs
	EventStandby   EventType = "standby"   // it has left service, and stands by
	EventDetached  EventType = "detached"  // it was given away as it is
	EventAttached  EventType = "attached"  // a domain of a person's is a VM of the group now
	EventWarmed    EventType = "warmed"    // it has booted, or has left service, and waits in the warm pool
	EventHanded    EventType = "handover"  // it leaves the warm pool to serve
	EventOrdered   EventType = "ordered"   // a person wants something of it, or vmscaler: see Cause
	EventIsolated  EventType = "isolated"  // a host hears no decider for so long that it removes its VMs of the group
	EventHost      EventType = "host"      // where a host stands with its group has changed
	EventTemplate  EventType = "template"  // a template has come to the host from another one, or could not
)

// Event is one step of a VM's life.
type Event struct {
	V        int       `json:"v"`
	Group    string    `json:"group"`
	VM       string    `json:"vm"` // "" for an event of the whole group
	Event    EventType `json:"event"`
	Sentence string    `json:"sentence"`
	// ElapsedMS is the time since the VM's clone (started) was begun, since it was defined (warmed, ready) or handed over (ready),
	// or since its removal began (draining, stopping, removed); 0 for what takes no time.
	ElapsedMS int64  `json:"elapsed_ms"`
	Error     string `json:"error,omitempty"`
	Host      string `json:"host"`
	// HostID is the host whose agent says it, which its subject ends in then; "" where the bus does not bind who says it to a
	// host.
	HostID     HostID    `json:"host_id,omitempty"`
	DecisionID string    `json:"decision_id,omitempty"`
	Time       time.Time `json:"time"`
	// Deadline is when a drain or a hook ends at the latest, Token what answers the hook.
	Deadline *time.Time `json:"deadline,omitempty"`
	Token    string     `json:"token,omitempty"`
	Hook     string     `json:"hook,omitempty"` // the name of the hook that is waited for, where there are several
	// Console is what a VM whose launch has failed printed last on its serial console: up to MaxConsoleLines, which the guest
	// chose and which are harmless for a terminal.
	Console []string `json:"console,omitempty"`
	// By is the person whose request this comes from, and Reason why; "" where nobody asked, or where it is not known. The
	// sentence has them, too.
	By     string `json:"by,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Cause is why vmscaler itself wants it, of EventOrdered; "": somebody asked.
	Cause OrderCause `json:"cause,omitempty"`
	trace string     // see [Traced]
}

// MaxConsoleLines is how many lines of a VM's console an event has.
const MaxConsoleLines = 10

// BindHost has the event's subject end in its host.
func (e *Event) BindHost(id HostID) { e.HostID = id }

func (e *Event) check() error {
	if e.Group == "" || e.Event == "" || e.Time.IsZero() {
		return errors.New("event without group, event or time")
	}
	if err := checkVersion(e.V); err != nil {
		return err
	}
	return e.bounds()
}
