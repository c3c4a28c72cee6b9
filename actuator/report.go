package actuator

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// fullFor is for how long a host counts as full after it had no room for a launch: others are asked meanwhile.
const fullFor = time.Minute

// full are the groups of which no further VM is to be had here: none had room lately, or launching has stopped after failures and
// other hosts can be asked.
func (a *Actuator) full() []string {
	groups, now := []string{}, a.cfg.Now()
	for _, name := range slices.Sorted(maps.Keys(a.groups)) {
		g := a.groups[name]
		stopped := g.open() && now.Before(g.retryAt) && len(g.newest.Decision.Shares) > 1
		if g.shortage != "" || now.Sub(g.shortAt) < fullFor || stopped {
			groups = append(groups, name)
		}
	}
	return groups
}

// maxTaken bounds how many taken numbers of a group are reported.
const maxTaken = 1000

// taken are, by group, the numbers whose names something that is not ours has.
func (a *Actuator) taken(inv vm.Inventory) map[string][]int {
	ours := map[string]bool{}
	for _, vm := range inv.Owned {
		ours[vm.Name] = true
	}
	numbers := map[string][]int{}
	for name := range inv.Taken {
		i := strings.LastIndexByte(name, '-')
		if i < 0 || a.groups[name[:i]] == nil || ours[name] || a.working(name) {
			continue
		}
		if n, ok := bus.VMNumber(name[:i], name); ok && len(numbers[name[:i]]) < maxTaken {
			numbers[name[:i]] = append(numbers[name[:i]], n)
		}
	}
	for _, list := range numbers {
		slices.Sort(list)
	}
	return numbers
}

// kept are, by group, the numbers of the VMs for which disks are kept here; nil is none.
func (a *Actuator) kept(inv vm.Inventory) map[string][]int {
	var numbers map[string][]int
	for _, name := range slices.Sorted(maps.Keys(a.groups)) {
		for vm := range inv.Kept {
			n, ok := bus.VMNumber(name, vm)
			if !ok || !a.groups[name].spec.Stateful() || len(numbers[name]) >= maxTaken {
				continue
			}
			if numbers == nil {
				numbers = map[string][]int{}
			}
			numbers[name] = append(numbers[name], n)
		}
		slices.Sort(numbers[name])
	}
	return numbers
}

// problem is what keeps groups from having what is desired; nil where nothing does.
func (a *Actuator) problem() error {
	var all bus.Troubles
	if r := a.rival(); r != nil {
		all.Add(bus.ProblemSecondActuator, string(a.hostID), fmt.Sprintf(
			"%s acts on host %s (%s) since %s: this one does nothing; stop one of them, or, where these are two hosts, "+
				"give each an identity of its own: host_uuid in libvirtd.conf, or, on a machine without DMI, /etc/machine-id",
			r.Instance, a.host, a.hostID, r.Since.Local().Format(time.DateTime)))
	}
	for _, name := range slices.Sorted(maps.Keys(a.groups)) {
		all = append(all, a.groups[name].troubles(a.hostID, a.host, a.cfg.URI, a.cfg.Now())...)
		all = append(all, a.checkups.troubles(a.groups[name])...)
		all = append(all, a.templateTroubles(a.groups[name])...)
	}
	for _, name := range slices.Sorted(maps.Keys(a.damaged)) {
		all.Add(bus.ProblemDamagedMetadata, name, fmt.Sprintf(
			"domain %s has metadata of vmscaler that cannot be read (%s): it is left alone, and counts as nobody's; "+
				"whoever has made it can fix it with virsh edit", bus.Line(name), bus.Clip(bus.Line(a.damaged[name]), 120)))
	}
	all = append(all, a.stuckTroubles()...)
	return append(all, a.retryTroubles()...).Err()
}

// goOn is virsh's command that lets a suspended VM go on.
func goOn(state bus.State) string {
	switch state { //nolint:exhaustive // those that are suspended
	case bus.StateSaved:
		return "start"
	case bus.StateAsleep:
		return "dompmwakeup"
	}
	return "resume"
}

