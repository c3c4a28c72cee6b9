package decider

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

func TestRecall(t *testing.T) {
	kept := checkpoint{
		Desired: 3, BreachesOut: 2, LastOut: t0.Add(-time.Minute), LastChange: t0.Add(-time.Minute), Hosts: []bus.HostID{"kvm1"},
		Time: t0.Add(-time.Minute),
	}
	fromKept := State{
		PreviousDesired: new(3),
		BreachesOut:     2,
		LastOut:         kept.LastOut,
		LastChange:      kept.LastChange,
		Hosts:           []bus.HostID{"kvm1"},
	}
	heard := func(age time.Duration, direction bus.Direction, rule bus.Rule, breaches int) *bus.Decision {
		return &bus.Decision{
			HasSample: true, Desired: 4, Direction: direction, Rule: rule, Time: t0.Add(-age),
			Shares: map[bus.HostID]bus.Share{"kvm2": {VMs: 2}, "kvm1": {VMs: 2}},
			Inputs: bus.Inputs{Breaches: breaches},
		}
	}
	both := []bus.HostID{"kvm1", "kvm2"}
	for _, c := range []struct {
		name  string
		kept  checkpoint
		heard *bus.Decision
		want  State
	}{
		{"nothing at all", checkpoint{}, nil, State{}},
		{"what was kept", kept, nil, fromKept},
		{"what was kept is old", checkpoint{Desired: 3, Time: t0.Add(-checkpointAge)}, nil, State{}},
		{"what was kept is of the far future", checkpoint{Desired: 3, Time: t0.Add(checkpointAge)}, nil, State{}},
		{
			"kept by one whose clock is a little ahead",
			checkpoint{Desired: 3, Time: t0.Add(time.Second)},
			nil,
			State{PreviousDesired: new(3)},
		},
		{"heard before it was kept", kept, heard(2*time.Minute, bus.Out, bus.RuleAboveUpper, 1), fromKept},
		{"heard without knowledge", kept, &bus.Decision{Time: t0}, fromKept},
		{
			"scaling out was heard", kept, heard(time.Second, bus.Out, bus.RuleAboveUpper, 0),
			State{PreviousDesired: new(4), LastOut: t0.Add(-time.Second), LastChange: t0.Add(-time.Second), Hosts: both},
		},
		{
			"scaling in was heard", kept, heard(time.Second, bus.In, bus.RuleBelowLower, 0),
			State{PreviousDesired: new(4), LastOut: kept.LastOut, LastChange: t0.Add(-time.Second), Hosts: both},
		},
		{
			"breaches were heard", kept, heard(time.Second, bus.Hold, bus.RuleAboveUpper, 2),
			State{PreviousDesired: new(4), BreachesOut: 2, LastOut: kept.LastOut, LastChange: kept.LastChange, Hosts: both},
		},
		{
			"breaches the other way", kept, heard(time.Second, bus.Hold, bus.RuleBelowLower, 4),
			State{PreviousDesired: new(4), BreachesIn: 4, LastOut: kept.LastOut, LastChange: kept.LastChange, Hosts: both},
		},
		{"heard long ago", checkpoint{}, heard(checkpointAge, bus.Out, bus.RuleAboveUpper, 0), State{}},
	} {
		if got := recall(c.kept, c.heard, bus.Controls{}, t0); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.name, got, c.want)
		}
	}
}

func TestStartGoesOnAsBefore(t *testing.T) {
	const nobody = -1
	for _, c := range []struct {
		name           string
		before, found  int
		want           int
		wantInSentence string
	}{
		{"one is on its way", 3, 2, 3, "going on with 3 VMs, as before: 2 found"},
		{"one was to go", 2, 3, 2, "going on with 2 VMs, as before: 3 found"},
		{"as it was", 2, 2, 2, "going on with 2 VMs"},
		{"all are gone", 4, 0, 1, "0 found"},
		{"more than max", 9, 2, 5, "max 5"},
		{"nobody was before", nobody, 2, 2, "starting with 2 VMs"},
		{"min was raised", 0, 2, 1, "min 1"},
	} {
		var vms []bus.VM
		for range c.found {
			vms = append(vms, ready(50))
		}
		before := &c.before
		if c.before == nobody {
			before = nil
		}
		d, st := Decide(spec(), State{PreviousDesired: before}, see(vms...), t0)
		if d.Desired != c.want || !st.HasSample || !strings.Contains(d.Sentence, c.wantInSentence) {
			t.Errorf("%s: desired %d, want %d: %s", c.name, d.Desired, c.want, d.Sentence)
		}
	}
}

