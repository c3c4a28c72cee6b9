package bus

import (
	"errors"
	"slices"
	"time"
)

// Scope is a part of what is done for a group that can be paused by itself.
type Scope string

// The scopes.
const (
	ScopeOut      Scope = "out"      // scaling out
	ScopeIn       Scope = "in"       // scaling in
	ScopeRepair   Scope = "repair"   // replacing VMs that died or do not serve
	ScopeHealth   Scope = "health"   // of those, by what agents and checks say; those that died or were marked are replaced
	ScopeHooks    Scope = "hooks"    // waiting for hooks: a VM comes and goes without them
	ScopeSchedule Scope = "schedule" // the schedule: min and max stay, and what comes due is skipped
)

// Scopes are all scopes.
func Scopes() []Scope {
	return []Scope{ScopeOut, ScopeIn, ScopeRepair, ScopeHealth, ScopeHooks, ScopeSchedule}
}

// Controls are what an operator has set for a group, beyond its spec. They last until they are undone.
type Controls struct {
	Paused []Scope `json:"paused"` // none is []
	DryRun bool    `json:"dry_run"`
	// Desired holds whatever the policy wants, within min and max; nil leaves it to the policy.
	Desired *int `json:"desired,omitempty"`
	// Set has the fields that differ from the file until they are reset, such as "policy.upper".
	Set    map[string]string `json:"set,omitempty"`
	By     string            `json:"by,omitempty"`     // who said so last
	Reason string            `json:"reason,omitempty"` // and why
	Since  *time.Time        `json:"since,omitempty"`  // when
	// Said has who said each of what holds, by what it is; By, Reason and Since are of the last of them, or of what took one back.
	Said map[Control]Saying `json:"said,omitempty"`
	// ScheduleAt is since when ScopeSchedule is paused: min and max are as the schedule had them then; nil: it is not.
	ScheduleAt *time.Time `json:"schedule_at,omitempty"`
	// Schedule are the actions that were added to those of the config, by name; they come after those, in the order of names.
	Schedule map[string]AddedAction `json:"schedule,omitempty"`
}

// Control is a kind of what an operator can set for a group.
type Control string

// The kinds.
const (
	ControlPaused  Control = "paused"
	ControlDesired Control = "desired"
	ControlSet     Control = "set"
	ControlDryRun  Control = "dry-run"
)

// Saying is who said something, why and when.
type Saying struct {
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
}

// Same reports whether two are of the same request.
func (s Saying) Same(other Saying) bool {
	return s.By == other.By && s.Reason == other.Reason && s.Since.Equal(other.Since)
}

// SaidOf is who said one of what holds, as far as that is known apart from the others.
func (c Controls) SaidOf(kind Control) Saying {
	if s, known := c.Said[kind]; known {
		return s
	}
	s := Saying{By: c.By, Reason: c.Reason}
	if c.Since != nil {
		s.Since = *c.Since
	}
	return s
}

// IsPaused reports whether a scope is paused.
func (c Controls) IsPaused(s Scope) bool { return slices.Contains(c.Paused, s) }

// Frozen reports whether all is paused by which VMs are made or removed.
func (c Controls) Frozen() bool {
	return c.IsPaused(ScopeOut) && c.IsPaused(ScopeIn) && c.IsPaused(ScopeRepair)
}

func (c *Controls) check() error {
	if c.Paused == nil { // nothing paused is []
		return errors.New("controls without paused")
	}
	return c.bounds()
}

// The requests, beside those for one VM ([VMVerb]). The first three change nothing, so that everybody may ask. Each decider
// answers the first two; only the one that leads the others, which change a group's controls or wake it, and only the actuator
// that waits answers the one for a hook.
const (
	VerbStatus   = "status"     // -> Status
	VerbExplain  = "explain"    // -> Decision, the newest of the group that the Query names
	VerbForecast = "forecast"   // -> Forecast, of the group, over Hours
	VerbPause    = "pause"      // -> Controls; Scopes are paused as well, none means all
	VerbResume   = "resume"     // -> Controls; Scopes are not paused any more, none means all
	VerbDryRun   = "dry-run"    // -> Controls; as On says
	VerbScale    = "scale"      // -> Controls; the group has Desired VMs, whatever its policy says, or none is released
	VerbSet      = "set"        // -> Controls; the fields in Set differ from the file
	VerbReset    = "reset"      // -> Controls; the fields in Keys are the file's again, none means all
	VerbSchedule = "schedule"   // -> Controls; the actions that were added to the schedule are changed as Schedule says
	VerbForget   = "forget"     // -> Status; the VMs of Host, which is silent, do not count any more
	VerbLaunch   = "launch"     // -> Launch; the group has Count VMs more, on Host where that is said
	VerbHost     = "order-host" // -> Status; as HostAction says of Host, for all groups
	VerbRefresh  = "refresh"    // -> Refresh; as Refresh says
	VerbHook     = "hook"       // -> HookAnswer; Action for the hook with Token
	VerbWake     = "wake"       // -> Wake; the group of the subject keeps a VM at least for its WakeFor
)

