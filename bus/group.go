package bus

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// ReadyWhen is what makes a launched VM ready.
type ReadyWhen string

// The ways for a VM to be ready.
const (
	ReadyAgent  ReadyWhen = "agent"  // the guest agent answers
	ReadyLease  ReadyWhen = "lease"  // it has a DHCP lease from libvirt's network
	ReadyUptime ReadyWhen = "uptime" // it has run for Group.ReadyAfter
)

// Identity is what is done about what each VM must have for itself, where its image has it.
type Identity string

// The ways to deal with identity.
const (
	IdentityAuto Identity = ""    // the guest agent gives a VM its own, once it has booted and where cloud-init does not
	IdentityOff  Identity = "off" // it is left to the image
)

// Group is one group's spec, the same in every stage. Zero values are not defaults: start from DefaultGroup.
type Group struct {
	Name     string `json:"name"`
	Template string `json:"template"` // a template's name, see `vmscaler template`
	// TemplateSHA256 is what the SHA-256 of the template's file must be, in hexadecimal; "": any.
	TemplateSHA256 string `json:"template_sha256,omitempty"`
	Min            int    `json:"min"`
	Max            int    `json:"max"`
	VCPUs          int    `json:"vcpus"`
	MemoryMiB      int    `json:"memory_mib"`
	// DiskMiB is the size of each VM's disk, at least that of the template; 0 is the same.
	DiskMiB int `json:"disk_mib,omitempty"`
	// Disks are further disks of each VM, at most MaxDisks. They are made and removed with it, but for those that are kept.
	Disks []Disk `json:"disks,omitempty"`
	// CloudInit is what cloud-init reads in each VM. The texts are here whole, so that stages with other ones notice.
	CloudInit CloudInit `json:"cloud_init,omitzero"`
	// Network is the libvirt network of the VMs; "user" is QEMU's user-mode network, which needs no rights.
	// "" is chosen when the libvirt URI is known: "default" on a system URI, "user" on a session URI.
	Network    string        `json:"network"`
	Hardware   Hardware      `json:"hardware,omitzero"`
	ReadyWhen  ReadyWhen     `json:"ready_when"`
	ReadyAfter time.Duration `json:"ready_after"` // for ReadyUptime
	// Identity is who sees to it that no two VMs have a host name, machine id or SSH host keys in common.
	Identity Identity `json:"identity,omitempty"`
	// Checks are what a VM must pass, in this order, after what ReadyWhen says, and later go on passing.
	Checks []Check `json:"checks,omitempty"`
	// BootTimeout is how long a VM may take from its start to ready; then it is replaced.
	BootTimeout time.Duration `json:"boot_timeout"`
	// ShutdownTimeout is how long a guest may take to shut down; then it is destroyed.
	ShutdownTimeout time.Duration `json:"shutdown_timeout"`
	// Drain is the time between the choice of a VM for scaling in and its shutdown, in which the removal can be called off.
	Drain time.Duration `json:"drain"`
	// ScaleIn has the orders by which VMs are chosen for scaling in, the first one first; see CheckScaleIn.
	ScaleIn    []ScaleIn  `json:"scale_in"`
	VictimHook VictimHook `json:"victim_hook"`
	// BlindAfter is how long samples may stay away until the group counts as blind, which is shown and said.
	BlindAfter time.Duration `json:"blind_after"`
	// HostLoss is what becomes of the VMs of a host that is lost: silent for LostAfter, with no sign of life of any of its stages.
	HostLoss  HostLoss      `json:"on_host_loss,omitempty"`
	LostAfter time.Duration `json:"lost_after"`
	// IsolateAfter is after how long without a decision of a decider that leads a host removes its VMs of the group; 0 is never.
	// See LeastIsolation.
	IsolateAfter time.Duration `json:"isolate_after,omitempty"`
	Fence        Fence         `json:"fence"` // for LossReplaceAfterFence
	// Placement is on which host a new VM is made, PerHostMax how many VMs a host has at most; 0 is no bound.
	Placement  Placement `json:"placement,omitempty"`
	PerHostMax int       `json:"per_host_max,omitempty"`
	// Rebalance is whether VMs move to other hosts later.
	Rebalance Rebalance `json:"rebalance,omitempty"`
	DryRun    bool      `json:"dry_run"` // decide and show everything, and do nothing
	// MaxLifetime is from which age on a VM is replaced; 0 is none.
	MaxLifetime time.Duration `json:"max_lifetime"`
	Maintenance Maintenance   `json:"maintenance"` // of each replacement of VMs
	// MinReady is how long a VM must have served until one may go in whose place it came; 0 is at once.
	MinReady time.Duration `json:"min_ready,omitempty"`
	Repair   Repair        `json:"repair"`
	Refresh  RefreshSpec   `json:"refresh"`
	Brakes   Brakes        `json:"brakes"`
	Hooks    Hooks         `json:"hooks"`
	Policy   Policy        `json:"policy"`
	// ProtectNew protects each new VM from being scaled in, until a person takes that back.
	ProtectNew bool `json:"protect_new,omitempty"`
	// DeletionProtection is what keeps the group's VMs from being removed by the command for that.
	DeletionProtection DeletionProtection `json:"deletion_protection,omitempty"`
	// IdleToZero is how long a group with a Min of 0 must have had one VM, and that nothing to do, until that goes as well; 0 is
	// forever. WakeFor is how long a group that had no VM keeps one at least, whatever woke it.
	IdleToZero time.Duration `json:"idle_to_zero"`
	WakeFor    time.Duration `json:"wake_for"`
	WarmPool   WarmPool      `json:"warm_pool,omitzero"`
	// Schedule changes Min, Max and the desired capacity at times of the day.
	Schedule []ScheduledAction `json:"schedule"`
}

