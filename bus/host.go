package bus

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// HostState is where a host stands with a group.
type HostState string

// The states of a host.
const (
	HostUp        HostState = "up"
	HostSilent    HostState = "silent"    // no sample for too long: its VMs are owned, and count as nothing else
	HostLost      HostState = "lost"      // silent for the group's lost_after, and none of its stages gives a sign of life
	HostReturning HostState = "returning" // heard again after it was lost, until what is surplus by that is gone
	HostCordoned  HostState = "cordoned"  // a person wants no new VM there
	HostDraining  HostState = "draining"  // a person wants its VMs replaced elsewhere
	HostDrained   HostState = "drained"   // and that is done
)

// HostStates are all states.
func HostStates() []HostState {
	return []HostState{HostUp, HostSilent, HostLost, HostReturning, HostCordoned, HostDraining, HostDrained}
}

// HostStanding is where a host stands with a group, and why.
type HostStanding struct {
	Host   string    `json:"host"` // its name
	State  HostState `json:"state"`
	Since  time.Time `json:"since"`            // by the decider's clock
	Reason string    `json:"reason,omitempty"` // in words
	// Replaced is how many VMs of a lost host others have taken, or are taking, the places of; they count in no other number of
	// the decision but Inputs.Lost.
	Replaced int `json:"replaced,omitempty"`
	// Order is what a person wants of the host; nil: nothing.
	Order *HostOrder `json:"order,omitempty"`
}

// HostsByName are the standings by the names of their hosts.
func HostsByName(hosts map[HostID]HostStanding) []HostStanding {
	return slices.SortedFunc(maps.Values(hosts), func(a, b HostStanding) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), a.Since.Compare(b.Since))
	})
}

// HostAction is what can be asked for a host.
type HostAction string

// The actions.
const (
	HostCordon   HostAction = "cordon"   // no new VM is made there
	HostDrain    HostAction = "drain"    // the same, and its VMs are replaced elsewhere
	HostUncordon HostAction = "uncordon" // neither
)

// HostActions are all actions.
func HostActions() []HostAction { return []HostAction{HostCordon, HostDrain, HostUncordon} }

// HostOrder is what a person wants of a host, for all groups. It lasts until it is taken back.
type HostOrder struct {
	Action HostAction `json:"action"` // cordon or drain
	By     string     `json:"by,omitempty"`
	Reason string     `json:"reason,omitempty"`
	Since  time.Time  `json:"since"`
}

// Is reports whether there is an order, of this action.
func (o *HostOrder) Is(a HostAction) bool { return o != nil && o.Action == a }

// HostLoss is what becomes of the VMs of a lost host.
type HostLoss string

// What becomes of them. The zero value is the default.
const (
	LossReplace           HostLoss = ""                    // others take their places
	LossHold              HostLoss = "hold"                // nothing, until a person says that the host is gone
	LossReplaceAfterFence HostLoss = "replace-after-fence" // others take their places once the fence command has cut the host off
)

// HostLosses are those that are not the default.
func HostLosses() []HostLoss { return []HostLoss{LossHold, LossReplaceAfterFence} }

// ElectionTakes is for how long no decider may lead, where the one that led is lost with its host.
const ElectionTakes = 30 * time.Second

// LeastIsolation is the least IsolateAfter: for as long the other hosts may need until they take a host for lost, and replace its
// VMs, which they do in an evaluation. A host that ended its VMs before would do so at each change of the decider, or between two
// decisions.
func (g Group) LeastIsolation() time.Duration {
	return g.LostAfter + ElectionTakes + 3*g.Policy.Interval
}

// HeardWithin is within how long a host that listens hears a decider that leads: one may have to be elected first, and while
// another host is silent it decides every second interval only.
func (g Group) HeardWithin() time.Duration { return ElectionTakes + 2*g.Policy.Interval }

// Fence is the command that cuts a lost host off.
type Fence struct {
	// Command runs by /bin/sh where the decider that leads runs and with its rights; which host it is about is in its environment.
	// It exits with 0 once the host can run no VM any more.
	Command string        `json:"command,omitempty"`
	Timeout time.Duration `json:"timeout"` // after which it is killed, and has failed
}

// Placement is on which of the hosts that can have it a new VM is made.
type Placement string

// The placements. The zero value is the default.
const (
	PlaceSpread   Placement = ""         // where the group has the fewest
	PlacePack     Placement = "pack"     // where the group has the most, and there is room
	PlaceWeighted Placement = "weighted" // where memory, cores and the group's own VMs leave most
)

// Placements are those that are not the default.
func Placements() []Placement { return []Placement{PlacePack, PlaceWeighted} }

// Place is a host as a place for another VM of a group.
type Place struct {
	Host   string  `json:"host"` // its name
	HostID HostID  `json:"host_id"`
	VMs    int     `json:"vms"`           // of the group that count there
	Score  float64 `json:"score"`         // the lowest is the best; what it is made of depends on the group's Placement
	Why    string  `json:"why,omitempty"` // why it can have none; "": it can
	// Domain is what it fails together with, "" where that is not known, and DomainVMs how many VMs of the group count there, by
	// which PlaceSpread goes before Score.
	Domain    string `json:"domain,omitempty"`
	DomainVMs int    `json:"domain_vms,omitempty"`
}

func (b *bounds) hosts(hosts map[HostID]HostStanding) {
	b.count("hosts", len(hosts), MaxHosts)
	for id, h := range hosts {
		b.name("hosts", string(id), maxHostName)
		b.name("hosts.host", h.Host, maxHostName)
		b.name("hosts.state", string(h.State), maxWord)
		b.text("hosts.reason", h.Reason)
		b.number("hosts.replaced", float64(h.Replaced), maxDesired)
		if h.Order != nil {
			b.name("hosts.order.action", string(h.Order.Action), maxWord)
			b.name("hosts.order.by", h.Order.By, maxHostName)
			b.reason(h.Order.Reason)
		}
	}
}

// Troubled reports whether something is wrong with a host in this state, which no person has wanted.
func (s HostState) Troubled() bool {
	return slices.Contains([]HostState{HostSilent, HostLost, HostReturning}, s)
}
