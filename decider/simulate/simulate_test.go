package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
)

func TestReadTrace(t *testing.T) {
	got, err := ReadTrace("load", strings.NewReader("# where it is from\nt_seconds,demand_vcpus\n0,1\n30,2.5\n60,0\n"))
	want := Trace{Name: "load", Step: 30 * time.Second, Demand: []float64{1, 2.5, 0}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
	for second, demand := range map[int]float64{0: 1, 15: 1.75, 30: 2.5, 45: 1.25, 60: 0, 900: 0} {
		if d := got.At(second); d != demand {
			t.Errorf("at %d s: %g, want %g", second, d, demand)
		}
	}
	if got.Length() != time.Minute {
		t.Errorf("length %s", got.Length())
	}
	for text, wrong := range map[string]string{
		"":                                             "found 0 rows, want at least 2",
		"t_seconds,demand_vcpus\n0,1\n":                "found 1 rows",
		"time,load\n0,1\n":                             `load:1: found "time,load", want the header t_seconds,demand_vcpus`,
		"t_seconds,demand_vcpus\n0,1\n0,1":             `load:3: found "0", want a later time`,
		"t_seconds,demand_vcpus\n0,1\nx,1":             `load:3: found "x", want whole seconds`,
		"t_seconds,demand_vcpus\n0,1\n9,-1":            `load:3: found "-1", want vCPUs from 0 to 1e+06`,
		"t_seconds,demand_vcpus\n0,NaN\n":              `found "NaN"`,
		"t_seconds,demand_vcpus\n0,1\n9":               `load:3: found ""`,
		"t_seconds,demand_vcpus\n#\n0,1\n10,1\n21,1\n": `load:5: found "21", want 20: the rows are on a fixed step`,
	} {
		if _, err := ReadTrace("load", strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), wrong) || !strings.Contains(err.Error(), "trace load") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestReadTraces(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadTraces(dir); err == nil || !strings.Contains(err.Error(), "found no *.csv") {
		t.Error(err)
	}
	if _, err := ReadTraces(filepath.Join(dir, "none")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	for _, name := range []string{"b.csv", "a.csv", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(traceHeader+"\n0,1\n1,1\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	traces, err := ReadTraces(dir)
	if err != nil || len(traces) != 2 || traces[0].Name != "a" || traces[1].Name != "b" {
		t.Errorf("%+v, %v", traces, err)
	}
}

// A trace beyond what can be run in a reasonable time is refused with its line, and what is no file at once.
func TestTraceBounds(t *testing.T) {
	for name, tt := range map[string]struct{ text, wrong string }{
		"two rows far apart":    {"0,1\n9000000000,1\n", `:3: found "9000000000", want at most 366 days after the first row`},
		"an absurd step":        {"-999999999999,1\n999999999999,1\n", ":3: found"},
		"an absurd time":        {"0,1\n9223372036854775807,1\n", `:3: found "9223372036854775807", want whole seconds`},
		"a time that no int is": {"0,1\n9223372036854775808,1\n", `want whole seconds`},
		"an absurd demand":      {"0,1e308\n1,1\n", `:2: found "1e308", want vCPUs from 0 to 1e+06`},
		"an infinite one":       {"0,inf\n1,1\n", `:2: found "inf"`},
		"a year and a day":      {"0,1\n31708800,1\n", `:3: found "31708800", want at most 366 days`},
		"a long line":           {"0,1\n1," + strings.Repeat("0", 5000) + "\n", ":3: found a longer line, want at most 4096 bytes"},
		"too many rows":         {rows(maxRows + 1), `:1000002: found "1000000,1", want at most 1000000 rows`},
		"zeros":                 {strings.Repeat("\x00", 100), ":2: found"},
	} {
		if _, err := ReadTrace("load.csv", strings.NewReader(traceHeader+"\n"+tt.text)); err == nil || !strings.Contains(err.Error(), "trace load.csv") || !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%s: %v, want %s", name, err, tt.wrong)
		}
	}
	for name, text := range map[string]string{
		"as much as is allowed": "0,1\n31622400,1e6\n",
		"times since 1970":      "1806199200,1\n1806199260,1\n",
	} {
		if _, err := ReadTrace("load.csv", strings.NewReader(traceHeader+"\n"+text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	endless := io.MultiReader(strings.NewReader(traceHeader+"\n"), repeat("# nothing\n"))
	if _, err := ReadTrace("load.csv", endless); err == nil || !strings.Contains(err.Error(), "found 0 rows") {
		t.Errorf("an endless file: %v", err)
	}
}

func rows(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d,1\n", i)
	}
	return b.String()
}

// repeat is a line for ever.
type repeat string

func (r repeat) Read(p []byte) (int, error) { return copy(p, r), nil }

func TestSpecialFilesAreNoTraces(t *testing.T) {
	dir := t.TempDir()
	fifo, folder := filepath.Join(dir, "fifo"), filepath.Join(dir, "folder")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(folder, "x.csv"), 0o700); err != nil {
		t.Fatal(err)
	}
	large := filepath.Join(dir, "large.csv")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, maxBytes+1); err != nil {
		t.Fatal(err)
	}
	for path, wrong := range map[string]string{
		fifo: "found a FIFO, want a regular file", "/dev/zero": "found a device", folder: "x.csv: found a folder",
		large: "found 67108865 bytes", filepath.Join(dir, "none"): "no such file",
	} {
		if _, err := ReadTraces(path); err == nil || !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v, want %s", path, err, wrong)
		}
	}
	// One that has become a FIFO since it was looked at is not waited for.
	if _, err := readFile(fifo); err == nil {
		t.Error("a FIFO is a trace")
	}
}

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
	if fleet.second+1 < f.from {
		return f.before
	}
	return f.after
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-9 }

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
	lag := 9 + 30. // seconds with 2 of 4
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
	if len(points) != 2 || points[0] != (Point{0, 1.6, 2, 2, 80}) || points[1].Second != 600 || points[1].Ready != 2 || points[1].CPU != 80 {
		t.Errorf("points %+v", points)
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
		Traces: between(0, 2)[:2], Policies: []string{"predictive", "threshold", "hpa"}, Boots: []time.Duration{2 * time.Second, 30 * time.Second},
		Seeds: 1, Params: Reference(), Keep: 300,
	}
	first, err := Compare(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Compare(t.Context(), p)
	if err != nil || !reflect.DeepEqual(first, again) {
		t.Errorf("%v: another run gives other results", err)
	}
	if len(first) != 12 || first[1].Policy != "threshold" || first[0].Boot != 2*time.Second || len(first[0].Points) != 24 || len(first[3].Points) != 0 {
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

// What docs/policies.md promises must hold on demands that nobody has tuned for, too.
func TestPredictiveBeatsTheBaselines(t *testing.T) {
	p := Plan{Traces: between(12, 18), Policies: Baselines(), Boots: []time.Duration{30 * time.Second}, Seeds: 1, Params: Reference()}
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
		if r := of[name]; ours.Cost >= r.Cost || ours.LostPercent >= r.LostPercent || ours.ThetaU >= r.ThetaU {
			t.Errorf("predictive %+v\n%s %+v", ours, name, r)
		}
	}
}

func TestCheckPolicies(t *testing.T) {
	if err := CheckPolicies(Policies()); err != nil {
		t.Error(err)
	}
	if err := CheckPolicies([]string{"hpa", "magic"}); err == nil || !strings.Contains(err.Error(), `found "magic", want one of [threshold predictive`) {
		t.Error(err)
	}
}

func reading(second int, cpu float64, ready, coming, desired int) policy.Reading {
	return policy.Reading{
		Now: start.Add(time.Duration(second) * time.Second), CPUPercent: &cpu, Ready: ready, Coming: coming, Desired: desired, Min: 1, Max: 100,
	}
}

// By the algorithm's page: 200m of a target of 100m doubles, 50m halves; within 10 % nothing happens; pods that are not
// ready count as 0 when scaling out.
func TestHPA(t *testing.T) {
	for _, tt := range []struct {
		cpu            float64
		ready, unready int
		want           int
	}{
		{200, 3, 0, 6},
		{50, 4, 0, 2},
		{109, 10, 0, 10},
		{91, 10, 0, 10},
		{111, 10, 0, 12},
		{89, 10, 0, 9},
		{200, 3, 3, 6},
		{200, 3, 1, 6},
		{120, 10, 10, 20},
		{50, 4, 4, 2},
	} {
		h := &hpa{target: 100}
		if got := h.want(tt.cpu, tt.ready, tt.unready); got != tt.want {
			t.Errorf("%g %% of %d ready and %d unready: %d, want %d", tt.cpu, tt.ready, tt.unready, got, tt.want)
		}
	}
	h := &hpa{target: 60}
	if w := h.Recommend(reading(0, 100, 3, 0, 3)); w.Desired != 5 {
		t.Errorf("out: %d", w.Desired)
	}
	if w := h.Recommend(reading(15, 100, 30, 0, 3)); w.Desired != 7 {
		t.Errorf("at most 4 or as many again: %d", w.Desired)
	}
	h = &hpa{target: 60}
	for second := 0; second <= 330; second += 15 {
		cpu := map[bool]float64{true: 60, false: 6}[second == 0]
		want := map[bool]int{true: 10, false: 1}[second <= 300]
		if w := h.Recommend(reading(second, cpu, 10, 0, 10)); w.Desired != want {
			t.Errorf("after %d s: %d, want %d", second, w.Desired, want)
		}
	}
}

func TestGCPKeepsTheHighestOfTenMinutes(t *testing.T) {
	g := &gcp{}
	for second := 0; second <= 900; second += 15 {
		cpu := map[bool]float64{true: 90, false: 6}[second < 60]
		w := g.Recommend(reading(second, cpu, 10, 0, 10))
		if want := 15; second > 0 && second < 600 && w.Desired != want {
			t.Errorf("after %d s: %d, want %d", second, w.Desired, want)
		}
		if second > 720 && w.Desired != 1 {
			t.Errorf("after %d s: %d", second, w.Desired)
		}
	}
}

// The projection: with 2 VMs at 29 % the load of one would be 58 %, so one can go; with an upper of 70 % 2 VMs at 40 % cannot.
func TestAzure(t *testing.T) {
	run := func(cpu float64, vms, minutes int) int {
		a := &azure{}
		for minute := range minutes {
			vms = a.Recommend(reading(60*minute, cpu, vms, 0, vms)).Desired
		}
		return vms
	}
	for _, tt := range []struct {
		cpu                float64
		vms, minutes, want int
	}{{90, 2, 9, 2}, {90, 2, 10, 3}, {90, 2, 14, 3}, {90, 2, 15, 4}, {29, 2, 10, 1}, {31, 2, 30, 2}, {70, 5, 30, 5}, {10, 1, 30, 1}} {
		if got := run(tt.cpu, tt.vms, tt.minutes); got != tt.want {
			t.Errorf("%g %% of %d VMs for %d minutes: %d, want %d", tt.cpu, tt.vms, tt.minutes, got, tt.want)
		}
	}
}

func TestReportNeedsNothingElse(t *testing.T) {
	tr := Builtin()[3]
	tr.Name = "</script><b>odd"
	p := Plan{Traces: []Trace{tr}, Policies: []string{"predictive", "oracle"}, Boots: []time.Duration{30 * time.Second}, Seeds: 1, Params: Reference(), Keep: 600}
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
	for _, part := range []string{"oracle", "&lt;b&gt;odd, boot 30s", "Mean over all", `"hours":[0,`} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
}

func TestPlot(t *testing.T) {
	if got := Plot(Result{}); got != "" {
		t.Errorf("without points %q", got)
	}
	r := Result{Trace: "load", Policy: "hpa", Boot: time.Second, Points: []Point{{Second: 0, Demand: .8, Ready: 1}, {Second: 600, Demand: 6.4, Ready: 12}}}
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
			for b.Loop() {
				c, err := newController(name, tr, w)
				if err != nil {
					b.Fatal(err)
				}
				if _, _, err := Run(b.Context(), tr, w, c, 0); err != nil {
					b.Fatal(err)
				}
			}
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
	p := Plan{Traces: []Trace{trace}, Policies: []string{"own", "recorded", "predictive"}, Boots: []time.Duration{time.Second}, Seeds: 1, Params: world, Keep: 20}
	results, err := Compare(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if last := results[1].Points[len(results[1].Points)-1]; last.Owned != 3 {
		t.Errorf("recorded has %d VMs, want the 3 that there were", last.Owned)
	}
	for _, nothing := range [][]bus.Demand{nil, {minute(0, nil, nil, nil)}} {
		if _, _, err := History("web", nothing); err == nil {
			t.Errorf("%v makes a trace", nothing)
		}
	}
}
