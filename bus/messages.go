package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Version is the contract's version, the "v" of every message. Adding a field keeps it; a change of meaning
// raises it, and a receiver drops messages of a version that it does not know.
const Version = 1

// Phase is where a VM stands in its life as the actuator sees it. It is kept in the domain's metadata, and the
// collector repeats it in every sample, so that a lost lifecycle event never matters.
type Phase string

// The phases, in the order in which a VM goes through them.
const (
	PhaseCreating  Phase = "creating"  // defined; its volume may not exist yet
	PhaseLaunching Phase = "launching" // volume exists; started or about to be, not ready yet
	PhaseReady     Phase = "ready"     // does its work; only such VMs count in the average
	PhaseDraining  Phase = "draining"  // chosen for removal, asked to shut down
	PhaseStopping  Phase = "stopping"  // being destroyed, its volume deleted, then undefined
	PhaseFailed    Phase = "failed"    // could not be launched, waits for its removal
)

// State is what the hypervisor says of a domain, in virsh's words.
type State string

// The states that vmscaler tells apart.
const (
	StateRunning  State = "running"
	StatePaused   State = "paused"
	StateShutdown State = "in shutdown"
	StateShutoff  State = "shut off"
	StateCrashed  State = "crashed"
	StateSaved    State = "saved"       // shut off with its memory kept in a file, from which it goes on
	StateAsleep   State = "pmsuspended" // the guest has suspended itself
	StateOther    State = "other"       // blocked, or a state newer than this program
	StateUnknown  State = "unknown"
)

// Suspended reports whether a domain stands still and can go on where it was: it is owned, and no capacity. As a rule a
// person did that, so it is left alone.
func (s State) Suspended() bool { return s == StatePaused || s == StateSaved || s == StateAsleep }

// HostID names a libvirt by what does not change: not by its host's name. It is the host's UUID with the driver, such as
// "4c4c4544-0035-4e10-8051-b7c04f4a3032-system", or "...-session-1000" for that of the user 1000.
type HostID string

// VM is one VM in a Sample.
type VM struct {
	Name  string `json:"name"`
	State State  `json:"state"`
	Phase Phase  `json:"phase"`
	// CPUPercent is the use since the previous sample; 100 is all the VM's vCPUs. Emulator threads can take
	// it a little above 100. Nil is unknown: the VM is new, not running, was restarted, or could not be read.
	CPUPercent *float64 `json:"cpu_percent"`
	VCPUs      int      `json:"vcpus"`
	MemoryMiB  int      `json:"memory_mib"`
	// MemoryUsedMiB is what the guest uses by its balloon driver's word; RunDelayPercent is the share of time
	// that its vCPUs waited for a host core. Both need the QEMU monitor, so they are read outside the tick and
	// may be some seconds old. Nil is unknown.
	MemoryUsedMiB   *int      `json:"memory_used_mib,omitempty"`
	RunDelayPercent *float64  `json:"run_delay_percent,omitempty"`
	UUID            string    `json:"uuid"`
	Created         time.Time `json:"created"`     // when the actuator made it
	PhaseSince      time.Time `json:"phase_since"` // when it entered its phase
	// BootedAt is when its first boot was over, which a launch hook or a drain that was called off does not change;
	// RebootedAt is when its guest last restarted without ending. Nil is not yet, or unknown.
	BootedAt   *time.Time `json:"booted_at,omitempty"`
	RebootedAt *time.Time `json:"rebooted_at,omitempty"`
	Protected  bool       `json:"protected,omitempty"` // it is never chosen for scaling in
	Error      string     `json:"error,omitempty"`
}

// Host is the machine that a Sample was taken on. Nil is unknown.
type Host struct {
	CPUPercent    *float64 `json:"cpu_percent"` // 100 is all its cores
	Cores         int      `json:"cores"`
	MemoryMiB     int      `json:"memory_mib"`
	MemoryFreeMiB *int     `json:"memory_free_mib"` // what new VMs can have: free and reclaimable
	// MemoryPromisedMiB is what the running domains, whoever's, were given and have not touched yet.
	MemoryPromisedMiB *int `json:"memory_promised_mib"`
	PoolFreeMiB       *int `json:"pool_free_mib"` // in the storage pool of the VMs' volumes
}

