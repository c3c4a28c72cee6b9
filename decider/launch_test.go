package decider

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// All that was asked for are made where that was said, or none is and it is said why.
func TestLaunch(t *testing.T) {
	a, b := []bus.VM{serving(1, ""), serving(2, "")}, []bus.VM{serving(3, "")}
	for _, tt := range []struct {
		name string
		set  func(*bus.Group, *State, *Observation)
		q    bus.Query
		want string // the answer, or a part of the error
		code bus.RefusalCode
	}{
		{"the best host", nil, bus.Query{}, "4: web-7@b", ""},
		{"several, on the best ones", nil, bus.Query{Count: 3}, "6: web-4@a web-7@b web-8@b", ""},
		{"a host", nil, bus.Query{Host: "a"}, "4: web-4@a", ""},
		{"several on a host", nil, bus.Query{Host: "a", Count: 3}, "6: web-4@a web-5@a web-6@a", ""},
		{"beyond max", nil, bus.Query{Count: 7}, "with 7 more it would have more than its max, 9", bus.RefusedState},
		{"too many", nil, bus.Query{Count: 101}, "count: found 101, want 1 to 100", bus.RefusedMalformed},
		{"no such host", nil, bus.Query{Host: "c"}, `"c", want one that can have VMs of group web: a, b`, bus.RefusedUnknown},
		{
			"paused", func(_ *bus.Group, st *State, _ *Observation) { st.Controls.Paused = []bus.Scope{bus.ScopeOut} },
			bus.Query{},
			"scaling out of group web is paused", bus.RefusedState,
		},
		{
			"in a dry run", func(g *bus.Group, _ *State, _ *Observation) { g.DryRun = true },
			bus.Query{},
			"group web is in a dry run", bus.RefusedState,
		},
		{
			"a host that is full", func(_ *bus.Group, _ *State, o *Observation) { o.Hosts[0].Full = true },
			bus.Query{Host: "a"},
			"host a cannot have 1 VM more of group web: its actuator finds no room, or its launches fail", bus.RefusedState,
		},
		{
			"a host with the most it may have", func(g *bus.Group, _ *State, _ *Observation) { g.PerHostMax = 3 },
			bus.Query{Host: "a", Count: 2},
			"it has 2 VMs, and per_host_max is 3", bus.RefusedState,
		},
		{
			"cordoned everywhere", func(_ *bus.Group, _ *State, o *Observation) {
				for i := range o.Hosts {
					o.Hosts[i].Order = &bus.HostOrder{Action: bus.HostCordon}
				}
			}, bus.Query{}, "no host can have 1 VM more of group web: a: a person wants no new VM there, b: ", bus.RefusedState,
		},
		{
			"nothing is known", func(_ *bus.Group, st *State, _ *Observation) { st.HasSample = false },
			bus.Query{},
			"what there is of group web is not known yet", bus.RefusedState,
		},
		{
			"held by a person", func(_ *bus.Group, st *State, _ *Observation) { st.Controls.Desired = new(3) },
			bus.Query{},
			"4: web-7@b", "",
		},
	} {
		g := spec(bounds(1, 9))
		obs := Observation{Fresh: 2, Hosts: []HostObservation{
			{ID: "a", Name: "a", Time: t0, VMs: a}, {ID: "b", Name: "b", Time: t0, VMs: b},
		}}
		newest, st := Decide(g, State{HasSample: true, Desired: 3}, obs, t0)
		if tt.set != nil {
			tt.set(&g, &st, &obs)
		}
		before := fmt.Sprintf("%+v", st)
		at := t0.Add(time.Second)
		answer, d, next, err := Launch(g, st, obs, newest, tt.q, at)
		if tt.code != "" {
			var refused *bus.RefusedError
			if !errors.As(err, &refused) || refused.Code != tt.code || !strings.Contains(err.Error(), tt.want) ||
				d.Desired != newest.Desired {
				t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got := fmt.Sprintf("%d:", answer.Desired)
		for _, vm := range answer.VMs {
			got += fmt.Sprintf(" %s@%s", vm.VM, vm.Host)
		}
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
		if d.Direction != bus.Out || d.Rule != bus.RuleLaunched || d.Desired != next.Desired || fmt.Sprintf("%+v", st) != before {
			t.Errorf("%s: %+v, or the state that it was given has changed", tt.name, d)
		}
		// No sample shows it yet: the next evaluation tells no other host to make it.
		again, _ := Decide(g, next, obs, at.Add(time.Second))
		for id, share := range d.Shares {
			if again.Shares[id].VMs != share.VMs {
				t.Errorf("%s: host %s is told to have %d, and then %d", tt.name, id, share.VMs, again.Shares[id].VMs)
			}
		}
	}
}

// A group with a warm pool may hand one over: its name is not known before.
func TestLaunchFromThePool(t *testing.T) {
	g := spec(bounds(1, 9), func(g *bus.Group) { g.WarmPool = bus.WarmPool{Size: bus.WarmSize{VMs: 1}} })
	warm := serving(2, "")
	warm.Phase, warm.State = bus.PhaseWarm, bus.StatePaused
	obs := only(serving(1, ""), warm)
	newest, st := Decide(g, State{HasSample: true, Desired: 1}, obs, t0)
	answer, _, _, err := Launch(g, st, obs, newest, bus.Query{}, t0)
	if err != nil || len(answer.VMs) != 1 || answer.VMs[0].VM != "" || answer.VMs[0].Host != "kvm1" {
		t.Errorf("%+v, %v", answer, err)
	}
}

// The decider that leads answers, and the group goes on from there, also under the next decider.
func TestLaunchOverTheBus(t *testing.T) {
	f := startFleet(t)
	f.spec.Policy.Interval, f.spec.Policy.LowerPercent = 50*time.Millisecond, 0
	stop := f.start("one")
	first := f.until("a decision", 1, func(d bus.Decision) bool { return d.HasSample }).Term
	h := bus.Health{
		V: bus.Version, Stage: "actuator", Instance: "a", OK: true, Time: time.Now(), Since: time.Now(),
		Acts: &bus.Acts{HostID: "kvm1", Full: []string{}, Taken: map[string][]int{}},
	}
	if err := f.conn.Publish(&h); err != nil {
		t.Fatal(err)
	}
	ask := func(q bus.Query) (bus.Launch, error) {
		return client.Ask[bus.Launch](t.Context(), f.connect("operator"), bus.VerbLaunch, q)
	}
	q := bus.Query{Group: f.spec.Name, Host: "kvm1", Count: 2, By: "ann@kvm1", Reason: "the launch"}
	var answer bus.Launch
	f.until("the launch is granted", 1, func(bus.Decision) bool { // once the actuator is heard
		var err error
		answer, err = ask(q)
		return err == nil
	})
	const want = `2 VMs more: launched; by ann@kvm1 ("the launch")`
	if answer.Desired != 3 || len(answer.VMs) != 2 || answer.VMs[0].Host != "kvm1" || answer.Sentence != want {
		t.Fatalf("%+v", answer)
	}
	if d := f.until("it is told", 1, func(d bus.Decision) bool { return d.Desired == 3 }); d.Shares["kvm1"].VMs != 3 {
		t.Errorf("decided %+v", d)
	}
	if _, err := ask(bus.Query{Group: f.spec.Name, Count: f.spec.Max}); err == nil {
		t.Error("more than max are launched")
	}
	stop()
	defer f.start("two")()
	f.until("the second wants as many", 1, func(d bus.Decision) bool { return d.Term > first && d.Desired == 3 })
}
