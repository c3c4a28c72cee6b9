package decider

import (
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
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

// What is decided of hosts whose clocks are an hour apart is what is decided of those whose clocks are right, and each host is
// told how far its own is off.
func TestDecisionDoesNotGoByAHostsClock(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(*bus.Group)
	}{
		{"max_lifetime", func(g *bus.Group) { g.MaxLifetime = 30 * time.Minute }},
		{"min_ready that is over", func(g *bus.Group) { g.MinReady = 5 * time.Minute }},
		{"min_ready that is not", func(g *bus.Group) { g.MinReady = 15 * time.Minute }},
	} {
		g := spec(bounds(2, 9))
		tt.set(&g)
		decide := func(a, b time.Duration) (bus.Decision, refreshFacts) {
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
			obs, st := w.Take(now, 5*time.Second), State{HasSample: true, Desired: 2}
			d, _ := Decide(g, st, obs, now)
			for host, ahead := range map[bus.HostID]time.Duration{"kvm1": a, "kvm2": b} {
				if behind := d.Shares[host].ClockBehindMS; behind == nil || *behind != -ahead.Milliseconds() {
					t.Errorf("%s: %s, %s ahead, is told %v", tt.name, host, ahead, behind)
				}
			}
			return d, look(g, st, obs, now).refreshFacts(bus.Build{Before: new(t0.Add(-15 * time.Minute))})
		}
		want, facts := decide(0, 0)
		for _, ahead := range []time.Duration{time.Hour, -time.Hour} {
			got, f := decide(ahead, 0)
			if got.Inputs.Overdue != want.Inputs.Overdue || got.Sentence != want.Sentence || f.serving != facts.serving ||
				f.staying != facts.staying || f.complete != facts.complete {
				t.Errorf("%s, %s ahead: got %+v %q %+v, want %+v %q %+v", tt.name, ahead, got.Inputs, got.Sentence, f,
					want.Inputs, want.Sentence, facts)
			}
		}
	}
}

// Until it is known how far a host's clock is off, none of its VMs is too old, or has served for min_ready, no refresh of all VMs
// is done, and nothing is attached there. A sample that is late later on changes none of that.
func TestHostWhoseClockIsNotKnown(t *testing.T) {
	g := spec(bounds(1, 9), func(g *bus.Group) { g.MaxLifetime, g.MinReady = 30*time.Minute, time.Minute })
	for _, ahead := range []time.Duration{0, time.Hour, -time.Hour} {
		var w Window
		st := State{HasSample: true, Desired: 1}
		for i, late := range []time.Duration{0, 0, 0, 0, 0, 3 * time.Second, 0} {
			at := t0.Add(time.Duration(i) * 4 * time.Second)
			now, known := at.Add(late), i >= 3
			if err := w.Add(skewedSample("kvm1", ahead, at), now); err != nil {
				t.Fatal(err)
			}
			obs := w.Take(now, 5*time.Second)
			d, next := Decide(g, st, obs, now)
			if told := d.Shares["kvm1"].ClockBehindMS; d.Inputs.Overdue != 0 || (told != nil) != known {
				t.Errorf("%s ahead, sample %d: %d are too old, told is %v", ahead, i, d.Inputs.Overdue, told)
			}
			s := look(g, st, obs, now)
			f := s.refreshFacts(bus.Build{Before: new(t0.Add(-15 * time.Minute))})
			if is := f.staying == 1; is != known || f.complete != known || (f.serving == 1) != known {
				t.Errorf("%s ahead, sample %d: %+v", ahead, i, f)
			}
			r := stepRefresh(bus.Refresh{Phase: bus.RefreshRunning, Machine: g.MachineHash()}, g, f, 1, now)
			if r.Phase != bus.RefreshRunning || strings.HasSuffix(r.Sentence, "are off: kvm1") == known {
				t.Errorf("%s ahead, sample %d: it is %s, %q", ahead, i, r.Phase, r.Sentence)
			}
			bakes := bus.Refresh{Phase: bus.RefreshBaking, BakeMS: 1e9, Machine: g.MachineHash(), Since: t0}
			r = stepRefresh(bakes, g, s.refreshFacts(bus.Build{}), 1, now)
			if r.Phase != bus.RefreshBaking || !r.Since.Equal(t0) {
				t.Errorf("%s ahead, sample %d: what bakes is %s since %s", ahead, i, r.Phase, r.Since)
			}
			if text := s.undated().refreshFacts(bus.Build{Before: &now}).would(bakes); !strings.Contains(text, "1 VM") {
				t.Errorf("%s ahead, sample %d: it would be %q", ahead, i, text)
			}
			all := &bus.RefreshOrder{Action: bus.RefreshBegin, All: true}
			if r, err := s.ordered(bus.Query{Refresh: all}); err != nil || r.Total != 1 {
				t.Errorf("%s ahead, sample %d: a refresh of all: %+v, %v", ahead, i, r, err)
			}
			a := bus.Attachment{VM: "web-9", HostID: "kvm1", At: now, Until: now.Add(attachWithin)}
			if v, _, _ := Attach(g, next, obs, d, a, now); (v.Outcome == bus.OutcomeBegun) != known {
				t.Errorf("%s ahead, sample %d: to attach one: %+v", ahead, i, v)
			}
		}
	}
}

