package bus_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
)

// changed is a good message with one field changed, as a sender who means no good would have it.
func changed[T any](t *testing.T, good *T, change func(*T)) []byte {
	t.Helper()
	data, err := json.Marshal(good)
	if err != nil {
		t.Fatal(err)
	}
	var m T
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	change(&m)
	if data, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	return data
}

func beyond[T any, PT interface {
	*T
	bus.Outgoing
}](t *testing.T, good PT, cases map[string]func(*T),
) {
	t.Helper()
	for name, change := range cases {
		_, err := bus.Decode[T, PT](changed(t, (*T)(good), change))
		field, _, _ := strings.Cut(name, ": ")
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%T with %s: got %v, want it refused by that name", *good, name, err)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

func TestBoundsOfMessages(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", bus.MaxText+1)
	beyond(t, bustest.Sample(), map[string]func(*bus.Sample){
		"group: long":                    func(s *bus.Sample) { s.Group = long },
		"group: a line's end":            func(s *bus.Sample) { s.Group = "a\nb" },
		"host_id":                        func(s *bus.Sample) { s.HostID = bus.HostID(long) },
		"instance":                       func(s *bus.Sample) { s.Instance = long },
		"host: long":                     func(s *bus.Sample) { s.Host = strings.Repeat("x", bus.MaxHostName+1) },
		"host: an escape":                func(s *bus.Sample) { s.Host = "\x1b]0;x\a" },
		"spec_hash":                      func(s *bus.Sample) { s.SpecHash = long },
		"elapsed_ms":                     func(s *bus.Sample) { s.ElapsedMS = -1 },
		"a list: 10,001 VMs":             func(s *bus.Sample) { s.VMs = bustest.Fleet(bus.MaxVMs+1, "x").VMs },
		"vms.name: long":                 func(s *bus.Sample) { s.VMs[1].Name = strings.Repeat("x", bus.MaxName+1) },
		"vms.name: a direction mark":     func(s *bus.Sample) { s.VMs[1].Name = "web\u202e1" },
		"vms.uuid":                       func(s *bus.Sample) { s.VMs[1].UUID = long },
		"vms.state":                      func(s *bus.Sample) { s.VMs[1].State = bus.State(long) },
		"vms.phase":                      func(s *bus.Sample) { s.VMs[1].Phase = bus.Phase(long) },
		"vms.error":                      func(s *bus.Sample) { s.VMs[1].Error = long },
		"vms.cpu_percent: below 0":       func(s *bus.Sample) { s.VMs[1].CPUPercent = new(-0.1) },
		"vms.cpu_percent: beyond all":    func(s *bus.Sample) { s.VMs[1].CPUPercent = new(math.MaxFloat64) },
		"vms.run_delay_percent":          func(s *bus.Sample) { s.VMs[1].RunDelayPercent = new(-1.0) },
		"vms.vcpus: below 0":             func(s *bus.Sample) { s.VMs[1].VCPUs = -1 },
		"vms.vcpus: many":                func(s *bus.Sample) { s.VMs[1].VCPUs = bus.MaxVCPUs + 1 },
		"vms.memory_mib":                 func(s *bus.Sample) { s.VMs[1].MemoryMiB = -1 },
		"vms.memory_used_mib":            func(s *bus.Sample) { s.VMs[1].MemoryUsedMiB = new(-1) },
		"host_load.cpu_percent":          func(s *bus.Sample) { s.HostLoad.CPUPercent = new(-1.0) },
		"host_load.cores":                func(s *bus.Sample) { s.HostLoad.Cores = -1 },
		"host_load.memory_mib":           func(s *bus.Sample) { s.HostLoad.MemoryMiB = -1 },
		"host_load.memory_free_mib":      func(s *bus.Sample) { s.HostLoad.MemoryFreeMiB = new(-1) },
		"host_load.pool_free_mib":        func(s *bus.Sample) { s.HostLoad.PoolFreeMiB = new(-1) },
		"host: not text in any encoding": func(s *bus.Sample) { s.Host = "\xff" + string(rune(utf8.RuneError)) + "\x00" },
	})
	beyond(t, bustest.Decision(), map[string]func(*bus.Decision){
		"group":        func(d *bus.Decision) { d.Group = long },
		"id":           func(d *bus.Decision) { d.ID = long },
		"direction":    func(d *bus.Decision) { d.Direction = bus.Direction(long) },
		"sentence":     func(d *bus.Decision) { d.Sentence = long },
		"current":      func(d *bus.Decision) { d.Current = -1 },
		"desired":      func(d *bus.Decision) { d.Desired = bus.MaxDesired + 1 },
		"shares: 257":  func(d *bus.Decision) { d.Shares = bustest.DecisionOf(bus.MaxHosts + 1).Shares },
		"shares: long": func(d *bus.Decision) { d.Shares[bus.HostID(strings.Repeat("x", bus.MaxHostName+1))] = bus.Share{} },
		"shares.host":  func(d *bus.Decision) { d.Shares["kvm1"] = bus.Share{Host: long} },
		"shares.vms":   func(d *bus.Decision) { d.Shares["kvm1"] = bus.Share{VMs: -1} },
		"shares.clock_behind_ms": func(d *bus.Decision) {
			d.Shares["kvm1"] = bus.Share{ClockBehindMS: new(int64(math.MinInt64))}
		},
		"wishes":          func(d *bus.Decision) { d.Recommendations = make([]bus.Recommendation, bus.MaxWord+1) },
		"wishes.sentence": func(d *bus.Decision) { d.Recommendations[0].Sentence = long },
		"paused":          func(d *bus.Decision) { d.Controls.Paused = make([]bus.Scope, bus.MaxWord+1) },
		"by":              func(d *bus.Decision) { d.Controls.By = long },
		"reason":          func(d *bus.Decision) { d.Controls.Reason = long },
		"set.policy":      func(d *bus.Decision) { d.Controls.Set["policy.upper"] = long },
		"bytes": func(d *bus.Decision) {
			for host, share := range bustest.DecisionOf(bus.MaxHosts).Shares {
				share.Host = strings.Repeat("x", bus.MaxHostName)
				share.Numbers = make([]int, 1000)
				d.Shares[host] = share
				if len(d.Shares) == bus.MaxHosts {
					break
				}
			}
		},
	})
	beyond(t, bustest.Event(), map[string]func(*bus.Event){
		"group":       func(e *bus.Event) { e.Group = long },
		"vm":          func(e *bus.Event) { e.VM = long },
		"event":       func(e *bus.Event) { e.Event = bus.EventType(long) },
		"host":        func(e *bus.Event) { e.Host = long },
		"decision_id": func(e *bus.Event) { e.DecisionID = long },
		"token":       func(e *bus.Event) { e.Token = long },
		"sentence":    func(e *bus.Event) { e.Sentence = long },
		"error":       func(e *bus.Event) { e.Error = long },
		"elapsed_ms":  func(e *bus.Event) { e.ElapsedMS = -1 },
	})
	beyond(t, bustest.Health(), map[string]func(*bus.Health){
		"stage":    func(h *bus.Health) { h.Stage = long },
		"instance": func(h *bus.Health) { h.Instance = long },
		"message":  func(h *bus.Health) { h.Message = long },
		"version":  func(h *bus.Health) { h.Version = long },
	})
	beyond(t, bustest.Metric(), map[string]func(*bus.Metric){
		"group": func(m *bus.Metric) { m.Group = long },
		"name":  func(m *bus.Metric) { m.Name = "a\tb" },
	})
	beyond(t, bustest.Victims(), map[string]func(*bus.Victims){
		"group":                  func(v *bus.Victims) { v.Group = long },
		"hook":                   func(v *bus.Victims) { v.Hook = long },
		"host":                   func(v *bus.Victims) { v.Host = long },
		"host_id":                func(v *bus.Victims) { v.HostID = bus.HostID(long) },
		"decision_id":            func(v *bus.Victims) { v.DecisionID = long },
		"count":                  func(v *bus.Victims) { v.Count = -1 },
		"candidates.name":        func(v *bus.Victims) { v.Candidates[0].Name = long },
		"candidates.uuid":        func(v *bus.Victims) { v.Candidates[0].UUID = long },
		"candidates.template":    func(v *bus.Victims) { v.Candidates[0].Template = long },
		"candidates.cpu_percent": func(v *bus.Victims) { v.Candidates[0].CPUPercent = new(-1.0) },
	})
	beyond(t, bustest.Demand(), map[string]func(*bus.Demand){
		"step_s": func(d *bus.Demand) { d.StepS = 1 << 40 },
		"group":  func(d *bus.Demand) { d.Group = long },
	})
}

// Each number of a sample is bounded, as one below 0 could make room on a host, or load go.
func TestBoundsOfEachNumber(t *testing.T) {
	t.Parallel()
	below := func(s *bus.Sample, field string) {
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		_, err = bus.Decode[bus.Sample](data)
		if err == nil || field != "v" && !strings.Contains(err.Error(), field+": found -1,") {
			t.Errorf("%s below 0: got %v, want it refused by that name", field, err)
		}
	}
	s := bustest.Sample()
	s.VMs = s.VMs[:1]
	fields := 0
	eachNumber(reflect.ValueOf(s).Elem(), "", func(field string) { fields++; below(s, field) })
	if fields < 15 {
		t.Errorf("looked at %d numbers", fields)
	}
}

// eachNumber sets each number in a value to -1, has look see it, and sets it back.
func eachNumber(v reflect.Value, field string, look func(field string)) {
	before := reflect.New(v.Type()).Elem()
	before.Set(v)
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			key, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			eachNumber(v.Field(i), strings.TrimPrefix(field+"."+key, "."), look)
		}
	case reflect.Slice:
		for i := range v.Len() {
			eachNumber(v.Index(i), field, look)
		}
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		if !before.IsNil() {
			v.Elem().Set(before.Elem())
		}
		eachNumber(v.Elem(), field, look)
	case reflect.Map:
		for _, pair := range []map[int]int{{-1: 80}, {80: -1}} {
			v.Set(reflect.ValueOf(pair))
			look(field)
		}
	case reflect.Int:
		v.SetInt(-1)
		look(field)
	case reflect.Float64:
		v.SetFloat(-1)
		look(field)
	case reflect.String, reflect.Bool:
	default:
		panic(v.Kind())
	}
	v.Set(before)
}

