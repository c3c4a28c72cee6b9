package dashboard

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

var start = time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)

func ptr[T any](v T) *T { return &v }

// at is a time some seconds after start.
func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

func vm(name string, cpu *float64) bus.VM {
	return bus.VM{
		Name: name, UUID: "uuid-" + name, State: bus.StateRunning, Phase: bus.PhaseReady, CPUPercent: cpu,
		VCPUs: 1, MemoryMiB: 256, Created: start.Add(-2 * time.Minute), PhaseSince: start.Add(-time.Minute),
	}
}

func sample(group, host string, seconds float64, vms ...bus.VM) bus.Sample {
	return bus.Sample{
		V: bus.Version, Group: group, HostID: bus.HostID(host), Host: host, Instance: host + "-1", Time: at(seconds), VMs: vms,
		HostLoad: bus.Host{
			CPUPercent: ptr(45.0), Cores: 8, MemoryMiB: 32 * 1024, MemoryFreeMiB: ptr(12345), PoolFreeMiB: ptr(234567),
		},
	}
}

func decision(group string, seconds float64) bus.Decision {
	return bus.Decision{
		V: bus.Version, Group: group, Direction: bus.Hold, Current: 2, Desired: 2, Rule: bus.RuleStable, Known: true,
		Sentence: "stable: average 45 %", ID: fmt.Sprintf("%s-%g", group, seconds), Term: 1, Seq: uint64(100*max(0, seconds)) + 1, Time: at(seconds), ExpiresAt: at(seconds + 10),
		Inputs: bus.Inputs{
			AveragePercent: ptr(45.0), UpperPercent: 70, LowerPercent: 20, Min: 1, Max: 5, Owned: 2, Ready: 2, BreachesNeeded: 3,
		},
	}
}

func health(stage string, seconds float64) bus.Health {
	return bus.Health{V: bus.Version, Stage: stage, Instance: "kvm1-4711", OK: true, Time: at(seconds), Since: start}
}

func TestSamplesAreTakenInOrder(t *testing.T) {
	for name, tt := range map[string]struct {
		times, received []float64
		accepted        []bool
		last            float64
	}{
		"in order":                      {[]float64{1, 2, 3}, []float64{1, 2, 3}, []bool{true, true, true}, 3},
		"a duplicate":                   {[]float64{1, 1}, []float64{1, 2}, []bool{true, false}, 1},
		"an older one":                  {[]float64{2, 1}, []float64{2, 3}, []bool{true, false}, 2},
		"the host's clock was set back": {[]float64{100, 3}, []float64{2, 12}, []bool{true, true}, 3},
		"a host whose clock is wrong":   {[]float64{-3000, -2999}, []float64{1, 2}, []bool{true, true}, -2999},
	} {
		t.Run(name, func(t *testing.T) {
			m := NewModel(start)
			for i, seconds := range tt.times {
				s := sample("web", "kvm1", seconds, vm("web-1", ptr(50.0)))
				if got := m.Sample(s, at(tt.received[i])); got != tt.accepted[i] {
					t.Errorf("sample %d: accepted %t, want %t", i, got, tt.accepted[i])
				}
			}
			h := m.groups["web"].hosts["kvm1"]
			if want := at(tt.last); !h.sample.Time.Equal(want) {
				t.Errorf("last sample of %s, want %s", h.sample.Time, want)
			}
		})
	}
}

func TestVMsThatAreGoneAreForgotten(t *testing.T) {
	m := NewModel(start)
	m.Sample(sample("web", "kvm1", 1, vm("web-10", nil), vm("web-2", ptr(1.0)), vm("web-1", ptr(2.0))), at(1))
	h := m.groups["web"].hosts["kvm1"]
	names := []string{}
	for _, vm := range h.sample.VMs {
		names = append(names, vm.Name)
	}
	if want := []string{"web-1", "web-2", "web-10"}; !slices.Equal(names, want) {
		t.Errorf("VMs %v, want %v", names, want)
	}
	m.Sample(sample("web", "kvm1", 2, vm("web-2", ptr(1.0))), at(2))
	if len(h.history) != 1 || h.history["web-2"] == nil || len(h.history["web-2"].points) != 2 {
		t.Errorf("history %v, want two points of web-2 only", h.history)
	}
	// The same name with another UUID is another VM.
	other := vm("web-2", ptr(1.0))
	other.UUID = "another"
	m.Sample(sample("web", "kvm1", 3, other), at(3))
	if n := len(h.history["web-2"].points); n != 1 {
		t.Errorf("%d points of a new VM with an old name, want 1", n)
	}
	// The complete list may be empty.
	m.Sample(sample("web", "kvm1", 4), at(4))
	if len(h.history) != 0 || m.groups["web"].rows() != 0 {
		t.Errorf("history %v and %d rows after an empty list, want none", h.history, m.groups["web"].rows())
	}
}

