package decider

import (
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// A group that follows its guests' load grows by it where the CPU says no more, and holds where it is not known of each VM: a
// host that falls silent is not one without load.
func TestGuestLoad(t *testing.T) {
	g := spec(bounds(1, 9), func(g *bus.Group) {
		g.Policy.Types, g.Policy.Signal, g.Policy.TargetPercent = []bus.PolicyType{bus.PolicyTarget}, bus.SignalLoad, 100
	})
	said := func(percents map[string]float64) (*group, Observation) {
		unknown := map[string]string{}
		if len(percents) < 2 {
			unknown["2"] = "time-out"
		}
		of := &group{spec: g, inForce: g, loads: map[bus.HostID]heardLoad{}}
		of.hearLoad(bus.GuestLoad{HostID: "kvm1", Percent: percents, Unknown: unknown}, t0)
		obs := only(serving(1, ""), serving(2, ""))
		obs.Loads = of.guestLoads(t0.Add(loadAge - time.Second))
		return of, obs
	}
	wants := func(obs Observation) (desired int, sentence string) {
		st := State{HasSample: true, Desired: 2, Hosts: []bus.HostID{"kvm1"}}
		var d bus.Decision
		for i := range 60 {
			d, st = Decide(g, st, obs, t0.Add(time.Duration(i)*time.Second))
		}
		return d.Desired, d.Sentence
	}
	of, obs := said(map[string]float64{"1": 300, "2": 100})
	if n, why := wants(obs); n != 4 {
		t.Errorf("at 200 %%: %d, %s", n, why)
	}
	if late := of.guestLoads(t0.Add(loadAge)); len(late) != 0 {
		t.Errorf("after %s: %+v", loadAge, late)
	}
	_, obs = said(map[string]float64{"1": 300})
	if n, why := wants(obs); n != 2 || obs.whyNoLoad() != "web-2: time-out" {
		t.Errorf("of one it is not known: %d, %s; %q", n, why, obs.whyNoLoad())
	}
	if n, why := wants(only(serving(1, ""), serving(2, ""))); n != 2 {
		t.Errorf("of none it is known: %d, %s", n, why)
	}
}
