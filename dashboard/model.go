package dashboard

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// What the model keeps, and for how long. All of it is bounded, whatever is published.
const (
	window       = time.Minute      // how far a VM's CPU history reaches back
	maxEntries   = 50               // lines of history
	maxText      = 400              // bytes of a line of history
	maxGroups    = 200              // beyond it the group that was silent for longest goes
	maxHosts     = bus.MaxHosts     // the same, per group; those that were heard once or twice go first
	maxAllHosts  = 1024             // the same, of all groups
	maxStages    = bus.MaxStages    // the same, stages' instances
	maxVMs       = 30_000           // of all groups; beyond it the host with the most goes
	maxHistories = 2_000            // VMs of all groups; beyond it none of a host that comes has a CPU history
	staleAfter   = 5 * time.Second  // without a sample a CPU figure is no longer worth showing
	silentAfter  = 10 * time.Second // without a sign of life a stage counts as silent
	forgetAfter  = 10 * time.Minute // then what is silent is forgotten
	firstMessage = 3 * time.Second  // without any message the wait is explained
)

// Link is the state of the connection to the bus.
type Link struct {
	URL       string
	Connected bool
	Why       string // what keeps it from connecting; "": not known
}

// Model is what the dashboard knows. It is not safe for concurrent use. Its fold functions take the time of
// receipt as now and read no clock; silence is judged by it, so that a host whose clock is wrong is shown all
// the same. The order of messages is judged by the times in them.
type Model struct {
	Title   string
	Footer  string
	Link    Link
	Dropped uint64 // messages lost because drawing was too slow

	started time.Time
	heard   time.Time // when the last message came; zero: none yet
	groups  map[string]*group
	stages  map[stageKey]*stage
	entries []entry // oldest first
}

type group struct {
	name     string
	heard    time.Time
	newest   bus.Newest
	decision *bus.Decision // nil: none yet
	decided  time.Time     // when it was received
	hosts    map[bus.HostID]*host
}

type host struct {
	sample   bus.Sample
	received time.Time
	times    []time.Time // of the last few samples, to know their interval
	history  map[string]*history
}

// history is the last minute of one VM's CPU, at most one point a second.
type history struct {
	uuid   string
	points []point
}

type point struct {
	at  time.Time
	cpu *float64 // nil: a gap
}

type stageKey struct{ stage, instance string }

type stage struct {
	health   bus.Health
	received time.Time
	signs    int // of life
}

// entry is a line of history: a decision that changed something, or an event.
type entry struct {
	at       time.Time
	group    string
	decision bool
	from, to int // of a decision
	vm       string
	event    bus.EventType
	text     string
	err      string
	elapsed  time.Duration
}

// NewModel is an empty model; now is when the dashboard started.
func NewModel(now time.Time) *Model {
	return &Model{started: now, groups: map[string]*group{}, stages: map[stageKey]*stage{}}
}

// Sample folds a sample in. It is ignored, and the result false, where it is a duplicate or older than what is
// known, unless nothing came for so long that the host's clock must have been set back.
func (m *Model) Sample(s bus.Sample, now time.Time) bool {
	m.heard = now
	g := m.group(s.Group, now)
	h := g.hosts[s.HostID]
	if h == nil {
		evict(g.hosts, maxHosts-1, (*host).standing)
		h = &host{history: map[string]*history{}}
		g.hosts[s.HostID] = h
	}
	if !h.received.IsZero() && !s.Time.After(h.sample.Time) {
		if now.Sub(h.received) <= h.staleAfter() {
			return false
		}
		h.times, h.history = nil, map[string]*history{}
	}
	slices.SortFunc(s.VMs, func(a, b bus.VM) int { return compareNames(a.Name, b.Name) })
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
		old.add(s.Time, vm.CPUPercent)
		known[vm.Name] = old
	}
	h.sample, h.received, h.history = s, now, known
	h.times = append(h.times, s.Time)
	if len(h.times) > 8 {
		h.times = slices.Delete(h.times, 0, len(h.times)-8)
	}
	return true
}

// standing is by what hosts go: those that were heard once or twice, as many that are made up, before those that go on, and
// the one that was silent for longest first.
func (h *host) standing() time.Time {
	if len(h.times) <= 2 {
		return h.received.Add(-forgetAfter)
	}
	return h.received
}

// standing is the same for stages.
func (s *stage) standing() time.Time {
	if s.signs <= 2 {
		return s.received.Add(-forgetAfter)
	}
	return s.received
}

