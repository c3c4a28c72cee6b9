package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/app"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/service"
)

// fakeProcess is one whose stages take what they are handed.
type fakeProcess struct {
	*reloader
	taken    chan bus.Reload
	host     error // what its host lacks
	stageErr error // why its stages take nothing
}

func newFakeProcess(t *testing.T, cfg config.Config) *fakeProcess {
	p := &fakeProcess{taken: make(chan bus.Reload, 8)}
	p.reloader = &reloader{
		read:   func() (config.Config, []config.Warning, error) { return cfg, nil, nil },
		check:  func(context.Context, config.Config) error { return p.host },
		held:   func([]bus.Group) {},
		stages: make(chan app.Reload), service: service.Nobody(), log: zerolog.Nop(), cfg: cfg, now: time.Now,
	}
	go func() {
		for {
			select {
			case s := <-p.stages:
				if p.stageErr == nil {
					p.taken <- s.Reload
				}
				s.Done(p.stageErr)
			case <-t.Context().Done():
				return
			}
		}
	}()
	return p
}

func parsedConfig(t *testing.T, text string) config.Config {
	t.Helper()
	cfg, _, err := config.Parse("vmscaler.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// The groups of a process change in the second step alone, and only as they were compared in the first.
func TestApplyTakesTwoSteps(t *testing.T) {
	before := parsedConfig(t, "groups: [{name: web}, {name: old}]")
	after := parsedConfig(t, "groups: [{name: web, max: 9}, {name: new}]")
	program := parsedConfig(t, "groups: [{name: web, hooks: {launch: {wait_for: command, command: /bin/true}}}]")
	order := func(step bus.ApplyStep, id string, groups []bus.Group) bus.Apply {
		return bus.Apply{ID: id, Step: step, Groups: groups, By: "ann", Reason: "more load"}
	}
	prepare, commit := order(bus.ApplyPrepare, "a", after.Groups), order(bus.ApplyCommit, "a", nil)
	drop := order(bus.ApplyDrop, "a", nil)
	for name, tt := range map[string]struct {
		steps []bus.Apply
		host  error
		stage error
		later time.Duration // passes before the last step
		want  string        // in the error of the last step
		holds bool          // after it
	}{
		"both":                   {steps: []bus.Apply{prepare, commit}, holds: true},
		"the first alone":        {steps: []bus.Apply{prepare}},
		"the second alone":       {steps: []bus.Apply{commit}, want: "not prepared any more"},
		"another's second":       {steps: []bus.Apply{prepare, order(bus.ApplyCommit, "b", nil)}, want: "not prepared any more"},
		"dropped":                {steps: []bus.Apply{prepare, drop, commit}, want: "not prepared any more"},
		"too late":               {steps: []bus.Apply{prepare, commit}, later: preparedFor, want: "not prepared any more"},
		"somebody else's before": {steps: []bus.Apply{prepare, order(bus.ApplyPrepare, "b", after.Groups)}, want: "somebody else"},
		"somebody else's long before": {
			steps: []bus.Apply{prepare, order(bus.ApplyPrepare, "b", after.Groups)}, later: preparedFor,
		},
		"what the host lacks": {steps: []bus.Apply{prepare}, host: errors.New("no template"), want: "no template"},
		"a stage does not":    {steps: []bus.Apply{prepare, commit}, stage: errors.New("it ends"), want: "it ends"},
		"a program of its own": {
			steps: []bus.Apply{order(bus.ApplyPrepare, "a", program.Groups)}, want: "groups web.hooks.launch: found what no group",
		},
		"no group":              {steps: []bus.Apply{order(bus.ApplyPrepare, "a", nil)}, want: "found none"},
		"a step of later times": {steps: []bus.Apply{order("ponder", "a", nil)}, want: "does not know it"},
		"the same again":        {steps: []bus.Apply{prepare, commit, prepare, commit}, holds: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newFakeProcess(t, before)
			now := time.Now()
			p.now, p.host, p.stageErr = func() time.Time { return now }, tt.host, tt.stage
			var a bus.Applied
			for i, s := range tt.steps {
				if i == len(tt.steps)-1 {
					now = now.Add(tt.later)
				}
				a = p.apply(t.Context(), s)
			}
			if tt.want == "" && a.Error != "" || !strings.Contains(a.Error, tt.want) {
				t.Errorf("error %q, want %q", a.Error, tt.want)
			}
			want := before.Groups
			if tt.holds {
				want = after.Groups
				if r := <-p.taken; r.By != "ann" || r.Reason != "more load" || !strings.Contains(r.Changes["web"], "max 9 (was 5)") {
					t.Errorf("handed over %+v", r)
				}
			}
			if got := p.groups(); bus.SpecsHash(got) != bus.SpecsHash(want) {
				t.Errorf("groups %q hold, want %q", groupNames(got), groupNames(want))
			}
		})
	}
}

// A hangup between the steps is seen, and what the command line says holds over what is applied as over the file.
func TestApplyBesideAReload(t *testing.T) {
	before, after := parsedConfig(t, "groups: [{name: web}]"), parsedConfig(t, "groups: [{name: web, max: 9}]")
	p := newFakeProcess(t, before)
	p.overlay = func(cfg *config.Config) error { cfg.Groups[0].DryRun = true; return nil }
	a := p.apply(t.Context(), bus.Apply{ID: "a", Step: bus.ApplyPrepare, Groups: slices.Clone(after.Groups)})
	if dry := a.Changes[0].Sentence; a.Error != "" || !strings.Contains(dry, "dry_run true") {
		t.Errorf("prepared %+v", a)
	}
	if len(a.Notes) != 1 || !strings.Contains(a.Notes[0], "vmscaler.yaml holds again from the next start") {
		t.Errorf("notes %q, want that its file says otherwise", a.Notes)
	}
	p.read = func() (config.Config, []config.Warning, error) {
		return parsedConfig(t, "groups: [{name: web, max: 7}]"), nil, nil
	}
	if _, err := p.reload(t.Context(), "SIGHUP", ""); err != nil {
		t.Fatal(err)
	}
	if a := p.apply(t.Context(), bus.Apply{ID: "a", Step: bus.ApplyCommit}); !strings.Contains(a.Error, "have changed since") {
		t.Errorf("committed %+v", a)
	}
	if most := p.groups()[0].Max; most != 7 {
		t.Errorf("max %d, want that of the hangup", most)
	}
}

// Groups hold only when each stage that is heard agrees, and who lags behind is named.
func TestRoundOfStages(t *testing.T) {
	stages := []bus.Health{
		{Stage: "bus", Instance: "kvm1-1"},
		{Stage: "decider", Instance: "kvm1-1"},
		{Stage: "collector", Instance: "kvm1-1"},
		{Stage: "actuator", Instance: "kvm2-7"},
	}
	one := bus.Applied{
		Step: bus.ApplyPrepare, Instance: "kvm1-1", Stages: []string{"decider", "collector"}, Spec: "s",
		Changes: []bus.ApplyChange{{Group: "web", Sentence: "joins"}},
	}
	two := bus.Applied{Step: bus.ApplyPrepare, Instance: "kvm2-7", Stages: []string{"actuator"}, Spec: "s", Changes: one.Changes}
	but := func(a bus.Applied, change func(*bus.Applied)) bus.Applied { change(&a); return a }
	wrong := but(one, func(a *bus.Applied) { a.Error = "no template" })
	for name, tt := range map[string]struct {
		answers      []bus.Applied
		refusal, lag string
		more         bool
	}{
		"all":           {answers: []bus.Applied{one, two}},
		"one is silent": {answers: []bus.Applied{one}, refusal: "by actuator kvm2-7", lag: "actuator kvm2-7: no answer", more: true},
		"all are":       {refusal: "not answered within 30s by actuator kvm2-7, collector", lag: "decider kvm1-1: no answer"},
		"one refuses": {
			answers: []bus.Applied{wrong}, refusal: "kvm1-1 (decider, collector): no template", lag: "no template",
		},
		"all refuse": {
			answers: []bus.Applied{wrong, but(two, func(a *bus.Applied) { a.Error = "they have changed" })},
			refusal: "no template", lag: "no process has taken the groups:",
		},
		"others also": {answers: []bus.Applied{one, two, but(two, func(a *bus.Applied) { a.Instance = "kvm3-1" })}},
		"another result": {
			answers: []bus.Applied{one, but(two, func(a *bus.Applied) { a.Spec = "t" })}, refusal: "would have different",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, more := newRound(stages), false
			for _, a := range tt.answers {
				more = r.hear(a)
			}
			for is, err := range map[string]error{tt.refusal: r.refusal(30 * time.Second), tt.lag: r.lag(time.Minute)} {
				if (is == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), is) {
					t.Errorf("got %v, want %q", err, is)
				}
			}
			if more != tt.more {
				t.Errorf("more answers are waited for: %t, want %t", more, tt.more)
			}
			if changes := r.changes(); len(tt.answers) > 0 && len(changes) != 1 {
				t.Errorf("changes %v, want what all say once", changes)
			}
		})
	}
}