// ScheduledAction sets some of a group's numbers at a date, or at each moment of a cron expression; nil leaves one as it is. Min
// and Max hold until another action sets them, or forever; Desired is set once, and the policies go on from there.
type ScheduledAction struct {
	At   string `json:"at"`   // 2006-01-02T15:04, or five fields: minute, hour, day of the month, month, day of the week
	Zone string `json:"zone"` // of the IANA time zone database, such as Europe/Berlin
	// From and Until bound moments that come again, each a date or one with a time; "" does not. Both are within the bounds.
	From    string `json:"from,omitempty"`
	Until   string `json:"until,omitempty"`
	Min     *int   `json:"min"`
	Max     *int   `json:"max"`
	Desired *int   `json:"desired"`
}

// Equal reports whether two actions say the same.
func (a ScheduledAction) Equal(b ScheduledAction) bool {
	same := func(p, q *int) bool { return p == q || p != nil && q != nil && *p == *q }
	return a.At == b.At && a.Zone == b.Zone && a.From == b.From && a.Until == b.Until && same(a.Min, b.Min) && same(a.Max, b.Max) &&
		same(a.Desired, b.Desired)
}

// Repair says when a VM is replaced that runs and does not serve.
type Repair struct {
	// HealthGrace is how long the guest agent of a ready VM may be silent, with ReadyAgent, and how long a VM may be
	// paused on an I/O error; then it is replaced. 0 is forever.
	HealthGrace time.Duration `json:"health_grace"`
	// AtOnce is how many VMs may be in replacement at the same time, so that a failure they share does not take all.
	AtOnce int `json:"at_once"`
}

// Brakes bound what can go wrong again and again.
type Brakes struct {
	// LaunchFailures is in a row; then no VM is launched for LaunchPause, and then one as a trial.
	LaunchFailures int           `json:"launch_failures"`
	LaunchPause    time.Duration `json:"launch_pause"`
	// EarlyDeath is until when after its boot a VM that dies, or does not serve any more, counts as a launch that failed. 0 is
	// never.
	EarlyDeath    time.Duration `json:"early_death"`
	Removals      int           `json:"removals"` // of VMs that could go on serving, at most in RemovalWindow
	RemovalWindow time.Duration `json:"removal_window"`
}

// Ceiling is the highest max that the spec, its schedule or a person has ever allowed.
func (g Group) Ceiling(c Controls) int {
	highest := g.Max
	for _, a := range c.Over(g.Schedule) {
		if a.Max != nil {
			highest = max(highest, *a.Max)
		}
	}
	if n, err := strconv.Atoi(c.Set["max"]); err == nil {
		highest = max(highest, n)
	}
	return highest
}

// Floor is the lowest min that the spec, its schedule or a person has ever allowed.
func (g Group) Floor(c Controls) int {
	lowest := g.Min
	for _, a := range c.Over(g.Schedule) {
		if a.Min != nil {
			lowest = min(lowest, *a.Min)
		}
	}
	if n, err := strconv.Atoi(c.Set["min"]); err == nil {
		lowest = min(lowest, n)
	}
	return max(lowest, 0)
}

