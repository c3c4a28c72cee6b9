package decider

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// hosts is a group on several hosts in virtual time.
type hosts struct {
	t      *testing.T
	now    time.Time
	window Window
	state  State
	spec   bus.Group
}

// step is a second later: the samples are sent, and a decision is made.
func (h *hosts) step(samples ...bus.Sample) bus.Decision {
	h.t.Helper()
	h.now = h.now.Add(time.Second)
	for _, s := range samples {
		s.Time = h.now
		if err := h.window.Add(s, h.now); err != nil {
			h.t.Fatal(err)
		}
	}
	var d bus.Decision
	d, h.state = Decide(h.spec, h.state, h.window.Take(h.now, 5*time.Second), h.now)
	return d
}

// on is a sample of a host with VMs that are idle.
func on(id bus.HostID, host string, uuids ...string) bus.Sample {
	s := bus.Sample{V: bus.Version, Group: "web", HostID: id, Host: host, Instance: "collector-" + host, VMs: []bus.VM{}}
	for _, uuid := range uuids {
		vm := reading(uuid, 10)
		vm.PhaseSince, vm.Created = t0.Add(-time.Hour), t0.Add(-time.Hour)
		s.VMs = append(s.VMs, vm)
	}
	return s
}

func startHosts(t *testing.T, samples ...bus.Sample) *hosts {
	t.Helper()
	h := &hosts{t: t, now: t0, spec: spec(bounds(1, 9))}
	h.step(samples...)
	return h
}

// A host's name may change; it is the same host, with the same VMs.
func TestHostIsRenamed(t *testing.T) {
	h := startHosts(t, on("a", "kvm", "1", "2", "3"))
	h.state.Controls.Desired = new(3)
	for range 20 {
		d := h.step(func() bus.Sample { s := on("a", "kvm.example.org", "1", "2", "3"); s.Instance = "another"; return s }())
		if d.Desired != 3 || d.Direction != bus.Hold || len(d.Shares) != 1 || d.Shares["a"].VMs != 3 || d.Inputs.Owned != 3 {
			t.Fatalf("%+v", d)
		}
	}
}

// Where even the identity changes, the VMs are still the same: they count once, and none is removed.
func TestHostGetsAnotherIdentity(t *testing.T) {
	h := startHosts(t, on("a", "kvm", "1", "2", "3"))
	h.state.Controls.Desired = new(3)
	for i := range 20 {
		d := h.step(on("b", "kvm", "1", "2", "3"))
		if d.Desired != 3 || d.Direction != bus.Hold || d.Inputs.Owned != 3 {
			t.Fatalf("after %d s: %+v", i, d)
		}
		if i > 6 && (len(d.Shares) != 1 || d.Shares["b"].VMs != 3) {
			t.Fatalf("after %d s: shares %+v, want those of the host as it is now", i, d.Shares)
		}
	}
}

// A decider that takes over while hosts contradict each other removes nothing, and wants no more than the one before it did.
func TestTakeOverOfASurplus(t *testing.T) {
	h := &hosts{t: t, now: t0, spec: spec(bounds(1, 9)), state: State{PreviousDesired: new(2)}}
	d := h.step(on("a", "kvm1", "1", "2"), on("b", "kvm2", "2", "3"))
	if d.Desired != 2 || d.Guard != bus.GuardHost || d.Direction != bus.Hold || d.Shares["a"].VMs+d.Shares["b"].VMs != 3 {
		t.Errorf("%+v", d)
	}
}

// A silent host whose VMs another one shows is forgotten, but may have made what it was told to and did not show any more: nobody
// else gets those numbers for an hour.
func TestNumbersOutliveTheirHost(t *testing.T) {
	h := startHosts(t, on("a", "kvm1", "1"), on("b", "kvm2", "2"))
	h.state.Controls.Desired = new(4)
	told := h.step(on("a", "kvm1", "1"), on("b", "kvm2", "2")).Shares["a"].Numbers
	d := bus.Decision{}
	for range 10 {
		d = h.step(on("b", "kvm2", "1", "2"))
	}
	shared := func(number int) bool { return slices.Contains(told, number) }
	if len(told) == 0 || len(d.Shares) != 1 || d.Shares["b"].VMs != 4 || slices.ContainsFunc(d.Shares["b"].Numbers, shared) {
		t.Errorf("a was told %v, and then %+v", told, d.Shares)
	}
	next := &group{spec: h.spec, state: recall(newCheckpoint(h.state, h.now), nil, bus.Controls{}, h.now)}
	next.expect(h.now)
	moved := next.window.look(h.now, 5*time.Second).Moved
	if !slices.Equal(moved, []bus.HostID{"a"}) || next.window.hosts["b"] == nil {
		t.Errorf("of the decider before it the next one has the numbers of %v", moved)
	}
	h.now = h.now.Add(emptyFor)
	h.step(on("b", "kvm2", "1", "2"))
	if len(h.state.Numbers["a"]) > 0 {
		t.Errorf("after %v: %v", emptyFor, h.state.Numbers)
	}
}

