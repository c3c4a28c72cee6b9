package expression

import (
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/vmscaler/vmscaler/bus"
)

func full() Inputs {
	return Inputs{
		CPUPercent: new(90.), MemoryPercent: new(40.), VMs: 3,
		Rates: bus.Rates{NetworkRx: new(1.), NetworkTx: new(2.), DiskRead: new(3.), DiskWrite: new(4.)},
		Metrics: map[string]Number{
			"requests": {Value: new(600.)}, "none": {Value: new(0.)}, "late": {Why: "the metric late was published 5m0s ago"},
			bus.PrometheusMetric: {Value: new(30.)},
		},
	}
}

// Metrics are shares: 600 requests are 200 for each of 3 VMs.
func TestValue(t *testing.T) {
	for _, tt := range []struct {
		text   string
		value  float64
		inputs string
	}{
		{`cpu / 60`, 1.5, "cpu 90"},
		{`max(cpu / 60, metric("requests") / 100)`, 2, "cpu 90, requests 200"},
		{`max(cpu/60, memory/80, network_tx/1)`, 2, "cpu 90, memory 40, network_tx 2"},
		{`metric("requests") * vms / 100`, 6, "vms 3, requests 200"},
		{`prometheus / 5`, 2, "prometheus 10"},
		{`metric("prometheus") / 5`, 2, "prometheus 10"},
		{`cpu > 80 ? 2 : 1`, 2, "cpu 90"},
		{`cpu > 80 and memory < 50 ? cpu / 60 : 1`, 1.5, "cpu 90, memory 40"},
		{`ceil(network_rx + 0.1) ** 2 - abs(-1) + floor(disk_read) + round(disk_write)`, 10, "network_rx 1, disk_read 3, disk_write 4"},
		{`min(cpu, 30) / 60`, .5, "cpu 90"},
		{`1 + 0 * cpu`, 1, "cpu 90"},
		{`cpu > 10 ? 1 : 2`, 1, "cpu 90"},
		{`metric("none") / 5`, 0, "none 0"},
	} {
		p, err := Compile(tt.text)
		if err != nil {
			t.Errorf("%s: %v", tt.text, err)
			continue
		}
		if v, inputs := p.Value(full()); v == nil || *v != tt.value || inputs != tt.inputs {
			t.Errorf("%s: got %v of %s, want %g of %s", tt.text, v, inputs, tt.value, tt.inputs)
		}
	}
}