func TestDecisionsAreTakenInOrder(t *testing.T) {
	change := func(d bus.Decision, term int64, from, to int) bus.Decision {
		d.Term, d.Current, d.Desired = term, from, to
		return d
	}
	for name, tt := range map[string]struct {
		decisions []bus.Decision
		accepted  []bool
		entries   int
	}{
		"changes are recorded, others not": {
			[]bus.Decision{decision("web", 1), change(decision("web", 2), 1, 2, 3), decision("web", 3)}, []bool{true, true, true}, 1,
		},
		"a duplicate": {
			[]bus.Decision{change(decision("web", 1), 1, 2, 3), change(decision("web", 1), 1, 2, 3)}, []bool{true, false}, 1,
		},
		"an older one": {
			[]bus.Decision{change(decision("web", 2), 1, 2, 3), change(decision("web", 1), 1, 1, 2)}, []bool{true, false}, 1,
		},
		"of a decider that was replaced": {
			[]bus.Decision{change(decision("web", 1), 5, 2, 3), change(decision("web", 2), 4, 3, 4)}, []bool{true, false}, 1,
		},
		"after the decider's clock was set back": {
			[]bus.Decision{numbered(decision("web", 9), 7), numbered(decision("web", 1), 8), numbered(decision("web", 10), 6)},
			[]bool{true, true, false},
			0,
		},
		"of a new decider with a slow clock": {
			[]bus.Decision{decision("web", 2), change(decision("web", 1), 5, 2, 2)}, []bool{true, true}, 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := NewModel(start)
			for i, d := range tt.decisions {
				if got := m.Decision(d, at(float64(i))); got != tt.accepted[i] {
					t.Errorf("decision %d: accepted %t, want %t", i, got, tt.accepted[i])
				}
			}
			if len(m.entries) != tt.entries {
				t.Errorf("%d lines of history, want %d", len(m.entries), tt.entries)
			}
		})
	}
}

func numbered(d bus.Decision, seq uint64) bus.Decision { d.Seq = seq; return d }

func TestMemoryIsBounded(t *testing.T) {
	m := NewModel(start)
	const n = 1000
	for i := range n {
		now := at(float64(i))
		m.Event(bus.Event{Group: "web", VM: "web-1", Event: bus.EventReady, Time: now, Sentence: string(make([]byte, 10000))}, now)
		m.Sample(sample(fmt.Sprintf("g%d", i), "kvm1", float64(i)), now)
		m.Sample(sample("web", fmt.Sprintf("kvm%d", i), float64(i)), now)
		m.Sample(sample("web", "steady", float64(i)/5, vm("web-1", ptr(1.0))), now)
		h := health("collector", float64(i))
		h.Instance = fmt.Sprint(i)
		m.Health(h, now)
	}
	if len(m.entries) != maxEntries || len(m.groups) > maxGroups || len(m.groups["web"].hosts) > maxHosts || len(m.stages) > maxStages {
		t.Errorf("%d entries, %d groups, %d hosts, %d stages", len(m.entries), len(m.groups), len(m.groups["web"].hosts), len(m.stages))
	}
	if len(m.entries[0].text) > maxText {
		t.Errorf("a line of %d bytes", len(m.entries[0].text))
	}
	if points := len(m.groups["web"].hosts["steady"].history["web-1"].points); points > 61 {
		t.Errorf("%d points of history, want at most one a second", points)
	}
	m.Forget(at(n).Add(forgetAfter + time.Second))
	if len(m.groups) != 0 || len(m.stages) != 0 {
		t.Errorf("%d groups and %d stages are left after a long silence", len(m.groups), len(m.stages))
	}
}

func TestDuplicateEventIsIgnored(t *testing.T) {
	m := NewModel(start)
	e := bus.Event{Group: "web", VM: "web-1", Event: bus.EventReady, Time: start}
	if !m.Event(e, start) || m.Event(e, at(1)) {
		t.Error("want the first accepted and the second not")
	}
}

