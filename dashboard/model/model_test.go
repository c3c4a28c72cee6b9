package model

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/dashboard/model/modeltest"
)

// sizes are like those of a dashboard.
var sizes = Sizes{Window: time.Minute, Histories: 2000, Entries: 50}

var start = modeltest.At(0)

func ptr[T any](v T) *T { return &v }

func at(seconds float64) time.Time { return modeltest.At(seconds) }

func vm(name string, cpu *float64) bus.VM { return modeltest.VM(name, cpu) }

func sample(group, host string, seconds float64, vms ...bus.VM) bus.Sample {
	return modeltest.Sample(group, host, seconds, vms...)
}

func decision(group string, seconds float64) bus.Decision { return modeltest.Decision(group, seconds) }

func health(stage string, seconds float64) bus.Health { return modeltest.Health(stage, seconds) }

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
			m := New(start, sizes)
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
	m := New(start, sizes)
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
	if len(h.history) != 0 || m.groups["web"].VMs() != 0 {
		t.Errorf("history %v and %d rows after an empty list, want none", h.history, m.groups["web"].VMs())
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
			m := New(start, sizes)
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
	m := New(start, sizes)
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
	if len(m.entries) != sizes.Entries || len(m.groups) > maxGroups || len(m.groups["web"].hosts) > maxHosts ||
		len(m.stages) > maxStages {
		t.Errorf("%d entries, %d groups, %d hosts, %d stages", len(m.entries), len(m.groups), len(m.groups["web"].hosts), len(m.stages))
	}
	if len(m.entries[0].Sentence) > maxText {
		t.Errorf("a line of %d bytes", len(m.entries[0].Sentence))
	}
	if points := len(m.groups["web"].hosts["steady"].history["web-1"].points); points > 61 {
		t.Errorf("%d points of history, want at most one a second", points)
	}
	m.Forget(at(n).Add(forgetAfter + time.Second))
	if len(m.groups) != 0 || len(m.stages) != 0 {
		t.Errorf("%d groups and %d stages are left after a long silence", len(m.groups), len(m.stages))
	}
}

// A reader of the present alone keeps no past.
func TestSizesAreKept(t *testing.T) {
	for _, sizes := range []Sizes{{}, {Window: 3 * time.Second, Histories: 1, Entries: 2}} {
		m := New(start, sizes)
		for i := range 9 {
			m.Fold(sample("web", "kvm1", float64(i), vm("web-1", ptr(50.0)), vm("web-2", ptr(50.0))), at(float64(i)))
			m.Fold(bus.Event{Group: "web", VM: "web-1", Event: bus.EventReady, Time: at(float64(i))}, at(float64(i)))
		}
		h := m.Group("web").Hosts()[0]
		points := 0
		for _, past := range h.history {
			points += len(past.points)
		}
		if len(h.history) != sizes.Histories || points != int(sizes.Window.Seconds()) || len(m.Entries()) != sizes.Entries {
			t.Errorf("%+v: %d histories, %d points, %d entries", sizes, len(h.history), points, len(m.Entries()))
		}
		if n := len(h.CPU("web-1", 3, at(8))); n != 3*sizes.Histories {
			t.Errorf("%+v: %d parts of web-1's history", sizes, n)
		}
		if vms := h.Sample().VMs; len(vms) != 2 {
			t.Errorf("%+v: VMs %v", sizes, vms)
		}
	}
}

func TestDuplicateEventIsIgnored(t *testing.T) {
	m := New(start, sizes)
	e := bus.Event{Group: "web", VM: "web-1", Event: bus.EventReady, Time: start}
	if !m.Event(e, start) || m.Event(e, at(1)) {
		t.Error("want the first accepted and the second not")
	}
}

func TestSilence(t *testing.T) {
	m := New(start, sizes)
	m.Sample(sample("web", "kvm1", 0), start)
	h := m.groups["web"].hosts["kvm1"]
	if h.Stale(at(5)) || !h.Stale(at(5.1)) {
		t.Error("a host is stale after 5 s without a sample")
	}
	// Where samples come rarely, waiting for the next is not silence.
	for i := range 5 {
		m.Sample(sample("web", "kvm1", float64(10*i+10)), at(float64(10*i+10)))
	}
	if h.Stale(at(50+29)) || !h.Stale(at(50+31)) {
		t.Error("a host with a sample each 10 s is stale after 30 s")
	}

	m.Health(health("decider", 0), start)
	s := m.stages[stageKey{"decider", "kvm1-4711"}]
	if s.Silent(at(10)) || !s.Silent(at(10.1)) {
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
			h.add(at(float64(i)*interval), cpu, sizes.Window)
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
			got := tt.h.buckets(tt.n, tt.end, tt.interval, sizes.Window)
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
		h.add(at(base+float64(i)), ptr(float64(i)), sizes.Window)
	}
	a, b := h.buckets(12, at(base+40), time.Second, sizes.Window), h.buckets(12, at(base+44), time.Second, sizes.Window)
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
			if got, want := CompareNames(a, b) < 0, i < j; got != want {
				t.Errorf("%s before %s: %t, want %t", a, b, got, want)
			}
		}
	}
}

// What happened before comes before what is heard, once, and says nothing of the present.
func TestRemember(t *testing.T) {
	m := New(modeltest.At(0), Sizes{Entries: 3})
	event := func(vm string, seconds float64) bus.Event {
		return bus.Event{Group: "web", VM: vm, Event: bus.EventReady, Time: modeltest.At(seconds)}
	}
	m.Event(event("web-4", 4), modeltest.At(4))
	out, hold := modeltest.Decision("web", 3), modeltest.Decision("web", 3.5)
	out.Current, out.Desired = 2, 3
	m.Remember([]any{event("web-1", 1), event("web-2", 2), out, hold, event("web-4", 4)})
	var got []string
	for _, e := range m.Entries() {
		got = append(got, fmt.Sprintf("%s %d", e.VM, e.To))
	}
	if want := []string{"web-2 0", " 3", "web-4 0"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, decided := m.Group("web").Decision(); decided {
		t.Error("a decision of the past holds")
	}
}