// makeRoom drops hosts, but not this one, until it fits with so many VMs, and says how many of them may have a history. With too
// many VMs those with the most go, else those that stand least.
func (m *Model) makeRoom(own *host, vms int) (histories int) {
	for {
		hosts, all, kept := 1, vms, 0
		var most, least place
		for _, g := range m.groups {
			for name, h := range g.hosts {
				if h == own {
					continue
				}
				hosts, all, kept = hosts+1, all+len(h.sample.VMs), kept+len(h.history)
				if most.host == nil || len(h.sample.VMs) > len(most.host.sample.VMs) {
					most = place{g, name, h}
				}
				if least.host == nil || h.standing().Before(least.host.standing()) {
					least = place{g, name, h}
				}
			}
		}
		switch {
		case most.host == nil || all <= maxVMs && hosts <= maxAllHosts:
			return max(0, maxHistories-kept)
		case all > maxVMs:
			delete(most.group.hosts, most.name)
		default:
			delete(least.group.hosts, least.name)
		}
	}
}

// place is where a host is in the model.
type place struct {
	group *group
	name  bus.HostID
	host  *host
}

// Decision folds a decision in. It is ignored, and the result false, where it is not newer than the one that is known: see
// [bus.Newest].
func (m *Model) Decision(d bus.Decision, now time.Time) bool {
	m.heard = now
	g := m.group(d.Group, now)
	if err := g.newest.Take(d, now); err != nil {
		return false
	}
	g.decision, g.decided = &d, now
	if d.Known && d.Desired != d.Current {
		m.add(entry{at: d.Time, group: d.Group, decision: true, from: d.Current, to: d.Desired, text: d.Sentence})
	}
	return true
}

// Event folds a lifecycle event in; a duplicate is ignored, and the result is false.
func (m *Model) Event(e bus.Event, now time.Time) bool {
	m.heard = now
	m.group(e.Group, now)
	for _, old := range m.entries {
		if !old.decision && old.at.Equal(e.Time) && old.group == e.Group && old.vm == e.VM && old.event == e.Event {
			return false
		}
	}
	m.add(entry{
		at: e.Time, group: e.Group, vm: e.VM, event: e.Event, text: e.Sentence, err: e.Error,
		elapsed: time.Duration(e.ElapsedMS) * time.Millisecond,
	})
	return true
}

// Health folds a sign of life in.
func (m *Model) Health(h bus.Health, now time.Time) bool {
	m.heard = now
	key := stageKey{h.Stage, h.Instance}
	s := m.stages[key]
	if s == nil {
		evict(m.stages, maxStages-1, (*stage).standing)
		s = &stage{}
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
		if now.Sub(g.heard) > forgetAfter {
			delete(m.groups, name)
		}
	}
	for key, s := range m.stages {
		silence := now.Sub(s.received)
		if silence > forgetAfter || s.silent(now) && m.replaced(key, now) {
			delete(m.stages, key)
		}
	}
}

// replaced says whether another process of the same stage on the same host gave a sign of life: it was started anew.
func (m *Model) replaced(old stageKey, now time.Time) bool {
	for key, s := range m.stages {
		if key.stage == old.stage && hostOf(key.instance) == hostOf(old.instance) && !s.silent(now) {
			return true
		}
	}
	return false
}

// hostOf is the host of an instance, which is named <host>-<process id>.
func hostOf(instance string) string {
	if i := strings.LastIndexByte(instance, '-'); i >= 0 {
		return instance[:i]
	}
	return instance
}

func (m *Model) group(name string, now time.Time) *group {
	g := m.groups[name]
	if g == nil {
		evict(m.groups, maxGroups-1, func(g *group) time.Time { return g.heard })
		g = &group{name: name, hosts: map[bus.HostID]*host{}}
		m.groups[name] = g
	}
	g.heard = now
	return g
}

func (m *Model) add(e entry) {
	e.text, e.err = shorten(e.text), shorten(e.err)
	m.entries = append(m.entries, e)
	if len(m.entries) > maxEntries {
		m.entries = slices.Delete(m.entries, 0, len(m.entries)-maxEntries)
	}
}

func (s *stage) silent(now time.Time) bool { return now.Sub(s.received) > silentAfter }

// interval is the median time between samples; 0 where there were not two yet.
func (h *host) interval() time.Duration {
	if len(h.times) < 2 {
		return 0
	}
	gaps := make([]time.Duration, 0, len(h.times)-1)
	for i := 1; i < len(h.times); i++ {
		gaps = append(gaps, h.times[i].Sub(h.times[i-1]))
	}
	slices.Sort(gaps)
	return gaps[len(gaps)/2]
}

// staleAfter is how long a host may be without a sample: some seconds, and longer where samples come rarely.
func (h *host) staleAfter() time.Duration { return max(staleAfter, 3*h.interval()) }

// stale says whether the host's figures are too old to show.
func (h *host) stale(now time.Time) bool { return now.Sub(h.received) > h.staleAfter() }

