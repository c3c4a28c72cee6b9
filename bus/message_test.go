package bus_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
)

// The examples are well-filled messages; their JSON in testdata documents the contract.

func TestGoldens(t *testing.T) {
	t.Run("sample", func(t *testing.T) { golden(t, "testdata/sample.json", bustest.Sample()) })
	t.Run("decision", func(t *testing.T) { golden(t, "testdata/decision.json", bustest.Decision()) })
	t.Run("lifecycle", func(t *testing.T) { golden(t, "testdata/lifecycle.json", ofAgent(bustest.Event())) })
	t.Run("metric", func(t *testing.T) { golden(t, "testdata/metric.json", bustest.Metric()) })
	t.Run("load", func(t *testing.T) { golden(t, "testdata/load.json", bustest.GuestLoad()) })
	t.Run("demand", func(t *testing.T) { golden(t, "testdata/demand.json", bustest.Demand()) })
	t.Run("victims", func(t *testing.T) { golden(t, "testdata/victims.json", bustest.Victims()) })
	t.Run("victims answer", func(t *testing.T) { golden(t, "testdata/victims-answer.json", bustest.VictimsAnswer()) })
	t.Run("health", func(t *testing.T) { golden(t, "testdata/health.json", ofAgent(bustest.Health())) })
	t.Run("status", func(t *testing.T) { golden(t, "testdata/status.json", bustest.Status()) })
}

// ofAgent is an example as an agent sends it, which says more.
func ofAgent[T bus.HostBound](m T) T {
	m.BindHost(bustest.Sample().HostID)
	return m
}

// An agent's message names its host in its subject, and what is of no agent has the subject that it always had.
func TestHostBoundSubjects(t *testing.T) {
	for _, m := range []bus.HostBound{bustest.Event(), bustest.Health()} {
		plain := m.Subject()
		m.BindHost("id.1")
		if want := plain + ".id%2E1"; m.Subject() != want {
			t.Errorf("got %s, want %s", m.Subject(), want)
		}
		m.BindHost("")
		if m.Subject() != plain {
			t.Errorf("got %s, want %s", m.Subject(), plain)
		}
	}
}

