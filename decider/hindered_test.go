package decider

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// standing runs a rollout for a while, and is what health says of it at the end: the codes of its problems.
func standing(f *rollout, steps int) (codes []bus.ProblemCode, texts string) {
	g := group{spec: f.spec}
	stale := staleAfter(f.spec.Policy.Interval, 0)
	for range steps {
		f.step()
		g.inForce, g.state = f.spec, f.state
		g.hindered = g.hindered.next(g.hindrances(f.d, f.seen, stale, f.now), f.now)
	}
	for _, trouble := range g.hindered.troubles("web", f.now) {
		if trouble.Subject != "web" {
			texts += "subject " + trouble.Subject
		}
		codes, texts = append(codes, trouble.Code), texts+trouble.Text
	}
	return codes, texts
}

// TestStandsStill: what keeps a group from following its spec or its load is in health; what a person has said, or is over soon,
// is not.
func TestStandsStill(t *testing.T) {
	t.Parallel()
	changed := func(f *rollout) { f.spec.Template = "next" }
	onMetric := func(g *bus.Group) {
		g.Policy.Types, g.Policy.Signal, g.Policy.Metric = []bus.PolicyType{bus.PolicyTarget}, bus.SignalMetric, "requests"
	}
	onSignal := func(s bus.Signal) func(*bus.Group) {
		return func(g *bus.Group) {
			g.Policy.Types, g.Policy.Signal, g.Policy.TargetMiBS = []bus.PolicyType{bus.PolicyTarget}, s, 5
			g.Policy.Expression = "max(cpu/60, memory/80)"
		}
	}
	page, err := os.ReadFile("../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		spec   bus.Group
		happen func(*rollout)
		steps  int
		want   bus.ProblemCode // "": none
		says   string
	}{
		{"nothing", spec(bounds(1, 4)), func(*rollout) {}, 120, "", ""},
		{"a refresh that goes on", spec(bounds(1, 4)), changed, 120, "", ""},
		{
			"a refresh at max", spec(bounds(1, 2)), changed, 70, bus.ProblemRefreshWaits,
			"s its refresh replaces no VM: 0 of 2 VMs are up to date; waits, as the group is at max 2",
		},
		{"a refresh at max, at first", spec(bounds(1, 2)), changed, 50, "", ""},
		{
			"a VM stands by at max", spec(bounds(1, 2)),
			func(f *rollout) {
				f.state.Controls.Desired = new(2)
				f.vms["kvm1"][0].Phase = bus.PhaseStandby
			}, 120, bus.ProblemStandby, "it has 1 VM of 2, as web-1 stands by and counts toward max 2",
		},
		{
			"a refresh of protected VMs", spec(bounds(1, 4)),
			func(f *rollout) {
				changed(f)
				f.vms["kvm1"][0].Protected = true
			}, 120, bus.ProblemRefreshWaits, "1 of 2 VMs are up to date; waits for 1 protected VM",
		},
		{
			"a refresh where VMs do not come up, and none fails", spec(bounds(1, 4)),
			func(f *rollout) {
				changed(f)
				f.boot = 1000
			}, 400, bus.ProblemRefreshWaits, "0 of 2",
		},
		{
			"a refresh where VMs boot slowly", spec(bounds(1, 4)),
			func(f *rollout) {
				changed(f)
				f.boot = 100
			}, 300, "", "",
		},
		{
			"a refresh while a person has paused repair", spec(bounds(1, 2)),
			func(f *rollout) {
				changed(f)
				f.step()
				f.state.Controls.Paused = []bus.Scope{bus.ScopeRepair}
			}, 120, "", "",
		},
		{
			"a refresh in a dry run", spec(bounds(1, 2)),
			func(f *rollout) {
				changed(f)
				f.state.Controls.DryRun = true
			}, 120, "", "",
		},
		{
			"the CPU of a VM is not known", spec(bounds(1, 4)), func(f *rollout) { f.mute = true }, 120, bus.ProblemUnknownCPU,
			"the CPU of 2 of 2 VMs in service is not known",
		},
		{
			"nobody publishes the metric", spec(bounds(1, 4), onMetric), func(*rollout) {}, 150, bus.ProblemNoMetric,
			"nobody has published the metric requests",
		},
		{
			"no guest says its load", spec(bounds(1, 4), onSignal(bus.SignalLoad)), func(*rollout) {}, 100, bus.ProblemNoMetric,
			"the load average is not known of each ready VM: no VM is scaled in",
		},
		{
			"no counter is of the network",
			spec(bounds(1, 4), onSignal(bus.SignalNetworkRx), func(g *bus.Group) { g.Network = bus.UserNetwork }),
			func(*rollout) {}, 100, bus.ProblemNoMetric,
			"the network_rx is not known of each ready VM (user-mode networking has no counters)",
		},
		{
			"nor of the memory, in an expression", spec(bounds(1, 4), onSignal(bus.SignalExpression)), func(*rollout) {}, 100,
			bus.ProblemNoMetric, "the memory is not known of each ready VM",
		},
		{"nobody has published the metric yet", spec(bounds(1, 4), onMetric), func(*rollout) {}, 100, "", ""},
		{
			"the metric has run out", spec(bounds(1, 4), onMetric),
			func(f *rollout) { f.metric = &Published{Value: new(50.), At: f.now} }, 200,
			bus.ProblemNoMetric, "metric_max_age",
		},
		{
			"a metric that is published", spec(bounds(1, 4), onMetric),
			func(f *rollout) { f.metric = &Published{Value: new(50.), At: f.now} }, 100, "", "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.spec.Refresh.Start = bus.RefreshAuto
			if tt.want != "" && !strings.Contains(string(page), "decider, `"+string(tt.want)+"`") {
				t.Errorf("docs/reliability.md has no row for %s", tt.want)
			}
			f := newRollout(tt.spec, 2, "kvm1")
			for range 70 { // past the warm-up
				f.step()
			}
			tt.happen(f)
			codes, texts := standing(f, tt.steps)
			switch {
			case tt.want == "" && len(codes) > 0:
				t.Errorf("%q: %s", codes, texts)
			case tt.want != "" && (len(codes) != 1 || codes[0] != tt.want || !strings.Contains(texts, tt.says)):
				t.Errorf("got %q (%s), want %s with %q; the last decision: %s", codes, texts, tt.want, tt.says, f.d.Sentence)
			}
		})
	}
}

