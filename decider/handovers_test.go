package decider

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

func TestHandoversAreMeasured(t *testing.T) {
	second := func(n float64) time.Time { return t0.Add(time.Duration(n * float64(time.Second))) }
	vm := func(phase bus.Phase, state bus.State, since float64, handed bool) []bus.VM {
		return []bus.VM{{Phase: phase, State: state, PhaseSince: second(since), Handed: handed}}
	}
	warm := func(state bus.State) []bus.VM { return vm(bus.PhaseWarm, state, -100, false) }
	paused, off, asleep := warm(bus.StatePaused), warm(bus.StateShutoff), warm(bus.StateSaved)
	going := vm(bus.PhaseLaunching, bus.StateRunning, 10.5, true)
	ready := func(since float64) []bus.VM { return vm(bus.PhaseReady, bus.StateRunning, since, false) }
	for _, tt := range []struct {
		name string
		seen [][]bus.VM // each second from the tenth on; nil: the host is silent
		want Handovers
	}{
		{"between two samples", [][]bus.VM{paused, ready(10.25)}, Handovers{Paused: 250 * time.Millisecond}},
		{"from when it was handed over", [][]bus.VM{paused, going, going, ready(12.5)}, Handovers{Paused: 2 * time.Second}},
		{"one that waited shut down", [][]bus.VM{off, going, ready(18.5)}, Handovers{Stopped: 8 * time.Second}},
		{"one whose memory was saved", [][]bus.VM{asleep, going, ready(11.5)}, Handovers{Saved: time.Second}},
		{"while its host was silent", [][]bus.VM{paused, going, nil, ready(12.5)}, Handovers{Paused: 2 * time.Second}},
		{"it was launched", [][]bus.VM{vm(bus.PhaseLaunching, bus.StateRunning, 0, false), ready(10.25)}, Handovers{}},
		{"its clock was set back", [][]bus.VM{paused, ready(9)}, Handovers{}},
		{"a new one counts for a fifth", [][]bus.VM{paused, ready(11), paused, ready(18)}, Handovers{Paused: 2 * time.Second}},
	} {
		var h Handovers
		for i, vms := range tt.seen {
			obs := see(vms...)
			obs.Hosts[0].Time = second(float64(10 + i))
			if vms == nil {
				obs = see(bus.VM{Phase: bus.PhaseLaunching, PhaseSince: second(10.5), Handed: true})
				obs.Hosts[0].Trouble = Silent
			}
			h.Add(obs)
		}
		if h.waiting = nil; !reflect.DeepEqual(h, tt.want) {
			t.Errorf("%s: %+v, want %+v", tt.name, h, tt.want)
		}
	}
}

func TestHandoverExpected(t *testing.T) {
	const boot, paused, saved, stopped = time.Minute, 3 * time.Second, 5 * time.Second, 20 * time.Second
	one := bus.WarmSize{VMs: 1}
	for _, tt := range []struct {
		pool     bus.WarmPool
		measured Handovers
		want     time.Duration
	}{
		{bus.WarmPool{}, Handovers{Paused: paused}, 0},
		{bus.WarmPool{Size: one}, Handovers{}, resumesWithin},
		{bus.WarmPool{Size: one}, Handovers{Paused: paused, Stopped: stopped}, paused},
		{bus.WarmPool{Size: one, State: bus.WarmStopped}, Handovers{Paused: paused}, boot},
		{bus.WarmPool{Size: one, State: bus.WarmStopped}, Handovers{Paused: paused, Stopped: stopped}, stopped},
		{bus.WarmPool{Size: one, Stopped: one}, Handovers{Paused: paused, Stopped: stopped}, paused},
		{bus.WarmPool{Size: one, State: bus.WarmSaved}, Handovers{Paused: paused, Stopped: stopped}, restoresWithin},
		{bus.WarmPool{Size: one, State: bus.WarmSaved, Stopped: one}, Handovers{Saved: saved, Stopped: stopped}, saved},
	} {
		if got := tt.measured.expected(tt.pool, boot); got != tt.want {
			t.Errorf("%+v, measured %+v: %s, want %s", tt.pool, tt.measured, got, tt.want)
		}
	}
}

func TestWarmAtHand(t *testing.T) {
	size := bus.WarmSize{VMs: 9}
	stops, both := bus.WarmPool{Size: size, State: bus.WarmStopped}, bus.WarmPool{Size: size, Stopped: size}
	full, silent := poolOf("b", "oo"), poolOf("b", "ww")
	full.Full, silent.Trouble = true, Silent
	for _, tt := range []struct {
		name    string
		pool    bus.WarmPool
		hosts   []HostObservation
		desired int
		want    int
	}{
		{"those that wait, and not those on their way", bus.WarmPool{Size: size}, []HostObservation{poolOf("a", "rwwp")}, 1, 2},
		{"less what is about to be handed over", bus.WarmPool{Size: size}, []HostObservation{poolOf("a", "rww")}, 2, 1},
		{"more is wanted than waits", bus.WarmPool{Size: size}, []HostObservation{poolOf("a", "rw")}, 5, 0},
		{"none of a silent host", bus.WarmPool{Size: size}, []HostObservation{poolOf("a", "rw"), silent}, 1, 1},
		{"a full host starts none", stops, []HostObservation{poolOf("a", "ro"), full}, 1, 1},
		{"of two kinds those that are paused", both, []HostObservation{poolOf("a", "rwoo")}, 1, 1},
		{"no pool", bus.WarmPool{}, []HostObservation{poolOf("a", "rr")}, 2, 0},
	} {
		g := spec(bounds(1, 20), func(g *bus.Group) { g.WarmPool = tt.pool })
		s := look(g, State{HasSample: true, Desired: tt.desired}, Observation{Hosts: tt.hosts, Fresh: len(tt.hosts)}, t0)
		if got := s.atHand(); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
		if r := s.reading(); r.Warm != tt.want || (r.Handover > 0) != tt.pool.On() && tt.pool.State != bus.WarmStopped {
			t.Errorf("%s: the policies read %d in %s", tt.name, r.Warm, r.Handover)
		}
	}
}

// What was measured is kept, and holds for the decider after this one.
func TestHandoversAreKept(t *testing.T) {
	g := spec(bounds(1, 5), func(g *bus.Group) { g.WarmPool.Size = bus.WarmSize{VMs: 1} })
	h := poolOf("a", "rw")
	_, st := Decide(g, State{}, Observation{Hosts: []HostObservation{h}, Fresh: 1}, t0)
	h = poolOf("a", "rr")
	h.Time, h.VMs[1].PhaseSince = t0.Add(3*time.Second), t0.Add(2*time.Second)
	_, st = Decide(g, st, Observation{Hosts: []HostObservation{h}, Fresh: 1}, t0.Add(3*time.Second))
	data, err := json.Marshal(newCheckpoint(st, t0))
	if err != nil {
		t.Fatal(err)
	}
	var kept checkpoint
	if err := json.Unmarshal(data, &kept); err != nil {
		t.Fatal(err)
	}
	if got := recall(kept, nil, bus.Controls{}, t0).Handovers.Paused; got != 2*time.Second {
		t.Errorf("a handover takes %s, want 2s", got)
	}
}