// golden compares a message with its file, both ways. A field that the example leaves empty is undocumented.
func golden[T any, PT interface {
	*T
	bus.Message
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
		t.Errorf("%s differs (write it again with -update); got\n%s", file, got)
	}
	back, err := bus.Decode[T, PT](want)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, *example) {
		t.Errorf("read back: got  %+v\nwant %+v", back, *example)
	}
	v := reflect.ValueOf(*example)
	for i := range v.NumField() {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() && name != "OK" && name != "trace" && // which is in the header
			name != "Error" { // an unknown metric has an error, and no value
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
		{"unknown CPU", bus.VM{}, []string{`"cpu_percent":null`}},
		{
			"unknown host",
			bus.Host{},
			[]string{`"cpu_percent":null`, `"memory_free_mib":null`, `"memory_promised_mib":null`, `"pool_free_mib":null`},
		},
		{"unknown average", bus.Inputs{}, []string{`"average_percent":null`, `"projected_percent":null`}},
		{"no VMs", bus.Sample{VMs: []bus.VM{}}, []string{`"vms":[]`}},
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
	data, _ := json.Marshal(bus.VM{})
	for _, absent := range []string{"memory_used_mib", "run_delay_percent"} {
		if strings.Contains(string(data), absent) {
			t.Errorf("unknown %s is in %s", absent, data)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	refuses(t, "sample", bustest.Sample(), "group", "host", "time")
	refuses(t, "decision", bustest.Decision(), "group", "id", "expires_at")
	refuses(t, "event", bustest.Event(), "group", "event", "time")
	refuses(t, "metric", bustest.Metric(), "group", "name", "value")
	refuses(t, "load", bustest.GuestLoad(), "group", "host_id", "time", "percent")
	refuses(t, "demand", bustest.Demand(), "group", "time", "step_s", "ready")
	refuses(t, "victims", bustest.Victims(), "group", "hook", "candidates", "time")
	refuses(t, "victims answer", bustest.VictimsAnswer(), "vms")
	refuses(t, "health", bustest.Health(), "stage", "instance", "time")

	a := bustest.VictimsAnswer()
	a.VMs[0] = strings.Repeat("x", bus.MaxName)
	data, _ := json.Marshal(a)
	if _, err := bus.Decode[bus.VictimsAnswer](data); err == nil || !strings.Contains(err.Error(), "vms: found 253 bytes") {
		t.Errorf("an endless UUID: got %v", err)
	}
	d := bustest.Decision()
	d.Desired = -1
	data, _ = json.Marshal(d)
	if _, err := bus.Decode[bus.Decision](data); err == nil || !strings.Contains(err.Error(), "desired -1") {
		t.Errorf("desired -1: got %v", err)
	}
}

// refuses decodes a good message that was spoilt in one way after the other.
func refuses[T any, PT interface {
	*T
	bus.Message
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
	if _, err := bus.Decode[T, PT](spoilt(func(map[string]any) {})); err != nil {
		t.Fatalf("%s: a good one is refused: %v", name, err)
	}
	if _, err := bus.Decode[T, PT](spoilt(func(f map[string]any) { f["added_later"] = map[string]any{"x": 1} })); err != nil {
		t.Errorf("%s: an added field is refused: %v", name, err)
	}
	for _, field := range required {
		_, err := bus.Decode[T, PT](spoilt(func(f map[string]any) { delete(f, field) }))
		if err == nil || !strings.Contains(err.Error(), "without") {
			t.Errorf("%s without %s: got %v", name, field, err)
		}
	}
	for what, change := range map[string]func(map[string]any){
		"no version":     func(f map[string]any) { delete(f, "v") },
		"a later one":    func(f map[string]any) { f["v"] = bus.Version + 1 },
		"an earlier":     func(f map[string]any) { f["v"] = 0 },
		"a negative one": func(f map[string]any) { f["v"] = -1 },
	} {
		if _, err := bus.Decode[T, PT](spoilt(change)); !errors.Is(err, bus.ErrVersion) {
			t.Errorf("%s, version: %s: got %v", name, what, err)
		}
	}
	for _, text := range []string{``, `{`, `[]`, `"x"`, `null`, `{"v":"1"}`, `{"v":1,"time":"yesterday"}`} {
		if _, err := bus.Decode[T, PT]([]byte(text)); err == nil {
			t.Errorf("%s: %q is accepted", name, text)
		}
	}
}

func FuzzDecodeSample(f *testing.F)   { fuzz(f, bustest.Sample()) }
func FuzzDecodeDecision(f *testing.F) { fuzz(f, bustest.Decision()) }
func FuzzDecodeEvent(f *testing.F)    { fuzz(f, bustest.Event()) }
func FuzzDecodeHealth(f *testing.F)   { fuzz(f, bustest.Health()) }
func FuzzDecodeMetric(f *testing.F)   { fuzz(f, bustest.Metric()) }
func FuzzDecodeDemand(f *testing.F)   { fuzz(f, bustest.Demand()) }
func FuzzDecodeVictims(f *testing.F)  { fuzz(f, bustest.Victims()) }

// fuzz checks that whatever is accepted has a subject that NATS can carry, and reads the same after another trip.
func fuzz[T any, PT interface {
	*T
	bus.Outgoing
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
		m, err := bus.Decode[T, PT](data)
		if err != nil {
			return
		}
		subject := PT(&m).Subject()
		for token := range strings.SplitSeq(subject, ".") {
			if !safeToken.MatchString(token) {
				t.Errorf("subject %q of %s", subject, data)
			}
		}
		if _, err := bus.DecodeOn[T, PT](subject, data); err != nil {
			t.Errorf("refused on its own subject: %v", err)
		}
		if _, err := bus.DecodeOn[T, PT](subject+"x", data); err == nil {
			t.Error("accepted on another subject")
		}
		first, err := json.Marshal(m)
		if err != nil {
			t.Fatalf("accepted, but does not encode: %v", err)
		}
		back, err := bus.Decode[T, PT](first)
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
		{`{"v":1,"group":"web","name":"requests","error":""}`, "without group, name or value"},
		{`{"v":1,"group":"web","name":"requests","value":null,"error":"timed out"}`, ""},
		{`{"v":1,"group":"web","name":"requests","error":"timed out"}`, ""},
		{`{"v":1,"group":"web","name":"requests","value":5,"error":"timed out"}`, "with a value and an error"},
		{`{"v":1,"group":"web","name":"requests","error":"` + strings.Repeat("x", bus.MaxText+1) + `"}`, "error: found 1025 bytes"},
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
		_, err := bus.Decode[bus.Metric]([]byte(tt.body))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.body, err, tt.want)
		}
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, bus.MaxMetric * 2} {
		if bus.CheckMetricValue(v) == nil {
			t.Errorf("%g is taken", v)
		}
	}
}
