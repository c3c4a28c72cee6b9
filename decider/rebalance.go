package decider

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Balancing is what a group that is rebalanced remembers of its moves.
type Balancing struct {
	Settled time.Time  `json:"-"`                 // since when nothing else is done about the group; zero: something is
	MovedAt time.Time  `json:"moved_at,omitzero"` // when a VM was ordered elsewhere last
	Desired int        `json:"desired,omitempty"` // then
	Uneven  unevenness `json:"uneven,omitzero"`   // before that
	// Misses are moves in a row that have left the hosts as uneven as they were, as where a new VM was made on another host than
	// it was meant for. The wait doubles with each.
	Misses int `json:"misses,omitempty"`
}

const (
	// settledFor is for how many times lost_after a group must be settled, and each of its hosts up, before a VM moves: one that
	// comes and goes is not filled each time.
	settledFor = 5
	// mostMisses bounds how often that wait doubles, triedSources from how many hosts in an evaluation a move is tried.
	mostMisses, triedSources = 6, 4
)

// unevenness are the sums of the squares of how many VMs failure domains, and hosts, have. Each move makes it less, so that moves
// come to an end.
type unevenness struct {
	Domains int `json:"domains"`
	Hosts   int `json:"hosts"`
}

func (u unevenness) less(other unevenness) bool {
	return cmp.Or(cmp.Compare(u.Domains, other.Domains), cmp.Compare(u.Hosts, other.Hosts)) < 0
}

// domainSpread is how many VMs a failure domain has, and its hosts with the fewest and the most.
type domainSpread struct {
	name      string
	vms       int
	low, high *candidate
}

// spreads are hosts by failure domain; where the placement does not look at those they are as one.
type spreads struct {
	of        map[*candidates]*domainSpread
	low, high *domainSpread
	uneven    unevenness
}

func (s spreads) domain(c *candidate, spec bus.Group) *domainSpread { return s.of[domainKey(c, spec)] }

func domainKey(c *candidate, spec bus.Group) *candidates {
	if spec.Placement == bus.PlaceSpread {
		return c.together
	}
	return nil
}

func spreadsOf(spec bus.Group, all candidates) spreads {
	s := spreads{of: map[*candidates]*domainSpread{}}
	for _, c := range all {
		d := s.domain(c, spec)
		if d == nil {
			d = &domainSpread{name: cmp.Or(c.Load.Domain, c.Name), low: c, high: c}
			s.of[domainKey(c, spec)] = d
		}
		d.vms += c.vms
		s.uneven.Hosts += c.vms * c.vms
		if c.vms < d.low.vms {
			d.low = c
		}
		if c.vms > d.high.vms {
			d.high = c
		}
	}
	for _, c := range all { // in the order of the hosts
		d := s.domain(c, spec)
		if s.low == nil || d.vms < s.low.vms {
			s.low = d
		}
		if s.high == nil || d.vms > s.high.vms {
			s.high = d
		}
	}
	for _, d := range s.of {
		s.uneven.Domains += d.vms * d.vms
	}
	return s
}

// enough is the difference from which on a move makes two hosts, or failure domains, more even.
const enough = 2

// gap says which host or failure domain has that many VMs more than another one; "": none has.
func (s spreads) gap(all candidates, spec bus.Group) string {
	if s.high.vms-s.low.vms >= enough {
		return compared(s.high.name, s.high.vms, s.low.name, s.low.vms)
	}
	for _, c := range all {
		if d := s.domain(c, spec); d.high.vms-d.low.vms >= enough {
			return between(d.high, d.low)
		}
	}
	return ""
}

func between(a, b *candidate) string { return compared(a.Name, a.vms, b.Name, b.vms) }

func compared(a string, has int, b string, other int) string {
	return fmt.Sprintf("%s has %s, and %s %d", bus.Clip(a, 80), plural(has), bus.Clip(b, 80), other)
}

// evens says what a move makes more even: failure domains, or hosts where those stay as even as they are; "": neither.
func (s spreads) evens(from, to *candidate, spec bus.Group) string {
	a, b := s.domain(from, spec), s.domain(to, spec)
	switch {
	case a.vms-b.vms >= enough:
		return compared(a.name, a.vms, b.name, b.vms)
	case (a == b || a.vms-b.vms == 1) && from.vms-to.vms >= enough:
		return between(from, to)
	}
	return ""
}