// Sample is one tick's complete, possibly empty, list of a group's VMs on one host. Empty is not unknown: a
// collector that cannot read libvirt publishes nothing.
type Sample struct {
	V         int       `json:"v"`
	Group     string    `json:"group"`
	HostID    HostID    `json:"host_id"`
	Host      string    `json:"host"`     // its name, for people: it may change, and two hosts may have the same
	Instance  string    `json:"instance"` // of the collector
	Time      time.Time `json:"time"`
	VMs       []VM      `json:"vms"`
	HostLoad  Host      `json:"host_load"`
	ElapsedMS float64   `json:"elapsed_ms"` // how long the pass over all domains took
	SpecHash  string    `json:"spec_hash"`
}

// Direction is what a decision does to a group.
type Direction string

// The directions. Only a decision of direction In lets an actuator remove VMs for being too many; so it is said again
// until no host has more than its share.
const (
	Hold Direction = "hold"
	Out  Direction = "out"
	In   Direction = "in"
)

// Rule is what an evaluation of a group asked for.
type Rule string

// The rules, in the order in which they are looked at.
const (
	RuleMismatch   Rule = "mismatch"    // a collector's config has another spec of the group: desired stays
	RuleBlind      Rule = "blind"       // no-data for longer than the group's blind_after
	RuleNoData     Rule = "no-data"     // no complete, fresh list of the group's VMs: desired stays
	RuleStart      Rule = "start"       // first list since the decider started: what is owned, within min and max
	RuleBelowMin   Rule = "below-min"   // desired was below min, as after a change of the spec
	RuleAboveMax   Rule = "above-max"   // desired was above max, as after a change of the spec
	RuleManual     Rule = "manual"      // a person has said how many
	RuleNoneReady  Rule = "none-ready"  // no ready VM whose CPU is known: nothing to decide on
	RuleAboveUpper Rule = "above-upper" // average CPU above the upper threshold
	RuleBelowLower Rule = "below-lower" // average CPU below the lower threshold
	RuleStable     Rule = "stable"      // between the two, or exactly on one
	RuleScheduled  Rule = "scheduled"   // an action of the schedule has said how many
	RulePolicy     Rule = "policy"      // what the policies want, where it is not just the threshold: see Wishes
)

// Guard is what held a rule back.
type Guard string

// The guards, in the order in which they are looked at.
const (
	GuardPaused     Guard = "paused" // someone has paused this direction
	GuardAtMax      Guard = "at-max"
	GuardAtMin      Guard = "at-min"
	GuardHost       Guard = "host"            // no scale-in while a host is silent, or its data contradicts another's
	GuardUnknownCPU Guard = "unknown-cpu"     // no scale-in while the CPU of a ready VM is unknown
	GuardComing     Guard = "capacity-coming" // the VMs on their way are enough for the load
	GuardBreaches   Guard = "breaches"        // not long enough beyond the threshold
	GuardTolerance  Guard = "tolerance"       // too small a difference
	GuardStabilise  Guard = "stabilisation"   // in its window less, or more, was wanted
	GuardProjection Guard = "projection"      // fewer VMs would be busier than a group may be
	GuardRate       Guard = "rate"            // enough VMs came or went in the rate window
	GuardCooldown   Guard = "cooldown"
)

// Decision is one evaluation of one group: absolute ("group web wants 3"), idempotent, and valid until
// ExpiresAt.
type Decision struct {
	V         int       `json:"v"`
	Group     string    `json:"group"`
	Direction Direction `json:"direction"`
	Current   int       `json:"current"` // desired before this evaluation
	Desired   int       `json:"desired"` // desired from now on; 0 while nothing is known yet (see Known)
	Sentence  string    `json:"sentence"`
	Rule      Rule      `json:"rule"`            // what asked for a change, or that nothing did
	Guard     Guard     `json:"guard,omitempty"` // what held the rule back, "" where nothing did
	Inputs    Inputs    `json:"inputs"`
	Wishes    []Wish    `json:"wishes,omitempty"` // of each policy, where it is not just the threshold
	// Shares is Desired split by host; an actuator acts on its own host's. Unless the direction is In none is below what the
	// host has, so that together they can be more than Desired.
	Shares    map[HostID]Share `json:"shares"`
	Known     bool             `json:"known"` // false: no sample yet, so nothing may be done
	Controls  Controls         `json:"controls"`
	ID        string           `json:"id"`
	Term      int64            `json:"term"` // when the decider began to lead, in Unix ms, and more than any before; one lower than that of a decision which still holds is ignored
	Seq       uint64           `json:"seq"`  // counts a decider's decisions: in a term the higher one is newer, whatever the clock says
	Time      time.Time        `json:"time"`
	ExpiresAt time.Time        `json:"expires_at"`
	SpecHash  string           `json:"spec_hash"`
}

