package model

import (
	"cmp"
	"slices"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// Sizes is how much of the past a model keeps. What it knows of the present is bounded by itself.
type Sizes struct {
	// Window is how far a VM's CPU history reaches back.
	Window time.Duration
	// Histories is how many VMs of all groups have one; beyond it none of a host that comes has any.
	Histories int
	// Entries is how many decisions and events are remembered. A duplicate of an event that was forgotten counts as news.
	Entries int
	// Past is how far a group's history of its size and CPU reaches back; 0: there is none.
	Past time.Duration
}

// Model is what is known. It is not safe for concurrent use. Its fold functions take the time of receipt as now and read
// no clock; silence is judged by it, so that a host whose clock is wrong is shown all the same. The order of messages is
// judged by the times in them.
type Model struct {
	sizes   Sizes
	started time.Time
	heard   time.Time // when the last message came; zero: none yet
	groups  map[string]*Group
	stages  map[stageKey]*Stage
	entries []Entry // oldest first
}

// New is an empty model; now is when it begins to listen.
func New(now time.Time, sizes Sizes) *Model {
	return &Model{sizes: sizes, started: now, groups: map[string]*Group{}, stages: map[stageKey]*Stage{}}
}

// Fold passes a message to its fold function and reports whether it was news.
func (m *Model) Fold(message any, now time.Time) bool {
	switch message := message.(type) {
	case bus.Sample:
		return m.Sample(message, now)
	case bus.Decision:
		return m.Decision(message, now)
	case bus.Event:
		return m.Event(message, now)
	case bus.Health:
		return m.Health(message, now)
	default:
		return false
	}
}

// Sample folds a sample in, whose VMs it sorts. It is ignored, and the result false, where it is a duplicate or older than
// what is known, unless nothing came for so long that the host's clock must have been set back.
func (m *Model) Sample(s bus.Sample, now time.Time) bool {
	m.heard = now
	g := m.heardOf(s.Group, now)
	h := g.hosts[s.HostID]
	if h == nil {
		evict(g.hosts, maxHosts-1, (*Host).standing)
		h = &Host{history: map[string]*history{}}
		g.hosts[s.HostID] = h
	}
	if !h.received.IsZero() && !s.Time.After(h.sample.Time) {
		if now.Sub(h.received) <= h.staleAfter() {
			return false
		}
		h.times, h.history = nil, map[string]*history{}
	}
	slices.SortFunc(s.VMs, func(a, b bus.VM) int { return CompareNames(a.Name, b.Name) })
	histories := m.makeRoom(h, len(s.VMs))
	known := map[string]*history{}
	for _, vm := range s.VMs {
		if len(known) >= histories {
			break
		}
		old := h.history[vm.Name]
		if old == nil || old.uuid != vm.UUID {
			old = &history{uuid: vm.UUID}
		}
		old.add(s.Time, vm.CPUPercent, m.sizes.Window)
		known[vm.Name] = old
	}
	h.clock.Observe(s.Time, now)
	h.sample, h.received, h.history, h.window = s, now, known, m.sizes.Window
	h.times = append(h.times, s.Time)
	if len(h.times) > 8 {
		h.times = slices.Delete(h.times, 0, len(h.times)-8)
	}
	return true
}

// Decision folds a decision in. It is ignored, and the result false, where it is not newer than the one that is known: see
// [bus.Newest].
func (m *Model) Decision(d bus.Decision, now time.Time) bool {
	m.heard = now
	g := m.heardOf(d.Group, now)
	if err := g.newest.Take(d, now); err != nil {
		return false
	}
	g.decision, g.decided = &d, now
	g.remember(m.sizes.Past)
	if d.HasSample && d.Desired != d.Current {
		m.add(entryOfDecision(d))
	}
	return true
}

// Event folds a lifecycle event in; a duplicate is ignored, and the result is false.
func (m *Model) Event(e bus.Event, now time.Time) bool {
	m.heard = now
	m.heardOf(e.Group, now)
	entry := entryOfEvent(e)
	if m.knows(entry) {
		return false
	}
	m.add(entry)
	return true
}

// Health folds a sign of life in.
func (m *Model) Health(h bus.Health, now time.Time) bool {
	m.heard = now
	key := stageKey{h.Stage, h.Instance}
	s := m.stages[key]
	if s == nil {
		evict(m.stages, maxStages-1, (*Stage).standing)
		s = &Stage{}
		m.stages[key] = s
	}
	h.Message = shorten(h.Message)
	s.health, s.received, s.signs = h, now, s.signs+1
	return true
}

// Forget drops what was silent for too long: hosts, groups of which nothing is left, and stages.
func (m *Model) Forget(now time.Time) {
	for name, g := range m.groups {
		for id, h := range g.hosts {
			if now.Sub(h.received) > forgetAfter {
				delete(g.hosts, id)
			}
		}
		if now.Sub(g.heard) > forgetAfter || m.dropped(g, now) {
			delete(m.groups, name)
		}
	}
	for key, s := range m.stages {
		silence := now.Sub(s.received)
		if silence > forgetAfter || s.Silent(now) && m.replaced(key, now) {
			delete(m.stages, key)
		}
	}
}

// dropped reports whether a group has left the config: nobody speaks of it, while others are decided and sampled.
func (m *Model) dropped(g *Group, now time.Time) bool {
	if now.Sub(g.heard) <= max(droppedAfter, 3*g.interval()) {
		return false
	}
	decided, sampled := false, len(g.hosts) == 0
	for _, other := range m.groups {
		if _, holds := other.DecisionAge(now); other != g && holds {
			decided = true
		}
		for id, h := range other.hosts {
			if _, had := g.hosts[id]; had && other != g && !h.Stale(now) {
				sampled = true
			}
		}
	}
	return decided && sampled
}

// Silence is for how long no message has come; heard is false where none has come since the start.
func (m *Model) Silence(now time.Time) (silence time.Duration, heard bool) {
	if m.heard.IsZero() {
		return now.Sub(m.started), false
	}
	return now.Sub(m.heard), true
}

// Sampled reports whether a sample of any group is known.
func (m *Model) Sampled() bool {
	for _, g := range m.groups {
		if len(g.hosts) > 0 {
			return true
		}
	}
	return false
}

// Groups are the groups by name.
func (m *Model) Groups() []*Group {
	groups := make([]*Group, 0, len(m.groups))
	for _, g := range m.groups {
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b *Group) int { return CompareNames(a.name, b.name) })
	return groups
}

