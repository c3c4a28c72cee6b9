package bus

import (
	"slices"
	"time"
)

// Phase is where a VM stands in its life as the actuator sees it. It is kept in the domain's metadata, and the
// collector repeats it in every sample, so that a lost lifecycle event never matters.
//
//	creating ──> launching ──> ready <──> draining ──> stopping ──> (gone)
//	    │            │ ^         │ ^                      ^
//	    │            v └ standby<┤ └ a reboot stays ready │
//	    │         failed ────────┴────────────────────────┤
//	    └─────────────────────────────────────────────────┘
//
//	preparing ──> warm ──> launching, where the group has a warm pool
//
// An end of the program leaves a VM in the phase it was in; the next start goes on from there. What a phase means is said by
// its methods alone, of which a phase of a later version has none.
type Phase string

// The phases, in the order in which a VM goes through them.
const (
	PhaseCreating  Phase = "creating"  // defined; its volume may not exist yet
	PhaseLaunching Phase = "launching" // volume exists; started or about to be, not ready yet
	PhaseReady     Phase = "ready"     // does its work; only such VMs count in the average
	PhaseDraining  Phase = "draining"  // chosen for removal: it has its time, its hook, and the shutdown of its guest
	PhaseStopping  Phase = "stopping"  // being destroyed, its volume deleted, then undefined
	PhaseRetained  Phase = "retained"  // its remove hook was abandoned: it is kept, out of its group, until a person removes it
	PhaseFailed    Phase = "failed"    // could not be launched, waits for its removal
	PhaseStandby   Phase = "standby"   // a person has taken it out of service: it runs on, is owned, and counts in nothing else
	PhasePreparing Phase = "preparing" // made for the warm pool, and on its way there
	PhaseWarm      Phase = "warm"      // has booted, and waits in the warm pool until it is handed over
)

type phase struct{ serves, pending, leaving, standsBy, pooled bool }

// The most frequent one comes first, as they are looked for in order: with few of them that takes less time than a map.
var phases = []struct {
	name Phase
	phase
}{
	{PhaseReady, phase{serves: true}},
	{PhaseCreating, phase{pending: true}},
	{PhaseLaunching, phase{pending: true}},
	{PhaseDraining, phase{leaving: true}},
	{PhaseStopping, phase{leaving: true}},
	{PhaseRetained, phase{leaving: true}},
	{PhaseFailed, phase{}},
	{PhaseStandby, phase{standsBy: true}},
	{PhasePreparing, phase{pooled: true}},
	{PhaseWarm, phase{pooled: true}},
}

// means is what a phase means; one that is not known means nothing.
func (p Phase) means() (m phase, known bool) {
	for i := range phases {
		if phases[i].name == p {
			return phases[i].phase, true
		}
	}
	return phase{}, false
}

// Phases are all phases, by name.
func Phases() []Phase {
	var names []Phase
	for _, p := range phases {
		names = append(names, p.name)
	}
	slices.Sort(names)
	return names
}

// Known reports whether this program knows the phase.
func (p Phase) Known() bool { _, known := p.means(); return known }

// Serves reports whether a VM does its work, as far as vmscaler is concerned: it is launched, and not about to go.
func (p Phase) Serves() bool { m, _ := p.means(); return m.serves }

// Pending reports whether a VM is on its way to serve.
func (p Phase) Pending() bool { m, _ := p.means(); return m.pending }

// Capacity reports whether a VM counts in the group's capacity: it serves or is pending.
func (p Phase) Capacity() bool { return p.Serves() || p.Pending() }

// Leaving reports whether a VM's removal has begun, if it is not retained in the middle of it.
func (p Phase) Leaving() bool { m, _ := p.means(); return m.leaving }

// StandsBy reports whether a person has taken a VM out of service for a while: it is left alone, in whatever state it is.
func (p Phase) StandsBy() bool { m, _ := p.means(); return m.standsBy }

// Pooled reports whether a VM is of its group's warm pool, or on its way there: it is owned, and counts in nothing else before it
// is handed over.
func (p Phase) Pooled() bool { m, _ := p.means(); return m.pooled }

// State is the state of a domain as the hypervisor reports it, in virsh's words.
type State string

// The states that vmscaler distinguishes.
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

// StateFromLibvirt is the state that libvirt has a number for (virDomainState).
func StateFromLibvirt(state int) State {
	states := [...]State{
		StateUnknown, StateRunning, StateOther, StatePaused, StateShutdown, StateShutoff, StateCrashed, StateAsleep,
	}
	if state < 0 || state >= len(states) {
		return StateOther // newer than this program
	}
	return states[state]
}