// Share is one host's part of a group.
type Share struct {
	Host string `json:"host"` // its name
	VMs  int    `json:"vms"`
	// Numbers are those that new VMs on this host may have in their names, the first to be used first. No other host has them, so that
	// a VM's name is unique in its group.
	Numbers []int `json:"numbers"`
}

// Scope is a part of what is done for a group that can be paused by itself.
type Scope string

// The scopes.
const (
	ScopeOut    Scope = "out"    // scaling out
	ScopeIn     Scope = "in"     // scaling in
	ScopeRepair Scope = "repair" // replacing VMs that died or do not serve
)

// Scopes are all scopes.
func Scopes() []Scope { return []Scope{ScopeOut, ScopeIn, ScopeRepair} }

// Controls are what a person has told a group, beyond its spec. They last until taken back.
type Controls struct {
	Paused []Scope `json:"paused"` // none is []
	DryRun bool    `json:"dry_run"`
	// Desired holds whatever the policy wants, within min and max; nil leaves it to the policy.
	Desired *int `json:"desired,omitempty"`
	// Set has the fields that differ from the file until they are reset, such as "policy.upper".
	Set   map[string]string `json:"set,omitempty"`
	By    string            `json:"by,omitempty"`    // who said so last
	Since *time.Time        `json:"since,omitempty"` // when
}

// Has says whether a scope is paused.
func (c Controls) Has(s Scope) bool { return slices.Contains(c.Paused, s) }

// Inputs is what a Decision was made from.
type Inputs struct {
	AveragePercent *float64 `json:"average_percent"` // mean CPU of the ready VMs whose CPU is known; nil: unknown
	// ProjectedPercent is the same load spread over ready and launching VMs; nil: unknown.
	ProjectedPercent *float64 `json:"projected_percent"`
	UpperPercent     float64  `json:"upper_percent"`
	LowerPercent     float64  `json:"lower_percent"`
	// TargetPercent is the average CPU that the policy target steers to, where no policy has the thresholds; 0 is none.
	TargetPercent  float64 `json:"target_percent,omitempty"`
	Min            int     `json:"min"`
	Max            int     `json:"max"`
	Owned          int     `json:"owned"`     // all VMs of the group, in any phase and state
	Ready          int     `json:"ready"`     // ready, running and past the warm-up
	Launching      int     `json:"launching"` // on their way, within the boot time-out
	Warming        int     `json:"warming"`   // ready, but warming up: capacity, not yet in the average
	Unknown        int     `json:"unknown"`   // of the ready ones, those with no CPU reading
	Breaches       int     `json:"breaches"`  // samples in a row beyond the threshold that Rule names
	BreachesNeeded int     `json:"breaches_needed"`
	BootMS         int64   `json:"boot_ms"` // how long VMs took from their creation to the end of their boot lately; 0 is not known
	// WarmupMS is for how long after its boot a VM's CPU does not count: as set, or as learned; nil is not known yet.
	WarmupMS   *int64 `json:"warmup_ms,omitempty"`
	CooldownMS int64  `json:"cooldown_ms"` // what is left of the cooldown, or of the window of the guard, that applies
	// RunDelayPercent is the share of time that the ready VMs waited for a host core, as a mean; nil is unknown.
	RunDelayPercent *float64 `json:"run_delay_percent,omitempty"`
	// Metric is the name of the metric that the policy target follows, MetricValue its last value; nil is unknown.
	Metric      string   `json:"metric,omitempty"`
	MetricValue *float64 `json:"metric_value,omitempty"`
}

