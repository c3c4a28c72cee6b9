package decider

import (
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
	"github.com/vmscaler/vmscaler/decider/schedule"
)

// State is what an evaluation needs to know of the ones before it.
type State struct {
	HasSample   bool // false until the first complete list of VMs
	Desired     int
	BreachesOut int // evaluations in a row above upper
	BreachesIn  int // evaluations in a row below lower
	LastOut     time.Time
	LastChange  time.Time
	Hosts       []bus.HostID // whose VMs are in Desired
	Numbers     Numbers
	// PreviousDesired is what another decider wanted until a moment ago; nil where nobody did. It only matters while HasSample is
	// false.
	PreviousDesired *int
	Idle            Idle
	Wake            Wake
	LastData        time.Time // of the last evaluation that had all that it needs
	BootTimes       BootTimes
	Handovers       Handovers
	Warmup          Warmup
	// Policy is what a policy other than the threshold remembers; nil before its first reading. Decide changes it: the
	// state that it was given is used up.
	Policy  PolicyStates
	Shadows Shadows // what the policies that change nothing remember; used up as Policy is
	Limits  LimitState
	// ScheduleSeenAt is until when the schedule's actions were seen; one sets Desired once.
	ScheduleSeenAt time.Time
	timetable      schedule.Timetable // of the spec that was decided with last
	Controls       bus.Controls
	Refresh        *bus.Refresh       // the one that goes on, or the last one
	Failures       map[bus.HostID]int // launches that have failed, as each host's actuator counted them last
	Orders         Orders             // for VMs whose metadata does not have them yet
	Attach         Attachments        // domains that are about to be VMs of the group
	Standings      Standings          // where the group's hosts stand
	Balancing      Balancing          // of a group that is rebalanced
}

// Decide is one evaluation of a group: what the rules recommend, what the limits let through of it, and what is laid over
// that. Min and max hold all the same.
//
// The result has no id, term, expiry or spec hash: those are the stage's.
func Decide(spec bus.Group, st State, obs Observation, now time.Time) (bus.Decision, State) {
	s := look(spec, st, obs, now)
	balance := s.rebalance()
	v := override(s, applyLimits(s, recommend(s)))
	d, next := v.decision(s), v.state(s, st)
	d.Shadow, next.Shadows = s.shadows(v)
	d.Balance = balance
	d.Hosts, d.Risk = next.Standings.shown(s.obs), bus.Cut(risk(s.spec, s.obs))
	if d.HasSample {
		s.share(&d, &next)
	}
	return d, next
}

// share says what each host has of a decision: its VMs, their numbers, and what a refresh or an order lets go there.
func (s situation) share(d *bus.Decision, next *State) {
	build := bus.Build{}
	if next.Refresh != nil || s.obs.noted() { // else there is nothing to compare, and a fingerprint takes its time
		build = next.Refresh.Build(s.spec)
	}
	d.Machine, d.Refresh, d.Orders = build.Machine, next.Refresh, s.obs.orders(next.Orders)
	order := order{scaleIn: s.spec.ScaleIn, canary: canaryOf(s.spec, next.Refresh, build, d.Desired)}
	goes, old := s.replacement(next.Refresh, build)
	if first := before(s.spec, s.now); build.Before == nil || first != nil && first.After(*build.Before) {
		build.Before = first
	}
	order.build = build
	d.Shares = split(s.spec, order, d.Direction, d.Desired, s.obs)
	// One host's actuator sees to max itself.
	if d.Attach = next.Attach.coming(s.obs); len(d.Attach) > 0 || s.counts.warm > 0 || len(s.obs.Hosts) > 1 {
		s.withinMax(d.Shares)
	}
	s.allot(goes, old, d.Direction, d.Desired, d.Shares)
	s.warm(d)
	s.warmKinds(d)
	s.lease(d, next.Standings)
	order.canary.deal(order, s.obs, d.Shares)
	s.obs.tellClocks(d.Shares)
	next.Numbers = next.Numbers.deal(s.spec, d.Shares, s.obs)
	next.Standings.told(d.Shares, s.obs, s.now)
}

// situation is what an evaluation goes by. Nothing changes it.
type situation struct {
	spec       bus.Group   // with the min and max that its schedule has set
	moved      bool        // its schedule has moved min or max
	scheduled  *int        // what its schedule has set desired to since the evaluation before
	state      State       // as it was, with what this observation teaches of boots and warm-ups
	seen       Observation // as it came
	obs        Observation // without what is written off, and with what is ordered done
	incomplete string      // why no VM may be removed; "" if nothing is missing
	counts     counts
	now        time.Time
}

func look(spec bus.Group, st State, obs Observation, now time.Time) situation {
	obs.Hosts = slices.Clone(obs.Hosts) // the caller's are left alone
	obs.count()
	if spec.Stateful() {
		st.Numbers.keepOwn(spec.Name, obs)
	}
	s := situation{seen: obs, now: now}
	s.spec, s.state, s.scheduled = onSchedule(spec, st.promoted(spec.Policy.Types), now)
	s.moved = s.spec.Min != spec.Min || s.spec.Max != spec.Max
	s.state.Orders = st.Orders.pending(obs)
	s.state.Attach = st.Attach.pending(obs, now)
	s.state.Standings = st.Standings.next(s.spec, obs, st.Desired, now)
	if !st.HasSample && st.PreviousDesired != nil {
		s.state = s.state.withArrived(obs, s.spec.Max)
	}
	s.interpret()
	s.state.BootTimes.Add(obs)
	s.state.Handovers.Add(obs)
	s.state.Warmup.See(s.spec, s.state.BootTimes, obs)
	if s.state.LastData.IsZero() {
		s.state.LastData = now
	}
	s.counts = count(s.spec, s.state, s.obs)
	if s.replaceLost() {
		s.interpret()
		s.counts = count(s.spec, s.state, s.obs)
	}
	if s.drainHosts() {
		s.interpret()
		s.counts = count(s.spec, s.state, s.obs)
	}
	s.incomplete = s.obs.incomplete()
	s.state.Idle = s.idle()
	return s
}