// A host that falls silent holds back scaling in, and nothing else; a person can say that it is gone.
func TestSilentHost(t *testing.T) {
	h := startHosts(t, on("a", "kvm1", "1", "2"), on("b", "kvm2", "3", "4"))
	h.state.Controls.Desired = new(4)
	for range 10 {
		h.step(on("a", "kvm1", "1", "2"))
	}
	h.state.Controls.Desired = new(2)
	d := h.step(on("a", "kvm1", "1", "2"))
	if d.Guard != bus.GuardHost || d.Desired != 4 || d.Direction != bus.Hold || d.Shares["a"].VMs != 2 || d.Shares["b"].VMs != 2 {
		t.Errorf("scaling in: %+v", d)
	}
	h.state.Controls.Desired = new(6)
	if d = h.step(on("a", "kvm1", "1", "2")); d.Desired != 6 || d.Shares["a"].VMs != 4 || d.Shares["b"].VMs != 2 {
		t.Errorf("scaling out: %+v", d)
	}
	if err := h.window.Forget("kvm1", h.now, 5*time.Second); err == nil {
		t.Error("a host that speaks was forgotten")
	}
	if err := h.window.Forget("kvm3", h.now, 5*time.Second); !errors.Is(err, errUnknownHost) {
		t.Errorf("an unknown host: %v", err)
	}
	if err := h.window.Forget("kvm2", h.now, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	if d = h.step(on("a", "kvm1", "1", "2")); d.Shares["a"].VMs != 6 || len(d.Shares) != 1 {
		t.Errorf("forgotten: %+v", d)
	}
	// It was not gone after all.
	if d = h.step(on("a", "kvm1", "1", "2"), on("b", "kvm2", "3", "4")); d.Desired != 8 || d.Direction == bus.In ||
		d.Shares["b"].VMs < 2 {
		t.Errorf("back: %+v", d)
	}
}

// Of hosts that have one name the silent one is meant, in whatever order they are looked through.
func TestSilentHostOfAName(t *testing.T) {
	for range 20 {
		h := startHosts(t, on("a", "kvm", "1"), on("b", "kvm", "2"), on("c", "kvm", "3"))
		h.state.Controls.Desired = new(3)
		for range 10 {
			h.step(on("a", "kvm", "1"), on("b", "kvm", "2"))
		}
		if err := h.window.Forget("kvm", h.now, 5*time.Second); err != nil {
			t.Fatal(err)
		}
		if d := h.step(on("a", "kvm", "1"), on("b", "kvm", "2")); len(d.Shares) != 2 || d.Shares["a"].VMs == 0 ||
			d.Shares["b"].VMs == 0 {
			t.Fatalf("%+v", d.Shares)
		}
		if err := h.window.Forget("kvm", h.now, 5*time.Second); err == nil || errors.Is(err, errUnknownHost) {
			t.Fatalf("all of the name speak: %v", err)
		}
		for range 10 {
			h.step(on("z", "other"))
		}
		if err := h.window.Forget("kvm", h.now, 5*time.Second); err == nil || !strings.Contains(err.Error(), `["a" "b"]`) {
			t.Fatalf("two silent ones of the name: %v", err)
		}
		if err := h.window.Forget("b", h.now, 5*time.Second); err != nil {
			t.Fatal(err)
		}
	}
}

// Two collectors that speak for one host are both named, and nothing is scaled in.
func TestTwoCollectorsOfOneHost(t *testing.T) {
	h := startHosts(t, on("a", "kvm", "1", "2", "3"))
	h.state.Controls.Desired = new(1)
	second := on("a", "clone", "7")
	h.window = Window{}
	for i := range 20 {
		h.now = h.now.Add(time.Second)
		for _, s := range []bus.Sample{on("a", "kvm", "1", "2", "3"), second} {
			s.Time = h.now
			_ = h.window.Add(s, h.now)
		}
		obs := h.window.Take(h.now, 5*time.Second)
		var d bus.Decision
		if d, h.state = Decide(h.spec, h.state, obs, h.now); i > 0 && (d.Direction == bus.In || len(obs.with(Contradicted)) != 1) {
			t.Fatalf("after %d s: %+v of %+v", i, d, obs)
		}
	}
}

// Of two collectors of a host either may end: the other one goes on.
func TestSecondCollectorEnds(t *testing.T) {
	of := func(instance string) bus.Sample {
		s := on("a", "kvm", "1", "2", "3")
		s.Instance = instance
		return s
	}
	for _, stays := range []string{"first", "second"} {
		h := startHosts(t, of("first"))
		var obs Observation
		step := func(instances ...string) {
			h.now = h.now.Add(time.Second)
			for _, instance := range instances {
				s := of(instance)
				s.Time = h.now
				_ = h.window.Add(s, h.now)
			}
			obs = h.window.Take(h.now, 5*time.Second)
		}
		for range 5 {
			step("first", "second")
		}
		if len(obs.with(Contradicted)) != 1 {
			t.Fatalf("two speak: %+v", obs)
		}
		for range 15 {
			step(stays)
		}
		if obs.incomplete() != "" || obs.Fresh != 1 {
			t.Errorf("only the %s one speaks: %s, %+v", stays, obs.incomplete(), obs)
		}
	}
}

// What a collector that has ended said before the one that speaks now comes late, or again. It takes nothing over.
func TestLateSampleTakesNothingOver(t *testing.T) {
	h := startHosts(t, on("a", "kvm", "1", "2", "3"))
	for i := range 5 {
		h.now = h.now.Add(time.Second)
		s := on("a", "kvm", "1", "2", "3")
		s.Time = h.now
		if err := h.window.Add(s, h.now); err != nil {
			t.Fatal(err)
		}
		late := on("a", "kvm")
		late.Instance, late.Time = "ended", h.now.Add(-time.Duration(i+1)*time.Second)
		if err := h.window.Add(late, h.now); !errors.Is(err, errOld) {
			t.Errorf("a late sample: %v", err)
		}
		if obs := h.window.Take(h.now, 5*time.Second); obs.incomplete() != "" || obs.Fresh != 1 || len(obs.Hosts[0].VMs) != 3 {
			t.Errorf("after a late sample: %+v", obs)
		}
	}
}

// A host that has no room passes its share on, and one that nobody acts on gets none.
func TestShareGoesWhereThereIsRoom(t *testing.T) {
	host := func(id bus.HostID, full bool, trouble Trouble) HostObservation {
		return HostObservation{ID: id, Name: string(id), Time: t0, Full: full, Trouble: trouble}
	}
	for _, tt := range []struct {
		name  string
		hosts []HostObservation
		a, b  int
	}{
		{"both have room", []HostObservation{host("a", false, ""), host("b", false, "")}, 2, 2},
		{"one is full", []HostObservation{host("a", true, ""), host("b", false, "")}, 0, 4},
		{"one has no actuator", []HostObservation{host("a", false, ""), host("b", false, Unattended)}, 4, 0},
		{"one is silent", []HostObservation{host("a", false, Silent), host("b", false, "")}, 0, 4},
		{"both are full", []HostObservation{host("a", true, ""), host("b", true, "")}, 2, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := split(spec(), order{scaleIn: []bus.ScaleIn{bus.ScaleInNewest}}, bus.Out, 4, Observation{Hosts: tt.hosts})
			if got["a"].VMs != tt.a || got["b"].VMs != tt.b {
				t.Errorf("got %+v, want %d and %d", got, tt.a, tt.b)
			}
		})
	}
}

