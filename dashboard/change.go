package dashboard

import (
	"context"
	"fmt"

	"github.com/vmscaler/vmscaler/bus"
)

// Operator changes what a person asks for, and may read the history. The dashboard itself publishes nothing.
type Operator interface {
	// Past is what happened lately, the oldest first: events, and decisions that changed something.
	Past(ctx context.Context) []any
	// Change returns what holds then, in one line.
	Change(ctx context.Context, c Change) (says string, err error)
}

// ChangeKind is what a person may change from the dashboard.
type ChangeKind int

// The changes.
const (
	ChangePause     ChangeKind = iota // nothing of the group is scaled or replaced
	ChangeResume                      // what is paused of the group goes on
	ChangeScale                       // the group has Desired VMs
	ChangeRelease                     // the group is left to its policy again
	ChangeProtect                     // the VM is not scaled in
	ChangeUnprotect                   // it may be scaled in again
)

// Change is one thing to change.
type Change struct {
	Kind    ChangeKind
	Group   string
	VM      string // of ChangeProtect and ChangeUnprotect
	Desired int    // of ChangeScale
}

// question asks whether it is to be done; after is what it means.
func (c Change) question() (question, after string) {
	switch c.Kind {
	case ChangePause:
		return "pause " + c.Group + "?", "nothing of it is scaled or replaced until it is resumed"
	case ChangeResume:
		return "resume " + c.Group + "?", "what is paused of it goes on"
	case ChangeScale:
		return fmt.Sprintf("scale %s to %s?", c.Group, bus.Count(c.Desired, "VM")), "until it is released, whatever its policy wants"
	case ChangeRelease:
		return "release " + c.Group + "?", "its policy decides again"
	case ChangeProtect:
		return "protect " + c.VM + "?", "it is not scaled in until that is taken back"
	case ChangeUnprotect:
		return "unprotect " + c.VM + "?", "it may be scaled in"
	}
	return fmt.Sprintf("change %d of %s?", c.Kind, c.Group), "" // which nothing asks
}