// Stages in processes of their own take other groups together, or not at all.
func TestApplyOnSplitStages(t *testing.T) {
	dir := t.TempDir()
	s, err := server.Start(server.Config{Listen: "127.0.0.1:0", StateDir: dir}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	before := parsedConfig(t, "groups: [{name: web}, {name: old}]")
	processes := map[string]*fakeProcess{}
	status := bus.Status{V: bus.Version, Time: time.Now(), Groups: []bus.GroupStatus{}}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	for _, stage := range bus.GroupStages() {
		p := newFakeProcess(t, before)
		processes[stage] = p
		conn, err := s.Connect(stage, zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		if err := conn.ServeApply(ctx, func(ctx context.Context, o bus.Apply) bus.Applied {
			a := p.apply(ctx, o)
			a.Instance, a.Stages = "kvm1-"+stage, []string{stage}
			return a
		}); err != nil {
			t.Fatal(err)
		}
		status.Stages = append(status.Stages, bus.Health{V: bus.Version, Stage: stage, Instance: "kvm1-" + stage, Time: time.Now()})
		if stage == string(bus.RoleDecider) {
			requests := make(chan client.Request)
			go func() {
				for {
					select {
					case r := <-requests:
						_ = r.Answer(status)
					case <-ctx.Done():
						return
					}
				}
			}()
			if err := conn.Serve(ctx, stage, "", []string{bus.VerbStatus}, requests); err != nil {
				t.Fatal(err)
			}
		}
	}
	file := filepath.Join(dir, "new.yaml")
	apply := func(text string, args ...string) (string, error) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return command(t, append([]string{"apply", "-f", file, "--nats-url", s.URL(), "--state-dir", dir}, args...)...)
	}
	hold := func(want string) {
		t.Helper()
		for stage, p := range processes {
			if got := p.groups(); strings.Join(groupNames(got), " ") != want {
				t.Errorf("in the %s the groups %q hold, want %q", stage, groupNames(got), want)
			}
		}
	}
	const wanted = "groups: [{name: web, max: 9}, {name: new}]"
	out, err := apply(wanted, "--dry-run")
	if err != nil || !strings.Contains(out, "group web: the config has changed: max 9 (was 5)\ndry run: nothing is changed\n") {
		t.Errorf("dry run: %q, %v", out, err)
	}
	hold("web old")
	processes["actuator"].host = errors.New("there is no template demo")
	if out, err = apply(wanted); exitCode(err) != exitRefused ||
		!strings.Contains(err.Error(), "nothing is changed: kvm1-actuator (actuator): there is no template demo") {
		t.Errorf("what a host lacks: %q, %v", out, err)
	}
	hold("web old")
	processes["actuator"].host = nil
	if out, err = apply("groups: [{name: web, max: 0}]"); err == nil || !strings.Contains(err.Error(), "groups[0].max: found 0") {
		t.Errorf("a wrong file: %q, %v", out, err)
	}
	hold("web old")
	if out, err = apply(wanted, "--reason", "launch"); err != nil || !strings.Contains(out, "applied in 3 processes\n") ||
		!strings.Contains(out, "group old: leaves the config: its VMs stay as they are\n") {
		t.Errorf("apply: %q, %v", out, err)
	}
	hold("web new")
	if out, err = apply(wanted); err != nil || !strings.Contains(out, "its 2 groups hold already") {
		t.Errorf("again: %q, %v", out, err)
	}
	processes["collector"].stageErr = errors.New("it ends")
	if out, err = apply("groups: [{name: web, max: 8}]"); err == nil ||
		!strings.Contains(err.Error(), "kvm1-collector (collector): it ends") {
		t.Errorf("one lags behind: %q, %v", out, err)
	}
}

// A decider that has just started has not heard all stages yet.
func TestUntilAllHeard(t *testing.T) {
	at := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	stage := func(name string, age time.Duration) bus.Health {
		return bus.Health{Stage: name, Since: at.Add(-age), Time: at}
	}
	old := stage("decider", time.Hour)
	for name, tt := range map[string]struct {
		stages []bus.Health
		want   time.Duration
	}{
		"it has not even heard itself": {nil, 4 * time.Second},
		"it has just started":          {[]bus.Health{stage("decider", time.Second)}, 3 * time.Second},
		"long ago":                     {[]bus.Health{stage("actuator", 0), old}, 0},
		"one of two":                   {[]bus.Health{old, stage("decider", 2*time.Second)}, 2 * time.Second},
		"a clock that was set":         {[]bus.Health{stage("decider", -time.Hour)}, 4 * time.Second},
	} {
		if got := untilAllHeard(tt.stages); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}