// PausedForNow reports whether libvirt itself has paused a domain, by its number for the reason (virDomainPausedReason), and
// lets it go on in a moment, as while it starts or during a snapshot: nobody has suspended it. Its state is StateOther then.
func PausedForNow(reason int) bool {
	const migration, save, dump, shuttingDown, snapshot, startingUp, postcopy = 2, 3, 4, 8, 9, 11, 12
	return slices.Contains([]int{migration, save, dump, shuttingDown, snapshot, startingUp, postcopy}, reason)
}

// Suspended reports whether a domain stands still and can go on where it was: it is owned, and no capacity. As a rule a
// person did that, so it is left alone.
func (s State) Suspended() bool { return s == StatePaused || s == StateSaved || s == StateAsleep }

// Off reports whether a domain does not run, and will not by itself.
func (s State) Off() bool { return s == StateShutoff || s == StateCrashed }

// Rates are what a VM moves, in MiB/s, as a mean over ten seconds or more. Nil is unknown: its first reading, a restart, or a
// device that libvirt has no counters of, such as user-mode networking.
type Rates struct {
	NetworkRx *float64 `json:"network_rx_mib_s"` // received by the guest, over all its NICs
	NetworkTx *float64 `json:"network_tx_mib_s"`
	DiskRead  *float64 `json:"disk_read_mib_s"` // over all its disks
	DiskWrite *float64 `json:"disk_write_mib_s"`
}

// Of is the rate that a signal names; nil is unknown, or a signal that names none.
func (r *Rates) Of(s Signal) *float64 {
	if r == nil {
		return nil
	}
	switch s {
	case SignalNetworkRx:
		return r.NetworkRx
	case SignalNetworkTx:
		return r.NetworkTx
	case SignalDiskRead:
		return r.DiskRead
	case SignalDiskWrite:
		return r.DiskWrite
	case SignalCPU, SignalMemory, SignalLoad, SignalMetric, SignalPrometheus, SignalExpression:
	}
	return nil
}

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
	// MemoryUsedMiB is what the guest uses as its balloon driver reports it; RunDelayPercent is the share of time
	// that its vCPUs waited for a host core. Both need the QEMU monitor, so they are read outside the tick and
	// may be some seconds old. Nil is unknown.
	MemoryUsedMiB   *int     `json:"memory_used_mib,omitempty"`
	RunDelayPercent *float64 `json:"run_delay_percent,omitempty"`
	// Rates are read with those two, where the group's policy follows one of them; nil where it does not, and while they are
	// unknown.
	Rates      *Rates    `json:"rates,omitempty"`
	UUID       string    `json:"uuid"`
	Created    time.Time `json:"created"`     // when the actuator made it
	PhaseSince time.Time `json:"phase_since"` // when it entered its phase
	// BootedAt is when its first boot was over, which a launch hook or a drain that was called off does not change;
	// RebootedAt is when its guest last restarted without ending, or, if that is later, since when its agent is gone, as it
	// is while the guest shuts down. Nil is not yet, or unknown.
	BootedAt   *time.Time `json:"booted_at,omitempty"`
	RebootedAt *time.Time `json:"rebooted_at,omitempty"`
	Template   string     `json:"template,omitempty"`  // what it was cloned from; "" is unknown
	Machine    string     `json:"machine,omitempty"`   // Group.MachineHash when it was made; "": an earlier version made it
	Storage    string     `json:"storage,omitempty"`   // Group.StorageHash when it was made; "": an earlier version made it
	Protected  bool       `json:"protected,omitempty"` // it is never chosen for scaling in
	// Reimaging is that it is out of service to come back as new ones are: with new disks, or, where it is Restarting, with its
	// own.
	Reimaging  bool `json:"reimaging,omitempty"`
	Restarting bool `json:"restarting,omitempty"`
	// RestartedAt is when a refresh last restarted it; nil: none did.
	RestartedAt *time.Time `json:"restarted_at,omitempty"`
	Handed      bool       `json:"handed,omitempty"`   // it leaves the warm pool to serve; for a moment it still stands still
	Retiring    bool       `json:"retiring,omitempty"` // it serves until another has taken its place
	Order       *VMOrder   `json:"order,omitempty"`    // what a person wants of it
	// Address is where others reach it, as its host sees it by DHCP leases and ARP; "" is not known. Forwards are ports of its
	// host's loopback address that lead into it, by those of the VM.
	Address  string      `json:"address,omitempty"`
	Forwards map[int]int `json:"forwards,omitempty"`
	Error    string      `json:"error,omitempty"`
}

// Made is what the VM was made from.
func (vm *VM) Made() Made {
	m := Made{Machine: vm.Machine, Storage: vm.Storage, Template: vm.Template, Created: vm.Created}
	if vm.RestartedAt != nil {
		m.Restarted = *vm.RestartedAt
	}
	return m
}
