package simulate

import (
	"context"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/internal/figures"
)

// asks cancels a run in its middle.
type asks struct {
	cancel context.CancelCauseFunc
	seen   int
}

func (a *asks) Interval() time.Duration { return time.Second }

func (a *asks) Decide(*Fleet, time.Time) int {
	if a.seen++; a.seen == 5000 {
		a.cancel(errors.New("enough"))
	}
	return 1
}

// A run ends soon after its context, not with its trace.
func TestRunEndsWithItsContext(t *testing.T) {
	tr := Trace{Name: "year", Step: maxSpan, Demand: []float64{1, 1}}
	ctx, cancel := context.WithCancelCause(t.Context())
	c := &asks{cancel: cancel}
	if _, _, err := Run(ctx, tr, Reference(), c, 0); err == nil || err.Error() != "enough" {
		t.Errorf("got %v", err)
	}
	if c.seen > 7000 {
		t.Errorf("it went on for %d seconds", c.seen-5000)
	}
}

// Whatever a trace may have, each figure is a number.
func TestFiguresAreNumbers(t *testing.T) {
	for _, demand := range [][]float64{{0, 0, 0}, {maxDemand, maxDemand, maxDemand}, {0, maxDemand, 0}, {1e-300, 0, 1e-300}} {
		p := Plan{
			Traces: []Trace{{Name: "load", Step: time.Minute, Demand: demand}}, Policies: []string{"threshold", "predictive", "hpa"},
			Boots: []time.Duration{time.Second}, Seeds: 1, Params: Reference(), Keep: 60,
		}
		results, err := Compare(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range results {
			for _, f := range r.Metrics.fields() {
				if math.IsNaN(*f) || math.IsInf(*f, 0) {
					t.Errorf("%v, %s: %+v", demand, r.Policy, r.Metrics)
				}
			}
		}
	}
}

// fixed wants one number from a second on.
type fixed struct{ before, after, from int }

func (f fixed) Interval() time.Duration { return time.Second }

func (f fixed) Decide(fleet *Fleet, _ time.Time) int {
	if fleet.second < f.from {
		return f.before
	}
	return f.after
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

// A jump is met at once by as many VMs as wait, the others boot; and those that waited are made again, one at a time, once it is.
func TestRunWithAWarmPool(t *testing.T) {
	tr := Trace{Name: "jump", Step: 10 * time.Second}
	for i := range 61 {
		tr.Demand = append(tr.Demand, map[bool]float64{true: .7, false: 2.9}[i < 30])
	}
	w := Reference()
	w.Noise, w.Boot = 0, 60*time.Second
	w.Base.WarmPool.Size = bus.WarmSize{VMs: 2}
	ready := func(w Params) map[int]Point {
		_, points, err := Run(t.Context(), tr, w, defaultController(w, bus.PolicyPredictive, bus.SettingBalanced), 1)
		if err != nil {
			t.Fatal(err)
		}
		at := map[int]Point{}
		for _, p := range points {
			at[p.Second] = p
		}
		return at
	}
	with := ready(w)
	w.Base.WarmPool = bus.WarmPool{}
	without := ready(w)
	if a, b := with[290], without[290]; a.Ready != 1 || b.Ready != 1 || a.Owned != 3 || b.Owned != 1 {
		t.Errorf("before the jump there are %+v, and %+v without a pool", a, b)
	}
	if a, b := with[310], without[310]; a.Ready < 3 || b.Ready != 1 {
		t.Errorf("10 s after the jump %d are ready, and %d without a pool", a.Ready, b.Ready)
	}
	if end := with[599]; end.Owned != end.Ready+2 {
		t.Errorf("in the end %d are ready of %d, want two that wait", end.Ready, end.Owned)
	}
}

// Ten minutes that need 2 VMs and then ten that need 4, by hand.
func TestMetrics(t *testing.T) {
	tr := Trace{Name: "step", Step: 10 * time.Second}
	for i := range 121 {
		tr.Demand = append(tr.Demand, map[bool]float64{true: 1.6, false: 3.2}[i <= 60])
	}
	w := Reference()
	w.Noise = 0
	// The row that rises to the step needs 4 VMs already; two come 10 s after its beginning, and boot.
	m, points, err := Run(t.Context(), tr, w, fixed{2, 4, 610}, 600)
	if err != nil {
		t.Fatal(err)
	}
	lag := 10 + 30. // seconds with 2 of 4
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"theta_u", m.ThetaU, 100 * lag * .5 / 1200},
		{"theta_o", m.ThetaO, 0},
		{"tau_u", m.TauU, 100 * lag / 1200},
		{"tau_o", m.TauO, 0},
		{"actions", m.Actions, 6},
		{"vm hours", m.VMHours, (2*610 + 4*590) / 3600.},
		{"per need", m.PerNeed, (2*610 + 4*590) / (2*600 + 4*600.)},
		{"jitter", m.Jitter, 0},
	} {
		if math.Abs(c.got-c.want) > math.Abs(c.want)*.02+1e-9 {
			t.Errorf("%s %g, want %g", c.name, c.got, c.want)
		}
	}
	if m.LostPercent <= 0 || m.HighPercent <= m.LostPercent {
		t.Errorf("lost %g %%, above 90 %% CPU %g %%", m.LostPercent, m.HighPercent)
	}
	m.charge(2)
	if want := (m.VMHours + 10*m.lostHours + m.highHours) / 2; !near(m.Cost, want) || m.lostHours == 0 {
		t.Errorf("cost %g, want %g", m.Cost, want)
	}
	if len(points) != 2 || points[0] != (Point{0, 1.6, 2, 2, 80}) ||
		points[1] != (Point{610, 3.2, 2, 4, 100}) { // the first of the highest demand
		t.Errorf("points %+v", points)
	}
}