// Group is the group of that name, nil where it is not known.
func (m *Model) Group(name string) *Group { return m.groups[name] }

// Stages are the stages' instances, in the order of the pipeline.
func (m *Model) Stages() []*Stage {
	stages := make([]*Stage, 0, len(m.stages))
	for _, s := range m.stages {
		stages = append(stages, s)
	}
	slices.SortFunc(stages, func(a, b *Stage) int {
		return cmp.Or(
			cmp.Compare(stageRank(a.health.Stage), stageRank(b.health.Stage)),
			cmp.Compare(a.health.Stage, b.health.Stage),
			CompareNames(a.health.Instance, b.health.Instance),
		)
	})
	return stages
}

// Stage is one instance of a stage, nil where it is not known.
func (m *Model) Stage(stage, instance string) *Stage { return m.stages[stageKey{stage, instance}] }

// Entries are the decisions that changed something and the events, oldest first.
func (m *Model) Entries() []Entry { return slices.Clone(m.entries) }

// heardOf is the group, which has just been heard of.
func (m *Model) heardOf(name string, now time.Time) *Group {
	g := m.groups[name]
	if g == nil {
		evict(m.groups, maxGroups-1, func(g *Group) time.Time { return g.heard })
		g = &Group{name: name, hosts: map[bus.HostID]*Host{}}
		m.groups[name] = g
	}
	g.heard = now
	return g
}
