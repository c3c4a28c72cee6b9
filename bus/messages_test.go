package bus

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

var noon = time.Date(2026, 5, 4, 12, 0, 0, 250_000_000, time.UTC)

// The examples are well-filled messages; their JSON in testdata documents the contract.

func exampleSample() *Sample {
	return &Sample{
		V: Version, Group: "web", HostID: "4c4c4544-0035-4e10-8051-b7c04f4a3032-system", Host: "kvm1.example.org", Instance: "kvm1.example.org-4711-ZQ3FJA", Time: noon,
		VMs: []VM{
			{
				Name: "web-1", State: StateRunning, Phase: PhaseReady, CPUPercent: new(83.4), VCPUs: 2, MemoryMiB: 1024,
				MemoryUsedMiB: new(512), RunDelayPercent: new(1.5), UUID: "5c0d2a9e-7f0b-4e53-9d6a-0d8a4e6b1c11",
				Created: noon.Add(-10 * time.Minute), PhaseSince: noon.Add(-9 * time.Minute),
				BootedAt: new(noon.Add(-9 * time.Minute)), RebootedAt: new(noon.Add(-2 * time.Minute)),
			},
			{
				Name: "web-2", State: StateRunning, Phase: PhaseLaunching, VCPUs: 2, MemoryMiB: 1024,
				UUID: "a1b2c3d4-0000-4000-8000-00000000000a", Created: noon.Add(-4 * time.Second), PhaseSince: noon.Add(-3 * time.Second),
				Error: "read the info of domain web-2: timed out",
			},
		},
		HostLoad:  Host{CPUPercent: new(41.7), Cores: 8, MemoryMiB: 32000, MemoryFreeMiB: new(20480), MemoryPromisedMiB: new(1536), PoolFreeMiB: new(512000)},
		ElapsedMS: 4.231, SpecHash: "0123456789ab",
	}
}

func exampleDecision() *Decision {
	return &Decision{
		V: Version, Group: "web", Direction: Out, Current: 2, Desired: 3, Sentence: "scaling out: average 83 % > 70 % for 3 s",
		Rule: RuleAboveUpper, Guard: GuardCooldown,
		Inputs: Inputs{
			AveragePercent: new(83.4), ProjectedPercent: new(83.4), UpperPercent: 70, LowerPercent: 20, Min: 1, Max: 5,
			Owned: 2, Ready: 2, Launching: 1, Warming: 1, Unknown: 1, Breaches: 3, BreachesNeeded: 3, BootMS: 11200, WarmupMS: new(int64(5000)), CooldownMS: 1500, RunDelayPercent: new(1.5), Metric: "requests", MetricValue: new(118.5),
		},
		Wishes: []Wish{{Policy: PolicyPredictive, Desired: 3, Sentence: "load 1.6 VMs, 1.7 expected in 16 s with a margin of 0.4"}},
		Shares: map[HostID]Share{
			"4c4c4544-0035-4e10-8051-b7c04f4a3032-system":       {Host: "kvm1.example.org", VMs: 2, Numbers: []int{4, 5, 7}},
			"f2cb6a1e-9a3f-5d0a-b1c2-0d9e8f7a6b54-session-1000": {Host: "kvm2.example.org", VMs: 1, Numbers: []int{3, 6, 8}},
		}, Known: true,
		Controls: Controls{Paused: []Scope{ScopeIn}, DryRun: true, Set: map[string]string{"policy.upper": "60"}, By: "ann@kvm1.example.org", Since: new(noon.Add(-time.Hour))}, ID: "web-1777896000250-17",
		Term: 1777896000250, Seq: 42, Time: noon, ExpiresAt: noon.Add(5 * time.Second), SpecHash: "0123456789ab",
	}
}

func exampleEvent() *Event {
	return &Event{
		V: Version, Group: "web", VM: "web-3", Event: EventFailed, Sentence: "launching failed, next try in 1s", ElapsedMS: 412,
		Error: "create volume web-3.5c0d2a9e.qcow2: no space left", Host: "kvm1.example.org", DecisionID: "web-1777896000250-17", Time: noon,
		Deadline: new(noon.Add(time.Minute)), Token: "K3VN4TQF2WJ6X7YBZL5A",
	}
}

func exampleHealth() *Health {
	return &Health{
		V: Version, Stage: "collector", Instance: "kvm1.example.org-4711", OK: false, Message: "reach libvirt: connection refused", Dropped: 2,
		Acts:  &Acts{HostID: "4c4c4544-0035-4e10-8051-b7c04f4a3032-system", Full: []string{"web"}, Taken: map[string][]int{"web": {2}}},
		Since: noon.Add(-time.Hour), Time: noon, Version: "v0.3.0",
	}
}

func exampleMetric() *Metric {
	return &Metric{V: Version, Group: "web", Name: "requests", Value: new(118.5)}
}