// clock is the time on the host's own clock when it is now here, as far as its last sample tells.
func (h *host) clock(now time.Time) time.Time { return h.sample.Time.Add(now.Sub(h.received)) }

func (h *history) add(at time.Time, cpu *float64) {
	p := point{at: at, cpu: cpu}
	if n := len(h.points); n > 0 && h.points[n-1].at.Unix() == at.Unix() {
		h.points[n-1] = p
	} else {
		h.points = append(h.points, p)
	}
	oldest := at.Add(-window)
	old := 0
	for old < len(h.points) && !h.points[old].at.After(oldest) {
		old++
	}
	h.points = slices.Delete(h.points, 0, old)
}

// buckets is the last minute in n equal parts, oldest first, each the mean of its known points; nil is a gap.
// The parts lie on multiples of their length, so that a graph of them moves on instead of shimmering. A part
// without a point takes the one before it where samples come at an interval that leaves parts empty.
func (h *history) buckets(n int, end time.Time, interval time.Duration) []*float64 {
	length := window / time.Duration(n)
	out := make([]*float64, n)
	last := end.Truncate(length)
	next := 0
	var before *point
	for i := range n {
		from := last.Add(-length * time.Duration(n-1-i))
		to := from.Add(length)
		var sum float64
		known, points := 0, 0
		for ; next < len(h.points) && h.points[next].at.Before(to); next++ {
			p := &h.points[next]
			before = p
			if p.at.Before(from) {
				continue
			}
			points++
			if p.cpu != nil {
				sum += *p.cpu
				known++
			}
		}
		switch {
		case known > 0:
			mean := sum / float64(known)
			out[i] = &mean
		case points == 0 && before != nil && !from.After(before.at.Add(interval+interval/2)):
			out[i] = before.cpu
		}
	}
	return out
}

// sortedGroups are the groups by name.
func (m *Model) sortedGroups() []*group {
	groups := make([]*group, 0, len(m.groups))
	for _, g := range m.groups {
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b *group) int { return compareNames(a.name, b.name) })
	return groups
}

func (g *group) sortedHosts() []*host {
	hosts := make([]*host, 0, len(g.hosts))
	for _, h := range g.hosts {
		hosts = append(hosts, h)
	}
	slices.SortFunc(hosts, func(a, b *host) int {
		return cmp.Or(compareNames(a.sample.Host, b.sample.Host), cmp.Compare(a.sample.HostID, b.sample.HostID))
	})
	return hosts
}

func (m *Model) sortedStages() []*stage {
	stages := make([]*stage, 0, len(m.stages))
	for _, s := range m.stages {
		stages = append(stages, s)
	}
	slices.SortFunc(stages, func(a, b *stage) int {
		return cmp.Or(
			cmp.Compare(stageRank(a.health.Stage), stageRank(b.health.Stage)),
			cmp.Compare(a.health.Stage, b.health.Stage),
			compareNames(a.health.Instance, b.health.Instance),
		)
	})
	return stages
}

// stageRank puts the stages in the order of the pipeline.
func stageRank(name string) int {
	switch name {
	case "collector":
		return 0
	case "decider":
		return 1
	case "actuator":
		return 2
	default:
		return 3
	}
}

// evict drops the entry that was silent for longest until no more than n are left.
func evict[K comparable, V any](all map[K]V, n int, heard func(V) time.Time) {
	for len(all) > n {
		var oldest K
		first := true
		for key, v := range all {
			if first || heard(v).Before(heard(all[oldest])) {
				oldest, first = key, false
			}
		}
		delete(all, oldest)
	}
}

// compareNames orders names as people do: web-2 before web-10.
func compareNames(a, b string) int {
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		if !digit(a[i]) || !digit(b[j]) {
			if a[i] != b[j] {
				return cmp.Compare(a[i], b[j])
			}
			i, j = i+1, j+1
			continue
		}
		x, y := number(a, i), number(b, j)
		if c := cmp.Or(cmp.Compare(len(x.digits), len(y.digits)), cmp.Compare(x.digits, y.digits)); c != 0 {
			return c
		}
		i, j = x.end, y.end
	}
	return cmp.Or(cmp.Compare(len(a)-i, len(b)-j), cmp.Compare(a, b))
}

type numeral struct {
	digits string // without leading zeros
	end    int
}

func number(s string, start int) numeral {
	end := start
	for end < len(s) && digit(s[end]) {
		end++
	}
	for start < end && s[start] == '0' {
		start++
	}
	return numeral{s[start:end], end}
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

func shorten(s string) string {
	if len(s) > maxText {
		return s[:maxText] // a cut rune is shown as a replacement
	}
	return s
}