// A host that had VMs under the decider before is waited for, or its VMs would be made a second time elsewhere.
func TestHostsOfBeforeAreAwaited(t *testing.T) {
	g := &group{spec: spec(), state: State{PreviousDesired: new(2), Hosts: []bus.HostID{"kvm1", "kvm2"}}, takeOver: t0}
	obs := see(ready(50)) // of kvm1
	if got := g.awaited(obs, t0.Add(g.spec.BlindAfter-1)); !slices.Equal(got, []string{"kvm2"}) {
		t.Errorf("awaited %q", got)
	}
	if got := g.awaited(obs, t0.Add(g.spec.BlindAfter)); got != nil {
		t.Errorf("awaited %q forever", got)
	}
	g.state.HasSample = true
	if got := g.awaited(obs, t0); got != nil {
		t.Errorf("awaited %q later", got)
	}
}

func TestBlind(t *testing.T) {
	s := spec()
	stale := see(ready(50))
	stale.Hosts[0].Trouble = Silent
	_, st := Decide(s, State{}, see(ready(50)), t0)
	d, st := Decide(s, st, stale, t0.Add(s.BlindAfter-1))
	if d.Rule != bus.RuleNoData || d.Desired != 1 {
		t.Errorf("before: %+v", d)
	}
	d, st = Decide(s, st, stale, t0.Add(s.BlindAfter))
	if d.Rule != bus.RuleBlind || d.Desired != 1 || d.Sentence != "blind for 60 s: no fresh sample from kvm1" {
		t.Errorf("after: %+v", d)
	}
	if d, _ = Decide(s, st, see(ready(50)), t0.Add(2*s.BlindAfter)); d.Rule == bus.RuleBlind {
		t.Errorf("with a sample: %+v", d)
	}
	if d, _ = Decide(s, State{LastData: t0}, Observation{}, t0.Add(s.BlindAfter)); d.Rule != bus.RuleBlind {
		t.Errorf("no sample ever: %+v", d)
	}
}

// What was learned of a load outlives what was counted of it.
func TestRecallKeepsWhatWasLearned(t *testing.T) {
	kept := checkpoint{
		Desired:   4,
		LastOut:   t0,
		BootTimes: BootTimes{Mean: time.Second},
		Policy:    PolicyStates{bus.PolicyPredictive: {Count: 1}},
		Time:      t0,
	}
	for _, tt := range []struct {
		age            time.Duration
		state, learned bool
	}{
		{time.Minute, true, true},
		{time.Hour, false, true},
		{71 * time.Hour, false, true},
		{100 * time.Hour, false, false},
		{-time.Minute, true, true},
		{-time.Hour, false, true},
		{-100 * time.Hour, false, false},
	} {
		st := recall(kept, nil, bus.Controls{}, t0.Add(tt.age))
		if (st.PreviousDesired != nil) != tt.state || (st.Policy != nil) != tt.learned || (st.BootTimes.Mean > 0) != tt.learned {
			t.Errorf("after %s: %+v", tt.age, st)
		}
	}
}

func onPrometheus(g *bus.Group) {
	g.Policy.Types, g.Policy.Signal, g.Policy.MetricTarget = []bus.PolicyType{bus.PolicyTarget}, bus.SignalPrometheus, 100
	g.Policy.Prometheus.URL, g.Policy.Prometheus.Query = "http://127.0.0.1:9090", "sum(queue)"
}

