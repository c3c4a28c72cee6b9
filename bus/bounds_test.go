package bus

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"
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
	outgoing
}](t *testing.T, good PT, cases map[string]func(*T),
) {
	t.Helper()
	for name, change := range cases {
		_, err := Decode[T, PT](changed(t, (*T)(good), change))
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
	long := strings.Repeat("x", MaxText+1)
	beyond(t, exampleSample(), map[string]func(*Sample){
		"group: long":                    func(s *Sample) { s.Group = long },
		"group: a line's end":            func(s *Sample) { s.Group = "a\nb" },
		"host_id":                        func(s *Sample) { s.HostID = HostID(long) },
		"instance":                       func(s *Sample) { s.Instance = long },
		"host: long":                     func(s *Sample) { s.Host = strings.Repeat("x", maxHostName+1) },
		"host: an escape":                func(s *Sample) { s.Host = "\x1b]0;x\a" },
		"spec_hash":                      func(s *Sample) { s.SpecHash = long },
		"elapsed_ms":                     func(s *Sample) { s.ElapsedMS = -1 },
		"a list: 10,001 VMs":             func(s *Sample) { s.VMs = fleet(MaxVMs+1, "x").VMs },
		"vms.name: long":                 func(s *Sample) { s.VMs[1].Name = strings.Repeat("x", maxName+1) },
		"vms.name: a direction mark":     func(s *Sample) { s.VMs[1].Name = "web\u202e1" },
		"vms.uuid":                       func(s *Sample) { s.VMs[1].UUID = long },
		"vms.state":                      func(s *Sample) { s.VMs[1].State = State(long) },
		"vms.phase":                      func(s *Sample) { s.VMs[1].Phase = Phase(long) },
		"vms.error":                      func(s *Sample) { s.VMs[1].Error = long },
		"vms.cpu_percent: below 0":       func(s *Sample) { s.VMs[1].CPUPercent = new(-0.1) },
		"vms.cpu_percent: beyond all":    func(s *Sample) { s.VMs[1].CPUPercent = new(math.MaxFloat64) },
		"vms.run_delay_percent":          func(s *Sample) { s.VMs[1].RunDelayPercent = new(-1.0) },
		"vms.vcpus: below 0":             func(s *Sample) { s.VMs[1].VCPUs = -1 },
		"vms.vcpus: many":                func(s *Sample) { s.VMs[1].VCPUs = maxVCPUs + 1 },
		"vms.memory_mib":                 func(s *Sample) { s.VMs[1].MemoryMiB = -1 },
		"vms.memory_used_mib":            func(s *Sample) { s.VMs[1].MemoryUsedMiB = new(-1) },
		"host_load.cpu_percent":          func(s *Sample) { s.HostLoad.CPUPercent = new(-1.0) },
		"host_load.cores":                func(s *Sample) { s.HostLoad.Cores = -1 },
		"host_load.memory_mib":           func(s *Sample) { s.HostLoad.MemoryMiB = -1 },
		"host_load.memory_free_mib":      func(s *Sample) { s.HostLoad.MemoryFreeMiB = new(-1) },
		"host_load.pool_free_mib":        func(s *Sample) { s.HostLoad.PoolFreeMiB = new(-1) },
		"host: not text in any encoding": func(s *Sample) { s.Host = "\xff" + string(rune(utf8.RuneError)) + "\x00" },
	})
	beyond(t, exampleDecision(), map[string]func(*Decision){
		"group":           func(d *Decision) { d.Group = long },
		"id":              func(d *Decision) { d.ID = long },
		"direction":       func(d *Decision) { d.Direction = Direction(long) },
		"sentence":        func(d *Decision) { d.Sentence = long },
		"current":         func(d *Decision) { d.Current = -1 },
		"desired":         func(d *Decision) { d.Desired = maxDesired + 1 },
		"shares: 257":     func(d *Decision) { d.Shares = decisionOf(MaxHosts + 1).Shares },
		"shares: long":    func(d *Decision) { d.Shares[HostID(strings.Repeat("x", maxHostName+1))] = Share{} },
		"shares.host":     func(d *Decision) { d.Shares["kvm1"] = Share{Host: long} },
		"shares.vms":      func(d *Decision) { d.Shares["kvm1"] = Share{VMs: -1} },
		"wishes":          func(d *Decision) { d.Wishes = make([]Wish, maxWord+1) },
		"wishes.sentence": func(d *Decision) { d.Wishes[0].Sentence = long },
		"paused":          func(d *Decision) { d.Controls.Paused = make([]Scope, maxWord+1) },
		"by":              func(d *Decision) { d.Controls.By = long },
		"set.policy":      func(d *Decision) { d.Controls.Set["policy.upper"] = long },
		"bytes": func(d *Decision) {
			for host, share := range decisionOf(MaxHosts).Shares {
				share.Host = strings.Repeat("x", maxHostName)
				share.Numbers = make([]int, 1000)
				d.Shares[host] = share
				if len(d.Shares) == MaxHosts {
					break
				}
			}
		},
	})
	beyond(t, exampleEvent(), map[string]func(*Event){
		"group":       func(e *Event) { e.Group = long },
		"vm":          func(e *Event) { e.VM = long },
		"event":       func(e *Event) { e.Event = EventType(long) },
		"host":        func(e *Event) { e.Host = long },
		"decision_id": func(e *Event) { e.DecisionID = long },
		"token":       func(e *Event) { e.Token = long },
		"sentence":    func(e *Event) { e.Sentence = long },
		"error":       func(e *Event) { e.Error = long },
		"elapsed_ms":  func(e *Event) { e.ElapsedMS = -1 },
	})
	beyond(t, exampleHealth(), map[string]func(*Health){
		"stage":    func(h *Health) { h.Stage = long },
		"instance": func(h *Health) { h.Instance = long },
		"message":  func(h *Health) { h.Message = long },
		"version":  func(h *Health) { h.Version = long },
	})
	beyond(t, exampleMetric(), map[string]func(*Metric){
		"group": func(m *Metric) { m.Group = long },
		"name":  func(m *Metric) { m.Name = "a\tb" },
	})
	beyond(t, exampleDemand(), map[string]func(*Demand){
		"step_s": func(d *Demand) { d.StepS = 1 << 40 },
		"group":  func(d *Demand) { d.Group = long },
	})
}

// Text that costs its reader far more memory than its bytes is refused before it is decoded.
func TestShapesThatGrow(t *testing.T) {
	head := `{"v":1,"group":"web","host_id":"h","instance":"i","host":"kvm1","time":"2026-05-04T12:00:00Z","vms":[`
	many := func(element string, n int) string { return head + strings.Repeat(element+",", n-1) + element + "]}" }
	for name, text := range map[string]string{
		"a million objects":      many(`{}`, 1_000_000),
		"a million nulls":        many(`null`, 800_000),
		"one more than allowed":  many(`{}`, MaxVMs+1),
		"a million fields":       `{` + strings.TrimSuffix(strings.Repeat(`"a":1,`, 500_000), ",") + `}`,
		"nested":                 strings.Repeat(`{"a":`, 100_000),
		"nested within a string": head + `{"name":"\"` + strings.Repeat("[", 10) + `"}` + strings.Repeat("[", 100_000),
		"many lists":             `{"a":[` + strings.TrimSuffix(strings.Repeat(`[{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{},{}],`, 9999), ",") + `]}`,
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decode[Sample]([]byte(text))
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
		"as many as allowed":  many(`{}`, MaxVMs),
		"brackets in strings": head + `{"name":"` + strings.Repeat("[{,", 80) + `\\\"","uuid":"x"}]}`,
		"an empty list":       head + `]}`,
	} {
		if _, err := Decode[Sample]([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a role may send is told by the subject, so that what a message says of itself must be the same.
func TestSubjectAndBodyMustAgree(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	var log logLines
	receiver, err := s.Connect("receiver", log.logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(receiver.Close)
	sender := join(t, s, "sender")
	samples, decisions := subscribe[Sample](t, receiver, AllSamples), subscribe[Decision](t, receiver, AllDecisions)
	events, health := subscribe[Event](t, receiver, AllEvents), subscribe[Health](t, receiver, AllHealth)
	metrics, demand := subscribe[Metric](t, receiver, AllMetrics), subscribe[Demand](t, receiver, AllDemand)
	forged := 0
	for _, m := range []outgoing{exampleSample(), exampleDecision(), exampleEvent(), exampleHealth(), exampleMetric(), exampleDemand()} {
		data, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		tokens := strings.Split(m.Subject(), ".")
		for i := 2; i < len(tokens); i++ {
			other := append([]string{}, tokens...)
			other[i] = "other"
			subject := strings.Join(other, ".")
			publish(t, sender, subject, data)
			forged++
			eventually(t, "the forged one is dropped", func() bool { return receiver.Dropped() == uint64(forged) })
			if lines := log.with(subject); len(lines) != 1 || !strings.Contains(lines[0], m.Subject()) {
				t.Errorf("%s with the body of %s: the log says %q", subject, m.Subject(), lines)
			}
		}
		publishAll(t, sender, m)
	}
	receive(t, samples, "sample")
	receive(t, decisions, "decision")
	receive(t, events, "event")
	receive(t, health, "health")
	receive(t, metrics, "metric")
	receive(t, demand, "demand")
	if n := receiver.Dropped(); n != uint64(forged) {
		t.Errorf("dropped %d, want %d", n, forged)
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                              "",
		"short":                         "short",
		"\xff":                          "\uFFFD",
		strings.Repeat("x", MaxText):    strings.Repeat("x", MaxText),
		strings.Repeat("x", MaxText+1):  strings.Repeat("x", MaxText-3) + "...",
		strings.Repeat("é", MaxText/2):  strings.Repeat("é", MaxText/2),
		"x" + strings.Repeat("é", 1000): "x" + strings.Repeat("é", (MaxText-4)/2) + "...",
	} {
		if got := Cut(text); got != want {
			t.Errorf("%d bytes: got %d, want %d: %.20q", len(text), len(got), len(want), got)
		}
	}
}

// A text of any length reaches its receiver, cut.
func TestLongTextsAreCutWhereTheyAreSent(t *testing.T) {
	t.Parallel()
	s := startServer(t)
	c := join(t, s, "stage")
	events, health := subscribe[Event](t, c, AllEvents), subscribe[Health](t, c, AllHealth)
	e, h := exampleEvent(), exampleHealth()
	e.Error, e.Sentence, h.Message = strings.Repeat("e", 1<<20), strings.Repeat("s", 1<<20), strings.Repeat("m", 1<<20)
	publishAll(t, c, e, h)
	if got := receive(t, events, "event"); len(got.Error) != MaxText || len(got.Sentence) != MaxText {
		t.Errorf("got %d and %d bytes", len(got.Error), len(got.Sentence))
	}
	if got := receive(t, health, "health"); len(got.Message) != MaxText {
		t.Errorf("got %d bytes", len(got.Message))
	}
}

// A request's parts are bounded before the decider sees it.
func TestBoundsOfRequests(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", MaxText+1)
	for name, q := range map[string]Query{
		"group":  {Group: long},
		"by":     {By: "\x1b[2J"},
		"scopes": {Scopes: make([]Scope, maxWord+1)},
		"keys":   {Keys: make([]string, maxWord+1)},
		"set":    {Set: map[string]string{"a": long}},
		"token":  {Token: long},
		"action": {Action: HookAction(long)},
	} {
		if err := q.bounds(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	set := map[string]string{}
	for i := range maxWord + 1 {
		set[fmt.Sprint(i)] = "1"
	}
	if err := (&Query{Set: maps.Clone(set)}).bounds(); err == nil {
		t.Error("too many fields are accepted")
	}
}

// FuzzShape: whatever passes is no deeper and has no longer lists than what is allowed, as far as it is JSON.
func FuzzShape(f *testing.F) {
	for _, seed := range []string{`{}`, `[[],{"a":"[,{\\\""}]`, `"`, `"\`, `]]]]`, strings.Repeat("[", maxDepth)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var v any
		if checkShape(data) != nil || json.Unmarshal(data, &v) != nil {
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
			if depth >= maxDepth || n > maxElements || all > maxAll {
				t.Errorf("a list of %d in a depth of %d, %d in all", n, depth, all)
			}
		}
		look(v, 1)
	})
}
