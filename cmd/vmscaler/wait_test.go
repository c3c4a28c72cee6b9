package main

import (
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/await"
)

// group is a group web whose messages a test publishes as it likes.
type group struct {
	t        *testing.T
	from     *client.Conn
	decision bus.Decision
	samples  int
}

// newGroup answers for a group that wants so many VMs; then runs once a command has asked for the status, and so listens.
func newGroup(t *testing.T, desired int, then func(*group)) (g *group, flags []string) {
	t.Helper()
	now := time.Now()
	g = &group{t: t, decision: bus.Decision{
		V: bus.Version, Group: "web", Direction: bus.Hold, Current: desired, Desired: desired, HasSample: true,
		ID: "web-1-1", Term: 1, Seq: 1, Time: now, ExpiresAt: now.Add(time.Hour),
		Controls: bus.Controls{Paused: []bus.Scope{}}, Sentence: "stable",
	}}
	flags = answering(t, bus.RoleDecider, []string{bus.VerbStatus, bus.VerbExplain, bus.VerbScale}, func(r client.Request) error {
		switch {
		case r.Verb == bus.VerbScale:
			g.decision.Controls.Desired, g.decision.Controls.Since = r.Query.Desired, new(g.decision.Time)
			return r.Answer(g.decision.Controls)
		case r.Query.Group != "web" && r.Query.Group != "":
			return r.Refuse("%s", bus.Refuse(bus.RefusedUnknown, "there is no group %q", r.Query.Group))
		}
		d := g.decision
		var err error
		if r.Verb == bus.VerbExplain {
			err = r.Answer(d)
		} else {
			err = r.Answer(bus.Status{
				V: bus.Version, Time: now, Groups: []bus.GroupStatus{{Group: "web", Decision: &d}}, Stages: []bus.Health{},
			})
		}
		then(g)
		return err
	})
	g.from = g.join(flags, "collector")
	return g, flags
}

// join joins the bus as a stage.
func (g *group) join(flags []string, role bus.Role) *client.Conn {
	remote := client.Remote{URL: flags[1], Nkey: server.CredentialsFile(flags[3], role)}
	conn, err := client.DialNow(remote, string(role), zerolog.Nop())
	if err != nil {
		g.t.Fatal(err)
	}
	g.t.Cleanup(conn.Close)
	return conn
}

// has publishes the VMs of the group by their phases.
func (g *group) has(phases ...bus.Phase) {
	g.samples++
	s := bus.Sample{
		V: bus.Version, Group: "web", HostID: "kvm1", Host: "kvm1", Instance: "kvm1-1",
		Time: time.Now().Add(time.Duration(g.samples) * time.Second), VMs: []bus.VM{},
	}
	for i, p := range phases {
		s.VMs = append(s.VMs, bus.VM{Name: bus.VMName("web", i+1), UUID: "u", State: bus.StateRunning, Phase: p, Template: "demo"})
	}
	if err := g.from.Publish(&s); err != nil {
		g.t.Error(err)
	}
}

func TestWait(t *testing.T) {
	_, flags := newGroup(t, 2, func(g *group) {
		g.has(bus.PhaseReady)
		g.has(bus.PhaseReady, bus.PhaseLaunching)
		g.has(bus.PhaseReady, bus.PhaseReady)
	})
	out, err := command(t, append(strings.Fields("wait web stable ready=2 template=demo vm=web-2:ready vm=web-3:gone"), flags...)...)
	if err != nil || !strings.HasPrefix(out, "group web: stable, ready=2, template=demo, vm=web-2:ready, vm=web-3:gone, after ") ||
		strings.Count(out, "\n") != 1 {
		t.Errorf("%q, %v", out, err)
	}
}

func TestWaitEnds(t *testing.T) {
	_, flags := newGroup(t, 2, func(g *group) { g.has(bus.PhaseReady, bus.PhaseLaunching) })
	for line, want := range map[string]struct {
		code int
		text string
	}{
		"wait web stable --timeout 2s": {
			exitTimeout, "timed out after 2s: stable: 1 is ready, and it wants 2; web-2 is launching",
		},
		"wait web refresh=done":              {exitFailed, "the group has had no refresh"},
		"wait web refresh=canary":            {exitFailed, "the group has had no refresh"},
		"wait db stable":                     {exitUsage, `there is no group "db"`},
		"wait web stabel":                    {exitUsage, "did you mean stable?"},
		"wait web":                           {exitUsage, "wait GROUP CONDITION..."},
		"wait web stable --timeout -1s":      {exitUsage, "--timeout: found -1s"},
		"scale web 2 --wait --timeout 2s":    {exitTimeout, "decided: its next evaluation is still to come"},
		"scale web 2 --wait --timeout sooon": {exitUsage, `--timeout: found "sooon", want a time with its unit`},
	} {
		_, err := command(t, append(strings.Fields(line), flags...)...)
		if exitCode(err) != want.code || !strings.Contains(err.Error(), want.text) {
			t.Errorf("%s: %v (exit code %d), want %d, %s", line, err, exitCode(err), want.code, want.text)
		}
	}
}

