package decider

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
)

func follows(p bus.PolicyType) func(*bus.Group) {
	return func(g *bus.Group) { g.Policy.Types = []bus.PolicyType{p} }
}

// A load of two VMs must end at as many VMs as carry it, and be followed down again.
func TestPoliciesFollowTheLoad(t *testing.T) {
	for _, tt := range []struct {
		policy       bus.PolicyType
		lowest, most int // with a load of 2 VMs at full use
	}{{bus.PolicyTarget, 4, 4}, {bus.PolicyPredictive, 3, 4}, {bus.PolicyStep, 3, 9}} {
		t.Run(string(tt.policy), func(t *testing.T) {
			w := newWorld(spec(follows(tt.policy), bounds(1, 10)))
			w.load = 200
			desired := w.steps(1200)
			if last := desired[900:]; slices.Min(last) < tt.lowest || slices.Max(last) > tt.most {
				t.Errorf("a load of 2 VMs ends at %d to %d, want %d to %d", slices.Min(last), slices.Max(last), tt.lowest, tt.most)
			}
			w.load = 10
			if desired = w.steps(1200); desired[len(desired)-1] != 1 {
				t.Errorf("without load it ends at %d", desired[len(desired)-1])
			}
		})
	}
}

func TestPoliciesKeepToMinAndMax(t *testing.T) {
	for _, p := range []bus.PolicyType{bus.PolicyTarget, bus.PolicyPredictive, bus.PolicyStep} {
		t.Run(string(p), func(t *testing.T) {
			w := newWorld(spec(follows(p), bounds(2, 3)))
			w.load = 1000
			d := w.step()
			for range 600 {
				d = w.step()
				if d.Desired < 2 || d.Desired > 3 {
					t.Fatalf("desired %d", d.Desired)
				}
			}
			if d.Desired != 3 || p == bus.PolicyPredictive && d.Recommendations[0].Desired <= 3 {
				t.Errorf("desired %d, recommendations %+v", d.Desired, d.Recommendations)
			}
			w.load = 0
			if desired := w.steps(2000); desired[len(desired)-1] != 2 {
				t.Errorf("ends at %d", desired[len(desired)-1])
			}
		})
	}
}

func TestGuard(t *testing.T) {
	for _, tt := range []struct {
		name     string
		wants    int
		counts   counts
		changed  time.Duration // since the last change
		want     int
		guard    bus.Guard
		sentence string
	}{
		{"out", 4, counts{ready: 2, readings: 2}, time.Hour, 4, "", "scaling out: why"},
		{"out beyond max", 9, counts{ready: 2, readings: 2}, time.Hour, 5, bus.GuardAtMax, "scaling out: max 5 of 9 wanted: why"},
		{"out too soon", 4, counts{ready: 2, readings: 2}, time.Second, 2, bus.GuardCooldown, "cooling down 2 s: why"},
		{"out with an unknown CPU", 4, counts{ready: 2, readings: 1}, time.Hour, 4, "", "scaling out: why"},
		{"in", 1, counts{ready: 2, readings: 2}, time.Hour, 1, "", "scaling in: why"},
		{"in below min", 0, counts{ready: 2, readings: 2}, time.Hour, 1, bus.GuardAtMin, "scaling in: why"},
		{"in too soon", 1, counts{ready: 2, readings: 2}, 4 * time.Second, 2, bus.GuardCooldown, "cooling down 1 s: why"},
		{
			"in with an unknown CPU", 1,
			counts{ready: 2, readings: 1},
			time.Hour, 2, bus.GuardUnknownCPU,
			"holding, as the CPU of 1 VM is unknown: why",
		},
		{"as it is", 2, counts{ready: 2, readings: 2}, 0, 2, "", "why"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			st := State{HasSample: true, Desired: 2, LastOut: t0.Add(-tt.changed), LastChange: t0.Add(-tt.changed)}
			s, o := limitRecommendation(spec(bounds(1, 5)), st, tt.counts, tt.wants, t0)
			if text := o.sentence(s); o.allows != tt.want || o.limitedBy != tt.guard || text != tt.sentence {
				t.Errorf("desired %d, guard %q, %q; want %d, %q, %q", o.allows, o.limitedBy, text, tt.want, tt.guard, tt.sentence)
			}
		})
	}
}

