package bus

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// RefreshStart is what begins a refresh.
type RefreshStart string

// The ways to begin.
const (
	RefreshAuto   RefreshStart = "auto"   // a VM that was made from something else than the group's spec says now
	RefreshManual RefreshStart = "manual" // a request
)

// RefreshStarts are the ways to begin a refresh.
func RefreshStarts() []RefreshStart { return []RefreshStart{RefreshAuto, RefreshManual} }

// RefreshStrategy says how a VM becomes up to date.
type RefreshStrategy string

// The strategies.
const (
	RefreshReplace RefreshStrategy = "replace" // another takes its place
	RefreshReimage RefreshStrategy = "reimage" // it gets new disks, and keeps its UUID, name and MAC addresses
)

// RefreshStrategies are all strategies.
func RefreshStrategies() []RefreshStrategy { return []RefreshStrategy{RefreshReplace, RefreshReimage} }

// RefreshSpec is how a group's VMs are replaced when what they are made from changes. The words are those of AWS's instance
// refresh and of GCP's rolling updates.
type RefreshSpec struct {
	Start    RefreshStart    `json:"start"`
	Strategy RefreshStrategy `json:"strategy"`
	// MinimalAction is what a VM gets at least: with UpdateRestart those restart with their disks for which that is enough. One
	// that needs more than MostDisruptive fails the refresh. "" is UpdateReplace of both.
	MinimalAction  UpdateAction `json:"minimal_action,omitempty"`
	MostDisruptive UpdateAction `json:"most_disruptive,omitempty"`
	// MaxSurge is how many VMs beyond desired may be there at a time, within the group's max: with it a new VM serves before an old
	// one goes. MinHealthyPercent of desired must serve all the time; less than 100 lets old VMs go first. Each may be
	// FromMaintenance.
	MaxSurge          int `json:"max_surge"`
	MinHealthyPercent int `json:"min_healthy_percent"`
	// Checkpoints are percentages of the group, ascending: each time that so many are up to date the refresh waits for
	// CheckpointDelay.
	Checkpoints []int `json:"checkpoints"`
	// Canary is how many VMs are replaced before it waits, without end, until a person lets it go on or go back; 0 is none.
	// CanaryPercent is the same in percent of desired, rounded up; at most one of the two is set.
	Canary          int           `json:"canary,omitempty"`
	CanaryPercent   int           `json:"canary_percent,omitempty"`
	CheckpointDelay time.Duration `json:"checkpoint_delay"`
	Bake            time.Duration `json:"bake"` // for which it goes on watching when all are up to date
	// MaxFailures is how many launches may fail; one more fails the refresh, and so does an average CPU above AlarmPercent, 0 is
	// none, for BreachesOut evaluations of the policy.
	MaxFailures  int `json:"max_failures"`
	AlarmPercent int `json:"alarm_percent"`
	// Return makes a refresh that fails go back to the template before, where nothing but the template has changed.
	Return bool `json:"return"`
}

// FromMaintenance is a bound of a refresh that is the one of the group's maintenance.
const FromMaintenance = -1

// RefreshPhase is where a refresh stands.
type RefreshPhase string

// The phases.
const (
	RefreshRunning    RefreshPhase = "running"    // VMs are replaced
	RefreshCheckpoint RefreshPhase = "checkpoint" // it waits at a checkpoint
	RefreshCanary     RefreshPhase = "canary"     // so many as are to go first are new, and it waits for a person
	RefreshBaking     RefreshPhase = "baking"     // all are up to date, and it watches
	RefreshPaused     RefreshPhase = "paused"     // by a person; what was begun is ended
	RefreshReturning  RefreshPhase = "returning"  // it has failed, and the group goes back to the template before
	RefreshDone       RefreshPhase = "done"
	RefreshFailed     RefreshPhase = "failed"
	RefreshCanceled   RefreshPhase = "canceled"
)

type refreshPhase struct{ active, replaces bool }

var refreshPhases = map[RefreshPhase]refreshPhase{
	RefreshRunning:    {active: true, replaces: true},
	RefreshCheckpoint: {active: true},
	RefreshCanary:     {active: true},
	RefreshBaking:     {active: true},
	RefreshPaused:     {active: true},
	RefreshReturning:  {active: true, replaces: true},
	RefreshDone:       {},
	RefreshFailed:     {},
	RefreshCanceled:   {},
}