// Wish is what a policy wants, before any guard.
type Wish struct {
	Policy   PolicyType `json:"policy"`
	Desired  int        `json:"desired"`
	Sentence string     `json:"sentence"` // why
}

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
	EventKept      EventType = "kept"      // its removal was called off
	EventWaiting   EventType = "waiting"   // a hook is waited for until Deadline
	EventRefused   EventType = "refused"   // the host has no room for a launch
	EventBraked    EventType = "braked"    // launching or removing stopped for a while
	EventOrphan    EventType = "orphan"    // a volume of ours without its domain was deleted, or was found and left
	EventDryRun    EventType = "dry-run"   // what would have been done
	EventControl   EventType = "control"   // a person paused or resumed something
)

// Event is one step of a VM's life.
type Event struct {
	V        int       `json:"v"`
	Group    string    `json:"group"`
	VM       string    `json:"vm"` // "" for an event of the whole group
	Event    EventType `json:"event"`
	Sentence string    `json:"sentence"`
	// ElapsedMS is the time since the VM's clone (started) was begun, since it was defined (ready), or since its
	// removal began (draining, stopping, removed); 0 for what takes no time.
	ElapsedMS  int64     `json:"elapsed_ms"`
	Error      string    `json:"error,omitempty"`
	Host       string    `json:"host"`
	DecisionID string    `json:"decision_id,omitempty"`
	Time       time.Time `json:"time"`
	// Deadline is when a drain or a hook ends at the latest, Token what answers the hook.
	Deadline *time.Time `json:"deadline,omitempty"`
	Token    string     `json:"token,omitempty"`
}

// Health is a stage's sign of life.
type Health struct {
	V        int       `json:"v"`
	Stage    string    `json:"stage"`    // bus, collector, decider or actuator
	Instance string    `json:"instance"` // host name and process id
	OK       bool      `json:"ok"`
	Message  string    `json:"message"`        // what it waits for or what is wrong; "" when all is well
	Acts     *Acts     `json:"acts,omitempty"` // of an actuator
	Dropped  uint64    `json:"dropped"`        // messages that it did not use since its start: malformed, of another version, expired, repeated
	Since    time.Time `json:"since"`          // when the stage started
	Time     time.Time `json:"time"`
	Version  string    `json:"version"`
}

// Acts is where an actuator acts, and what it finds there that a decider cannot see.
type Acts struct {
	HostID HostID   `json:"host_id"`
	Full   []string `json:"full"` // the groups of which no further VM has room
	// Taken are, by group, those n for which something that is not ours is called <group>-<n>: a domain, or a file in the pool.
	Taken map[string][]int `json:"taken"`
}

// Metric is a number that anybody publishes of a group, such as its requests per second or the length of its queue.
type Metric struct {
	V     int    `json:"v"`
	Group string `json:"group"`
	Name  string `json:"name"`
	// Value is of the whole group, 0 to MaxMetric. A message without one is refused: unknown is not 0.
	Value *float64 `json:"value"`
}

// MaxMetric is the highest number that a metric can be. What is above it was not measured.
const MaxMetric = 1e15

func (m *Metric) check() error {
	if m.Group == "" || m.Name == "" || m.Value == nil {
		return errors.New("metric without group, name or value: a number that is not known is not published")
	}
	if err := m.bounds(); err != nil { // first, as the others repeat what they found
		return err
	}
	if err := CheckGroupName(m.Group); err != nil {
		return fmt.Errorf("group %w", err)
	}
	if err := CheckMetricName(m.Name); err != nil {
		return fmt.Errorf("name %w", err)
	}
	if err := CheckMetricValue(*m.Value); err != nil {
		return fmt.Errorf("value: %w", err)
	}
	return checkVersion(m.V)
}

// CheckMetricName reports what is wrong with a metric's name.
func CheckMetricName(name string) error {
	if name == "" || len(name) > 60 || name != Token(name) {
		return fmt.Errorf("%q: want 1 to 60 of a-z, A-Z, 0-9, '-' and '_'", clip(name))
	}
	return nil
}

