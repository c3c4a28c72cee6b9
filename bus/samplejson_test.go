package bus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestSampleJSON compares what is written and read by hand with encoding/json, on samples drawn at random: every field by its
// type, so that one that is added later is missed here as soon as it is not written.
func TestSampleJSON(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		var s Sample
		drawValue(rng, reflect.ValueOf(&s).Elem())
		want, err := json.Marshal(&s)
		if err != nil {
			t.Fatal(err)
		}
		got, err := s.appendJSON(nil)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("written %v:\n%s\nwant as encoding/json:\n%s", err, got, want)
		}
		var read, plain Sample
		if err := json.Unmarshal(want, &plain); err != nil {
			t.Fatal(err)
		}
		if s.VMs == nil { // which no sample has
			continue
		}
		if !read.parseJSON(want) {
			t.Fatalf("not read as it was written:\n%s", want)
		}
		if !reflect.DeepEqual(read, plain) {
			t.Fatalf("read:\n%+v\nwant as encoding/json:\n%+v\nof %s", read, plain, want)
		}
	}
}

// TestSampleKeys: the reader knows the keys of the types, in their order.
func TestSampleKeys(t *testing.T) {
	for _, tt := range []struct {
		of   any
		keys []string
	}{{Sample{}, sampleKeys[:]}, {Host{}, hostKeys[:]}, {VM{}, vmKeys[:]}, {Rates{}, rateKeys[:]}} {
		var want []string
		for f := range reflect.TypeOf(tt.of).Fields() {
			key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			want = append(want, key)
		}
		if !slices.Equal(tt.keys, want) {
			t.Errorf("%T: the keys are %q, want %q", tt.of, tt.keys, want)
		}
	}
}

// TestSampleInOtherForms: what another program writes is read, or refused, as encoding/json does.
func TestSampleInOtherForms(t *testing.T) {
	good := encoded(t, 2)
	for _, change := range [][2]string{
		{`"v":`, ` "v" : `},
		{`"v":1`, `"v":1,"v":1`},
		{`"v":1,`, ``},
		{`"v":1`, `"V":1`},
		{`"v":1`, `"v":01`},
		{`"v":1`, `"v":1.0`},
		{`"vcpus":2`, `"vcpus":null`},
		{`"vcpus":2`, `"vcpus":2e0`},
		{`"vcpus":2`, `"vcpus":-0`},
		{`"vcpus":2`, `"new":[{}],"vcpus":2`},
		{`"vcpus":2`, `"vcpus":99999999999999999999`},
		{`"cpu_percent":50.5`, `"cpu_percent":5.05E+1`},
		{`"cpu_percent":50.5`, `"cpu_percent":1e999`},
		{`"cpu_percent":50.5`, `"cpu_percent":.5`},
		{`"cpu_percent":50.5`, `"cpu_percent":5.`},
		{`"cpu_percent":50.5`, `"cpu_percent":+5`},
		{`"cpu_percent":50.5`, `"cpu_percent":NaN`},
		{`"running"`, `"run\u006eing"`},
		{`"running"`, `"run\xning"`},
		{`"running"`, `"läuft"`},
		{`"running"`, "\"a\xffb\""},
		{`"running"`, "\"a\nb\""},
		{`"running"`, `"running`},
		{`"running"`, `7`},
		{`"machine":`, `"order":{"verb":"drain"},"machine":`},
		{`"address":`, `"order":{"verb":"drain","by":"}"},"address":`},
		{`"address":`, `"order":null,"address":`},
		{`"address":"10.0.0.1"`, `"address":"10.0.0.1","forwards":{"80":81,"443":444}`},
		{`"address":`, `"order":[],"address":`},
		{`"protected":true`, `"protected":false`},
		{`]`, `,]`},
		{`}`, `,}`},
		{`]`, ``},
		{`"vms":[`, `"vms":[null,`},
		{`Z"`, `+02:00"`},
		{`T`, `t`},
		{`Z"`, `"`},
		{`2026-`, `02026-`},
	} {
		text := strings.Replace(string(good), change[0], change[1], 1)
		if text == string(good) {
			t.Fatalf("nothing is changed by %q", change)
		}
		compareForms(t, []byte(text))
	}
	whole := string(good)
	for _, text := range []string{"", "{", "{}", "null", "[]", whole + " ", whole + "x", whole[:len(whole)-1]} {
		compareForms(t, []byte(text))
	}
}

func compareForms(t *testing.T, text []byte) {
	t.Helper()
	var plain Sample
	wrong := json.Unmarshal(text, &plain)
	if wrong == nil {
		wrong = plain.check()
	}
	got, err := Decode[Sample](text)
	if (err == nil) != (wrong == nil) {
		t.Errorf("read with error %v, want as encoding/json: %v\n%s", err, wrong, text)
	} else if err == nil && !reflect.DeepEqual(got, plain) {
		t.Errorf("read:\n%+v\nwant as encoding/json:\n%+v\n%s", got, plain, text)
	}
}

