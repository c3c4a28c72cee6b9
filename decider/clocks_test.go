package decider

import (
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// skewedSample is of a host whose clock is ahead by so much, taken at a moment; its VM has served for ten minutes.
func skewedSample(host string, ahead time.Duration, at time.Time) bus.Sample {
	vm := reading("1-"+host, 50)
	vm.Created, vm.PhaseSince = t0.Add(ahead-20*time.Minute), t0.Add(ahead-10*time.Minute)
	vm.BootedAt = new(t0.Add(ahead - 11*time.Minute))
	return bus.Sample{
		V: bus.Version, Group: "web", HostID: bus.HostID(host), Host: host, Instance: "c", Time: at.Add(ahead), VMs: []bus.VM{vm},
	}
}

// A host whose clock is an hour off is as fresh as any other, and what it says of its VMs is told by the decider's clock. So the
// VMs serve for as long as they do, and count as old as they are.
func TestHostWithAWrongClock(t *testing.T) {
	for name, ahead := range map[string]time.Duration{
		"an hour ahead": time.Hour, "an hour behind": -time.Hour, "right": 0, "as far off as may be": bus.TolerableSkew,
	} {
		t.Run(name, func(t *testing.T) {
			var w Window
			var now time.Time
			var created []time.Time
			for i := range 10 {
				now = t0.Add(time.Duration(i) * time.Second)
				sent := skewedSample("kvm1", ahead, now)
				jitter := time.Duration(i%3) * 10 * time.Millisecond // on its way
				if err := w.Add(sent, now.Add(jitter)); err != nil {
					t.Fatal(err)
				}
				h := w.Take(now.Add(jitter), 5*time.Second).Hosts[0]
				if h.Trouble != "" {
					t.Fatalf("after %d samples it is %s", i+1, h.Trouble)
				}
				if i >= 4 { // until then it is not known
					created = append(created, h.VMs[0].Created)
				}
				if !sent.VMs[0].Created.Equal(t0.Add(ahead - 20*time.Minute)) {
					t.Fatal("the sample that came was changed")
				}
			}
			h := w.look(now, 5*time.Second).Hosts[0]
			vm := h.VMs[0]
			for what, pair := range map[string][2]time.Time{
				"taken": {h.Time, now}, "created": {vm.Created, t0.Add(-20 * time.Minute)},
				"serves since": {vm.PhaseSince, t0.Add(-10 * time.Minute)}, "booted": {*vm.BootedAt, t0.Add(-11 * time.Minute)},
			} {
				if off := pair[0].Sub(pair[1]).Abs(); off > bus.TolerableSkew {
					t.Errorf("%s: %s off", what, off)
				}
			}
			for _, at := range created {
				if !at.Equal(created[0]) {
					t.Errorf("it was created at %s and at %s", created[0], at)
				}
			}
			if off := w.clocksAhead()["kvm1"] - ahead.Seconds(); off > 0.05 || off < -0.05 {
				t.Errorf("it is said to be %g s ahead", w.clocksAhead()["kvm1"])
			}
			if says := len(w.skewed()) == 1; says != (ahead.Abs() > time.Minute) {
				t.Errorf("skewed: %v", w.skewed())
			}
			if vm.RebootedAt != nil || vm.RestartedAt != nil {
				t.Error("what is not known was made up")
			}
		})
	}
}

// A clock that is set right is taken at its word again.
func TestClockThatIsSetRight(t *testing.T) {
	var w Window
	for i, ahead := range []time.Duration{
		time.Hour, time.Hour, time.Hour, time.Hour, time.Hour, 0, 0, 0, 0, 0, 0, 0, 0,
	} {
		now := t0.Add(time.Duration(i) * time.Second)
		if err := w.Add(skewedSample("kvm1", ahead, now), now); err != nil && ahead != 0 {
			t.Fatal(err)
		}
	}
	now := t0.Add(12 * time.Second)
	h := w.look(now, 5*time.Second).Hosts[0]
	if off := h.Time.Sub(now).Abs(); off > time.Second || h.Trouble != "" || len(w.skewed()) > 0 {
		t.Errorf("its time is %s off, it is %q, skewed are %v", off, h.Trouble, w.skewed())
	}
	if _, known := w.clocksAhead()["kvm2"]; known {
		t.Error("the clock of a host that was never heard is known")
	}
}

// What is decided of hosts whose clocks are an hour apart is what is decided of those whose clocks are right.
func TestDecisionDoesNotGoByAHostsClock(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(*bus.Group)
	}{
		{"max_lifetime", func(g *bus.Group) { g.MaxLifetime = 30 * time.Minute }},
		{"warm-up", func(g *bus.Group) { g.Policy.Warmup = 5 * time.Minute }},
	} {
		g := spec(bounds(2, 9))
		tt.set(&g)
		decide := func(a, b time.Duration) bus.Decision {
			var w Window
			now := t0
			for i := range 6 {
				now = t0.Add(time.Duration(i) * time.Second)
				for host, ahead := range map[string]time.Duration{"kvm1": a, "kvm2": b} {
					if err := w.Add(skewedSample(host, ahead, now), now); err != nil {
						t.Fatal(err)
					}
				}
			}
			d, _ := Decide(g, State{HasSample: true, Desired: 2}, w.Take(now, 5*time.Second), now)
			return d
		}
		want := decide(0, 0)
		for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
			got := decide(ahead, 0)
			if got.Inputs.Ready != want.Inputs.Ready || got.Inputs.Overdue != want.Inputs.Overdue ||
				got.Inputs.Warming != want.Inputs.Warming || got.Sentence != want.Sentence {
				t.Errorf("%s, %s ahead: got %+v %q, want %+v %q", tt.name, ahead, got.Inputs, got.Sentence, want.Inputs,
					want.Sentence)
			}
		}
	}
}
