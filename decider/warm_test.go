package decider

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/decider/policy"
)

// poolOf is a host with VMs by their letters: r is ready, l launching, w warm, o warm and off, m warm with its memory saved, p
// preparing, h handed over, s suspended by a person, d draining.
func poolOf(name, vms string) HostObservation {
	h := HostObservation{ID: bus.HostID(name), Name: name, Time: t0}
	for i, letter := range vms {
		vm := bus.VM{
			Name: fmt.Sprintf("web-%d", len(h.VMs)+1+10*int(name[0]-'a')), UUID: name + fmt.Sprint(i), State: bus.StateRunning,
			Phase: bus.PhaseReady, CPUPercent: new(50.), Created: t0.Add(-time.Hour), PhaseSince: t0.Add(-time.Hour),
		}
		switch letter {
		case 'l':
			vm.Phase, vm.PhaseSince = bus.PhaseLaunching, t0
		case 'w':
			vm.Phase, vm.State, vm.CPUPercent = bus.PhaseWarm, bus.StatePaused, nil
		case 'o':
			vm.Phase, vm.State, vm.CPUPercent = bus.PhaseWarm, bus.StateShutoff, nil
		case 'm':
			vm.Phase, vm.State, vm.CPUPercent = bus.PhaseWarm, bus.StateSaved, nil
		case 'p':
			vm.Phase, vm.CPUPercent = bus.PhasePreparing, new(100.)
		case 'h':
			vm.Phase, vm.State, vm.CPUPercent, vm.PhaseSince, vm.Handed = bus.PhaseLaunching, bus.StatePaused, nil, t0, true
		case 's':
			vm.State, vm.CPUPercent = bus.StatePaused, nil
		case 'd':
			vm.Phase = bus.PhaseDraining
		}
		h.VMs = append(h.VMs, vm)
	}
	return h
}