// follower is a decider beside the one that leads, with a clock of its own.
func (f *fleet) follower(groups ...bus.Group) (health func(after time.Duration) error) {
	f.t.Helper()
	ticks, handled := make(chan time.Time), make(chan any, 1024)
	now, reported := time.Now(), make(chan error, 1024)
	at := make(chan time.Duration, 1)
	at <- 0
	clock := func() time.Time {
		d := <-at
		at <- d
		return now.Add(d)
	}
	d, err := New(Config{
		Groups: groups, Instance: "second", Now: clock, Ticks: ticks, Report: func(err error) { reported <- err },
	}, f.connect("decider"), zerolog.Nop())
	if err != nil {
		f.t.Fatal(err)
	}
	d.handled = func(m any) { handled <- m }
	f.t.Cleanup(running(f.t, d))
	<-handled // it knows who leads
	return func(after time.Duration) error {
		<-at
		at <- after
		ticks <- clock()
		return <-reported
	}
}

// TestFollowerNamesWhoLeads: one that does not lead never says that nobody does, beside one that does, however rarely that one
// decides, and by whatever config.
func TestFollowerNamesWhoLeads(t *testing.T) {
	t.Parallel()
	other := spec(bounds(1, 3))
	another := spec()
	another.Name = "db"
	for _, tt := range []struct {
		name   string
		groups []bus.Group
		want   bus.Problem // "": none
		says   string
	}{
		{"the same config", []bus.Group{spec()}, bus.Problem{}, ""},
		{
			"another spec of the group",
			[]bus.Group{other},
			bus.Problem{Code: bus.ProblemConfigMismatch, Subject: "web"},
			"the decider that leads, first, reads another config",
		},
		{
			"another group",
			[]bus.Group{spec(), another},
			bus.Problem{Code: bus.ProblemNotEvaluated, Subject: "db"},
			"first leads, and has decided nothing about it for 45 s",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := startFleet(t)
			defer f.start("first")()
			f.until("a decision", 2, func(d bus.Decision) bool { return d.HasSample })
			health := f.follower(tt.groups...)
			if err := health(20 * time.Second); err != nil {
				t.Fatalf("after 20 s: %v", err)
			}
			for tries := 0; ; tries++ { // until it has heard the next decision, too
				f.until("one more", 2, func(d bus.Decision) bool { return d.HasSample })
				err := health(45 * time.Second)
				found := tt.want.Code == "" && err == nil
				for _, trouble := range asTroubles(err) {
					if trouble.Code == bus.ProblemNoLeader {
						t.Fatalf("beside a leader: %v", err)
					}
					found = found || trouble.Problem == tt.want && strings.Contains(trouble.Text, tt.says)
				}
				if found {
					return
				}
				if tries == 20 {
					t.Fatalf("got %v, want %q", err, tt.says)
				}
			}
		})
	}
}