func TestGroupHears(t *testing.T) {
	g := group{inForce: spec(onPrometheus), metrics: map[string]Published{}, lastEval: t0}
	hear := func(name string, value *float64, err string, after time.Duration) Published {
		g.hear(bus.Metric{Name: name, Value: value, Error: err}, t0.Add(after))
		return g.metrics[bus.PrometheusMetric]
	}
	if hear("requests", new(5.), "", 0); len(g.metrics) > 0 {
		t.Errorf("it hears what it does not follow: %+v", g.metrics)
	}
	if p := hear(bus.PrometheusMetric, new(5.), "", 0); *p.Value != 5 || !p.At.Equal(t0) || !p.Since.IsZero() {
		t.Errorf("%+v", p)
	}
	hear(bus.PrometheusMetric, nil, "refused", time.Second)
	p := hear(bus.PrometheusMetric, nil, "timeout", time.Minute)
	if p.Value != nil || p.Error != "timeout" || !p.Since.Equal(t0.Add(time.Second)) {
		t.Errorf("a failure that goes on: %+v", p)
	}
	g.spec.Name, g.inForce.Name = "web", "web"
	const want = `group web: its query of Prometheus, "sum(queue)", says nothing since 2026-05-04T12:00:01Z: timeout`
	all := g.troubles(t0, time.Minute)
	if len(all) != 1 || all[0].Code != bus.ProblemQueryFails || all[0].Text != want {
		t.Errorf("troubles %+v, want %s", all, want)
	}
	if p := hear(bus.PrometheusMetric, new(6.), "", time.Hour); *p.Value != 6 || !p.Since.IsZero() ||
		len(g.troubles(t0, time.Minute)) > 0 {
		t.Errorf("after the failure: %+v", p)
	}
	same, another := g.inForce, g.inForce
	same.Policy.UpperPercent, another.Policy.Prometheus.Query = 60, "sum(other)"
	if g.use(same); len(g.metrics) != 1 {
		t.Error("the answer is forgotten with the same query")
	}
	if g.use(another); len(g.metrics) != 0 {
		t.Error("the answer of another query holds")
	}
}

// published is a number that came at a time.
func published(name string, value float64, at time.Time) map[string]Published {
	return map[string]Published{name: {Value: &value, At: at}}
}

func TestMetricIsUnknownAfterAWhile(t *testing.T) {
	p := spec().Policy
	p.MetricMaxAge = 5 * time.Minute
	five := published("requests", 5, t0)
	for _, tt := range []struct {
		metrics map[string]Published
		age     time.Duration
		want    string // why it is not known
	}{
		{five, 0, ""},
		{five, 5 * time.Minute, ""},
		{five, 5*time.Minute + time.Second, "the metric requests was published 5m1s ago, and holds for 5m0s (metric_max_age)"},
		{five, -time.Second, "the metric requests was published 1s in the future, before the clock was set back"},
		{
			map[string]Published{"requests": {Error: "no answer", At: t0, Since: t0.Add(-time.Minute)}},
			2 * time.Second,
			"the metric requests has not been known for 62 s: no answer",
		},
		{nil, 0, "nobody has published the metric requests since this decider was started"},
		{published("queue", 7, t0), 0, "nobody has published the metric requests since this decider was started"},
	} {
		value, why := Observation{Metrics: tt.metrics}.metric("requests", p, t0.Add(tt.age))
		if (value != nil) != (tt.want == "") || value != nil && *value != 5 || why != tt.want {
			t.Errorf("after %s: %v, %q; want %q", tt.age, value, why, tt.want)
		}
	}
}

// fleet is a bus with state, on which deciders come and go.
type fleet struct {
	t      *testing.T
	server *server.Server
	conn   *client.Conn
	heard  chan bus.Decision
	spec   bus.Group
}