func TestWarmPoolOfEachHost(t *testing.T) {
	full := func(h HostObservation) HostObservation { h.Full = true; return h }
	trouble := func(h HostObservation, why Trouble) HostObservation { h.Trouble = why; return h }
	ordered := func(h HostObservation, action bus.HostAction) HostObservation {
		h.Order = &bus.HostOrder{Action: action}
		return h
	}
	hosts := func(all ...HostObservation) []HostObservation { return all }
	for _, tt := range []struct {
		name    string
		size    string
		state   bus.WarmState
		desired int
		hosts   []HostObservation
		want    string // of each host its VMs and its warm ones
	}{
		{"no pool", "0", "", 2, hosts(poolOf("a", "rr")), "a 2+0"},
		{"one is made", "1", "", 2, hosts(poolOf("a", "rr")), "a 2+1"},
		{"on the host with the fewest", "1", "", 3, hosts(poolOf("a", "rr"), poolOf("b", "r")), "a 2+0, b 1+1"},
		{"evenly", "3", "", 2, hosts(poolOf("a", "r"), poolOf("b", "r")), "a 1+2, b 1+1"},
		{"not on one that is full", "2", "", 2, hosts(poolOf("a", "rr"), full(poolOf("b", ""))), "a 2+2, b 0+0"},
		{"those there count, and those on their way", "2", "", 2, hosts(poolOf("a", "rrwp")), "a 2+2"},
		{"what is too many goes", "1", "", 2, hosts(poolOf("a", "rrww"), poolOf("b", "")), "a 2+1, b 0+0"},
		{"a pool of another config goes", "0", "", 2, hosts(poolOf("a", "rrw")), "a 2+0"},
		{"max holds", "3", "", 4, hosts(poolOf("a", "rrrr")), "a 4+1"},
		{"what leaves counts toward max", "3", "", 3, hosts(poolOf("a", "rrrdd")), "a 3+0"},
		{"what a person suspended counts toward max", "max-minus-desired", "", 2, hosts(poolOf("a", "rrs")), "a 2+2"},
		{"the group lacks one: handed over, and not made anew", "2", "", 3, hosts(poolOf("a", "rrww")), "a 3+1"},
		{"from the host that has it", "1", "", 4, hosts(poolOf("a", "rrw"), poolOf("b", "r")), "a 3+0, b 1+0"},
		{"one on its way there is handed over as well", "1", "", 3, hosts(poolOf("a", "rrp"), poolOf("b", "")), "a 3+0, b 0+0"},
		{"a full host hands over what is paused", "1", "", 3, hosts(full(poolOf("a", "rrw")), poolOf("b", "")), "a 3+0, b 0+0"},
		{"and not what is off", "1", bus.WarmStopped, 3, hosts(full(poolOf("a", "rrw")), poolOf("b", "")), "a 2+1, b 1+0"},
		{"nor what is saved", "1", bus.WarmSaved, 3, hosts(full(poolOf("a", "rrm")), poolOf("b", "")), "a 2+1, b 1+0"},
		{"which another host hands over", "1", bus.WarmSaved, 3, hosts(poolOf("a", "rrm"), poolOf("b", "")), "a 3+0, b 0+0"},
		{
			"not from a host that nobody acts on", "1", "", 3,
			hosts(trouble(poolOf("a", "rrw"), Unattended), poolOf("b", "")), "a 2+1, b 1+0",
		},
		{"one that is handed over counts before it runs", "2", "", 3, hosts(poolOf("a", "rrhw")), "a 3+1"},
		{"nor does it take place from the others", "max-minus-desired", "", 3, hosts(poolOf("a", "rrhww")), "a 3+2"},
		{"the group grows: none is made", "2", "", 3, hosts(poolOf("a", "rrl")), "a 3+0"},
		{"max leaves no other room", "3", "", 5, hosts(poolOf("a", "rrrr"), trouble(poolOf("b", "w"), Unattended)), "a 4+0, b 0+1"},
		{
			"a host is silent: none is made or goes", "2", "", 2,
			hosts(poolOf("a", "rwww"), trouble(poolOf("b", "r"), Silent)), "a 1+3, b 1+0",
		},
		{"scaled in: back to the pool", "1", "reuse", 1, hosts(poolOf("a", "rr")), "a 1+1"},
		{"scaled in: removed", "1", "", 1, hosts(poolOf("a", "rr")), "a 1+0"},
		{"not more than the pool is to have", "1", "reuse", 1, hosts(poolOf("a", "rrr"), poolOf("b", "w")), "a 1+0, b 0+1"},
		{
			"nor where a person wants no new one", "2", "reuse", 2,
			hosts(ordered(poolOf("a", "rr"), bus.HostDrain), ordered(poolOf("b", "r"), bus.HostCordon)), "a 1+0, b 1+0",
		},
		{"none is made while one may come back", "2", "reuse", 1, hosts(poolOf("a", "rd")), "a 1+0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := spec(func(g *bus.Group) { g.Max = 5 })
			size, err := bus.ParseWarmSize(tt.size)
			if err != nil {
				t.Fatal(err)
			}
			g.WarmPool = bus.WarmPool{Size: size, State: tt.state, Reuse: tt.state == "reuse"}
			obs := Observation{Hosts: tt.hosts, Fresh: 1}
			st := State{HasSample: true, Desired: tt.desired, Hosts: obs.hostIDs(), LastData: t0}
			d, _ := Decide(g, st, obs, t0)
			if d.Desired != tt.desired {
				t.Fatalf("desired %d (%s)", d.Desired, d.Sentence)
			}
			var got []string
			owned, more := 0, 0
			for _, h := range tt.hosts {
				share := d.Shares[h.ID]
				got = append(got, fmt.Sprintf("%s %d+%d", h.ID, share.VMs, share.Warm))
				owned += len(h.VMs)
				if n := max(0, share.VMs-h.kept()) + share.Warm - h.pooled(); n > 0 {
					more += n
					if len(share.Numbers) < n {
						t.Errorf("host %s: numbers %v for %d new VMs", h.ID, share.Numbers, n)
					}
				}
			}
			if text := strings.Join(got, ", "); text != tt.want {
				t.Errorf("got %s, want %s", text, tt.want)
			}
			if owned+more > g.Max {
				t.Errorf("%d owned and %d more, max %d", owned, more, g.Max)
			}
		})
	}
}