// asTroubles are the troubles that a stage has reported.
func asTroubles(err error) bus.Troubles {
	troubles, _ := err.(bus.Troubles) //nolint:errorlint // as it was given to Report
	return troubles
}

// TestNobodyLeads: where nobody does, health says so in time, and not at once.
func TestNobodyLeads(t *testing.T) {
	var reported error
	d := Decider{
		cfg: Config{Report: func(err error) { reported = err }}, leadership: client.NewLeadership(), leaderlessSince: t0, began: t0,
		groups: map[string]*group{"web": {spec: spec(), inForce: spec()}},
	}
	if d.report(t0.Add(leaderlessAfter - 1)); reported != nil {
		t.Errorf("during an election: %v", reported)
	}
	if d.report(t0.Add(leaderlessAfter)); reported == nil || asTroubles(reported)[0].Code != bus.ProblemNoLeader {
		t.Errorf("got %v, want that nobody leads", reported)
	}
}

// TestGroupThatCannotBeTakenOver: what is kept of one group and cannot be read holds no other, is in health, and whoever asks is
// told.
func TestGroupThatCannotBeTakenOver(t *testing.T) {
	t.Parallel()
	f := startFleet(t)
	broken := spec()
	broken.Name = "db"
	if err := f.conn.Save(t.Context(), "control.db", "no controls"); err != nil {
		t.Fatal(err)
	}
	reported := make(chan error, 1024)
	d, err := New(Config{
		Groups: []bus.Group{f.spec, broken}, Report: func(err error) { reported <- err },
	}, f.connect("decider"), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer running(t, d)()
	f.until("the other is decided", 2, func(d bus.Decision) bool { return d.Group == "web" && d.HasSample })
	want := fmt.Sprint(bus.Problem{Code: bus.ProblemNotEvaluated, Subject: "db"})
	deadline := time.After(30 * time.Second)
	for said := ""; said != want; {
		select {
		case err := <-reported:
			for _, trouble := range asTroubles(err) {
				said = fmt.Sprint(trouble.Problem)
				if said == want && !strings.Contains(trouble.Text, "read its controls") {
					t.Errorf("it says %q", trouble.Text)
				}
			}
		case <-deadline:
			t.Fatal("health never names the group")
		}
	}
	_, err = client.Ask[bus.Controls](t.Context(), f.connect("operator"), bus.VerbResume, bus.Query{Group: "db"})
	if err == nil || !strings.Contains(err.Error(), "read its controls") {
		t.Errorf("asked, it says %v", err)
	}
}
