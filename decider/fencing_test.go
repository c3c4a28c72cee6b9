package decider

import (
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
)

// That a host was cut off is worth a checkpoint of its own: the next leader is not to have it cut off again.
func TestFencedHostIsKept(t *testing.T) {
	now := time.Now()
	s := spec(bounds(1, 5))
	d, err := New(Config{Groups: []bus.Group{s}}, bustest.Join(t, bustest.StartServer(t), "decider"), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	g := newGroup(s, now)
	g.state.Standings = Standings{"kvm2": {Name: "kvm2", State: bus.HostLost, Since: now, Kept: 2}}
	d.groups = map[string]*group{s.Name: g}
	saved := checkpoint{Time: now, Standings: g.state.Standings}
	d.hasFenced(fenced{fencedHost: fencedHost{s.Name, "kvm2"}, since: now})
	if !g.state.Standings["kvm2"].Fenced {
		t.Fatalf("it stands as %+v, want it fenced", g.state.Standings["kvm2"])
	}
	if next := (checkpoint{Time: now, Standings: g.state.Standings}); !next.worthSaving(saved) {
		t.Error("that it was cut off is not worth saving")
	}
}