// A VM of the warm pool is in no number but owned, whatever it does.
func TestWarmVMsCountInNothing(t *testing.T) {
	g := spec(func(g *bus.Group) { g.Max = 5; g.WarmPool.Size.VMs = 2; g.MaxLifetime = time.Minute })
	for _, vms := range []string{"rr", "rrww", "rrpw"} {
		h := poolOf("a", vms)
		for i := range h.VMs {
			if h.VMs[i].Phase.Pooled() {
				h.VMs[i].State, h.VMs[i].CPUPercent = bus.StateRunning, new(100.)
			}
		}
		d, _ := Decide(g, State{HasSample: true, Desired: 2, Hosts: []bus.HostID{"a"}, LastData: t0},
			Observation{Hosts: []HostObservation{h}, Fresh: 1}, t0)
		in := d.Inputs
		if in.Ready != 2 || in.Launching != 0 || in.Warming != 0 || in.Unknown != 0 || *in.AveragePercent != 50 || in.Overdue != 2 {
			t.Errorf("%s: %+v", vms, in)
		}
		if in.Owned != len(vms) || in.Warm != len(vms)-2 || in.WarmWanted != 2 {
			t.Errorf("%s: %d owned, %d warm of %d", vms, in.Owned, in.Warm, in.WarmWanted)
		}
		if d.Direction == bus.In {
			t.Errorf("%s: scales in: %s", vms, d.Sentence)
		}
	}
}

// A host hands over, and fills, no more than its group's per_host_max.
func TestWarmPoolWithinPerHostMax(t *testing.T) {
	for _, tt := range []struct {
		name    string
		desired int
		hosts   []HostObservation
		want    string // of each host its VMs and its warm ones
	}{
		{"handed over below it", 4, []HostObservation{poolOf("a", "rw"), poolOf("b", "rr")}, "a 2+0, b 2+0"},
		{"another host makes one", 4, []HostObservation{poolOf("a", "rrw"), poolOf("b", "r")}, "a 2+0, b 2+0"},
		{"filled below it", 3, []HostObservation{poolOf("a", "rr"), poolOf("b", "r")}, "a 2+0, b 1+1"},
		{"nowhere left", 4, []HostObservation{poolOf("a", "rr"), poolOf("b", "rr")}, "a 2+0, b 2+0"},
	} {
		g := spec(func(g *bus.Group) { g.Max, g.PerHostMax, g.WarmPool.Size.VMs = 6, 2, 1 })
		obs := Observation{Hosts: tt.hosts, Fresh: 2}
		d, _ := Decide(g, State{HasSample: true, Desired: tt.desired, Hosts: obs.hostIDs(), LastData: t0}, obs, t0)
		a, b := d.Shares["a"], d.Shares["b"]
		if got := fmt.Sprintf("a %d+%d, b %d+%d", a.VMs, a.Warm, b.VMs, b.Warm); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
}

// What is too many goes where it is seen, and is not taken for the warm VMs of a host that is lost.
func TestSurplusOfWarmPoolBesideLostHost(t *testing.T) {
	g := spec(func(g *bus.Group) { g.Max, g.WarmPool.Size.VMs = 5, 1 })
	lost := poolOf("a", "rrrw")
	lost.Trouble, lost.Quiet = Silent, time.Minute
	obs := Observation{Hosts: []HostObservation{lost, poolOf("b", "rww"), poolOf("c", "rr")}, Fresh: 2}
	st := State{HasSample: true, Desired: 3, Hosts: obs.hostIDs(), LastData: t0, Standings: Standings{
		"a": {Name: "a", State: bus.HostLost, Since: t0, Kept: 3, Told: 3, Gone: 3, Missed: true},
	}}
	d, _ := Decide(g, st, obs, t0)
	if a, b := d.Shares["a"], d.Shares["b"]; a.Warm != 1 || b.Warm != 1 {
		t.Errorf("%+v and %+v, want one warm VM each", a, b)
	}
}

func TestTwoKindsOfWarmVMs(t *testing.T) {
	full := func(h HostObservation) HostObservation { h.Full = true; return h }
	hosts := func(all ...HostObservation) []HostObservation { return all }
	for _, tt := range []struct {
		name            string
		paused, stopped string
		desired         int
		hosts           []HostObservation
		want            string // of each host its VMs, and of its warm ones those that are paused and those that are off
	}{
		{"one host", "1", "2", 1, hosts(poolOf("a", "r")), "a 1+1+2"},
		{"none of the first kind", "0", "2", 1, hosts(poolOf("a", "r")), "a 1+0+2"},
		{"what is paused comes first where max leaves little", "1", "5", 8, hosts(poolOf("a", "rrrrrrrr")), "a 8+1+1"},
		{"spread", "2", "2", 2, hosts(poolOf("a", "r"), poolOf("b", "r")), "a 1+1+1, b 1+1+1"},
		{"they stay where they are", "1", "1", 2, hosts(poolOf("a", "ro"), poolOf("b", "rw")), "a 1+0+1, b 1+1+0"},
		{"also while one is made", "1", "1", 2, hosts(poolOf("a", "ro"), poolOf("b", "rp")), "a 1+0+1, b 1+1+0"},
		{"and the other", "1", "1", 2, hosts(poolOf("a", "rp"), poolOf("b", "rw")), "a 1+0+1, b 1+1+0"},
		{"two of one kind are exchanged", "1", "1", 2, hosts(poolOf("a", "ro"), poolOf("b", "ro")), "a 1+1+0, b 1+0+1"},
		{"a percentage", "50%", "100%", 2, hosts(poolOf("a", "rr")), "a 2+1+2"},
		{
			"a full host hands over what is paused alone", "1", "1", 4,
			hosts(full(poolOf("a", "rrwo")), poolOf("b", "")), "a 3+0+1, b 1+0+0",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := spec(func(g *bus.Group) { g.Max = 10 })
			g.WarmPool.Size, _ = bus.ParseWarmSize(tt.paused)
			g.WarmPool.Stopped, _ = bus.ParseWarmSize(tt.stopped)
			obs := Observation{Hosts: tt.hosts, Fresh: 1}
			d, _ := Decide(g, State{HasSample: true, Desired: tt.desired, Hosts: obs.hostIDs(), LastData: t0}, obs, t0)
			var got []string
			for _, h := range tt.hosts {
				share := d.Shares[h.ID]
				got = append(got, fmt.Sprintf("%s %d+%d+%d", h.ID, share.VMs, share.Warm-share.WarmStopped, share.WarmStopped))
			}
			if text := strings.Join(got, ", "); text != tt.want || d.Desired != tt.desired {
				t.Errorf("got %s, want %s, of %d desired", text, tt.want, d.Desired)
			}
		})
	}
}

