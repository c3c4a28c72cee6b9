package bus

// Rebalance says whether a group's VMs move from the host, or failure domain, that has the most to the one that has the fewest.
type Rebalance string

// The choices. The zero value is the default.
const (
	RebalanceOff Rebalance = ""   // a VM stays where it was made
	RebalanceOn  Rebalance = "on" // while nothing else is done about the group, one after another is replaced elsewhere
)

// Rebalances are those that are not the default.
func Rebalances() []Rebalance { return []Rebalance{RebalanceOn} }

// Rebalances reports whether the group's VMs move to other hosts: with [PlacePack] they are to be on as few as possible.
func (g Group) Rebalances() bool { return g.Rebalance == RebalanceOn && g.Placement != PlacePack }

// BalanceState is how evenly a group is spread over its hosts, or failure domains.
type BalanceState string

// The states.
const (
	BalanceEven    BalanceState = "even"    // no host has two VMs more than another
	BalanceWaiting BalanceState = "waiting" // one has; a VM moves once the group has been settled for long enough
	BalanceMoving  BalanceState = "moving"  // a VM is being replaced elsewhere
	BalanceHeld    BalanceState = "held"    // one has, and no VM can move as it is
)

// BalanceStates are all states.
func BalanceStates() []BalanceState {
	return []BalanceState{BalanceEven, BalanceWaiting, BalanceMoving, BalanceHeld}
}

// Balance is how a group that is rebalanced is spread.
type Balance struct {
	State    BalanceState `json:"state"`
	Sentence string       `json:"sentence"` // which VM moves from where to where, or what is waited for
}

func (b *bounds) balance(s *Balance) {
	if s != nil {
		b.name("balance.state", string(s.State), maxWord)
		b.text("balance.sentence", s.Sentence)
	}
}