// Text that costs its reader far more memory than its bytes is refused before it is decoded.
func TestShapesThatGrow(t *testing.T) {
	head := `{"v":1,"group":"web","host_id":"h","instance":"i","host":"kvm1","time":"2026-05-04T12:00:00Z","vms":[`
	many := func(element string, n int) string { return head + strings.Repeat(element+",", n-1) + element + "]}" }
	for name, text := range map[string]string{
		"a million objects":      many(`{}`, 1_000_000),
		"a million nulls":        many(`null`, 800_000),
		"one more than allowed":  many(`{}`, bus.MaxVMs+1),
		"a million fields":       `{` + strings.TrimSuffix(strings.Repeat(`"a":1,`, 500_000), ",") + `}`,
		"nested":                 strings.Repeat(`{"a":`, 100_000),
		"nested within a string": head + `{"name":"\"` + strings.Repeat("[", 10) + `"}` + strings.Repeat("[", 100_000),
		"many lists":             `{"a":[` + strings.TrimSuffix(strings.Repeat(`[`+strings.Repeat(`{},`, 40)+`{}],`, 9999), ",") + `]}`,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := bus.Decode[bus.Sample]([]byte(text))
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
		// The text itself is one copy.
		if got := after.TotalAlloc - before.TotalAlloc; got > uint64(len(text))+1<<20 {
			t.Errorf("%s: refusing it took %d bytes", name, got)
		}
	}
	for name, text := range map[string]string{
		"as many as allowed":  many(`{}`, bus.MaxVMs),
		"brackets in strings": head + `{"name":"` + strings.Repeat("[{,", 80) + `\\\"","uuid":"x"}]}`,
		"an empty list":       head + `]}`,
	} {
		if _, err := bus.Decode[bus.Sample]([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                 "",
		"short":                            "short",
		"\xff":                             "\uFFFD",
		strings.Repeat("x", bus.MaxText):   strings.Repeat("x", bus.MaxText),
		strings.Repeat("x", bus.MaxText+1): strings.Repeat("x", bus.MaxText-3) + "...",
		strings.Repeat("é", bus.MaxText/2): strings.Repeat("é", bus.MaxText/2),
		"x" + strings.Repeat("é", 1000):    "x" + strings.Repeat("é", (bus.MaxText-4)/2) + "...",
	} {
		if got := bus.Cut(text); got != want {
			t.Errorf("%d bytes: got %d, want %d: %.20q", len(text), len(got), len(want), got)
		}
	}
}

// A request's parts are bounded before the decider sees it.
func TestBoundsOfRequests(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", bus.MaxText+1)
	for name, q := range map[string]bus.Query{
		"group":  {Group: long},
		"by":     {By: "\x1b[2J"},
		"reason": {Reason: "two\nlines"},
		"scopes": {Scopes: make([]bus.Scope, bus.MaxWord+1)},
		"keys":   {Keys: make([]string, bus.MaxWord+1)},
		"set":    {Set: map[string]string{"a": long}},
		"token":  {Token: long},
		"action": {Action: bus.HookAction(long)},
	} {
		if err := q.Check(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	set := map[string]string{}
	for i := range bus.MaxWord + 1 {
		set[fmt.Sprint(i)] = "1"
	}
	if err := (&bus.Query{Set: maps.Clone(set)}).Check(); err == nil {
		t.Error("too many fields are accepted")
	}
}

// FuzzShape: whatever passes is no deeper and has no longer lists than what is allowed, as far as it is JSON.
func FuzzShape(f *testing.F) {
	for _, seed := range []string{`{}`, `[[],{"a":"[,{\\\""}]`, `"`, `"\`, `]]]]`, strings.Repeat("[", bus.MaxDepth)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		if bus.CheckShape(data) != nil || json.Unmarshal(data, &v) != nil {
			return
		}
		all := 0
		var look func(v any, depth int)
		look = func(v any, depth int) {
			var n int
			switch v := v.(type) {
			case []any:
				n = len(v)
				for _, e := range v {
					look(e, depth+1)
				}
			case map[string]any:
				n = len(v)
				for _, e := range v {
					look(e, depth+1)
				}
			default:
				return
			}
			all += n
			if depth >= bus.MaxDepth || n > bus.MaxElements || all > bus.MaxAll {
				t.Errorf("a list of %d in a depth of %d, %d in all", n, depth, all)
			}
		}
		look(v, 1)
	})
}

func FuzzDecodeStatus(f *testing.F) {
	good, err := json.Marshal(bustest.Status())
	if err != nil {
		f.Fatal(err)
	}
	fuzzStable(
		f,
		func(data []byte) (any, error) { return bus.Decode[bus.Status](data) },
		good,
		[]byte(`{"v":1,"time":"2026-05-04T12:00:00Z","groups":[null],"stages":null}`),
	)
}

func FuzzDecodeQuery(f *testing.F) {
	fuzzStable(f, func(data []byte) (any, error) {
		var q bus.Query
		err := json.Unmarshal(data, &q)
		return q, err
	}, []byte(`{"group":"web"}`), []byte(`{}`), []byte(`null`))
}

// fuzzStable checks that what is accepted reads the same after another trip.
func fuzzStable(f *testing.F, decode func([]byte) (any, error), seeds ...[]byte) {
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := decode(data)
		if err != nil {
			return
		}
		first, err := json.Marshal(m)
		if err != nil {
			t.Fatalf("accepted, but does not encode: %v", err)
		}
		back, err := decode(first)
		if err != nil {
			t.Fatalf("%s is refused after a trip as %s: %v", data, first, err)
		}
		if second, _ := json.Marshal(back); !bytes.Equal(first, second) {
			t.Errorf("after another trip %s is %s", first, second)
		}
	})
}