// rebalance orders that another takes the place of a VM on the host, or failure domain, that has the most, once the group has
// been settled for long enough, and only where the new one goes to a host that has at least two fewer. Nil: the group is not
// rebalanced, or has one host.
func (s *situation) rebalance() *bus.Balance {
	if !s.spec.Rebalances() || len(s.obs.Hosts) < 2 {
		s.state.Balancing = Balancing{}
		return nil
	}
	all := candidatesOf(s.spec, s.obs)
	hosts := spreadsOf(s.spec, all)
	was := s.state.Balancing
	now, unsettled := was, s.unsettled()
	if now.Settled.IsZero() || now.Settled.After(s.now) {
		now.Settled = s.now
	}
	if unsettled != "" {
		now.Settled = time.Time{}
	}
	s.state.Balancing = now
	if moving := s.obs.moving(); moving != "" {
		return &bus.Balance{State: bus.BalanceMoving, Sentence: moving}
	}
	gap := hosts.gap(all, s.spec)
	if gap == "" {
		return &bus.Balance{State: bus.BalanceEven, Sentence: "no host has two VMs more than another"}
	}
	misses, patience := was.patience(s, hosts.uneven)
	if unsettled == "" && s.now.Sub(now.Settled) < patience {
		unsettled = "nothing was done until " + now.Settled.UTC().Format(time.RFC3339)
	}
	if unsettled != "" {
		return &bus.Balance{
			State: bus.BalanceWaiting,
			Sentence: bus.Cut(fmt.Sprintf("%s: a VM moves once nothing else is done about the group for %s; %s", gap,
				seconds(patience), unsettled)),
		}
	}
	m, held := s.move(all, hosts)
	if held != "" {
		return &bus.Balance{State: bus.BalanceHeld, Sentence: bus.Cut(gap + ": " + held)}
	}
	s.state.Balancing = Balancing{MovedAt: s.now.UTC(), Desired: s.state.Desired, Uneven: hosts.uneven, Misses: misses}
	s.state = s.state.withOrder(m.vm.UUID, m.order)
	s.interpret()
	s.counts = count(s.spec, s.state, s.obs)
	return &bus.Balance{State: bus.BalanceMoving, Sentence: s.obs.moving()}
}

// patience is how many moves in a row have made nothing more even, the last one among them, and for how long the group must be
// settled now. What is as long ago as two of the longest waits counts no more.
func (b Balancing) patience(s *situation, uneven unevenness) (misses int, wait time.Duration) {
	wait = settledFor * s.spec.LostAfter
	if b.MovedAt.IsZero() || b.Desired != s.state.Desired || uneven.less(b.Uneven) || s.now.Sub(b.MovedAt) > wait<<(mostMisses+1) {
		return 0, wait
	}
	misses = min(b.Misses+1, mostMisses)
	return misses, wait << misses
}

// moving says which VM is being replaced elsewhere; "": none is.
func (o Observation) moving() string {
	for _, h := range o.Hosts {
		for _, vm := range h.VMs {
			if vm.Order != nil && vm.Order.Cause == bus.CauseRebalance {
				return fmt.Sprintf("%s on %s is replaced elsewhere: %s", vm.Name, h.Name, vm.Order.Reason)
			}
		}
	}
	return ""
}