// A command with --wait goes on until the group was evaluated with what it has changed, and is as that says.
func TestScaleWaits(t *testing.T) {
	var decider *client.Conn
	g, flags := newGroup(t, 2, func(g *group) {
		g.has(bus.PhaseReady, bus.PhaseReady) // which is what was wanted before
		d := g.decision
		d.Desired, d.Seq, d.Time, d.ID = 1, 2, d.Time.Add(time.Second), "web-1-2"
		if err := decider.Publish(&d); err != nil {
			t.Error(err)
		}
		g.has(bus.PhaseReady, bus.PhaseDraining)
		g.has(bus.PhaseReady)
	})
	decider = g.join(flags, bus.RoleDecider)
	out, err := command(t, append(strings.Fields("scale web 1 --wait"), flags...)...)
	if err != nil || !strings.Contains(out, "group web: scaled to 1 by hand") ||
		!strings.Contains(out, "\ngroup web: desired=1, stable, after ") {
		t.Errorf("%q, %v", out, err)
	}
}

// Nobody waits for the end of a VM whose name is misspelt; one that was there is gone.
func TestWaitForWhatNeverWas(t *testing.T) {
	now := time.Now()
	flags := answering(t, bus.RoleDecider, []string{bus.VerbStatus}, func(r client.Request) error {
		s := bus.Sample{V: bus.Version, Group: "web", HostID: "kvm1", Host: "kvm1", Time: now, VMs: []bus.VM{{Name: "web-1"}}}
		return r.Answer(bus.Status{
			V: bus.Version, Time: now, Groups: []bus.GroupStatus{{Group: "web", Samples: []bus.Sample{s}}}, Stages: []bus.Health{},
		})
	})
	g := &group{t: t}
	actuator := g.join(flags, bus.RoleActuator)
	e := bus.Event{V: bus.Version, Group: "web", VM: "web-2", Event: bus.EventRemoved, Host: "kvm1", Time: now}
	if err := actuator.Publish(&e); err != nil {
		t.Fatal(err)
	}
	c := &waitCmd{g: &globals{logLevel: "error"}, group: "web"}
	cmd := waitCommand(c.g)
	cmd.SetContext(t.Context())
	if err := cmd.ParseFlags(flags); err != nil {
		t.Fatal(err)
	}
	c.bus.cmd = cmd
	conn := g.join(flags, bus.RoleTap)
	for name, want := range map[string]string{
		"web-1": "", "web-2": "",
		"web-9": `vm=web-9:gone: group web has no VM "web-9", and had none; did you mean web-1?`,
		"wbe-1": "did you mean web-1?",
	} {
		c.conditions = []await.Condition{await.Gone{VM: name}}
		if err := c.there(cmd, conn); exitCode(err) != map[bool]int{true: 0, false: exitUsage}[want == ""] ||
			err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

// A name that nothing has is refused, where that is known: of a template, and of a VM that no number makes.
func TestMisnamed(t *testing.T) {
	vms := []bus.VM{{Name: "web-1", Template: "web-a"}, {Name: "web-2", Template: "web-b"}}
	groups := func(web, db string) bus.Status {
		return bus.Status{
			Groups: []bus.GroupStatus{
				{Group: "web", Template: web, Samples: []bus.Sample{{VMs: vms}}},
				{Group: "db", Template: db, Samples: []bus.Sample{{VMs: []bus.VM{{Name: "db-1", Template: "db-old"}}}}},
			},
			Stages: []bus.Health{
				{Stage: "actuator", Acts: &bus.Acts{Templates: []bus.HostTemplate{{Name: "data"}}}}, {Stage: "collector"},
			},
		}
	}
	unheard := groups("web-b", "db")
	unheard.Groups[0].Samples = nil
	for _, tt := range []struct {
		name   string
		status bus.Status
		c      await.Condition
		want   string // of the error; "": none
	}{
		{"the group's", groups("web-c", "db"), await.Template{Name: "web-c"}, ""},
		{"a VM's", groups("web-c", "db"), await.Template{Name: "web-a"}, ""},
		{"another group's", groups("web-c", "db"), await.Template{Name: "db"}, ""},
		{"one of a disk", groups("web-c", "db"), await.Template{Name: "data"}, ""},
		{
			"nobody's", groups("web-c", "db"),
			await.Template{Name: "wbe-c"},
			`template=wbe-c: found no template "wbe-c": it is neither group web's nor any other group's, and no VM of it is ` +
				"made from one; did you mean web-c?",
		},
		{"another group's VM's", groups("web-c", "db"), await.Template{Name: "db-old"}, `found no template "db-old"`},
		{"of a decider that says none", groups("", ""), await.Template{Name: "nope"}, ""},
		{"before its VMs are known", unheard, await.Template{Name: "nope"}, ""},
		{"a VM", groups("web-c", "db"), await.Phase{VM: "web-1", Phase: bus.PhaseReady}, ""},
		{"one to come", groups("web-c", "db"), await.Phase{VM: "web-9", Phase: bus.PhaseReady}, ""},
		{
			"one that cannot come", groups("web-c", "db"),
			await.Phase{VM: "wbe-1", Phase: bus.PhaseReady},
			`vm=wbe-1:ready: group web has no VM "wbe-1", and will have none of that name; did you mean web-1?`,
		},
		{"no name", groups("web-c", "db"), await.Stable{}, ""},
	} {
		err := misnamed(tt.status, "web", tt.c, nil)
		if (err == nil) != (tt.want == "") ||
			err != nil && (exitCode(err) != exitUsage || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

// Who may not read the history is told so, with the exit code of that.
func TestHistoryIsNotForEverybody(t *testing.T) {
	alone(t)
	state := t.TempDir()
	at := startServer(t, state)
	_, err := command(t, "events", "--nats-url", at.URL(), "--nats-nkey", server.CredentialsFile(state, bus.RoleMonitor))
	if exitCode(err) != exitDenied || !strings.Contains(err.Error(), "does not allow it with these credentials") {
		t.Errorf("%v (exit code %d)", err, exitCode(err))
	}
}