// Query is the body of a request. An empty body is an empty Query.
type Query struct {
	Group  string  `json:"group,omitempty"` // "" is all groups, or the only one
	Scopes []Scope `json:"scopes,omitempty"`
	On     bool    `json:"on,omitempty"`
	// Desired is for VerbScale; nil releases the group to its policy.
	Desired *int `json:"desired,omitempty"`
	// Set is for VerbSet: fields of the config below the group, such as "policy.upper", and their values as in the file.
	Set        map[string]string `json:"set,omitempty"`
	Keys       []string          `json:"keys,omitempty"`        // for VerbReset
	Schedule   *ScheduleOrder    `json:"schedule,omitempty"`    // for VerbSchedule
	Host       string            `json:"host,omitempty"`        // for VerbForget and VerbHost: its name or id
	By         string            `json:"by,omitempty"`          // who asks, for the record
	Reason     string            `json:"reason,omitempty"`      // and why
	HostAction HostAction        `json:"host_action,omitempty"` // for VerbHost
	Count      int               `json:"count,omitempty"`       // for VerbLaunch, which takes a Host as well; 0 is 1
	Hours      int               `json:"hours,omitempty"`       // for VerbForecast; 0 is 24
	// Refresh is for VerbRefresh.
	Refresh *RefreshOrder `json:"refresh,omitempty"`
	// VM is for the requests about one VM: its name or UUID. KeepSize is for VMRemove, VMStandby and
	// VMDetach: another takes its place; for VMExitStandby and VMAttach the group keeps its size.
	VM       string `json:"vm,omitempty"`
	KeepSize bool   `json:"keep_size,omitempty"`
	Rest     Rest   `json:"rest,omitempty"` // for VMStandby
	// Token is of the event "waiting", Action the answer to it.
	Token  string     `json:"token,omitempty"`
	Action HookAction `json:"action,omitempty"`
}

// HookAnswer is what became of an answer to a hook.
type HookAnswer struct {
	V        int        `json:"v"`
	Group    string     `json:"group"`
	VM       string     `json:"vm"`
	Hook     HookKind   `json:"hook"`
	Name     string     `json:"name,omitempty"` // of the hook, where there are several
	Action   HookAction `json:"action"`
	Deadline *time.Time `json:"deadline,omitempty"` // of a heartbeat: until when it waits now
}

func (a *HookAnswer) check() error {
	if a.VM == "" || a.Action == "" {
		return errors.New("answer to a hook without vm or action")
	}
	return checkVersion(a.V)
}

// VMAnswer is what becomes of a request for one VM that is not refused.
type VMAnswer struct {
	V        int     `json:"v"`
	Group    string  `json:"group"`
	VM       string  `json:"vm"`
	UUID     string  `json:"uuid"`
	Host     string  `json:"host"`
	Verb     VMVerb  `json:"verb"`
	Outcome  Outcome `json:"outcome"`
	Sentence string  `json:"sentence"`
}

func (a *VMAnswer) check() error {
	if a.VM == "" || a.Verb == "" || a.Outcome == "" {
		return errors.New("answer to a request for a VM without vm, verb or outcome")
	}
	return checkVersion(a.V)
}

// Status is the whole picture at one moment, as the decider that answers sees it.
type Status struct {
	V      int           `json:"v"`
	Time   time.Time     `json:"time"`
	Groups []GroupStatus `json:"groups"`
	Stages []Health      `json:"stages"` // those that were heard in the last ten seconds
	// ClusterID is the cluster of the decider that answers; "" is not known, as where the bus keeps no state.
	ClusterID string `json:"cluster_id,omitempty"`
}

// GroupStatus is one group's newest messages.
type GroupStatus struct {
	Group    string    `json:"group"`
	Decision *Decision `json:"decision"` // null before the first evaluation
	// Samples has one for each host. In a decider's answer the times in that of a host whose clock is off by more than
	// TolerableSkew are by the decider's.
	Samples []Sample `json:"samples"`
	// ClockAheadS is by how many seconds the clock of each host is ahead of the decider's, less than 0 where it is behind. A host
	// is not there while that is not known.
	ClockAheadS map[HostID]float64 `json:"clock_ahead_s,omitempty"`
	// Template is what the decider's config has new VMs made from; "" where it is not the decider that says so.
	Template string `json:"template,omitempty"`
}

func (s *Status) check() error {
	if s.Time.IsZero() {
		return errors.New("status without time")
	}
	return checkVersion(s.V)
}

// Check reports what is wrong with a request's body.
func (q *Query) Check() error { return errors.Join(q.Rest.check(), q.bounds()) }