// interpret looks at what was seen as the standings and the orders make of it.
func (s *situation) interpret() {
	s.obs = s.seen.stood(s.state.Standings, s.spec, s.now).
		ordered(s.state.Orders, !s.state.Controls.IsPaused(bus.ScopeRepair))
	s.obs.count()
}

// verdict is an evaluation's result.
type verdict struct {
	outcome
	desired int
	guard   bus.Guard // the last that held it back
	held    bool      // by what is missing of the hosts
	paused  bool
}

// changes is the direction in which desired changes now.
func (v verdict) changes() bus.Direction {
	switch {
	case v.desired > v.current:
		return bus.Out
	case v.desired < v.current && !v.held:
		return bus.In
	}
	return bus.Hold
}

// direction is also In while there is a surplus: a decision can be lost, and a VM come back that was suspended. So what is
// too many is said until it is gone.
func (v verdict) direction(s situation) bus.Direction {
	direction := v.changes()
	surplus := v.hasSample && s.counts.kept > v.desired && s.incomplete == "" && s.obs.Fresh > 0 && s.obs.Awaited == nil
	if direction == bus.Hold && surplus && !s.state.Controls.IsPaused(bus.ScopeIn) {
		return bus.In
	}
	return direction
}

// decision is the verdict as it is published.
func (v verdict) decision(s situation) bus.Decision {
	in := s.counts.inputs(s.spec)
	in.Breaches, in.BreachesNeeded = v.breaches.shown, v.breaches.needed
	in.Overdue = s.overdue()
	in.CooldownMS = v.wait.Milliseconds()
	in.Scheduled = s.moved
	for _, h := range s.obs.Hosts {
		in.Lost += len(h.Gone)
	}
	in.BootMS = s.state.BootTimes.Mean.Milliseconds()
	if warmup, known := s.state.Warmup.inForce(s.spec); known {
		in.WarmupMS = new(warmup.Milliseconds())
	}
	in.IdleMS, in.IdleToZeroMS, in.WokenUntil = s.zeroInputs()
	s.signals(&in)
	return bus.Decision{
		V: bus.Version, Group: s.spec.Name, Direction: v.direction(s), Current: v.current, Desired: v.desired, HasSample: v.hasSample,
		Rule: v.rule, Guard: v.guard, Sentence: v.sentence(s), Inputs: in, Recommendations: v.recommendations,
		Controls: shown(s.spec, s.state.Controls),
	}
}

// signals are the numbers of the group that it follows, and what its expression makes of them.
func (s situation) signals(in *bus.Inputs) {
	p := s.spec.Policy
	for _, name := range policy.Follows(p) {
		value, _ := s.obs.metric(name, p, s.now)
		if p.Signal.OfGroup() {
			in.Metric, in.MetricValue = name, value
			continue
		}
		if in.Metrics == nil {
			in.Metrics = map[string]*float64{}
		}
		in.Metrics[name] = value
	}
	if p.Has(bus.PolicyTarget) && p.Signal == bus.SignalExpression {
		reading := s.reading()
		if s.counts.readings > 0 {
			reading.CPUPercent = new(s.counts.sum / float64(s.counts.ready))
		}
		in.Expression, _ = policy.Expressed(p.Expression, reading)
	}
}

// state is what the next evaluation needs to know.
func (v verdict) state(s situation, before State) State {
	st := s.state
	st.HasSample, st.Desired, st.Policy = v.hasSample, v.desired, v.policies
	st.BreachesOut, st.BreachesIn = v.breaches.out, v.breaches.in
	if v.rule != bus.RuleNoData && v.rule != bus.RuleBlind {
		st.LastData = s.now
	}
	if v.held {
		st.ScheduleSeenAt = before.ScheduleSeenAt // what the schedule has said comes later
	}
	switch v.changes() {
	case bus.Out:
		st.LastOut, st.LastChange = s.now, s.now
		st.BreachesOut, st.BreachesIn = 0, 0
	case bus.In:
		st.LastChange = s.now
		st.BreachesOut, st.BreachesIn = 0, 0
	case bus.Hold:
	}
	st.Wake = s.wakeAfter(v)
	st.Limits = v.limits
	st.Refresh, st.Failures = s.refresh(v), s.obs.failures(s.state.Failures)
	if v.hasSample {
		st.Limits = st.Limits.changed(s.spec.Policy.Limits, v.desired-v.current, s.now)
		st.Hosts = s.obs.hostIDs() // one that was forgotten joins again when it comes back
	}
	return st
}

// shown is what holds for a group: what a person said, and a dry run of the config, which no request takes back.
func shown(spec bus.Group, c bus.Controls) bus.Controls {
	c.DryRun = c.DryRun || spec.DryRun
	if c.Paused == nil {
		c.Paused = []bus.Scope{}
	}
	return c
}