func startFleet(t *testing.T) *fleet {
	t.Helper()
	server, err := server.Start(server.Config{Listen: "127.0.0.1:0", StateDir: t.TempDir()}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	f := &fleet{t: t, server: server, heard: make(chan bus.Decision, 1024), spec: spec()}
	f.conn = f.connect("test")
	if err := client.Subscribe(f.conn, bus.AllDecisions, f.heard); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fleet) connect(name string) *client.Conn {
	f.t.Helper()
	c, err := f.server.Connect(name, zerolog.Nop())
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(c.Close)
	return c
}

// start runs a decider until stop.
func (f *fleet) start(name string) (stop func()) {
	f.t.Helper()
	d, err := New(Config{Groups: []bus.Group{f.spec}, Instance: name}, f.connect("decider"), zerolog.Nop())
	if err != nil {
		f.t.Fatal(err)
	}
	return running(f.t, d)
}

// until sends samples of n VMs until a decision fits.
func (f *fleet) until(what string, n int, fits func(bus.Decision) bool) bus.Decision {
	f.t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case d := <-f.heard:
			if fits(d) {
				return d
			}
		case <-tick.C:
			s := bus.Sample{
				V:        bus.Version,
				Group:    f.spec.Name,
				HostID:   "kvm1",
				Host:     "kvm1",
				Instance: "c",
				Time:     time.Now(),
				SpecHash: f.spec.Hash(),
				VMs:      []bus.VM{},
			}
			for i := range n {
				vm := ready(50)
				vm.UUID = fmt.Sprint(i)
				vm.PhaseSince = time.Now().Add(-time.Hour)
				s.VMs = append(s.VMs, vm)
			}
			if err := f.conn.Publish(&s); err != nil {
				f.t.Fatal(err)
			}
		case <-deadline.C:
			f.t.Fatalf("never heard: %s", what)
		}
	}
}

// ask sends a request as an operator does.
func (f *fleet) ask(verb string, q bus.Query) bus.Controls {
	f.t.Helper()
	c, err := client.Ask[bus.Controls](f.t.Context(), f.connect("operator"), verb, q)
	if err != nil {
		f.t.Fatal(err)
	}
	return c
}

// What a person said, and what the group wanted, outlives each decider; a new one has a higher term.
func TestFailOver(t *testing.T) {
	f := startFleet(t)
	f.spec.Policy.Interval = 50 * time.Millisecond
	stopFirst := f.start("first")
	d := f.until("a decision", 3, func(d bus.Decision) bool { return d.Desired == 3 })
	first := d.Term
	stopSecond := f.start("second")
	defer func() { stopSecond() }()
	if c := f.ask(bus.VerbPause, bus.Query{Group: f.spec.Name, Scopes: []bus.Scope{bus.ScopeIn}, By: "ann"}); !c.IsPaused(
		bus.ScopeIn,
	) ||
		c.By != "ann" ||
		c.Since == nil {
		t.Errorf("pause: %+v", c)
	}
	if c := f.ask(bus.VerbResume, bus.Query{Group: f.spec.Name, Scopes: []bus.Scope{bus.ScopeOut}, By: "bob"}); c.By != "ann" {
		t.Errorf("a resume of what is not paused changes who has said so: %+v", c)
	}
	d = f.until("the pause", 3, func(d bus.Decision) bool { return d.Controls.IsPaused(bus.ScopeIn) })
	if d.Term != first {
		t.Errorf("term %d decides beside %d", d.Term, first)
	}
	stopFirst()
	d = f.until("the second's decision", 2, func(d bus.Decision) bool { return d.Term != first && d.HasSample })
	if d.Term < first || d.Desired != 3 || !d.Controls.IsPaused(bus.ScopeIn) {
		t.Errorf("the second goes on with %+v", d)
	}
	second := d.Term
	stopSecond()
	stopSecond = f.start("third") // which has heard nothing
	d = f.until("the third's decision", 2, func(d bus.Decision) bool { return d.Term > second && d.HasSample })
	if d.Desired != 3 || !d.Controls.IsPaused(bus.ScopeIn) {
		t.Errorf("the third goes on with %+v", d)
	}
	if c := f.ask(bus.VerbResume, bus.Query{Group: f.spec.Name}); len(c.Paused) != 0 {
		t.Errorf("resume: %+v", c)
	}
}