// CheckMetricValue reports what is wrong with a metric's value.
func CheckMetricValue(v float64) error {
	if !(v >= 0 && v <= MaxMetric) { // not NaN either
		return fmt.Errorf("found %g, want 0 to %g", v, MaxMetric)
	}
	return nil
}

// Demand is one minute of what was asked of a group and what it had, for replays. Each list has a value for each step of
// the minute; null is unknown.
type Demand struct {
	V     int       `json:"v"`
	Group string    `json:"group"`
	Time  time.Time `json:"time"` // when the minute began
	StepS int       `json:"step_s"`
	// Load is the average CPU of the ready VMs times their number, in VMs. Where they were at their full, more may have
	// been asked.
	Load  []*float64 `json:"load"`
	Ready []*int     `json:"ready"`
	Owned []*int     `json:"owned"`
}

func (d *Demand) check() error {
	if d.Group == "" || d.Time.IsZero() || d.StepS <= 0 || d.Load == nil || len(d.Ready) != len(d.Load) || len(d.Owned) != len(d.Load) {
		return errors.New("demand without group, time or step_s, or with lists of different lengths")
	}
	if err := checkVersion(d.V); err != nil {
		return err
	}
	return d.bounds()
}

// message is what all message types have in common: a version and the checks that a receiver relies on.
type message interface {
	check() error
	most() int // bytes that it may have
}

var errVersion = errors.New("unknown contract version")

func checkVersion(v int) error {
	if v != Version {
		return fmt.Errorf("%w %d, this program speaks %d", errVersion, v, Version)
	}
	return nil
}

func (s *Sample) check() error {
	if s.Group == "" || s.HostID == "" || s.Host == "" || s.Instance == "" || s.Time.IsZero() {
		return errors.New("sample without group, host_id, host, instance or time")
	}
	if s.VMs == nil { // no VMs is [], and another kind of message must not pass for it
		return errors.New("sample without vms")
	}
	if err := checkVersion(s.V); err != nil {
		return err
	}
	return s.bounds()
}

func (d *Decision) check() error {
	if d.Group == "" || d.ID == "" || d.ExpiresAt.IsZero() {
		return errors.New("decision without group, id or expires_at")
	}
	if d.Desired < 0 {
		return fmt.Errorf("decision with desired %d", d.Desired)
	}
	if err := checkVersion(d.V); err != nil {
		return err
	}
	return d.bounds()
}

func (c *Controls) check() error {
	if c.Paused == nil { // nothing paused is []
		return errors.New("controls without paused")
	}
	return c.bounds()
}

func (e *Event) check() error {
	if e.Group == "" || e.Event == "" || e.Time.IsZero() {
		return errors.New("event without group, event or time")
	}
	if err := checkVersion(e.V); err != nil {
		return err
	}
	return e.bounds()
}

func (h *Health) check() error {
	if h.Stage == "" || h.Instance == "" || h.Time.IsZero() {
		return errors.New("health without stage, instance or time")
	}
	if err := checkVersion(h.V); err != nil {
		return err
	}
	return h.bounds()
}

// Decode reads one message and checks what every receiver relies on: its size, its version, that the fields that
// name it are there, and that all are within their bounds.
func Decode[T any, PT interface {
	*T
	message
}](data []byte,
) (T, error) {
	var m T
	if err := checkBytes(data, PT(&m).most()); err != nil {
		return m, fmt.Errorf("decode %T: %w", m, err)
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("decode %T: %w", m, err)
	}
	if err := PT(&m).check(); err != nil {
		return m, fmt.Errorf("decode %T: %w", m, err)
	}
	return m, nil
}

// decodeOn is Decode for a message that came on a subject, which must be the one of what it says: what a role may send is
// told by the subject alone.
func decodeOn[T any, PT interface {
	*T
	message
}](subject string, data []byte,
) (T, error) {
	m, err := Decode[T, PT](data)
	if err != nil {
		return m, err
	}
	if o, is := any(PT(&m)).(outgoing); is && o.Subject() != subject {
		return m, fmt.Errorf("decode %T: what it says belongs on %s", m, clipTo(o.Subject(), maxLogText))
	}
	return m, nil
}
