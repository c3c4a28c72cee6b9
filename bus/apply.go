package bus

import (
	"errors"
	"fmt"
	"slices"
)

// ApplySubject is where groups that are to hold are sent, in two steps, to each process that goes by them.
const ApplySubject = "vmscaler.ctl.apply"

// ApplyStep is a step of having other groups hold in all processes, or in none.
type ApplyStep string

// The steps.
const (
	ApplyPrepare ApplyStep = "prepare" // check the groups, and keep them for a while
	ApplyCommit  ApplyStep = "commit"  // have those hold that were kept
	ApplyDrop    ApplyStep = "drop"    // forget them
)

// Apply is the body of a request to [ApplySubject].
type Apply struct {
	V    int       `json:"v"`
	ID   string    `json:"id"` // of the whole, the same in each of its steps
	Step ApplyStep `json:"step"`
	// Groups are all that are to hold, in place of those that do; for ApplyPrepare.
	Groups []Group `json:"groups,omitempty"`
	By     string  `json:"by,omitempty"`     // who asks, for the record
	Reason string  `json:"reason,omitempty"` // and why
}

// Applied is what a process answers to one step.
type Applied struct {
	V        int       `json:"v"`
	ID       string    `json:"id"`
	Step     ApplyStep `json:"step"`
	Instance string    `json:"instance"` // as its stages' health says it
	Stages   []string  `json:"stages"`   // those of the process that go by the groups
	// Spec is a fingerprint of the groups as they hold in this process then, with what its command line says over them. Processes
	// that work together have the same.
	Spec    string        `json:"spec"`
	Changes []ApplyChange `json:"changes"`         // what becomes of the groups that hold in it; none is []
	Notes   []string      `json:"notes,omitempty"` // what its operator is to know, such as that its file says otherwise
	Error   string        `json:"error,omitempty"` // why nothing is changed in it; "": the step is done
}

// ApplyChange is what becomes of a group, in a sentence that everybody may read.
type ApplyChange struct {
	Group    string `json:"group"`
	Sentence string `json:"sentence"`
}

// GroupStages are the stages that go by the groups.
func GroupStages() []string {
	return []string{string(RoleCollector), string(RoleDecider), string(RoleActuator)}
}

// SpecsHash is a short fingerprint of groups, whatever their order.
func SpecsHash(groups []Group) string {
	specs := make([]string, len(groups))
	for i, g := range groups {
		specs[i] = g.Name + " " + g.Hash()
	}
	slices.Sort(specs)
	return fingerprint(specs)
}

func (a *Apply) check() error {
	var b bounds
	b.name("id", a.ID, maxID)
	b.name("by", a.By, maxHostName)
	b.reason(a.Reason)
	switch {
	case b.err != nil:
		return b.of("apply")
	case a.ID == "":
		return errors.New("apply without id")
	case !slices.Contains([]ApplyStep{ApplyPrepare, ApplyCommit, ApplyDrop}, a.Step):
		return fmt.Errorf("apply: step: found %q, want %s, %s or %s",
			Clip(string(a.Step), maxWord), ApplyPrepare, ApplyCommit, ApplyDrop)
	}
	return checkVersion(a.V)
}

func (a *Applied) check() error {
	var b bounds
	b.name("instance", a.Instance, maxID)
	b.name("spec", a.Spec, maxWord)
	b.count("stages", len(a.Stages), maxWord)
	b.count("notes", len(a.Notes), maxProblems)
	for _, s := range a.Stages {
		b.name("stages", s, maxWord)
	}
	for _, c := range a.Changes {
		b.name("changes.group", c.Group, MaxName)
		b.text("changes.sentence", c.Sentence)
	}
	for _, n := range a.Notes {
		b.text("notes", n)
	}
	b.text("error", a.Error)
	switch {
	case b.err != nil:
		return b.of("answer to apply")
	case a.Instance == "" || a.ID == "":
		return errors.New("answer to apply without instance or id")
	}
	return checkVersion(a.V)
}

func (a *Applied) cut() {
	a.Error = Cut(a.Error)
	for i := range a.Notes {
		a.Notes[i] = Cut(a.Notes[i])
	}
	for i := range a.Changes {
		a.Changes[i].Sentence = Cut(a.Changes[i].Sentence)
	}
}

func (a *Apply) most() int   { return MaxPayload }
func (a *Applied) most() int { return MaxPayload }