// A pool whose size is forecast has as many VMs as the usual rise of the load asks for, from its min to its max, and within the
// group's; while that is not known, its min.
func TestWarmPoolThatIsForecast(t *testing.T) {
	const pool, shadow = bus.PolicyPredictive, bus.PolicyThreshold
	learned := func(rise float64, readings int) PolicyStates {
		tuning, err := policy.TuningOf(bus.SettingBalanced)
		if err != nil {
			t.Fatal(err)
		}
		p := policy.NewPredictive(tuning)
		for range readings {
			p.Rises.Add(rise)
		}
		return PolicyStates{bus.PolicyPredictive: {
			Memory: policy.Memory{Predictive: p}, At: t0,
			Recommendation: bus.Recommendation{Policy: bus.PolicyPredictive, Desired: 2},
		}}
	}
	for _, tt := range []struct {
		name        string
		by          bus.PolicyType
		rise        float64
		readings    int
		least, most int
		want        int
	}{
		{"for what it rises by", pool, 1.7, 30, 0, 0, 3},
		{"as the shadow expects", shadow, 1.7, 30, 0, 0, 3},
		{"it never rises", pool, 0, 30, 0, 0, 0},
		{"it falls", pool, -1, 30, 0, 0, 0},
		{"at least the pool's min", pool, 0, 30, 1, 0, 1},
		{"at most the pool's max", pool, 4, 30, 0, 2, 2},
		{"at most what the group's max leaves", pool, 20, 30, 0, 0, 7},
		{"too little is known", pool, 4, 5, 1, 0, 1},
		{"nothing is known", pool, 0, 0, 0, 0, 0},
	} {
		g := spec(bounds(1, 9), func(g *bus.Group) {
			g.Policy.Types = []bus.PolicyType{tt.by}
			g.WarmPool = bus.WarmPool{Size: bus.WarmSize{Forecast: true}, Min: tt.least, Max: tt.most}
		})
		st := State{HasSample: true, Desired: 2, Hosts: []bus.HostID{"a"}, LastData: t0}
		if tt.readings > 0 {
			st.Policy = learned(tt.rise, tt.readings)
		}
		if tt.by == shadow {
			g.Policy.Shadow = []bus.PolicyType{bus.PolicyPredictive}
			st.Shadows, st.Policy = Shadows{bus.PolicyPredictive: {Policy: st.Policy}}, nil
		}
		d, _ := Decide(g, st, Observation{Hosts: []HostObservation{poolOf("a", "rr")}, Fresh: 1}, t0)
		if d.Inputs.WarmWanted != tt.want || d.Shares["a"].Warm != tt.want {
			t.Errorf("%s: %d wanted, share %+v, want %d (%s)", tt.name, d.Inputs.WarmWanted, d.Shares["a"], tt.want, d.Sentence)
		}
	}
}
