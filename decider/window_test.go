package decider

import (
	"slices"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// reading is a VM in a sample; a negative CPU is unknown.
func reading(uuid string, cpu float64) bus.VM {
	vm := bus.VM{Name: "web-" + uuid, UUID: uuid, State: bus.StateRunning, Phase: bus.PhaseReady}
	if cpu >= 0 {
		vm.CPUPercent = &cpu
	}
	return vm
}

func sampleOf(host string, second int, vms ...bus.VM) bus.Sample {
	return bus.Sample{
		V:        bus.Version,
		Group:    "web",
		HostID:   bus.HostID(host),
		Host:     host,
		Instance: "c",
		Time:     t0.Add(time.Duration(second) * time.Second),
		VMs:      vms,
	}
}

func TestWindowMeans(t *testing.T) {
	for _, tt := range []struct {
		name    string
		samples []bus.Sample
		want    map[string]float64 // by UUID; -1 is unknown
	}{
		{"one sample", []bus.Sample{sampleOf("a", 1, reading("1", 40))}, map[string]float64{"1": 40}},
		{
			"mean over all",
			[]bus.Sample{sampleOf("a", 1, reading("1", 40)), sampleOf("a", 2, reading("1", 80))},
			map[string]float64{"1": 60},
		},
		{
			"unknown is no number",
			[]bus.Sample{sampleOf("a", 1, reading("1", 40)), sampleOf("a", 2, reading("1", -1))},
			map[string]float64{"1": 40},
		},
		{
			"always unknown",
			[]bus.Sample{sampleOf("a", 1, reading("1", -1)), sampleOf("a", 2, reading("1", -1))},
			map[string]float64{"1": -1},
		},
		{
			"0 is a number",
			[]bus.Sample{sampleOf("a", 1, reading("1", 0)), sampleOf("a", 2, reading("1", 50))},
			map[string]float64{"1": 25},
		},
		{
			"each reading counts as 100 at most",
			[]bus.Sample{sampleOf("a", 1, reading("1", 180)), sampleOf("a", 2, reading("1", 20))},
			map[string]float64{"1": 60},
		},
		{
			"a duplicate is ignored",
			[]bus.Sample{sampleOf("a", 1, reading("1", 40)), sampleOf("a", 1, reading("1", 90))},
			map[string]float64{"1": 40},
		},
		{"an older one is ignored", []bus.Sample{
			sampleOf("a", 2, reading("1", 40)),
			sampleOf("a", 1, reading("1", 90), reading("2", 5)),
		}, map[string]float64{"1": 40}},
		{"the newest list counts", []bus.Sample{
			sampleOf("a", 1, reading("1", 40), reading("2", 90)),
			sampleOf("a", 2, reading("1", 40)),
		}, map[string]float64{"1": 40}},
		{"an empty list is a list", []bus.Sample{sampleOf("a", 1, reading("1", 40)), sampleOf("a", 2)}, map[string]float64{}},
		{
			"two hosts",
			[]bus.Sample{sampleOf("a", 9, reading("1", 40)), sampleOf("b", 1, reading("2", 80))},
			map[string]float64{"1": 40, "2": 80},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var w Window
			for _, s := range tt.samples {
				_ = w.Add(s, t0)
			}
			got := map[string]float64{}
			for _, h := range w.Take(t0, time.Minute).Hosts {
				for _, vm := range h.VMs {
					got[vm.UUID] = -1
					if vm.CPUPercent != nil {
						got[vm.UUID] = *vm.CPUPercent
					}
				}
			}
			if len(got) != len(tt.want) {
				t.Fatalf("got %v, want %v", got, tt.want)
			}
			for uuid, want := range tt.want {
				if got[uuid] != want {
					t.Errorf("got %v, want %v", got, tt.want)
				}
			}
		})
	}
}

func TestWindowStartsAnew(t *testing.T) {
	var w Window
	_ = w.Add(sampleOf("a", 1, reading("1", 100)), t0)
	if o := w.Take(t0, time.Minute); o.Fresh != 1 || *o.Hosts[0].VMs[0].CPUPercent != 100 {
		t.Fatalf("first: %+v", o)
	}
	// Without a new sample the list is still known, its readings are not repeated.
	if o := w.Take(t0, time.Minute); o.Fresh != 0 || len(o.Hosts[0].VMs) != 1 || o.Hosts[0].VMs[0].CPUPercent != nil {
		t.Errorf("second: %+v", o)
	}
	_ = w.Add(sampleOf("a", 2, reading("1", 10)), t0)
	if o := w.Take(t0, time.Minute); o.Fresh != 1 || *o.Hosts[0].VMs[0].CPUPercent != 10 {
		t.Errorf("third: %+v", o)
	}
}