// A refresh of all VMs goes on as it began, by the clock of the decider that takes over, as far as that knows the other's; and it
// never begins in the future.
func TestRefreshIsTakenOverFromAnotherClock(t *testing.T) {
	for _, tt := range []struct {
		name      string
		ahead     time.Duration // the other's clock
		decisions int           // that were heard of it
		own       bool          // this decider has led since
		kept      time.Duration // when it began, as it is kept, after it did
		want      time.Duration // the same, as it is taken
	}{
		{"the same time", 0, 5, false, 0, 0},
		{"an hour ahead", time.Hour, 5, false, time.Hour, 0},
		{"an hour behind", -time.Hour, 5, false, -time.Hour, 0},
		{"what is kept is by a third clock", time.Hour, 5, false, 5 * time.Hour, 0},
		{"too few were heard, of one that is ahead", time.Hour, 2, false, time.Hour, time.Minute}, // that is now
		{"too few were heard, of one that is behind", -time.Hour, 2, false, -time.Hour, -time.Hour},
		{"its own", -time.Hour, 5, true, 0, 0},
		{"none was heard", 0, 0, false, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var c leaderClock
			var heard *bus.Decision
			now := t0.Add(time.Minute)
			of := func(ahead time.Duration) *bus.Refresh {
				return &bus.Refresh{ID: "web-refresh-7", Phase: bus.RefreshRunning, Before: new(t0.Add(ahead))}
			}
			for i := range tt.decisions {
				at := t0.Add(time.Duration(i) * time.Second)
				heard = &bus.Decision{Term: 1, Time: at.Add(tt.ahead), Refresh: of(tt.ahead)}
				c.observe(*heard, at)
			}
			if tt.own {
				heard = &bus.Decision{Term: 2, Time: now, Refresh: of(0)}
			}
			kept := of(tt.kept)
			r := begun(c.told(kept, heard), now)
			if got := r.Before.Sub(t0); got != tt.want {
				t.Errorf("it began at %s, want %s", got, tt.want)
			}
			if !kept.Before.Equal(t0.Add(tt.kept)) {
				t.Error("what was kept is changed")
			}
			all := Attachments{{Until: t0.Add(tt.ahead)}}
			if all = c.attaching(all, heard); tt.decisions > 3 && all[0].Until.Equal(t0) == tt.own {
				t.Errorf("it is attached until %s", all[0].Until)
			}
		})
	}
}

// The same of a decider that has heard the one before, and where its own clock is set back then.
func TestDeciderTakesARefreshOver(t *testing.T) {
	now := t0
	b := startHarness(t, spec()) // which keeps nothing
	d, err := New(Config{Groups: []bus.Group{spec()}, Now: func() time.Time { return now }}, b.own, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	g := newGroup(spec(), t0)
	d.leadership, d.groups = client.NewLeadership(), map[string]*group{"web": g}
	for i := range 5 {
		now = t0.Add(time.Duration(i) * time.Second)
		sent := now.Add(time.Hour)
		d.observeLeader(bus.Decision{
			Group: "web", Term: 7, Seq: uint64(i + 1), Time: sent, ExpiresAt: sent.Add(5 * time.Second), SpecHash: g.hash,
			Refresh: &bus.Refresh{
				ID: "web-refresh-7", Phase: bus.RefreshRunning, Machine: spec().MachineHash(), Before: new(t0.Add(time.Hour)),
			},
		})
	}
	if err := d.takeOver(t.Context(), g, now); err != nil {
		t.Fatal(err)
	}
	if r := g.state.Refresh; r == nil || !r.Before.Equal(t0) {
		t.Fatalf("goes on with %+v", r)
	}
	now = t0.Add(-time.Hour)
	obs := Observation{Fresh: 1, Hosts: []HostObservation{{ID: "kvm1", Name: "kvm1", Time: now, VMs: []bus.VM{ready(50)}}}}
	v := verdict{desired: 1}
	v.hasSample = true
	if r := look(g.spec, g.state, obs, now).refresh(v); !r.Before.Equal(now) {
		t.Errorf("set back, it began at %s", r.Before)
	}
}

// How long a handover took is not known where its host's clock was told in another way when it began.
func TestHandoverWhileAClockIsSet(t *testing.T) {
	for _, tt := range []struct{ before, after, want time.Duration }{
		{0, 0, 500 * time.Millisecond}, {time.Hour, time.Hour, 500 * time.Millisecond}, {0, time.Hour, 0}, {time.Hour, 0, 0},
	} {
		var h Handovers
		served := t0.Add(tt.after - tt.before + time.Second/2)
		for _, seen := range []struct {
			behind time.Duration
			vm     bus.VM
		}{
			{tt.before, bus.VM{Phase: bus.PhaseWarm, State: bus.StatePaused}},
			{tt.after, bus.VM{Phase: bus.PhaseReady, State: bus.StateRunning, PhaseSince: served}},
		} {
			h.Add(Observation{Hosts: []HostObservation{{Time: t0, Behind: seen.behind, VMs: []bus.VM{seen.vm}}}})
		}
		if h.Paused != tt.want {
			t.Errorf("behind by %s, then by %s: it took %s, want %s", tt.before, tt.after, h.Paused, tt.want)
		}
	}
}