// DefaultGroup is the group of a config without groups, and what a group's unset fields mean.
//
// The policy's defaults react faster than a hand-written loop of 4 to 6 s a round (3 samples out, 5 in) and
// still ignore the short bursts of a half-loaded guest. A new VM counts as capacity from its decision on, so
// scaling out needs only a short cooldown.
func DefaultGroup() Group {
	return Group{
		Name: "autoscale", Template: "demo", Min: 1, Max: 5, VCPUs: 1, MemoryMiB: 256,
		ReadyWhen: ReadyAgent, ReadyAfter: 30 * time.Second,
		Checks:      []Check{}, // not nil, as is the empty list of a file
		BootTimeout: 2 * time.Minute, ShutdownTimeout: 20 * time.Second,
		ScaleIn: []ScaleIn{ScaleInNewest}, BlindAfter: time.Minute, WakeFor: 15 * time.Minute,
		LostAfter: 12 * time.Second, Fence: Fence{Timeout: 30 * time.Second},
		VictimHook:  VictimHook{Timeout: 5 * time.Second, Patience: time.Hour},
		Repair:      Repair{HealthGrace: 2 * time.Minute, AtOnce: 1},
		Maintenance: Maintenance{MinHealthyPercent: 100, MaxHealthyPercent: 110},
		Brakes: Brakes{
			LaunchFailures: 5,
			LaunchPause:    5 * time.Minute,
			EarlyDeath:     10 * time.Minute,
			Removals:       30,
			RemovalWindow:  10 * time.Minute,
		},
		Refresh: RefreshSpec{
			Start: RefreshAuto, Strategy: RefreshReplace, MaxSurge: FromMaintenance, MinHealthyPercent: FromMaintenance,
			Checkpoints: []int{}, CheckpointDelay: 5 * time.Minute,
			MaxFailures: 2, Return: true,
		},
		Hooks:    Hooks{Launch: HookList{DefaultHook()}, Remove: HookList{DefaultHook()}},
		Disks:    []Disk{},
		Schedule: []ScheduledAction{}, // not nil, which would have another hash than the empty list of a file
		Policy: Policy{
			Types: []PolicyType{
				PolicyThreshold,
			}, Setting: SettingBalanced, Signal: SignalCPU, TargetPercent: 60, MetricTarget: 100, MetricMaxAge: 2 * time.Minute,
			Prometheus: DefaultPrometheus(),
			Steps: Steps{
				Adjustment: AdjustChange, MinMagnitude: 1,
				Out: []Band{{From: 0, Adjust: 1}, {From: 20, Adjust: 2}}, In: []Band{{From: 0, Adjust: -1}},
			},
			Limits:       Limits{RateWindow: time.Minute},
			UpperPercent: 70, LowerPercent: 20, Interval: time.Second, BreachesOut: 3, BreachesIn: 5,
			CooldownOut: 3 * time.Second, CooldownIn: 5 * time.Second, Warmup: WarmupLearned,
		},
	}
}

// UserNetwork is the Network value that means QEMU's user-mode networking.
const UserNetwork = "user"

var groupName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)

// CheckGroupName reports what is wrong with a group's name. A name must not end in a number ("web-1", "web1"): the
// VMs are called <group>-<n>, and a group "web-1" would then share names with the group "web".
func CheckGroupName(name string) error {
	if !groupName.MatchString(name) {
		return fmt.Errorf("%q: want a lower-case letter, then up to 39 of a-z, 0-9 and '-'", name)
	}
	if c := name[len(name)-1]; c >= '0' && c <= '9' {
		return fmt.Errorf(
			"%q ends in a number: the VMs are called %s-<n>; use a name that ends in a letter",
			name,
			strings.TrimRight(name, "-0123456789"),
		)
	}
	if strings.HasSuffix(name, "-") {
		return fmt.Errorf("%q ends in '-': use a name that ends in a letter", name)
	}
	return nil
}

// Hash is a short fingerprint of the spec. Stages that read different files show different ones.
func (g Group) Hash() string { return fingerprint(g) }

// Flapping is why the thresholds of a group must flap, and what ends it.
type Flapping struct{ Why, Remedy string }

func (f Flapping) String() string { return f.Why + "; " + f.Remedy }

// Flaps reports whether the thresholds must flap: n VMs just below lower would become n-1 VMs above upper, which is
// so when lower >= upper*(n-1)/n. The worst n is the smallest that scales in, min+1; by its load alone no group gives up its
// last VM.
func (g Group) Flaps() (why Flapping, flaps bool) {
	n := max(g.Min, 1) + 1
	limit := g.Policy.UpperPercent * float64(n-1) / float64(n)
	if !g.Policy.Has(PolicyThreshold) || len(g.Policy.Types) > 1 || n > g.Max || g.Policy.LowerPercent < limit {
		return Flapping{}, false
	}
	return Flapping{
		Why: fmt.Sprintf(
			"lower %g %% and upper %g %% must flap: the load of %d VMs at %g %% is %.4g %% on %d, so scaling in makes it scale out again",
			g.Policy.LowerPercent,
			g.Policy.UpperPercent,
			n,
			g.Policy.LowerPercent,
			g.Policy.LowerPercent*float64(n)/float64(n-1),
			n-1,
		),
		Remedy: fmt.Sprintf("use a lower below %.4g", limit),
	}, true
}
