package decider

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/decider/policy"
)

func TestNewRefusesNothingToDo(t *testing.T) {
	if _, err := New(Config{}, nil, zerolog.Nop()); err == nil {
		t.Error("no groups, no error")
	}
}

// A word that is not known stands for nothing: it is refused, and never taken for another one.
func TestNewRefusesWhatItDoesNotKnow(t *testing.T) {
	for want, change := range map[string]func(*bus.Group){
		fmt.Sprintf(`policy: found "no-such-policy", want one of %q`, policy.Kinds()): func(g *bus.Group) {
			g.Policy.Types = []bus.PolicyType{bus.PolicyThreshold, "no-such-policy"}
		},
		`policy: found none`: func(g *bus.Group) { g.Policy.Types = nil },
		`the setting "bold"`: func(g *bus.Group) {
			g.Policy.Types, g.Policy.Setting = []bus.PolicyType{bus.PolicyPredictive}, "bold"
		},
		fmt.Sprintf(`scale_in: found "no-such-order", want one of %q or hook:NAME`, bus.ScaleIns()): func(g *bus.Group) {
			g.ScaleIn = []bus.ScaleIn{"no-such-order"}
		},
		`schedule[0].at`: func(g *bus.Group) { g.Schedule = []bus.ScheduledAction{{At: "noon", Zone: "UTC", Min: new(2)}} },
	} {
		if _, err := New(Config{Groups: []bus.Group{spec(change)}}, nil, zerolog.Nop()); err == nil ||
			!strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

// Nor does it do anything where nobody has refused it.
func TestDecideDoesNothingByWhatItDoesNotKnow(t *testing.T) {
	s := spec(atOnce, func(g *bus.Group) { g.Policy.Types = []bus.PolicyType{"no-such-policy"} })
	d, _ := Decide(s, State{HasSample: true, Desired: 2}, see(ready(1), ready(1)), t0)
	if d.Desired != 2 || !strings.Contains(d.Sentence, `policy: found "no-such-policy"`) {
		t.Errorf("desired %d: %s", d.Desired, d.Sentence)
	}
	s = spec(atOnce, func(g *bus.Group) { g.ScaleIn = []bus.ScaleIn{"no-such-order"} })
	d, _ = Decide(s, State{HasSample: true, Desired: 2}, see(ready(1), ready(1)), t0)
	if d.Desired != 1 || d.Shares["kvm1"].VMs != 2 {
		t.Errorf("desired %d, shares %v", d.Desired, d.Shares)
	}
}

func TestDeciderDecidesOncePerInterval(t *testing.T) {
	s := spec(bounds(1, 5), atOnce)
	b := startHarness(t, s)

	b.advance(time.Second)
	b.send("web", "kvm1")
	first := b.decision()
	if !first.HasSample || first.Rule != bus.RuleStart || first.Desired != 1 || first.Shares["kvm1"].VMs != 1 {
		t.Errorf("first: %+v", first)
	}
	now := b.clock()
	if !first.Time.Equal(now) || !first.ExpiresAt.Equal(now.Add(5*time.Second)) || first.Term != t0.UnixMilli() ||
		first.SpecHash != s.Hash() ||
		first.ID == "" {
		t.Errorf("stamps: %+v", first)
	}

	// A second sample within the interval adds to the next evaluation.
	b.send("web", "kvm1", ready(100))
	b.advance(time.Second)
	b.send("web", "kvm1", ready(60))
	second := b.decision()
	if second.Inputs.AveragePercent == nil || *second.Inputs.AveragePercent != 80 {
		t.Errorf("average over two samples: %+v", second.Inputs)
	}
	if second.Rule != bus.RuleAboveUpper || second.Desired != 2 || second.Direction != bus.Out {
		t.Errorf("second: %+v", second)
	}
	if second.ID == first.ID || second.Term != first.Term || !second.Time.After(first.Time) {
		t.Errorf("second after first: %+v, %+v", second, first)
	}
}

func TestDeciderSaysSoWhenNoSampleComes(t *testing.T) {
	b := startHarness(t, spec())
	b.advance(2 * time.Second)
	b.tick()
	if d := b.decision(); d.HasSample || d.Rule != bus.RuleNoData || d.Desired != 0 {
		t.Errorf("got %+v", d)
	}
}

func TestDeciderIgnoresOtherGroups(t *testing.T) {
	b := startHarness(t, spec())
	b.advance(time.Second)
	b.send("stranger", "kvm1")
	b.send("web", "kvm1")
	if d := b.decision(); d.Group != "web" {
		t.Errorf("got %+v", d)
	}
}

func TestDeciderKeepsGroupsApart(t *testing.T) {
	other := spec(bounds(3, 4))
	other.Name = "db"
	b := startHarness(t, spec(), other)
	b.advance(time.Second)
	b.send("web", "kvm1")
	b.send("db", "kvm1")
	got := map[string]int{}
	for range 2 {
		d := b.decision()
		got[d.Group] = d.Desired
	}
	if got["web"] != 1 || got["db"] != 3 {
		t.Errorf("got %v", got)
	}
}

func TestDeciderWaitsForAllHosts(t *testing.T) {
	b := startHarness(t, spec(bounds(3, 5), atOnce))
	b.send("web", "kvm1", ready(50)) // too early for an evaluation: both hosts are known by the first one
	b.advance(time.Second)
	b.send("web", "kvm2", ready(50))
	if d := b.decision(); d.Desired != 3 || d.Shares["kvm1"].VMs+d.Shares["kvm2"].VMs != 3 || d.Inputs.Owned != 2 {
		t.Fatalf("start: %+v", d)
	}

	// Both again: one evaluation, after the second.
	b.advance(time.Second)
	b.send("web", "kvm1", ready(40))
	b.send("web", "kvm2", ready(60))
	if d := b.decision(); d.Inputs.AveragePercent == nil || *d.Inputs.AveragePercent != 50 || d.Inputs.Unknown != 0 {
		t.Errorf("both: %+v", d.Inputs)
	}

	// One of them stays away: the other goes on without it, and what it has still counts.
	b.advance(6 * time.Second)
	b.send("web", "kvm1", ready(0))
	d := b.decision()
	if d.Rule != bus.RuleBelowLower || d.Direction != bus.Hold || d.Desired != 3 || d.Inputs.Owned != 2 ||
		d.Shares["kvm2"].VMs != 1 ||
		d.Shares["kvm1"].VMs != 2 {
		t.Errorf("one is silent: %+v", d)
	}

	// It is back.
	b.advance(time.Second)
	b.send("web", "kvm2", ready(50))
	b.send("web", "kvm1", ready(50))
	if d := b.decision(); d.Rule != bus.RuleStable {
		t.Errorf("back: %+v", d)
	}
}

func TestStaleAfter(t *testing.T) {
	for _, c := range []struct{ interval, tick, want time.Duration }{
		{time.Second, time.Second, 5 * time.Second},
		{2 * time.Second, time.Second, 6 * time.Second},
		{time.Minute, 0, 3 * time.Minute},
		{time.Millisecond, 0, 5 * time.Second},
		{time.Second, 10 * time.Second, 30 * time.Second}, // or no sample would ever be fresh
	} {
		if got := staleAfter(c.interval, c.tick); got != c.want {
			t.Errorf("interval %s, tick %s: stale after %s, want %s", c.interval, c.tick, got, c.want)
		}
	}
}

// A collector that reads another config of the group speaks of another group, as it were: nothing is decided on it.
func TestDeciderHoldsOnAnotherConfig(t *testing.T) {
	b := startHarness(t, spec(func(g *bus.Group) { g.Min = 2 }))
	right := b.hashes["web"]
	b.hashes["web"] = "other"
	b.advance(time.Second)
	b.send("web", "kvm1")
	if d := b.decision(); d.Rule != bus.RuleMismatch || d.HasSample || !strings.Contains(d.Sentence, "kvm1") {
		t.Errorf("got %+v, want it held and kvm1 named", d)
	}
	b.hashes["web"] = right
	b.advance(time.Second)
	b.send("web", "kvm1")
	if d := b.decision(); d.Rule != bus.RuleStart || d.Desired != 2 {
		t.Errorf("got %+v, want it to go on", d)
	}
}

// Whoever asks gets the newest of everything; what cannot be answered is refused with what can.
func TestDeciderAnswers(t *testing.T) {
	b := startHarness(t, spec(), spec(func(g *bus.Group) { g.Name = "db" }))
	ask := func(verb, group string) error {
		_, err := client.Ask[bus.Decision](t.Context(), b.conn, verb, bus.Query{Group: group})
		return err
	}
	for group, want := range map[string]string{"": "db, web", "nosuch": "db, web", "web": "not been evaluated"} {
		if err := ask(bus.VerbExplain, group); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("explain %q: %v, want %q said", group, err, want)
		}
	}
	b.advance(time.Second)
	b.send("web", "kvm1")
	made := b.decision()
	got, err := client.Ask[bus.Decision](t.Context(), b.conn, bus.VerbExplain, bus.Query{Group: "web"})
	if err != nil || got.ID != made.ID {
		t.Errorf("explain: %+v, %v; want %s", got, err, made.ID)
	}
	status, err := client.Ask[bus.Status](t.Context(), b.conn, bus.VerbStatus, bus.Query{})
	if err != nil || len(status.Groups) != 2 || status.Groups[0].Group != "db" || status.Groups[0].Decision != nil ||
		status.Groups[1].Decision.ID != made.ID || len(status.Groups[1].Samples) != 1 || status.Groups[1].Samples[0].Host != "kvm1" {
		t.Errorf("status: %+v, %v", status, err)
	}
	if status, err := client.Ask[bus.Status](t.Context(), b.conn, bus.VerbStatus, bus.Query{Group: "db"}); err != nil ||
		len(status.Groups) != 1 {
		t.Errorf("status of db: %+v, %v", status, err)
	}
}

// A sample that comes again is dropped and counted, and decides nothing.
func TestDeciderDropsRepeatedSamples(t *testing.T) {
	b := startHarness(t, spec())
	b.advance(time.Second)
	b.send("web", "kvm1")
	b.decision()
	b.samples--
	b.advance(time.Second)
	b.send("web", "kvm1")
	b.tick() // the loop is through with the sample then
	if len(b.decisions) > 0 {
		t.Errorf("decided on a repeated sample: %+v", <-b.decisions)
	}
	if n := b.own.Dropped(); n != 1 {
		t.Errorf("%d dropped, want 1", n)
	}
}

// A metric that is not a number is not sent, and is not 0: the number before it holds.
func TestDeciderDropsMetricsThatAreNone(t *testing.T) {
	s := spec(func(g *bus.Group) {
		g.Policy.Types, g.Policy.Signal, g.Policy.Metric = []bus.PolicyType{bus.PolicyTarget}, bus.SignalMetric, "requests"
	})
	b := startHarness(t, s)
	publish := func(value *float64) {
		if err := b.conn.Publish(&bus.Metric{V: bus.Version, Group: "web", Name: "requests", Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	decide := func() *float64 {
		b.advance(time.Second)
		b.send("web", "kvm1", ready(50))
		return b.decision().Inputs.MetricValue
	}
	if v := decide(); v != nil {
		t.Fatalf("it is %g before anybody has published it", *v)
	}
	publish(new(7.))
	for v := decide(); v == nil || *v != 7; v = decide() { // the messages of two subjects have no order
		t.Log("not heard yet")
	}
	for _, bad := range []*float64{nil, new(-5.), new(1e300)} {
		if err := b.conn.Publish(&bus.Metric{V: bus.Version, Group: "web", Name: "requests", Value: bad}); !errors.Is(
			err,
			bus.ErrUnfit,
		) {
			t.Errorf("got %v, want it refused", err)
		}
	}
	publish(new(8.))
	for v := decide(); *v != 8; v = decide() {
		if *v != 7 {
			t.Fatalf("it is %g", *v)
		}
	}
	if n := b.own.Dropped(); n != 0 {
		t.Errorf("%d dropped, want 0", n)
	}
}

// TestLongestIntervalIsFollowed: what is decided at the longest interval is taken by those who listen.
func TestLongestIntervalIsFollowed(t *testing.T) {
	t.Parallel()
	var n bus.Newest
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	if err := n.Take(bus.Decision{Time: now, ExpiresAt: now.Add(staleAfter(bus.LongestInterval, time.Minute))}, now); err != nil {
		t.Error(err)
	}
}