// Known reports whether this program knows the phase.
func (p RefreshPhase) Known() bool { _, known := refreshPhases[p]; return known }

// Active reports whether a refresh is not over.
func (p RefreshPhase) Active() bool { return refreshPhases[p].active }

// Replaces reports whether another VM may be replaced.
func (p RefreshPhase) Replaces() bool { return refreshPhases[p].replaces }

// Refresh is the replacement of a group's outdated VMs: the one that goes on, or the last one.
type Refresh struct {
	ID       string          `json:"id"`
	Phase    RefreshPhase    `json:"phase"`
	Sentence string          `json:"sentence"` // where it stands, and what it waits for
	Strategy RefreshStrategy `json:"strategy"`
	// MinimalAction and MostDisruptive are as in RefreshSpec.
	MinimalAction  UpdateAction `json:"minimal_action,omitempty"`
	MostDisruptive UpdateAction `json:"most_disruptive,omitempty"`

	Machine string `json:"machine"` // of the spec that it brings the VMs to
	// From is the template of the VMs that it found, "" where going back to it would not make what they were. Returned reports that
	// the group went back to it, and makes new VMs from it until its spec changes.
	From     string     `json:"from,omitempty"`
	Returned bool       `json:"returned,omitempty"`
	Before   *time.Time `json:"before,omitempty"` // VMs made before are replaced, whatever they were made from
	Total    int        `json:"total"`            // VMs of the group when it began
	Updated  int        `json:"updated"`          // VMs that serve and are up to date
	Outdated int        `json:"outdated"`         // VMs that are not, or are being replaced
	Failures int        `json:"failures"`         // launches that failed since it began
	Alarms   int        `json:"alarms,omitempty"` // evaluations in a row above the alarm's CPU

	MaxSurge          int   `json:"max_surge"`
	MinHealthyPercent int   `json:"min_healthy_percent"`
	Checkpoints       []int `json:"checkpoints,omitempty"` // in percent, those that are still to come
	CheckpointDelayMS int64 `json:"checkpoint_delay_ms,omitempty"`
	BakeMS            int64 `json:"bake_ms,omitempty"`
	Canary            int   `json:"canary,omitempty"`         // VMs that are to go first; 0: none, or a person has let it go on
	CanaryPercent     int   `json:"canary_percent,omitempty"` // the same in percent of desired, rounded up; it goes before Canary

	By      string    `json:"by"`               // who began it; "config" is a change of the file
	Reason  string    `json:"reason,omitempty"` // and why
	Started time.Time `json:"started"`
	Since   time.Time `json:"since"` // in its phase
}

// Active reports whether there is a refresh that is not over.
func (r *Refresh) Active() bool { return r != nil && r.Phase.Active() }

// CanaryOf is how many of desired VMs are to be new before a refresh waits for a person, at least 1 of those that there are;
// 0: it does not wait, or a person has let it go on or go back.
func (r *Refresh) CanaryOf(desired int) int {
	switch {
	case !r.Active() || r.Returned:
		return 0
	case r.CanaryPercent > 0:
		return (max(desired, 0)*r.CanaryPercent + 99) / 100
	}
	return min(r.Canary, max(desired, 0))
}

// KeepsShare reports whether a refresh keeps its canary at its size while its group grows and shrinks: there is a template from
// which VMs are made as they were before, and no warm pool, whose VMs are up to date.
func (r *Refresh) KeepsShare(spec Group) bool {
	return r.Active() && !r.Returned && r.From != "" && (r.Canary > 0 || r.CanaryPercent > 0) && !spec.WarmPool.On()
}

// Reimages reports whether a refresh goes on in which VMs get new disks.
func (r *Refresh) Reimages() bool { return r.Active() && r.Strategy == RefreshReimage }

// Unresolved reports whether a refresh has failed and its group's spec has not changed since: its VMs, or some of them, are not
// what the file says. machine is what the newest decision says new VMs are made from.
func (r *Refresh) Unresolved(machine string) bool {
	return r != nil && r.Phase == RefreshFailed && (r.Returned || r.Machine == machine)
}