// What only a collector says of a host removes nothing: no actuator is there that would see it.
func TestHostWithoutActuatorRemovesNothing(t *testing.T) {
	obs := see(ready(1), ready(1), ready(1))
	invented := see(ready(1), ready(1), ready(1)).Hosts[0]
	invented.ID, invented.Name, invented.Trouble = "evil", "evil", Unattended
	for i := range invented.VMs {
		invented.VMs[i].UUID += "-invented"
	}
	obs.Hosts, obs.Fresh = append(obs.Hosts, invented), 2
	st := State{HasSample: true, Desired: 3, Hosts: []bus.HostID{"kvm1"}}
	for i := range 20 {
		var d bus.Decision
		d, st = Decide(spec(bounds(1, 5), atOnce), st, obs, t0.Add(time.Duration(i)*time.Second))
		if d.Direction == bus.In || d.Shares["kvm1"].VMs < 3 {
			t.Fatalf("%+v", d)
		}
	}
}

// A decision to scale in can be lost: it is said again until no host has more than its share.
func TestScalingInIsSaidUntilItIsDone(t *testing.T) {
	h := startHosts(t, on("a", "kvm", "1", "2", "3"))
	h.state.Controls.Desired = new(2)
	for range 3 {
		if d := h.step(on("a", "kvm", "1", "2", "3")); d.Direction != bus.In || d.Shares["a"].VMs != 2 {
			t.Fatalf("%+v", d)
		}
	}
	if d := h.step(on("a", "kvm", "1", "2")); d.Direction != bus.Hold || d.Shares["a"].VMs != 2 {
		t.Fatalf("done: %+v", d)
	}
}