// unsettled is what else is done about the group, or has to be; "": nothing.
func (s *situation) unsettled() string {
	c := s.state.Controls
	switch {
	case !s.state.HasSample || s.obs.Fresh == 0 || s.obs.Awaited != nil:
		return "not all is known of its VMs"
	case len(c.Paused) > 0 || c.DryRun || s.spec.DryRun:
		return "a part of what is done about it is paused"
	case s.incomplete != "":
		return s.incomplete
	case s.state.Refresh.Active():
		return "a refresh goes on"
	case len(s.state.Attach.coming(s.obs)) > 0:
		return "a domain is attached"
	case s.counts.kept != s.state.Desired:
		return fmt.Sprintf("it has %s of %d", plural(s.counts.kept), s.state.Desired)
	}
	for _, h := range s.obs.Hosts {
		up := s.now.Sub(s.state.Standings[h.ID].Since)
		switch {
		case h.State != bus.HostUp:
			return fmt.Sprintf("host %s is %s", bus.Clip(h.Name, 80), h.State)
		case up < settledFor*s.spec.LostAfter:
			return fmt.Sprintf("host %s has been up for %s", bus.Clip(h.Name, 80), seconds(up))
		case h.Trouble != "":
			return fmt.Sprintf("host %s is %s", bus.Clip(h.Name, 80), h.Trouble)
		case h.begun() > 0:
			return "a VM may be made on " + bus.Clip(h.Name, 80)
		}
		for i := range h.VMs {
			if vm := &h.VMs[i]; !rests(vm) {
				return fmt.Sprintf("%s is %s, %s", vm.Name, vm.Phase, vm.State)
			}
		}
	}
	return ""
}

// rests reports whether nothing is done about a VM: it serves, waits, or a person has set it aside.
func rests(vm *bus.VM) bool {
	switch {
	case vm.Phase.StandsBy(), vm.Phase == bus.PhaseRetained:
		return !vm.Order.Leaves()
	case vm.Order != nil, vm.Retiring, vm.Reimaging:
		return false
	case vm.Phase == bus.PhaseWarm:
		return true
	}
	return vm.Phase.Serves() && (vm.State == bus.StateRunning || vm.State.Suspended())
}

type move struct {
	vm    bus.VM
	order bus.VMOrder
}

// move is the next one, or why there is none. Where a VM goes is tried by what decides it.
func (s *situation) move(all candidates, hosts spreads) (m move, held string) {
	if surge, _ := s.spec.Maintenance.Leeway(s.state.Desired, s.spec.Max); surge == 0 || s.counts.owned >= s.spec.Max {
		return m, "none moves, as none may be beside it meanwhile (max, maintenance.max_healthy)"
	}
	sources := slices.SortedFunc(slices.Values(all), func(a, b *candidate) int {
		return cmp.Or(cmp.Compare(hosts.domain(b, s.spec).vms, hosts.domain(a, s.spec).vms), cmp.Compare(b.vms, a.vms),
			cmp.Compare(a.hash, b.hash), cmp.Compare(a.ID, b.ID))
	})
	held, tried := "those that could move are protected", 0
	for _, from := range sources {
		d := hosts.domain(from, s.spec)
		vm, is := s.movable(from)
		if !is || d.vms-hosts.low.vms < enough && from.vms-d.low.vms < enough {
			continue
		}
		if tried++; tried > triedSources {
			break
		}
		to := s.placeOf(vm, all)
		held = "no host with fewer can have another one"
		if to == nil || to.why != "" {
			continue
		}
		if what := hosts.evens(from, to, s.spec); what != "" {
			return move{vm, bus.VMOrder{Verb: bus.VMReplace, Cause: bus.CauseRebalance, Reason: what, At: s.now.UTC()}}, ""
		}
	}
	return m, held
}

// movable is the VM of a host that may move, of several the one that would be scaled in first.
func (s *situation) movable(from *candidate) (vm bus.VM, is bool) {
	order := order{scaleIn: s.spec.ScaleIn}
	for _, one := range from.VMs {
		if !kept(&one) || one.Protected || !rests(&one) || !one.Phase.Serves() {
			continue
		}
		if !is || order.byAge(placed{created: one.Created}, placed{created: vm.Created}) < 0 {
			vm, is = one, true
		}
	}
	return vm, is
}

// placeOf is the host on which another VM would be made that takes the place of this one; nil: none.
func (s *situation) placeOf(vm bus.VM, all candidates) *candidate {
	trial := *s
	trial.state = trial.state.withOrder(vm.UUID, bus.VMOrder{Verb: bus.VMReplace, At: s.now})
	trial.interpret()
	shares := split(trial.spec, order{}, bus.Hold, trial.state.Desired, trial.obs)
	for i, h := range trial.obs.Hosts {
		if h.lacks(shares[h.ID]) > 0 {
			return all[i]
		}
	}
	return nil
}