// troubles are what keeps the group from having what is desired.
func (g *group) troubles(id bus.HostID, host, uri string, now time.Time) (all bus.Troubles) {
	add := func(code bus.ProblemCode, format string, args ...any) {
		all.Add(code, g.spec.Name, "group "+g.spec.Name+": "+fmt.Sprintf(format, args...))
	}
	if g.mismatch {
		add(bus.ProblemConfigMismatch, "the decider reads another config than the actuator; its decisions are ignored")
	}
	if _, share := g.newest.Decision.Shares[id]; g.newest.Decision.HasSample && !share {
		add(bus.ProblemNoSamples, "the decider has no samples of this host, %s (%s)", host, id)
	}
	var other *otherClusterError
	if err := g.newest.Refused(now); errors.As(err, &other) {
		add(bus.ProblemOtherCluster, "%v", err)
	} else if err != nil {
		add(bus.ProblemDecisionRefused, "%v", err)
	} else if g.isolated {
		add(bus.ProblemIsolated, "no decider was heard for %s (isolate_after): its VMs here are removed until one is",
			g.spec.IsolateAfter)
	} else if g.newest.Taken() && !g.newest.Holds(now) {
		add(bus.ProblemDecisionExpired, "the last decision has run out: no decider is heard")
	}
	if skew, known := g.newest.Skew(); known && skew.Abs() > bus.TolerableSkew {
		side := "behind"
		if skew < 0 {
			side = "ahead of"
		}
		add(bus.ProblemClockSkew, "the decider's clock is %s %s this host's", skew.Abs().Round(time.Second), side)
	}
	all = append(all, g.standstill(now)...)
	if g.shortage != "" {
		add(bus.ProblemNoRoom, "no room for another VM: %s", g.shortage)
	}
	for _, v := range g.suspended {
		if v.Meta.Phase.StandsBy() {
			all.Add(bus.ProblemStandby, v.Name, fmt.Sprintf(
				"group %s: %s stands by, and none is made in its place, as it counts toward max %d: "+
					"`vmscaler resume %s` lets it serve again",
				g.spec.Name, v.Name, g.most, v.Name))
			continue
		}
		all.Add(bus.ProblemSuspended, v.Name, fmt.Sprintf(
			"group %s: %s is %s, and none is made in its place, as it counts toward max %d: "+
				"`virsh -c %s %s %s` lets it serve again",
			g.spec.Name, v.Name, v.State, g.most, uri, goOn(v.State), v.Name))
	}
	for _, v := range g.retained {
		all.Add(bus.ProblemRetained, v.Name, fmt.Sprintf(
			"group %s: %s is retained, and none is made in its place, as it counts toward max %d: "+
				"`vmscaler remove %s` takes it away",
			g.spec.Name, v.Name, g.most, v.Name))
	}
	all = append(all, g.neededTroubles(now)...)
	all = append(all, g.restlessTroubles()...)
	all = append(all, g.asker.troubles(g.spec.Name, now)...)
	if g.removalsHeld {
		add(bus.ProblemRemovalBudget, "no VM is scaled in for now: %d were in %s", len(g.removals), g.spec.Brakes.RemovalWindow)
	}
	return all
}

// reportChanges publishes what changed without our doing, and at the first look what is taken over.
func (a *Actuator) reportChanges(inv vm.Inventory) {
	now := map[string]vm.VM{}
	died := map[string][]vm.VM{}
	for _, vm := range inv.Owned {
		if a.groups[vm.Meta.Group] == nil {
			continue
		}
		now[vm.UUID] = vm
		before, known := a.seen[vm.UUID]
		if known {
			a.protected(before, vm)
		}
		if before.State == bus.StateRunning && vm.Meta.Phase.Serves() &&
			a.workers[vm.UUID] == nil && (vm.State == bus.StateShutoff || vm.State == bus.StateCrashed) {
			died[vm.Meta.Group] = append(died[vm.Meta.Group], vm)
		}
		if a.seen == nil || a.groups[vm.Meta.Group].joined {
			a.adopted(vm)
		}
	}
	for uuid, vm := range a.seen {
		if _, there := now[uuid]; there || a.workers[uuid] != nil || vm.Meta.Phase == bus.PhaseStopping {
			continue
		}
		if _, failed := a.retryAt[uuid]; failed {
			continue
		}
		a.tell(bus.Event{
			Group: vm.Meta.Group, VM: vm.Name, Event: bus.EventDied,
			Sentence: "gone: its definition was removed by someone else",
		})
		if vm.Meta.Phase.Serves() {
			died[vm.Meta.Group] = append(died[vm.Meta.Group], vm)
		}
		a.gone = append(a.gone, vm)
		a.groups[vm.Meta.Group].vacate(vm.Name)
	}
	a.seen = now
	for name, g := range a.groups {
		g.joined = false
		g.forgive(a.cfg.Now())
		for _, e := range g.ill(died[name], "it is off or gone", a.cfg.Now(), a.cfg.Now()) {
			a.tell(e)
		}
	}
	for uuid, until := range a.retryAt {
		if a.cfg.Now().After(until) {
			delete(a.retryAt, uuid)
		}
	}
	a.forgetRetries(now)
}

// tell publishes an event.
func (a *Actuator) tell(e bus.Event) { a.publish(a.host, e, nil) }

// publish publishes an event; confirmed, which may be nil, is for [bus.Outbox]. It may be called from any goroutine.
func (a *Actuator) publish(host string, e bus.Event, confirmed func()) {
	e.V, e.Host, e.Time = bus.Version, host, time.Now().UTC()
	if header, traced := a.traces.Load(e.VM); traced {
		e.SetTraceparent(header.(string))
	}
	a.outbox.Send(e, confirmed)
	line := a.log.Info().Str("group", e.Group).Str("event", string(e.Event))
	if e.VM != "" {
		line = line.Str("vm", e.VM)
	}
	if e.ElapsedMS > 0 {
		line = line.Int64("elapsed_ms", e.ElapsedMS)
	}
	if e.DecisionID != "" {
		line = line.Str("decision_id", e.DecisionID)
	}
	if e.Error != "" {
		line = line.Str("error", e.Error)
	}
	line.Msg(e.Sentence)
}