// Of several deciders the one that leads answers, also where another one is faster, or knows less.
func TestTheOneThatLeadsAnswers(t *testing.T) {
	f := startFleet(t)
	f.spec.Policy.Interval = 50 * time.Millisecond
	stop := f.start("first")
	defer func() { stop() }()
	f.until("a decision", 3, func(d bus.Decision) bool { return d.Desired == 3 })
	led := f.spec.Name
	f.spec.Name = "unheard"
	d, err := New(Config{Groups: []bus.Group{f.spec}, Instance: "second"}, f.connect("decider"), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{})
	d.handled = func(m any) {
		if m == nil {
			close(begun)
		}
	}
	defer running(t, d)()
	<-begun
	tap := f.connect("test")
	for range 20 {
		s, err := client.Ask[bus.Status](t.Context(), tap, bus.VerbStatus, bus.Query{})
		if err != nil || s.Groups[0].Group != led {
			t.Fatalf("status: %+v, %v; want what the first one knows", s.Groups, err)
		}
		if _, err := client.Ask[bus.Decision](t.Context(), tap, bus.VerbExplain, bus.Query{Group: led}); err != nil {
			t.Fatalf("explain: %v", err)
		}
	}
}

// What was set by hand and does not go with the file any more is dropped, and not half of it.
func TestSetThatDoesNotGoWithTheFile(t *testing.T) {
	f := startFleet(t)
	kept := bus.Controls{Paused: []bus.Scope{}, Set: map[string]string{"nosuch": "1"}}
	if err := f.conn.Save(t.Context(), "control."+f.spec.Name, kept); err != nil {
		t.Fatal(err)
	}
	defer f.start("one")()
	d := f.until("it decides by the file", 2, func(d bus.Decision) bool { return d.HasSample })
	if len(d.Controls.Set) > 0 || d.Inputs.Max != f.spec.Max {
		t.Errorf("%+v, %+v", d.Controls, d.Inputs)
	}
}

// A memory that this program cannot read must not keep it from deciding.
func TestMemoryOfAnotherVersion(t *testing.T) {
	f := startFleet(t)
	if err := f.conn.Save(t.Context(), "decider."+f.spec.Name,
		map[string]any{"desired": "three", "policy": map[string]any{"sum": 1}}); err != nil {
		t.Fatal(err)
	}
	defer f.start("one")()
	f.until("it decides", 2, func(d bus.Decision) bool { return d.HasSample && d.Desired == 2 })
}

// Who takes over and has heard hosts all the time knows which one is lost; who has just begun, or heard nothing, does not.
func TestSettling(t *testing.T) {
	g := newGroup(spec(), t0)
	g.inForce.LostAfter = 12 * time.Second
	heard, silent := HostObservation{ID: "a"}, HostObservation{ID: "b", Trouble: Silent}
	for _, step := range []struct {
		after time.Duration
		hosts []HostObservation
		want  bool
	}{
		{0, nil, true},
		{5 * time.Second, []HostObservation{heard, silent}, true},
		{16 * time.Second, []HostObservation{heard, silent}, true},
		{17 * time.Second, []HostObservation{heard, silent}, false},
		{18 * time.Second, []HostObservation{silent}, true},
		{19 * time.Second, []HostObservation{heard, silent}, true},
		{31 * time.Second, []HostObservation{heard, silent}, false},
	} {
		now := t0.Add(step.after)
		g.hears(Observation{Hosts: step.hosts}, now)
		if got := g.settling(now); got != step.want {
			t.Errorf("after %s: %v, want %v", step.after, got, step.want)
		}
	}
}

// One that leads again after a gap in its election goes on with what the store did not take of it, and with the VMs that it saw
// at rest.
func TestTakingOverFromItself(t *testing.T) {
	b := startHarness(t, spec()) // which keeps nothing
	d, err := New(Config{Groups: []bus.Group{spec()}}, b.own, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	g := newGroup(spec(), t0)
	g.saved = checkpoint{Desired: 3, LastOut: t0, Time: t0}
	g.state.Warmup.vms = map[string]settling{"1": {since: t0, rested: true}}
	if err := d.takeOver(t.Context(), g, t0.Add(time.Second)); err != nil {
		t.Fatal(err)
	}
	if p := g.state.PreviousDesired; p == nil || *p != 3 || !g.state.LastOut.Equal(t0) || !g.state.Warmup.vms["1"].rested {
		t.Errorf("goes on with %+v", g.state)
	}
}
