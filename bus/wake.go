package bus

import (
	"errors"
	"time"
)

// WakeState is how far a group is that somebody wants awake.
type WakeState string

// The states.
const (
	WakeReady    WakeState = "ready"    // a VM of it serves
	WakeStarting WakeState = "starting" // VMs are pending
	WakeHeld     WakeState = "held"     // it has no VM, and something keeps it from getting one
)

// Wake is the answer to a request on [WakeSubject].
type Wake struct {
	V        int        `json:"v"`
	Group    string     `json:"group"`
	State    WakeState  `json:"state"`
	Desired  int        `json:"desired"`         // VMs that it wants from now on
	Ready    int        `json:"ready"`           // VMs that serve, as far as is known
	Until    *time.Time `json:"until,omitempty"` // until when it keeps one at least; nil: as its min says
	Sentence string     `json:"sentence"`        // what the request does, or what is in its way
}

func (w *Wake) check() error {
	if w.Group == "" || w.State == "" {
		return errors.New("answer to a wake without group or state")
	}
	return checkVersion(w.V)
}