// InForce is a group's spec with what its last refresh says of it: after a return the template is the one before, whose digest
// the spec does not know.
func (r *Refresh) InForce(spec Group) Group {
	if r != nil && r.Returned && r.From != "" && r.Machine == spec.MachineHash() && r.From != spec.Template {
		return r.Former(spec)
	}
	return spec
}

// Lacks is the first template that a host does not have as it should, and why, of those that new VMs of the group are made from;
// "" where it has all. While a refresh keeps a canary, the template before is one of them.
func (r *Refresh) Lacks(spec Group, templates []HostTemplate) (lacks HostTemplate, why string) {
	lacks, why = r.InForce(spec).Lacks(templates)
	if why == "" && r.KeepsShare(spec) {
		lacks, why = r.Former(spec).Lacks(templates)
	}
	return lacks, why
}

// Former is a group's spec with the template before, of which VMs beyond a canary are made, and whose digest the spec does not
// know.
func (r *Refresh) Former(spec Group) Group {
	spec.Template, spec.TemplateSHA256 = r.From, ""
	return spec
}

// Build is what new VMs of the group are made from.
func (r *Refresh) Build(spec Group) Build {
	spec = r.InForce(spec)
	b := Build{Machine: spec.MachineHash(), Template: spec.Template, Restarts: spec.Refresh.MinimalAction == UpdateRestart}
	if r.Active() {
		b.Before, b.Restarts = r.Before, r.MinimalAction == UpdateRestart
	}
	if b.Restarts { // else nothing is compared with it, and a fingerprint takes its time
		b.Storage = spec.StorageHash()
	}
	return b
}

func (r *Refresh) check() error {
	if r.ID == "" || r.Phase == "" || r.Started.IsZero() {
		return errors.New("refresh without id, phase or start")
	}
	return r.bounds()
}

func (r *Refresh) bounds() error {
	if r == nil {
		return nil
	}
	var b bounds
	b.name("refresh.id", r.ID, maxID)
	b.name("refresh.phase", string(r.Phase), maxWord)
	b.name("refresh.strategy", string(r.Strategy), maxWord)
	b.name("refresh.machine", r.Machine, maxWord)
	b.name("refresh.minimal_action", string(r.MinimalAction), maxWord)
	b.name("refresh.most_disruptive", string(r.MostDisruptive), maxWord)
	b.name("refresh.from", r.From, MaxName)
	b.name("refresh.by", r.By, maxHostName)
	b.reason(r.Reason)
	b.text("refresh.sentence", r.Sentence)
	b.count("refresh.checkpoints", len(r.Checkpoints), maxWord)
	b.number("refresh.total", float64(r.Total), maxDesired)
	b.number("refresh.canary", float64(r.Canary), maxDesired)
	b.number("refresh.canary_percent", float64(r.CanaryPercent), 100)
	b.number("refresh.max_surge", float64(r.MaxSurge), maxDesired)
	return b.err
}

// RefreshAction is what a request wants of a group's refresh.
type RefreshAction string

// The actions.
const (
	RefreshBegin  RefreshAction = "start"
	RefreshHold   RefreshAction = "pause"
	RefreshGoOn   RefreshAction = "resume" // also past a checkpoint or a canary
	RefreshCancel RefreshAction = "cancel" // what was begun is ended; VMs that are new stay
	RefreshReturn RefreshAction = "return" // as a failure does
)

// RefreshActions are all actions.
func RefreshActions() []RefreshAction {
	return []RefreshAction{RefreshBegin, RefreshHold, RefreshGoOn, RefreshCancel, RefreshReturn}
}

// RefreshOrder is the body of a request for a refresh. What is nil is as the group's spec says.
type RefreshOrder struct {
	Action            RefreshAction   `json:"action"`
	Strategy          RefreshStrategy `json:"strategy,omitempty"`
	MinimalAction     UpdateAction    `json:"minimal_action,omitempty"`
	MostDisruptive    UpdateAction    `json:"most_disruptive,omitempty"`
	All               bool            `json:"all,omitempty"` // also VMs that are up to date
	MaxSurge          *int            `json:"max_surge,omitempty"`
	MinHealthyPercent *int            `json:"min_healthy_percent,omitempty"`
	Checkpoints       []int           `json:"checkpoints,omitempty"`
	Canary            *int            `json:"canary,omitempty"`
	CanaryPercent     *int            `json:"canary_percent,omitempty"` // in percent of desired; it goes before Canary
	CheckpointDelayMS *int64          `json:"checkpoint_delay_ms,omitempty"`
	BakeMS            *int64          `json:"bake_ms,omitempty"`
	DryRun            bool            `json:"dry_run,omitempty"` // say what would be replaced, and begin nothing
}