func FuzzSampleJSON(f *testing.F) {
	f.Add(encoded(f, 2))
	f.Add([]byte(`{"v":1,"vms":[{"name":"a\u00e9","cpu_percent":1e-7,"forwards":{"80":81}}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var read, plain Sample
		if !read.parseJSON(text) {
			return
		}
		if err := json.Unmarshal(text, &plain); err != nil {
			t.Fatalf("read what encoding/json refuses: %v", err)
		}
		if !reflect.DeepEqual(read, plain) {
			t.Fatalf("read:\n%+v\nwant as encoding/json:\n%+v", read, plain)
		}
	})
}

// TestSampleAllocations is the gate on what a sample costs: nothing is allocated for each VM.
func TestSampleAllocations(t *testing.T) {
	const vms, most = 1000, 30
	s := sampleOf(vms)
	data := encoded(t, vms)
	for what, do := range map[string]func() error{
		"encode": func() error { _, err := Encode(&s, 0); return err },
		"decode": func() error { _, err := Decode[Sample](data); return err },
	} {
		if n := testing.AllocsPerRun(10, func() {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		}); n > most {
			t.Errorf("to %s a sample of %d VMs takes %.0f allocations, want at most %d", what, vms, n, most)
		}
	}
}

func encoded(t testing.TB, vms int) []byte {
	t.Helper()
	s := sampleOf(vms)
	data, err := Encode(&s, 0)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// sampleOf is a sample as collectors send it.
func sampleOf(vms int) Sample {
	at := time.Date(2026, 5, 4, 12, 0, 0, 250_000_000, time.UTC)
	s := Sample{
		V: Version, Group: "web", HostID: "h-system", Host: "kvm1", Instance: "kvm1-1-A", Time: at, ElapsedMS: 4.231,
		SpecHash: "0123",
		HostLoad: Host{CPUPercent: new(41.7), Cores: 8, MemoryMiB: 32000, MemoryFreeMiB: new(20480)}, VMs: []VM{},
	}
	for i := range vms {
		s.VMs = append(s.VMs, VM{
			Name: fmt.Sprintf("web-%d", i+1), UUID: fmt.Sprintf("5c0d2a9e-7f0b-4e53-9d6a-%012d", i),
			State: StateRunning, Phase: PhaseReady,
			CPUPercent: new(50.5), VCPUs: 2, MemoryMiB: 1024, MemoryUsedMiB: new(512), RunDelayPercent: new(1.5), Created: at,
			PhaseSince: at, BootedAt: &at, Template: "web-12", Machine: "89abcdef0123", Protected: i%2 == 0, Address: "10.0.0.1",
		})
	}
	return s
}

// drawValue sets a value at random: empty and unset ones, the usual, and what needs care in JSON.
func drawValue(rng *rand.Rand, v reflect.Value) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		at := time.Unix(rng.Int64N(4e9), rng.Int64N(1e9)).UTC()
		if rng.IntN(4) == 0 {
			at = at.Truncate(time.Second).In(time.FixedZone("", 3600*(rng.IntN(24)-12)))
		}
		v.Set(reflect.ValueOf(at))
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			drawValue(rng, v.Field(i))
		}
	case reflect.Pointer:
		if rng.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			drawValue(rng, v.Elem())
		}
	case reflect.Slice:
		if n := rng.IntN(4); n > 0 {
			v.Set(reflect.MakeSlice(v.Type(), n-1, n-1))
		}
		for i := range v.Len() {
			drawValue(rng, v.Index(i))
		}
	case reflect.Map:
		if n := rng.IntN(4); n > 0 {
			v.Set(reflect.MakeMap(v.Type()))
			for range n - 1 {
				v.SetMapIndex(reflect.ValueOf(rng.IntN(1e5)), reflect.ValueOf(rng.IntN(1e5)))
			}
		}
	case reflect.String:
		texts := []string{"", "web-1", "a b", "läuft", `"quoted" \ `, "<&>", "\n\t\x01\x7f", "\u2028", "\xff", "\U0001F600"}
		v.SetString(texts[rng.IntN(len(texts))])
	case reflect.Bool:
		v.SetBool(rng.IntN(2) == 0)
	case reflect.Int:
		v.SetInt([]int64{0, 1, -1, 4711, 1 << 62, -1 << 63}[rng.IntN(6)])
	case reflect.Float64:
		v.SetFloat([]float64{0, -0.5, 83.4, 1e-7, 1e21, 1.0 / 3, 5e-324, 123456789012345680, -1e-6}[rng.IntN(9)])
	default:
		panic(v.Kind())
	}
}