// limitRecommendation is what the limits make of a policy's recommendation.
func limitRecommendation(spec bus.Group, st State, c counts, wants int, now time.Time) (situation, outcome) {
	s := situation{spec: spec, state: st, counts: c, now: now}
	wishes := []bus.Recommendation{{Desired: wants, Sentence: "why"}}
	return s, applyLimits(
		s,
		recommendation{
			rule: bus.RulePolicy, hasSample: true, current: st.Desired, wants: wants, limited: true,
			recommendations: wishes,
		},
	)
}

// Whoever goes on with the memory, as JSON, decides as the one before would have.
func TestMemoryOfAPolicySurvives(t *testing.T) {
	for _, p := range []bus.PolicyType{bus.PolicyTarget, bus.PolicyPredictive, bus.PolicyStep} {
		t.Run(string(p), func(t *testing.T) {
			a, b := newWorld(spec(follows(p), bounds(1, 20))), newWorld(spec(follows(p), bounds(1, 20)))
			for i := range 900 {
				a.load = float64(100 + 300*(i/100%3))
				b.load = a.load
				da, db := a.step(), b.step()
				if da.Desired != db.Desired || da.Sentence != db.Sentence {
					t.Fatalf("step %d: %d, %q; with its memory kept %d, %q", i, da.Desired, da.Sentence, db.Desired, db.Sentence)
				}
				data, err := json.Marshal(b.state.Policy)
				if err != nil {
					t.Fatal(err)
				}
				b.state.Policy = nil
				if err := json.Unmarshal(data, &b.state.Policy); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

func TestAnotherPolicyBeginsAnew(t *testing.T) {
	m := map[bus.PolicyType]policy.Memory{}
	of := func(p bus.Policy, kind bus.PolicyType) policy.Memory {
		_, memory, err := policy.New(kind, p, 0, m[kind])
		if err != nil {
			t.Fatal(err)
		}
		m[kind] = memory
		return memory
	}
	a := of(bus.Policy{Setting: bus.SettingSafe}, bus.PolicyPredictive)
	learned := a.Predictive
	a = of(bus.Policy{Setting: bus.SettingThrifty}, bus.PolicyPredictive)
	thrifty, err := policy.TuningOf(bus.SettingThrifty)
	if err != nil || a.Predictive != learned || learned.Tuning != thrifty {
		t.Error("another setting does not go on with what was learned")
	}
	a = of(bus.Policy{TargetPercent: 50}, bus.PolicyTarget)
	first := a.Target
	if a.Predictive != nil || first.Value != 50 {
		t.Errorf("%+v", a)
	}
	if a = of(bus.Policy{TargetPercent: 60}, bus.PolicyTarget); a.Target == first {
		t.Error("another target keeps the counts of the old one")
	}
	second := a.Target
	if a = of(bus.Policy{Signal: bus.SignalMetric, MetricTarget: 60}, bus.PolicyTarget); a.Target == second || a.Target.Value != 60 {
		t.Error("another signal keeps the counts of the old one")
	}
}

// Out if any policy wants it, in only if all do.
func TestSeveralPolicies(t *testing.T) {
	both := func(g *bus.Group) {
		g.Policy.Types = []bus.PolicyType{bus.PolicyThreshold, bus.PolicyTarget}
		g.Policy.Signal, g.Policy.Metric, g.Policy.MetricTarget = bus.SignalMetric, "requests", 100
	}
	w := newWorld(spec(both, bounds(1, 10)))
	w.metric = new(350.)
	w.load = 10 // the CPU alone wants one VM
	if desired := w.steps(300); desired[299] != 4 {
		t.Fatalf("with 350 requests at 100 for each VM it ends at %d, want 4", desired[299])
	}
	d := w.step()
	if len(d.Recommendations) != 2 || d.Recommendations[0].Desired != 3 || d.Recommendations[1].Desired != 4 {
		t.Errorf("wishes %+v", d.Recommendations)
	}
	if !strings.HasPrefix(d.Sentence, "target: metric 350, for each of 4 VMs 87.5, target 100") {
		t.Errorf("%q", d.Sentence)
	}
	w.metric = nil // nobody publishes it any more: unknown, and no load of 0
	if desired := w.steps(300); slices.Min(desired) != 4 {
		t.Errorf("without the metric it shrinks to %d", slices.Min(desired))
	}
	w.load = 600 // the CPU alone wants more
	if desired := w.steps(300); desired[299] < 8 {
		t.Errorf("with a high CPU it ends at %d", desired[299])
	}
	w.load, w.metric = 10, new(50.)
	if desired := w.steps(900); desired[899] != 1 {
		t.Errorf("once both agree it ends at %d", desired[899])
	}
}

func TestTargetOnMemory(t *testing.T) {
	w := newWorld(spec(follows(bus.PolicyTarget), bounds(1, 10), func(g *bus.Group) { g.Policy.Signal = bus.SignalMemory }))
	w.memory = new(95)
	if desired := w.steps(60); desired[59] < 2 {
		t.Errorf("at 95 %% memory it has %d", desired[59])
	}
	vm := ready(50)
	vm.MemoryMiB, vm.MemoryUsedMiB = 100, new(95)
	st := State{HasSample: true, Desired: 2}
	d, _ := Decide(w.spec, st, see(vm, ready(50)), t0)
	if !strings.Contains(d.Sentence, "not known of each ready VM") {
		t.Errorf("with the memory of one of two it says %q", d.Sentence)
	}
	w.memory = nil
	d = w.step()
	for range 60 {
		d = w.step()
	}
	if !strings.Contains(d.Sentence, "not known of each ready VM") || d.Direction != bus.Hold {
		t.Errorf("%s: %q", d.Direction, d.Sentence)
	}
}

func TestBootsAreMeasured(t *testing.T) {
	at := func(created, took time.Duration, phase bus.Phase) bus.VM {
		vm := bus.VM{Phase: phase, Created: t0.Add(created), PhaseSince: t0.Add(created + took)}
		if phase == bus.PhaseReady {
			vm.BootedAt = &vm.PhaseSince
		}
		return vm
	}
	var b BootTimes
	for _, tt := range []struct {
		vms  []bus.VM
		want time.Duration
	}{
		{[]bus.VM{at(0, 30*time.Second, bus.PhaseLaunching)}, 0},
		{[]bus.VM{at(0, 10*time.Second, bus.PhaseReady)}, 10 * time.Second},
		{[]bus.VM{at(0, 10*time.Second, bus.PhaseReady)}, 10 * time.Second}, // the same
		{[]bus.VM{at(0, 10*time.Second, bus.PhaseReady), at(time.Minute, 20*time.Second, bus.PhaseReady)}, 12 * time.Second},
		{[]bus.VM{at(time.Hour, -time.Second, bus.PhaseReady)}, 12 * time.Second},            // its clock was set back
		{[]bus.VM{at(9*365*24*time.Hour, 10*time.Second, bus.PhaseReady)}, 12 * time.Second}, // its clock was ahead
		{nil, 12 * time.Second},
		{[]bus.VM{at(2*time.Minute, 22*time.Second, bus.PhaseReady)}, 14 * time.Second},
	} {
		obs := see(tt.vms...)
		obs.Hosts[0].Time = t0.Add(2 * time.Hour)
		b.Add(obs)
		if b.Mean != tt.want {
			t.Errorf("%+v: %s, want %s", tt.vms, b.Mean, tt.want)
		}
	}
}

// TestBootsAfterAClockThatWasAhead: what was kept by a clock that was years ahead does not keep boots from being measured.
func TestBootsAfterAClockThatWasAhead(t *testing.T) {
	b := BootTimes{Mean: 10 * time.Second, Last: t0.AddDate(9, 0, 0)}
	b.Add(see())
	booted := t0.Add(30 * time.Second)
	obs := see(bus.VM{Phase: bus.PhaseReady, Created: t0.Add(10 * time.Second), BootedAt: &booted})
	obs.Hosts[0].Time = t0.Add(time.Minute)
	b.Add(obs)
	if b.Mean != 12*time.Second || !b.Last.Equal(booted) {
		t.Errorf("%+v, want the boot counted", b)
	}
}

// A group that is scaled on a number grows while none of its VMs has a CPU reading; what goes by the CPU waits, and
// nothing is scaled in.
func TestMetricDoesNotWaitForTheCPU(t *testing.T) {
	onMetric := func(types ...bus.PolicyType) func(*bus.Group) {
		return func(g *bus.Group) {
			g.Policy.Types, g.Policy.Signal, g.Policy.Metric, g.Policy.MetricTarget = types, bus.SignalMetric, "requests", 100
		}
	}
	boot := func() bus.VM { return aged(bus.PhaseLaunching, time.Second, new(100.)) }
	warming := func() bus.VM { return aged(bus.PhaseReady, time.Second, new(100.)) }
	hung := func() bus.VM { return aged(bus.PhaseReady, time.Hour, nil) }
	for _, tt := range []struct {
		name   string
		change func(*bus.Group)
		vms    []bus.VM
		metric float64
		want   int
		rule   bus.Rule
	}{
		{"the first VM boots", onMetric(bus.PolicyTarget), []bus.VM{boot()}, 500, 5, bus.RulePolicy},
		{"the first VM warms up", onMetric(bus.PolicyTarget), []bus.VM{warming()}, 500, 5, bus.RulePolicy},
		{"no reading of a ready VM", onMetric(bus.PolicyTarget), []bus.VM{hung()}, 500, 5, bus.RulePolicy},
		{"there is no VM", onMetric(bus.PolicyTarget), nil, 500, 5, bus.RulePolicy},
		{"beside the threshold", onMetric(bus.PolicyThreshold, bus.PolicyTarget), []bus.VM{boot()}, 500, 5, bus.RulePolicy},
		{"beside a forecast", onMetric(bus.PolicyPredictive, bus.PolicyTarget), []bus.VM{boot()}, 500, 5, bus.RulePolicy},
		{"beside steps", onMetric(bus.PolicyTarget, bus.PolicyStep), []bus.VM{boot()}, 500, 5, bus.RulePolicy},
		{"as many boot as are wanted", onMetric(bus.PolicyTarget), []bus.VM{boot(), boot(), boot()}, 250, 3, bus.RulePolicy},
		{"fewer are wanted, and none is ready", onMetric(bus.PolicyTarget), []bus.VM{boot(), boot(), boot()}, 50, 3, bus.RulePolicy},
		{"fewer are wanted, and no CPU is known", onMetric(bus.PolicyTarget), []bus.VM{hung(), hung(), hung()}, 50, 3, bus.RulePolicy},
		{"nothing is asked for", onMetric(bus.PolicyTarget), []bus.VM{boot(), boot()}, 0, 2, bus.RulePolicy},
		{"the CPU alone", func(*bus.Group) {}, []bus.VM{boot()}, 500, 1, bus.RuleNoneReady},
		{"the CPU as the target", follows(bus.PolicyTarget), []bus.VM{boot()}, 500, 1, bus.RuleNoneReady},
		{"a forecast alone", follows(bus.PolicyPredictive), []bus.VM{boot()}, 500, 1, bus.RuleNoneReady},
	} {
		t.Run(tt.name, func(t *testing.T) {
			desired := max(len(tt.vms), 1)
			s, st := spec(bounds(1, 10), tt.change), State{HasSample: true, Desired: desired}
			var d bus.Decision
			for now := t0; now.Before(t0.Add(5*time.Minute)) && st.Desired == desired; now = now.Add(time.Second) {
				obs := see(tt.vms...)
				obs.Metrics = published("requests", tt.metric, now)
				d, st = Decide(s, st, obs, now)
				for _, a := range st.Policy {
					if math.IsNaN(a.Sum) {
						t.Fatalf("%+v", a)
					}
				}
			}
			if st.Desired != tt.want || d.Rule != tt.rule {
				t.Errorf("desired %d by %s (%s), want %d by %s", st.Desired, d.Rule, d.Sentence, tt.want, tt.rule)
			}
		})
	}
}

// Without its number a group that follows one holds, and says for how long a number holds.
func TestMetricThatIsTooOld(t *testing.T) {
	s := spec(bounds(1, 10), func(g *bus.Group) {
		g.Policy.Types, g.Policy.Signal, g.Policy.Metric, g.Policy.MetricMaxAge = []bus.PolicyType{
			bus.PolicyTarget,
		}, bus.SignalMetric, "requests", 5*time.Minute
	})
	for _, tt := range []struct {
		published time.Duration // ago
		want      int
		sentence  string
	}{
		{4 * time.Minute, 5, "scaling out: metric 500, for each of 1 VM 500, target 100"},
		{20 * time.Minute, 1, "the metric requests was published 20m0s ago, and holds for 5m0s (metric_max_age)"},
	} {
		st := State{HasSample: true, Desired: 1}
		var d bus.Decision
		for i := range 25 {
			now := t0.Add(time.Duration(i) * time.Second)
			obs := see(ready(50))
			obs.Metrics = published("requests", 500, now.Add(-tt.published))
			if d, st = Decide(s, st, obs, now); d.Direction != bus.Hold {
				break
			}
		}
		if d.Desired != tt.want || !strings.HasPrefix(d.Sentence, tt.sentence) || d.Inputs.Metric != "requests" ||
			(d.Inputs.MetricValue != nil) != (tt.want == 5) {
			t.Errorf("published %s ago: desired %d, %q, inputs %+v", tt.published, d.Desired, d.Sentence, d.Inputs)
		}
	}
}

// A query of Prometheus that fails is unknown and never 0: the group holds, also where the number before was far off.
func TestQueryThatFails(t *testing.T) {
	s := spec(bounds(1, 10), onPrometheus)
	st := State{HasSample: true, Desired: 3}
	for i := range 400 {
		now := t0.Add(time.Duration(i) * time.Second)
		obs := see(ready(50), ready(50), ready(50))
		obs.Metrics = map[string]Published{bus.PrometheusMetric: {Error: "connection refused", At: now, Since: t0}}
		var d bus.Decision
		d, st = Decide(s, st, obs, now)
		if d.Desired != 3 || d.Inputs.Metric != bus.PrometheusMetric || d.Inputs.MetricValue != nil {
			t.Fatalf("after %d s: %+v", i, d)
		}
		if i > 10 && !strings.Contains(d.Sentence, "the metric prometheus has not been known for ") {
			t.Fatalf("after %d s it says %q", i, d.Sentence)
		}
	}
}

// A group follows what its ready VMs move on average; where that is not known of one of them, it holds.
func TestRates(t *testing.T) {
	s := spec(bounds(1, 10), func(g *bus.Group) {
		g.Policy.Types, g.Policy.Signal, g.Policy.TargetMiBS = []bus.PolicyType{bus.PolicyTarget}, bus.SignalNetworkTx, 5
	})
	moving := func(rate *float64) bus.VM {
		vm := ready(10)
		vm.Rates = &bus.Rates{NetworkRx: new(100.), NetworkTx: rate}
		return vm
	}
	for _, tt := range []struct {
		name     string
		vms      []bus.VM
		want     int
		sentence string
	}{
		{"much", []bus.VM{moving(new(4.)), moving(new(11.))}, 3, "scaling out: average network_tx 7.5 MiB/s of 2 VMs, target 5"},
		{"unknown of one", []bus.VM{moving(new(100.)), moving(nil)}, 2, "the network_tx is not known of each ready VM"},
		{"not read", []bus.VM{ready(10), ready(10)}, 2, "the network_tx is not known of each ready VM"},
		{"enough", []bus.VM{moving(new(4.8)), moving(new(5.))}, 2, "average network_tx 4.9 MiB/s of 2 VMs, target 5"},
	} {
		st := State{HasSample: true, Desired: 2}
		var d bus.Decision
		for i := range 60 {
			if d, st = Decide(s, st, see(tt.vms...), t0.Add(time.Duration(i)*time.Second)); d.Direction == bus.Out {
				break
			}
		}
		if d.Desired != tt.want || d.Sentence != tt.sentence {
			t.Errorf("%s: desired %d, %q", tt.name, d.Desired, d.Sentence)
		}
	}
}

// An expression's value is how much each VM is asked for: as many VMs as make it 1, and none more or fewer while one of its
// inputs is not known.
func TestExpression(t *testing.T) {
	s := spec(bounds(1, 10), func(g *bus.Group) {
		g.Policy.Types, g.Policy.Signal = []bus.PolicyType{bus.PolicyTarget}, bus.SignalExpression
		g.Policy.Expression = `max(cpu / 60, metric("requests") / 100, prometheus / 5)`
	})
	number := func(v *float64) Published { return Published{Value: v, Error: "timed out", At: t0} }
	for _, tt := range []struct {
		name                 string
		vms                  []bus.VM
		requests, prometheus *float64
		want                 int
		sentence             string
	}{
		{
			"the metric is most",
			[]bus.VM{ready(30), ready(30)},
			new(350.), new(2.), 4,
			"scaling out: expression 1.75 of 2 VMs, target 1: cpu 30, prometheus 1, requests 175",
		},
		{
			"the CPU is most",
			[]bus.VM{ready(90), ready(90)},
			new(50.), new(2.), 3,
			"scaling out: expression 1.5 of 2 VMs, target 1: cpu 90, prometheus 1, requests 25",
		},
		{"a metric is unknown", []bus.VM{ready(90), ready(90)}, nil, new(2.), 2, "the metric requests has not been known for "},
		{"the query fails", []bus.VM{ready(90), ready(90)}, new(350.), nil, 2, "the metric prometheus has not been known for "},
		{
			"no CPU is known",
			[]bus.VM{aged(bus.PhaseReady, time.Hour, nil), aged(bus.PhaseReady, time.Hour, nil)},
			new(350.),
			new(2.), 2, "waiting: no ready VM has a CPU reading yet",
		},
	} {
		st := State{HasSample: true, Desired: 2}
		var d bus.Decision
		for i := range 60 {
			obs := see(tt.vms...)
			obs.Metrics = map[string]Published{"requests": number(tt.requests), bus.PrometheusMetric: number(tt.prometheus)}
			if d, st = Decide(s, st, obs, t0.Add(time.Duration(i)*time.Second)); d.Direction == bus.Out {
				break
			}
		}
		known := tt.want > 2
		if d.Desired != tt.want || !strings.HasPrefix(d.Sentence, tt.sentence) || (d.Inputs.Expression != nil) != known {
			t.Errorf("%s: desired %d, %q, %+v", tt.name, d.Desired, d.Sentence, d.Inputs)
		}
		if got := d.Inputs.Metrics; len(got) != 2 || got["requests"] != tt.requests || got[bus.PrometheusMetric] != tt.prometheus {
			t.Errorf("%s: metrics %v", tt.name, got)
		}
	}
}

// A query, and an expression of numbers of the group, wake a group that has no VM.
func TestQueryWakes(t *testing.T) {
	for text, signal := range map[string]func(*bus.Policy){
		"scaling out: metric 25, and no VM, target 10 for each": func(p *bus.Policy) {
			p.Signal, p.MetricTarget = bus.SignalPrometheus, 10
		},
		"scaling out: expression 2.5, and no VM, target 1 for each": func(p *bus.Policy) {
			p.Signal, p.Expression = bus.SignalExpression, "prometheus / 10"
		},
	} {
		s := spec(bounds(0, 10), func(g *bus.Group) { g.Policy.Types = []bus.PolicyType{bus.PolicyTarget}; signal(&g.Policy) })
		for _, work := range []float64{0, 25} {
			obs := see()
			obs.Metrics = published(bus.PrometheusMetric, work, t0)
			d, _ := Decide(s, State{HasSample: true}, obs, t0)
			if want := map[float64]int{0: 0, 25: 3}[work]; d.Desired != want || work > 0 && d.Sentence != text {
				t.Errorf("%g: desired %d, want %d: %s", work, d.Desired, want, d.Sentence)
			}
		}
	}
}