func exampleDemand() *Demand {
	return &Demand{
		V: Version, Group: "web", Time: noon.Truncate(time.Minute), StepS: 10, Load: []*float64{new(1.634), nil}, Ready: []*int{new(2), nil},
		Owned: []*int{new(3), nil},
	}
}

func exampleStatus() *Status {
	return &Status{
		V: Version, Time: noon, Stages: []Health{*exampleHealth()},
		Groups: []GroupStatus{{Group: "web", Decision: exampleDecision(), Samples: []Sample{*exampleSample()}}},
	}
}

func TestGoldens(t *testing.T) {
	t.Run("sample", func(t *testing.T) { golden(t, "testdata/sample.json", exampleSample()) })
	t.Run("decision", func(t *testing.T) { golden(t, "testdata/decision.json", exampleDecision()) })
	t.Run("lifecycle", func(t *testing.T) { golden(t, "testdata/lifecycle.json", exampleEvent()) })
	t.Run("metric", func(t *testing.T) { golden(t, "testdata/metric.json", exampleMetric()) })
	t.Run("demand", func(t *testing.T) { golden(t, "testdata/demand.json", exampleDemand()) })
	t.Run("health", func(t *testing.T) { golden(t, "testdata/health.json", exampleHealth()) })
	t.Run("status", func(t *testing.T) { golden(t, "testdata/status.json", exampleStatus()) })
}

// golden compares a message with its file, both ways. A field that the example leaves empty is undocumented.
func golden[T any, PT interface {
	*T
	message
}](t *testing.T, file string, example PT,
) {
	t.Helper()
	got, err := json.MarshalIndent(example, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (write it anew with -update); got\n%s", file, got)
	}
	back, err := Decode[T, PT](want)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, *example) {
		t.Errorf("read back: got  %+v\nwant %+v", back, *example)
	}
	v := reflect.ValueOf(*example)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() && name != "OK" {
			t.Errorf("the example leaves %s empty", name)
		}
	}
}