func TestWindowDoesNotChangeSamples(t *testing.T) {
	s := sampleOf("a", 1, reading("1", 180))
	var w Window
	_ = w.Add(s, t0)
	w.Take(t0, time.Minute)
	w.Take(t0, time.Minute)
	if *s.VMs[0].CPUPercent != 180 {
		t.Errorf("the sample now says %v", *s.VMs[0].CPUPercent)
	}
}

func TestWindowAllFresh(t *testing.T) {
	var w Window
	check := func(what string, want bool) {
		t.Helper()
		if w.AllFresh(t0, time.Minute) != want {
			t.Errorf("%s: AllFresh is %v", what, !want)
		}
	}
	check("no host", false)
	_ = w.Add(sampleOf("a", 1), t0)
	check("the only host", true)
	w.Take(t0, time.Minute)
	check("after a look", false)
	_ = w.Add(sampleOf("b", 1), t0)
	check("one of two", false)
	_ = w.Add(sampleOf("a", 1), t0)
	check("one of two and a duplicate", false)
	_ = w.Add(sampleOf("a", 2), t0)
	check("both", true)
}

// Staleness is measured by the decider's own clock: hosts' clocks differ.
func TestWindowStaleByArrival(t *testing.T) {
	for _, tt := range []struct {
		name    string
		arrived time.Duration // before the look
		hosts   int           // seconds by which the host's clock is off
		want    []string
	}{
		{"just arrived", 0, 0, nil},
		{"just arrived, clock an hour behind", 0, -3600, nil},
		{"just arrived, clock an hour ahead", 0, 3600, nil},
		{"at the limit", 5 * time.Second, 0, nil},
		{"past it", 5*time.Second + 1, 0, []string{"a"}},
		{"past it, clock an hour ahead", 6 * time.Second, 3600, []string{"a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var w Window
			_ = w.Add(sampleOf("a", tt.hosts, reading("1", 1)), t0.Add(-tt.arrived))
			if got := w.Take(t0, 5*time.Second).with(Silent); !slices.Equal(got, tt.want) {
				t.Errorf("stale %v, want %v", got, tt.want)
			}
		})
	}
	t.Run("a duplicate does not freshen", func(t *testing.T) {
		var w Window
		_ = w.Add(sampleOf("b", 1, reading("1", 1)), t0.Add(-time.Minute))
		_ = w.Add(sampleOf("a", 1, reading("2", 1)), t0.Add(-time.Minute))
		_ = w.Add(sampleOf("b", 1, reading("1", 1)), t0)
		if got := w.Take(t0, 5*time.Second).with(Silent); !slices.Equal(got, []string{"a", "b"}) {
			t.Errorf("stale %v", got)
		}
	})
}

// A host whose clock is set back is heard again after a moment, and its ready VMs stay ready.
func TestClockSetBack(t *testing.T) {
	var w Window
	at := func(clock time.Time) bus.Sample {
		cpu := 50.0
		return bus.Sample{Group: "web", HostID: "a", Host: "a", Instance: "c", Time: clock, VMs: []bus.VM{{
			Name: "web-1", UUID: "1", State: bus.StateRunning, Phase: bus.PhaseReady, PhaseSince: t0.Add(-time.Minute), CPUPercent: &cpu,
		}}}
	}
	_ = w.Add(at(t0), t0)
	back := t0.Add(-time.Hour)
	_ = w.Add(at(back), t0.Add(time.Second))
	w.Take(t0.Add(time.Second), 5*time.Second)
	if _ = w.Add(at(back.Add(time.Second)), t0.Add(2*time.Second)); !w.AllFresh(t0.Add(2*time.Second), time.Minute) {
		t.Fatal("two seconds after the clock was set back its samples are still dropped")
	}
	spec := bus.DefaultGroup()
	d, _ := Decide(spec, State{HasSample: true, Desired: 1}, w.Take(t0.Add(2*time.Second), 5*time.Second), t0)
	if d.Inputs.Ready != 1 || d.Rule != bus.RuleStable {
		t.Errorf("decision %+v, want the VM to count as ready", d)
	}
}