func TestSilence(t *testing.T) {
	m := NewModel(start)
	m.Sample(sample("web", "kvm1", 0), start)
	h := m.groups["web"].hosts["kvm1"]
	if h.stale(at(5)) || !h.stale(at(5.1)) {
		t.Error("a host is stale after 5 s without a sample")
	}
	// Where samples come rarely, waiting for the next is not silence.
	for i := range 5 {
		m.Sample(sample("web", "kvm1", float64(10*i+10)), at(float64(10*i+10)))
	}
	if h.stale(at(50+29)) || !h.stale(at(50+31)) {
		t.Error("a host with a sample each 10 s is stale after 30 s")
	}

	m.Health(health("decider", 0), start)
	s := m.stages[stageKey{"decider", "kvm1-4711"}]
	if s.silent(at(10)) || !s.silent(at(10.1)) {
		t.Error("a stage is silent after 10 s")
	}
	// A silent instance goes once another one of its stage has been alive for a while.
	m.Forget(at(40))
	if len(m.stages) != 1 {
		t.Error("the only instance of a stage must stay")
	}
	replacement := health("decider", 40)
	replacement.Instance = "kvm1-9999"
	m.Health(replacement, at(40))
	m.Forget(at(40))
	if len(m.stages) != 1 || m.stages[stageKey{"decider", "kvm1-9999"}] == nil {
		t.Errorf("stages %v, want only the new instance", m.stages)
	}
}

func TestBuckets(t *testing.T) {
	gap := math.NaN()
	// One point each interval from second 0 on.
	series := func(interval float64, values ...float64) *history {
		h := &history{}
		for i, v := range values {
			cpu := &v
			if math.IsNaN(v) {
				cpu = nil
			}
			h.add(at(float64(i)*interval), cpu)
		}
		return h
	}
	base := start.Truncate(time.Minute).Sub(start).Seconds() + 60 // the next full minute
	for name, tt := range map[string]struct {
		h        *history
		n        int
		end      time.Time
		interval time.Duration
		tail     []float64 // the last buckets
	}{
		"nothing":             {series(1), 60, at(0), 0, []float64{gap, gap}},
		"one a second":        {series(1, 10, 20, 30), 60, at(2), time.Second, []float64{gap, 10, 20, 30}},
		"a gap stays":         {series(1, 10, gap, 30), 60, at(2), time.Second, []float64{gap, 10, gap, 30}},
		"rare samples":        {series(3, 10, 20), 60, at(3), 3 * time.Second, []float64{gap, 10, 10, 10, 20}},
		"it moves on":         {series(1, 10), 60, at(5), time.Second, []float64{10, 10, gap, gap, gap, gap}},
		"mean of the seconds": {series(1, 10, 20, 30, 40), 12, at(3), time.Second, []float64{gap, 25}},
	} {
		t.Run(name, func(t *testing.T) {
			got := tt.h.buckets(tt.n, tt.end, tt.interval)
			if len(got) != tt.n {
				t.Fatalf("%d buckets, want %d", len(got), tt.n)
			}
			for i, want := range tt.tail {
				g := got[tt.n-len(tt.tail)+i]
				if (g == nil) != math.IsNaN(want) || (g != nil && *g != want) {
					t.Errorf("bucket %d: got %s, want %g", i, show(g), want)
				}
			}
		})
	}
	// Values stay in their buckets while time goes on within one.
	h := &history{}
	for i := range 40 {
		h.add(at(base+float64(i)), ptr(float64(i)))
	}
	a, b := h.buckets(12, at(base+40), time.Second), h.buckets(12, at(base+44), time.Second)
	for i := range 11 {
		if show(a[i]) != show(b[i]) {
			t.Errorf("bucket %d went from %s to %s within its own time", i, show(a[i]), show(b[i]))
		}
	}
}

func show(v *float64) string {
	if v == nil {
		return "gap"
	}
	return fmt.Sprint(*v)
}

func TestCompareNames(t *testing.T) {
	sorted := []string{"api-1", "web", "web-1", "web-2", "web-02x", "web-10", "web-10a", "x"}
	for i, a := range sorted {
		for j, b := range sorted {
			if got, want := compareNames(a, b) < 0, i < j; got != want {
				t.Errorf("%s before %s: %t, want %t", a, b, got, want)
			}
		}
	}
}