// Unknown is null, and an empty list is not: a reader must be able to tell both from 0 and from "nothing said".
func TestUnknownIsNullAndEmptyIsNot(t *testing.T) {
	for _, tt := range []struct {
		name string
		m    any
		want []string
	}{
		{"unknown CPU", VM{}, []string{`"cpu_percent":null`}},
		{"unknown host", Host{}, []string{`"cpu_percent":null`, `"memory_free_mib":null`, `"memory_promised_mib":null`, `"pool_free_mib":null`}},
		{"unknown average", Inputs{}, []string{`"average_percent":null`, `"projected_percent":null`}},
		{"no VMs", Sample{VMs: []VM{}}, []string{`"vms":[]`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			data, err := json.Marshal(tt.m)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				if !strings.Contains(string(data), want) {
					t.Errorf("no %s in %s", want, data)
				}
			}
		})
	}
	data, _ := json.Marshal(VM{})
	for _, absent := range []string{"memory_used_mib", "run_delay_percent"} {
		if strings.Contains(string(data), absent) {
			t.Errorf("unknown %s is in %s", absent, data)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	refuses(t, "sample", exampleSample(), "group", "host", "time")
	refuses(t, "decision", exampleDecision(), "group", "id", "expires_at")
	refuses(t, "event", exampleEvent(), "group", "event", "time")
	refuses(t, "metric", exampleMetric(), "group", "name", "value")
	refuses(t, "demand", exampleDemand(), "group", "time", "step_s", "ready")
	refuses(t, "health", exampleHealth(), "stage", "instance", "time")

	d := exampleDecision()
	d.Desired = -1
	data, _ := json.Marshal(d)
	if _, err := Decode[Decision](data); err == nil || !strings.Contains(err.Error(), "desired -1") {
		t.Errorf("desired -1: got %v", err)
	}
}

// refuses decodes a good message that was spoilt in one way after the other.
func refuses[T any, PT interface {
	*T
	message
}](t *testing.T, name string, good PT, required ...string,
) {
	t.Helper()
	spoilt := func(change func(map[string]any)) []byte {
		data, err := json.Marshal(good)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(data, &fields); err != nil {
			t.Fatal(err)
		}
		change(fields)
		data, err = json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	if _, err := Decode[T, PT](spoilt(func(map[string]any) {})); err != nil {
		t.Fatalf("%s: a good one is refused: %v", name, err)
	}
	if _, err := Decode[T, PT](spoilt(func(f map[string]any) { f["added_later"] = map[string]any{"x": 1} })); err != nil {
		t.Errorf("%s: an added field is refused: %v", name, err)
	}
	for _, field := range required {
		_, err := Decode[T, PT](spoilt(func(f map[string]any) { delete(f, field) }))
		if err == nil || !strings.Contains(err.Error(), "without") {
			t.Errorf("%s without %s: got %v", name, field, err)
		}
	}
	for what, change := range map[string]func(map[string]any){
		"no version":     func(f map[string]any) { delete(f, "v") },
		"a later one":    func(f map[string]any) { f["v"] = Version + 1 },
		"an earlier":     func(f map[string]any) { f["v"] = 0 },
		"a negative one": func(f map[string]any) { f["v"] = -1 },
	} {
		if _, err := Decode[T, PT](spoilt(change)); !errors.Is(err, errVersion) {
			t.Errorf("%s, version: %s: got %v", name, what, err)
		}
	}
	for _, text := range []string{``, `{`, `[]`, `"x"`, `null`, `{"v":"1"}`, `{"v":1,"time":"yesterday"}`} {
		if _, err := Decode[T, PT]([]byte(text)); err == nil {
			t.Errorf("%s: %q is accepted", name, text)
		}
	}
}

func FuzzDecodeSample(f *testing.F)   { fuzz(f, exampleSample()) }
func FuzzDecodeDecision(f *testing.F) { fuzz(f, exampleDecision()) }
func FuzzDecodeEvent(f *testing.F)    { fuzz(f, exampleEvent()) }
func FuzzDecodeHealth(f *testing.F)   { fuzz(f, exampleHealth()) }
func FuzzDecodeMetric(f *testing.F)   { fuzz(f, exampleMetric()) }
func FuzzDecodeDemand(f *testing.F)   { fuzz(f, exampleDemand()) }

// fuzz checks that whatever is accepted has a subject that NATS can carry, and reads the same after another trip.
func fuzz[T any, PT interface {
	*T
	outgoing
}](f *testing.F, example PT,
) {
	good, err := json.Marshal(example)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(bytes.ReplaceAll(good, []byte("web"), []byte(`>.*\u0000`)))
	f.Add([]byte(`{"v":1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode[T, PT](data)
		if err != nil {
			return
		}
		subject := PT(&m).Subject()
		for token := range strings.SplitSeq(subject, ".") {
			if !safeToken.MatchString(token) {
				t.Errorf("subject %q of %s", subject, data)
			}
		}
		if _, err := decodeOn[T, PT](subject, data); err != nil {
			t.Errorf("refused on its own subject: %v", err)
		}
		if _, err := decodeOn[T, PT](subject+"x", data); err == nil {
			t.Error("accepted on another subject")
		}
		first, err := json.Marshal(m)
		if err != nil {
			t.Fatalf("accepted, but does not encode: %v", err)
		}
		back, err := Decode[T, PT](first)
		if err != nil {
			t.Fatalf("%s is refused after a trip as %s: %v", data, first, err)
		}
		if second, _ := json.Marshal(back); !bytes.Equal(first, second) {
			t.Errorf("after another trip %s is %s", first, second)
		}
	})
}

// What is not a number that somebody may have measured is refused with a reason; none is not 0.
func TestMetricIsChecked(t *testing.T) {
	for _, tt := range []struct{ body, want string }{
		{`{"v":1,"group":"web","name":"requests"}`, "without group, name or value"},
		{`{"v":1,"group":"web","name":"requests","value":null}`, "without group, name or value"},
		{`{"v":1,"group":"web","name":"requests","value":-5}`, "value: found -5, want 0 to 1e+15"},
		{`{"v":1,"group":"web","name":"requests","value":-0.1}`, "value: found -0.1, want 0 to 1e+15"},
		{`{"v":1,"group":"web","name":"requests","value":1e16}`, "value: found 1e+16, want 0 to 1e+15"},
		{`{"v":1,"group":"web","name":"requests","value":1e308}`, "value: found 1e+308, want 0 to 1e+15"},
		{`{"v":1,"group":"web","name":"requests","value":1e309}`, "cannot unmarshal number 1e309"},
		{`{"v":1,"group":"web","name":"requests","value":NaN}`, "invalid character"},
		{`{"v":1,"group":"web","name":"requests","value":"5"}`, "cannot unmarshal string"},
		{`{"v":1,"group":"web","name":"requests","value":[]}`, "cannot unmarshal array"},
		{`{"v":1,"group":"web","name":"requests","value":true}`, "cannot unmarshal bool"},
		{`{"v":1,"group":"","name":"requests","value":5}`, "without group, name or value"},
		{`{"v":1,"group":"We b","name":"requests","value":5}`, `group "We b"`},
		{`{"v":1,"group":"web","name":"","value":5}`, "without group, name or value"},
		{`{"v":1,"group":"web","name":"req.s","value":5}`, `name "req.s"`},
		{`{"v":1,"group":"web","name":"` + strings.Repeat("x", 61) + `","value":5}`, `name "xxx`},
		{`{"v":2,"group":"web","name":"requests","value":5}`, "version"},
		{`null`, "without group"},
		{`[]`, "cannot unmarshal array"},
		{``, "unexpected end"},
		{`{"v":1,"group":"web","name":"requests","value":0}`, ""},
		{`{"v":1,"group":"web","name":"requests","value":1e15}`, ""},
	} {
		_, err := Decode[Metric]([]byte(tt.body))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.body, err, tt.want)
		}
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, MaxMetric * 2} {
		if CheckMetricValue(v) == nil {
			t.Errorf("%g is taken", v)
		}
	}
}