// Without one of its inputs the value is unknown, and never made of the others.
func TestUnknown(t *testing.T) {
	for text, want := range map[string]string{
		`max(1, cpu / 60, metric("late") / 100)`: "the metric late was published 5m0s ago",
		`cpu > 0 ? 1 : metric("other")`:          "the metric other is not known",
		`cpu / (memory - 40)`:                    "the expression is +Inf of cpu 90, memory 40, want 0 to 1e+06",
		`metric("none") / metric("none")`:        "the expression is NaN of none 0, want 0 to 1e+06",
		`cpu - 100`:                              "the expression is -10 of cpu 90, want 0 to 1e+06",
		`cpu ** 100`:                             "the expression is 2.656",
	} {
		p, err := Compile(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if v, why := p.Value(full()); v != nil || !strings.HasPrefix(why, want) {
			t.Errorf("%s: got %v, %q, want %q", text, v, why, want)
		}
	}
	for _, name := range Names() {
		p, err := Compile(name + " / 2")
		if err != nil {
			t.Fatal(err)
		}
		if v, why := p.Value(Inputs{}); (v == nil) != (name != "vms") || v == nil && why == "" {
			t.Errorf("%s of nothing: %v, %q", name, v, why)
		}
	}
}

func TestNames(t *testing.T) {
	p, err := Compile(`max(cpu/60, cpu/50, metric("a")/1, metric("b")/1, metric("a")/2, prometheus)`)
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Metrics(); !slices.Equal(got, []string{"a", "b", bus.PrometheusMetric}) || !p.Has("cpu") || p.Has("memory") {
		t.Errorf("metrics %q, %+v", got, p)
	}
}

func TestCompileRefuses(t *testing.T) {
	for text, want := range map[string]string{
		``:                                  "unexpected token EOF",
		`cpu /`:                             "unexpected token EOF (1:5): it has the numbers cpu, memory,",
		`cpus / 60`:                         "unknown name cpus",
		`"cpu"`:                             "expected float64, but got string",
		`cpu > 60`:                          "expected float64, but got bool",
		`1.5`:                               "names no signal",
		`metric(requests)`:                  "want the metric's name in quotes",
		`metric(cpu > 1 ? "a" : "b")`:       "want the metric's name in quotes",
		`metric("a.b")`:                     `metric: found "a.b": want 1 to 60`,
		`metric()`:                          "not enough arguments",
		`sum(map(1..1000000, # * cpu))`:     "",
		`reduce(1..1000000000, #acc + cpu)`: "",
		`len(1..1000000000) + cpu`:          "",
		`max(1..1000000000) + cpu`:          "",
		`cpu + [1, 2][0]`:                   "want numbers, comparisons and ?: alone",
		`let x = cpu; x`:                    "want numbers, comparisons and ?: alone",
		`{"a": cpu}.a`:                      "",
		`$env.cpu`:                          "",
		`$env["cpu"]`:                       "",
		`now().Unix() + cpu`:                "unknown name now",
		`"a" matches "(a+)+$" ? cpu : 1.0`:  `found the operator "matches"`,
		`"a" in ["a"] ? cpu : 1.0`:          "",
		`cpu ?? 1.0`:                        "",
		`cpu | abs()`:                       "-",
		`metric("a") + metric`:              "invalid operation: + (mismatched types",
		`cpu` + strings.Repeat(`+1`, 1000):  "it has 2003 bytes",
		`cpu` + strings.Repeat(`+1`, 200):   "exceeds maximum allowed nodes",
		strings.Repeat(`(`, 900) + `cpu`:    "",
		manyMetrics(17):                     "it names 17 metrics, want at most 16",
		`repeat("a", 100000000) == "" ? cpu : 1.0`: "unknown name repeat",
	} {
		_, err := Compile(text)
		if want == "-" {
			if err != nil {
				t.Errorf("%s: %v", text, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func manyMetrics(n int) string {
	var all []string
	for i := range n {
		all = append(all, `metric("`+strings.Repeat("a", i+1)+`")`)
	}
	return strings.Join(all, "+")
}

// Whatever the text: it is refused, or its value is a number that is in range, or unknown with a reason.
func FuzzCompile(f *testing.F) {
	for _, text := range []string{`max(cpu / 60, metric("a") / 100)`, `cpu > 1 ? 2 : -memory ** 2`, `1..9`, `let a = 1; a`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Compile(text)
		if err != nil {
			return
		}
		if v, text := p.Value(full()); text == "" || v != nil && !(*v >= 0 && *v <= maxValue) {
			t.Errorf("%v, %q", v, text)
		}
	})
}

// The value is monotonic where the expression is: more load never gives less.
func TestMoreLoad(t *testing.T) {
	p, err := Compile(`max(cpu / 60, metric("requests") / 100)`)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string, most float64) float64 { return rapid.Float64Range(0, most).Draw(t, name) }
		in := func(cpu, requests float64, vms int) Inputs {
			return Inputs{CPUPercent: &cpu, VMs: vms, Metrics: map[string]Number{"requests": {Value: &requests}}}
		}
		cpu, requests, vms := draw("cpu", 50), draw("requests", 1e6), rapid.IntRange(0, 100).Draw(t, "vms")
		less, _ := p.Value(in(cpu, requests, vms))
		more, _ := p.Value(in(cpu+draw("more cpu", 50), requests+draw("more requests", 1e6), vms))
		if less == nil || more == nil || *more < *less {
			t.Fatalf("%v and then %v", less, more)
		}
		if want := math.Max(cpu/60, requests/float64(max(vms, 1))/100); math.Abs(*less-want) > 1e-9 {
			t.Fatalf("got %g, want %g", *less, want)
		}
	})
}

func BenchmarkCompileAndValue(b *testing.B) {
	for b.Loop() {
		p, err := Compile(`max(cpu / 60, metric("requests") / 100)`)
		if err != nil {
			b.Fatal(err)
		}
		p.Value(full())
	}
}