// LongestRefreshWait is how long a refresh waits at a checkpoint, or goes on watching, at most.
const LongestRefreshWait = 7 * 24 * time.Hour

// AddCanary adds to a canary in percent the smallest in VMs, for a decider that knows no percentage.
func (o *RefreshOrder) AddCanary() {
	if o.CanaryPercent != nil && o.Canary == nil {
		o.Canary = new(1)
	}
}

// Check reports what of an order is not possible.
func (o *RefreshOrder) Check() error {
	longest := LongestRefreshWait.Milliseconds()
	switch {
	case o == nil:
		return errors.New("refresh: found nothing, want an action")
	case o.Strategy != "" && !slices.Contains(RefreshStrategies(), o.Strategy):
		return fmt.Errorf("strategy: found %q, want replace or reimage", Clip(string(o.Strategy), 40))
	case o.MaxSurge != nil && (*o.MaxSurge < 0 || *o.MaxSurge > 1000):
		return fmt.Errorf("max_surge: found %d, want 0 to 1000", *o.MaxSurge)
	case o.MinHealthyPercent != nil && (*o.MinHealthyPercent < 0 || *o.MinHealthyPercent > 100):
		return fmt.Errorf("min_healthy: found %d, want 0 to 100 percent", *o.MinHealthyPercent)
	case o.Canary != nil && (*o.Canary < 0 || *o.Canary > 1000):
		return fmt.Errorf("canary: found %d, want 0 to 1000 VMs", *o.Canary)
	case o.CanaryPercent != nil && (*o.CanaryPercent < 1 || *o.CanaryPercent > 100):
		return fmt.Errorf("canary_percent: found %d, want 1 to 100 percent of desired", *o.CanaryPercent)
	case o.Canary != nil && *o.Canary == 0 && o.CanaryPercent != nil:
		return fmt.Errorf("canary_percent: found %d beside canary 0, want one of the two", *o.CanaryPercent)
	case o.CheckpointDelayMS != nil && (*o.CheckpointDelayMS < 0 || *o.CheckpointDelayMS > longest):
		return fmt.Errorf("checkpoint_delay: found %d ms, want 0 to %d", *o.CheckpointDelayMS, longest)
	case o.BakeMS != nil && (*o.BakeMS < 0 || *o.BakeMS > longest):
		return fmt.Errorf("bake: found %d ms, want 0 to %d", *o.BakeMS, longest)
	}
	if err := checkUpdateAction("minimal_action", o.MinimalAction); err != nil {
		return err
	}
	if err := checkUpdateAction("most_disruptive", o.MostDisruptive); err != nil {
		return err
	}
	return CheckCheckpoints(o.Checkpoints)
}

// WantCanary is how a canary's size is written, in words.
const WantCanary = "a whole number of VMs from 1 to 1000, or a percentage of desired from 1% to 100%, or 0 for none"

// ParseCanary reads the size of a canary, in VMs or in percent of desired: the other of the two is 0, and both are where there is
// none.
func ParseCanary(s string) (vms, percent int, err error) {
	digits, isPercent := strings.CutSuffix(s, "%")
	n, err := strconv.ParseUint(digits, 10, 16)
	switch {
	case err != nil, isPercent && (n < 1 || n > 100), n > 1000:
		return 0, 0, fmt.Errorf("found %q, want %s", Clip(s, 40), WantCanary)
	case isPercent:
		return 0, int(n), nil
	}
	return int(n), 0, nil
}

// CheckCheckpoints reports what is wrong with the checkpoints of a refresh: they are percentages that ascend, at most 20.
func CheckCheckpoints(percent []int) error {
	if len(percent) > 20 {
		return fmt.Errorf("checkpoints: found %d, want at most 20", len(percent))
	}
	before := 0
	for _, p := range percent {
		if p <= before || p >= 100 {
			return fmt.Errorf("checkpoints: found %d after %d, want percentages from 1 to 99 that ascend", p, before)
		}
		before = p
	}
	return nil
}