// Each hardship costs what it should, and none of them stops a run.
func TestWorld(t *testing.T) {
	tr := Trace{Name: "steady", Step: time.Minute, Demand: slices.Repeat([]float64{3.9}, 61)}
	run := func(world World) Metrics {
		w := Reference()
		w.World = world
		m, _, err := Run(t.Context(), tr, w, fixed{5, 5, 0}, 0)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	if m := run(World{}); m.LostPercent != 0 || m.HighPercent != 0 {
		t.Errorf("even: %+v", m)
	}
	if m := run(World{Uneven: .3}); m.LostPercent == 0 || m.HighPercent == 0 {
		t.Errorf("uneven: %+v", m)
	}
	if m := run(World{Missing: 1}); m.LostPercent != 0 {
		t.Errorf("readings are missing: %+v", m)
	}
	grow := func(world World) Metrics {
		w := Reference()
		w.World = world
		m, _, err := Run(t.Context(), tr, w, fixed{5, 10, 60}, 0)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	even, failing, varied := grow(World{}), grow(World{Failing: .5}), grow(World{BootSpread: .5})
	if failing.Actions <= even.Actions {
		t.Errorf("launches fail: %g actions an hour, %g where none does", failing.Actions, even.Actions)
	}
	if varied.ThetaO == even.ThetaO {
		t.Error("boots that vary change nothing")
	}
}

// The oracle has what is needed at every moment, and what holds longer costs more.
func TestOracle(t *testing.T) {
	for _, tr := range Builtin() {
		w := Reference()
		var hours []float64
		for _, hold := range []string{"oracle", "oracle-hold300"} {
			c, err := newController(hold, tr, w)
			if err != nil {
				t.Fatal(err)
			}
			m, _, err := Run(t.Context(), tr, w, c, 0)
			if err != nil {
				t.Fatal(err)
			}
			if m.ThetaU > .01 || m.LostPercent > .01 {
				t.Errorf("%s, %s: %+v", tr.Name, hold, m)
			}
			hours = append(hours, m.VMHours)
		}
		if hours[1] < hours[0] {
			t.Errorf("%s: %g VM-hours, with hold %g", tr.Name, hours[0], hours[1])
		}
	}
}

// between cuts the generated days to some of their hours.
func between(from, to int) []Trace {
	traces := Builtin()
	for i := range traces {
		perHour := int(time.Hour / traces[i].Step)
		traces[i].Demand = traces[i].Demand[from*perHour : to*perHour+1]
	}
	return traces
}

func TestCompareIsRepeatable(t *testing.T) {
	p := Plan{
		Traces: between(0, 2)[:2], Policies: []string{"predictive", "threshold", "hpa"},
		Boots: []time.Duration{2 * time.Second, 30 * time.Second},
		Seeds: 1, Params: Reference(), Keep: 300,
	}
	var begun []string
	p.Begins = func(n, of int) { begun = append(begun, fmt.Sprint(n, "/", of)) }
	first, err := Compare(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if len(begun) != 12 || begun[0] != "1/12" || begun[11] != "12/12" {
		t.Errorf("begun: %q", begun)
	}
	again, err := Compare(t.Context(), p)
	if err != nil || !reflect.DeepEqual(first, again) {
		t.Errorf("%v: another run gives other results", err)
	}
	if len(first) != 12 || first[1].Policy != "threshold" || first[0].Boot != 2*time.Second || len(first[0].Points) != 24 ||
		len(first[3].Points) != 0 {
		t.Errorf("%d results, the first with %d points", len(first), len(first[0].Points))
	}
	mean := Overall(p, first)
	sum := 0.
	for _, r := range first {
		if r.Policy == "hpa" {
			sum += r.Metrics.Cost / 4
		}
	}
	if len(mean) != 3 || !near(mean[2].Metrics.Cost, sum) {
		t.Errorf("means %+v", mean)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if _, err := Compare(ctx, p); err == nil || err.Error() != "enough" {
		t.Errorf("cancelled: %v", err)
	}
}

// What docs/policies.md promises must hold on demands that nobody has tuned for, too: it costs and loses less than each of the
// others. Who keeps many VMs for long lacks fewer on these, and pays for it.
func TestPredictiveBeatsTheBaselines(t *testing.T) {
	p := Plan{
		Traces:   between(12, 14),
		Policies: Baselines(),
		Boots:    []time.Duration{30 * time.Second},
		Seeds:    1,
		Params:   Reference(),
	}
	results, err := Compare(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	of := map[string]Metrics{}
	for _, r := range Overall(p, results) {
		of[r.Policy] = r.Metrics
	}
	ours := of["predictive"]
	for _, name := range []string{"threshold", "aws-step", "aws-target", "aws-target:10s", "hpa", "hpa:70", "gcp", "azure"} {
		if r := of[name]; ours.Cost >= r.Cost || ours.LostPercent >= r.LostPercent {
			t.Errorf("predictive %+v\n%s %+v", ours, name, r)
		}
	}
}

func TestReportNeedsNothingElse(t *testing.T) {
	tr := between(12, 13)[3]
	tr.Name = "</script><b>odd"
	p := Plan{
		Traces:   []Trace{tr},
		Policies: []string{"predictive", "oracle"},
		Boots:    []time.Duration{30 * time.Second},
		Seeds:    1,
		Params:   Reference(),
		Keep:     600,
	}
	results, err := Compare(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := WriteHTML(&b, p, results); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, part := range []string{"http:", "https:", "src=", "<link", "<b>odd"} {
		if strings.Contains(page, part) {
			t.Errorf("the page has %q", part)
		}
	}
	for _, part := range []string{"oracle", "&lt;b&gt;odd, boot 30s", "The mean over all", "lost", `"hours":[`} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
}

func TestPlot(t *testing.T) {
	if got := Plot(Result{}); got != "" {
		t.Errorf("without points %q", got)
	}
	r := Result{
		Trace:  "load",
		Policy: "hpa",
		Boot:   time.Second,
		Points: []Point{{Second: 0, Demand: .8, Ready: 1}, {Second: 600, Demand: 6.4, Ready: 12}},
	}
	got := Plot(r)
	for _, part := range []string{"load, boot 1s, hpa", "over 10m0s", " 12 ", " 0 "} {
		if !strings.Contains(got, part) {
			t.Errorf("no %q in\n%s", part, got)
		}
	}
}

func BenchmarkDay(b *testing.B) {
	tr, w := Builtin()[0], Reference()
	for _, name := range []string{"threshold", "predictive", "hpa"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			var took []float64
			for b.Loop() {
				start := time.Now()
				c, err := newController(name, tr, w)
				if err != nil {
					b.Fatal(err)
				}
				if _, _, err := Run(b.Context(), tr, w, c, 0); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(start).Seconds())
			}
			aim := 0.
			if name == "threshold" {
				aim = 0.15
			}
			figures.Add(b, figures.Way{
				Figure: "a day of 25 VMs, simulated", Way: name, Kind: figures.Ours, Unit: "s", Values: took, Aim: aim,
			})
		})
	}
}

func TestHistory(t *testing.T) {
	begin := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	minute := func(at int, load ...*float64) bus.Demand {
		d := bus.Demand{V: bus.Version, Group: "web", Time: begin.Add(time.Duration(at) * time.Minute), StepS: 20, Load: load}
		for _, l := range load {
			var ready, owned *int
			if l != nil {
				ready, owned = new(2), new(3)
			}
			d.Ready, d.Owned = append(d.Ready, ready), append(d.Owned, owned)
		}
		return d
	}
	trace, gaps, err := History("web", []bus.Demand{minute(0, nil, new(0.5), new(1.)), minute(2, new(2.), nil, new(1.5))})
	if err != nil {
		t.Fatal(err)
	}
	if want := []float64{0, 0.5, 1, 1, 1, 1, 2, 2, 1.5}; !slices.Equal(trace.Demand, want) || trace.Step != 20*time.Second {
		t.Errorf("%v, step %s; want %v", trace.Demand, trace.Step, want)
	}
	if want := []int{1, 3, 3, 3, 3, 3, 3, 3, 3}; !slices.Equal(trace.Owned, want) {
		t.Errorf("owned %v, want %v", trace.Owned, want)
	}
	if math.Abs(gaps.Unknown-5./9) > 1e-9 || math.Abs(gaps.Saturated-1./9) > 1e-9 {
		t.Errorf("%+v", gaps)
	}
	own := bus.DefaultGroup()
	world := Reference()
	world.Own, world.Boot = &own, time.Second
	p := Plan{
		Traces:   []Trace{trace},
		Policies: []string{"own", "recorded", "predictive", OwnAs(bus.PolicyPredictive)},
		Boots:    []time.Duration{time.Second},
		Seeds:    1,
		Params:   world,
		Keep:     20,
	}
	results, err := Compare(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if last := results[1].Points[len(results[1].Points)-1]; last.Owned != 3 {
		t.Errorf("recorded has %d VMs, want the 3 that there were", last.Owned)
	}
	if results[3].Metrics != results[2].Metrics || results[3].Metrics == results[0].Metrics {
		t.Errorf("as predictive a group of defaults does %+v, and predictive %+v", results[3].Metrics, results[2].Metrics)
	}
	for _, nothing := range [][]bus.Demand{nil, {minute(0, nil, nil, nil)}} {
		if _, _, err := History("web", nothing); err == nil {
			t.Errorf("%v makes a trace", nothing)
		}
	}
}

// A group's own schedule is that of the time at which its load was recorded.
func TestScheduleOfTheRecordedTime(t *testing.T) {
	own := bus.DefaultGroup()
	own.Name, own.IdleToZero = "web", time.Minute
	own.Min = 0 // there is one VM at least all the same
	own.Schedule = []bus.ScheduledAction{{At: "2026-12-24T18:00", Zone: "UTC", Min: new(3)}}
	trace := Trace{Name: "web", Step: time.Minute, Demand: make([]float64, 120)}
	w := Reference()
	w.Own, w.Start, w.Max = &own, time.Date(2026, 12, 24, 17, 30, 0, 0, time.UTC), 5
	_, points, err := Run(t.Context(), trace, w, ownController(w), 60)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range points {
		want := 1
		if p.Second >= 30*60 {
			want = 3
		}
		if p.Owned != want && p.Second > 300 {
			t.Errorf("after %d s there are %d VMs, want %d", p.Second, p.Owned, want)
		}
	}
	if len(points) < 100 {
		t.Errorf("%d points", len(points))
	}
}
