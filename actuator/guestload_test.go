package actuator

import (
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// The guests of groups that follow their load are asked, every ten seconds, but for those that do not answer.
func TestWhoIsAskedForItsLoad(t *testing.T) {
	now := t0.Add(time.Hour)
	follows := webSpec(func(g *bus.Group) {
		g.Policy.Types, g.Policy.Signal = []bus.PolicyType{bus.PolicyTarget}, bus.SignalLoad
	})
	one, two, three, booting := running(1), running(2), running(3), vmOf(4, bus.PhaseLaunching, bus.StateRunning)
	a := &Actuator{
		cfg:      Config{Now: func() time.Time { return now }},
		groups:   map[string]*group{"web": {spec: follows}},
		seen:     map[string]vm.VM{one.UUID: one, two.UUID: two, three.UUID: three, booting.UUID: booting},
		liveness: livenessByVM{two.UUID: &liveness{silent: t0}},
		loads:    guestLoads{rest: map[string]time.Time{}},
	}
	if got := a.toAsk(now); len(got) != 2 {
		t.Errorf("asked: %+v", got)
	}
	a.loads.asked = now
	if got := a.toAsk(now.Add(loadEvery - time.Second)); len(got) != 0 {
		t.Errorf("asked too soon: %+v", got)
	}
	all := a.saidLoads(vm.Loads{
		At: now, Percent: map[string]float64{one.UUID: 135}, Unknown: map[string]string{three.UUID: "time-out"},
		Silent: map[string]bool{three.UUID: true},
	})
	if len(all) != 1 || len(all[0].Percent) != 1 || all[0].Percent[one.UUID] != 135 || len(all[0].Unknown) != 2 ||
		all[0].Unknown[three.UUID] != "time-out" || all[0].Unknown[two.UUID] == "" {
		t.Errorf("published: %+v", all)
	}
	if got := a.toAsk(now.Add(loadEvery)); len(got) != 1 || got[0].UUID != one.UUID {
		t.Errorf("after one that did not answer: %+v", got)
	}
	now = now.Add(askLoadAgain)
	a.saidLoads(vm.Loads{})
	if got := a.toAsk(now); len(got) != 2 {
		t.Errorf("after a minute: %+v", got)
	}
	a.groups["web"].spec = webSpec()
	if got := a.toAsk(now); len(got) != 0 {
		t.Errorf("of a group that does not follow it: %+v", got)
	}
}
