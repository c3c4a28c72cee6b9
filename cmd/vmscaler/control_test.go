package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

// command runs a command line, with what it prints.
func command(t *testing.T, args ...string) (string, error) {
	t.Helper()
	t.Setenv("VMSCALER_CONFIG", "")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var out bytes.Buffer
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(io.Discard)
	err := root.ExecuteContext(ctx)
	return out.String(), err
}

func TestWrongCommandLines(t *testing.T) {
	for _, tt := range []struct{ line, want string }{
		{"status web db", `want ` + "`vmscaler status [GROUP]`" + `, found ["web" "db"]`},
		{"status web1", `group: "web1" ends in a number`},
		{"status -o xml", `--output: found "xml", want one of table, wide, json, yaml, name`},
		{"explain web -o name", `found "name", want one of table, json, yaml`},
		{"pause", "want `vmscaler pause GROUP [out|in|repair|health|hooks|schedule]...`, found no argument"},
		{"pause web up", `scope: found "up", want one of out, in, repair, health, hooks, schedule`},
		{"pause Web out", `group: "Web"`},
		{"resume web out down", `scope: found "down", want one of out, in, repair, health, hooks, schedule`},
		{"resume", "want `vmscaler resume GROUP"},
		{"dry-run", "want `vmscaler dry-run GROUP"},
		{"dry-run web db", "want `vmscaler dry-run GROUP"},
		{"dry-run web-", `group: "web-" ends in '-'`},
		{"protect", "want `vmscaler protect VM"},
		{"protect web-1 web-2", "want `vmscaler protect VM"},
		{"replace", "want `vmscaler replace VM"},
		{"remove web-1 web-2", "want `vmscaler remove VM"},
		{"drain web-1 --group Web", `group: "Web"`},
		{"unhealthy a\u0001b", "vm: found"},
		{"hook", "want `vmscaler hook continue|abandon|heartbeat TOKEN"},
		{"hook continue", "want `vmscaler hook continue|abandon|heartbeat TOKEN"},
		{"set web", "want `vmscaler set GROUP FIELD=VALUE...`"},
		{"set web upper", `found "upper", want FIELD=VALUE`},
		{"set web upper=", `found "upper=", want FIELD=VALUE`},
		{"set web memory=1GiB", `field: found "memory", want one of min, max, idle_to_zero, wake_for, policy.type`},
		{"set web uper=60", `field: found "uper"; did you mean upper? There are min, max, idle_to_zero, wake_for, policy.type`},
		{"set web policy.lowr=60", "did you mean lower?"},
		{"set web upper=" + strings.Repeat("[", 2000), "policy.upper: found 2000 bytes, want at most 1024"},
		{"scale web -1", "found -1, want a number of 0 or more"},
		{"metric web requests -5", "found -5, want"},
		{"template lst", `there is no command "template lst"; did you mean list?`},
		{"config chek", `there is no command "config chek"; did you mean check?`},
		{"bus credential", `there is no command "bus credential"; did you mean credentials?`},
		{"statsu", `there is no command "statsu"; did you mean status?`},
		{"nonsense", `there is no command "nonsense"`},
		{"status --stat-dir x", "unknown flag: --stat-dir; did you mean --state-dir?"},
		{"status -c a.yaml -c b.yaml", `found it twice, "a.yaml" and "b.yaml", want it once`},
		{"status --state-dir a --state-dir b", `found it twice, "a" and "b", want it once`},
		{"pause web ot", "did you mean out?"},
		{"health decidr", "did you mean decider?"},
		{"run --stages decidr", "did you mean decider?"},
		{"bus credentials operatr", "did you mean operator?"},
		{"explain web --at yesterday", `--at: found "yesterday", want a time as vmscaler prints it`},
		{"events --since 25:00", `found "25:00", want a time as vmscaler prints it`},
		{"set web upper=60 policy.upper=61", "found policy.upper twice"},
		{"reset", "want `vmscaler reset GROUP [FIELD...]`"},
		{"reset web vcpus", `field: found "vcpus"`},
		{"diff web db", "want `vmscaler diff [GROUP]`"},
		{"schedule web db", "want `vmscaler schedule [GROUP]`"},
		{"schedule --upcoming -1", "--upcoming: found -1, want 0 to 1000"},
		{"metric web requests", "want `vmscaler metric GROUP NAME VALUE"},
		{"metric web requests many", `value: found "many", want a number from 0 to 1e+15`},
		{"metric web requests NaN", `value: found NaN, want 0 to 1e+15`},
		{"load web-1 --percent 0", "--percent: found 0, want 1 to 100"},
		{"simulate --history web --trace x", "--history and --trace: want one of them"},
		{"simulate --points 1s --boot 1s --trace testdata/year.csv", "--points: found 1s, which are 31536000 points of year, " +
			"want at most 100000"},
		{"simulate --history web1", `--history: "web1" ends in a number`},
		{"simulate --history web --since 1s", "--since: found 1s ago, want at least 1m"},
		{"hook continue BAD", `token: found "BAD", want the 26 letters and digits`},
		{"hook stop K3VN", `found "stop", want one of continue, abandon, heartbeat`},
	} {
		_, err := command(t, strings.Fields(tt.line)...)
		var usage usageError
		if !errors.As(err, &usage) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want a usage error with %q", tt.line, err, tt.want)
		}
	}
}

// decider is a bus on which a test answers the requests.
func decider(t *testing.T, answer func(client.Request) error) (flags []string) {
	t.Helper()
	return answering(t, bus.RoleDecider, []string{bus.VerbStatus, bus.VerbPause, bus.VerbResume, bus.VerbDryRun}, answer)
}

// answering is a bus on which a test answers some requests in the place of a stage.
func answering(t *testing.T, stage bus.Role, verbs []string, answer func(client.Request) error) (flags []string) {
	t.Helper()
	dir := t.TempDir()
	server, err := server.Start(server.Config{Listen: "127.0.0.1:0", StateDir: dir}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	conn, err := server.Connect(string(stage), zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	requests := make(chan client.Request)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for {
			select {
			case r := <-requests:
				if err := answer(r); err != nil {
					t.Error(err)
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	if err := conn.Serve(ctx, string(stage), "", verbs, requests); err != nil {
		t.Fatal(err)
	}
	return []string{"--nats-url", server.URL(), "--state-dir", dir}
}

func TestControlsAreAskedFor(t *testing.T) {
	requests := make(chan client.Request, 8)
	flags := decider(t, func(r client.Request) error {
		requests <- r
		return r.Answer(bus.Controls{Paused: []bus.Scope{bus.ScopeIn}, By: r.Query.By, Reason: r.Query.Reason})
	})
	for _, tt := range []struct {
		line, verb string
		scopes     []bus.Scope
		on         bool
	}{
		{"pause web", bus.VerbPause, nil, false},
		{"pause web in repair", bus.VerbPause, []bus.Scope{bus.ScopeIn, bus.ScopeRepair}, false},
		{"resume web out", bus.VerbResume, []bus.Scope{bus.ScopeOut}, false},
		{"dry-run web", bus.VerbDryRun, nil, true},
		{"dry-run web --off", bus.VerbDryRun, nil, false},
	} {
		out, err := command(t, append(strings.Fields(tt.line+" --reason planned"), flags...)...)
		if err != nil {
			t.Fatalf("%s: %v", tt.line, err)
		}
		asked := <-requests
		q := asked.Query
		if asked.Verb != tt.verb || q.Group != "web" || q.On != tt.on || len(q.Scopes) != len(tt.scopes) ||
			!strings.Contains(q.By, "@") || q.Reason != "planned" {
			t.Errorf("%s: asked %s with %+v", tt.line, asked.Verb, q)
		}
		for i := range tt.scopes {
			if q.Scopes[i] != tt.scopes[i] {
				t.Errorf("%s: scopes %v, want %v", tt.line, q.Scopes, tt.scopes)
			}
		}
		if want := "group web: paused: in, by " + q.By + " (\"planned\")\n"; out != want {
			t.Errorf("%s: printed %q, want %q", tt.line, out, want)
		}
	}
}

// A reason goes into messages, logs and terminals, so that it is one harmless line.
func TestReasonIsOneLine(t *testing.T) {
	for _, reason := range []string{"two\nlines", "\x1b[2J", strings.Repeat("x", bus.MaxReason+1)} {
		if _, err := command(t, "pause", "web", "--reason", reason); exitCode(err) != exitUsage ||
			!strings.Contains(err.Error(), "--reason") {
			t.Errorf("%q: %v", reason, err)
		}
	}
}

func TestRefusedRequest(t *testing.T) {
	flags := decider(t, func(r client.Request) error {
		return r.Refuse("there is no group %q; the groups are: web", r.Query.Group)
	})
	for _, line := range []string{"pause db", "status db"} {
		_, err := command(t, append(strings.Fields(line), flags...)...)
		if err == nil || !strings.Contains(err.Error(), `there is no group "db"; the groups are: web`) {
			t.Errorf("%s: got %v", line, err)
		}
	}
}

func TestStatusNeedsNoCredentials(t *testing.T) {
	flags := decider(t, func(r client.Request) error {
		return r.Answer(bus.Status{
			V: bus.Version, Time: time.Now(), Groups: []bus.GroupStatus{{Group: r.Query.Group}}, Stages: []bus.Health{},
		})
	})
	flags[3] = t.TempDir() // not the bus's
	out, err := command(t, append([]string{"status", "web"}, flags...)...)
	if err != nil || !strings.HasPrefix(out, "group web\n  not evaluated yet\n") {
		t.Errorf("got %q, %v", out, err)
	}
	out, err = command(t, append([]string{"status", "web", "-o", "json"}, flags...)...)
	if err != nil || !strings.Contains(out, `"group": "web"`) {
		t.Errorf("got %q, %v", out, err)
	}
	if _, err = command(t, append([]string{"pause", "web"}, flags...)...); err == nil ||
		!strings.Contains(err.Error(), "wants credentials of role operator") {
		t.Errorf("pause: got %v", err)
	}
}

func TestHookAnswers(t *testing.T) {
	requests := make(chan bus.Query, 8)
	until := time.Now().Add(time.Minute).Truncate(time.Second)
	flags := answering(t, bus.RoleActuator, []string{bus.VerbHook}, func(r client.Request) error {
		requests <- r.Query
		a := bus.HookAnswer{V: bus.Version, Group: "web", VM: "web-3", Hook: bus.HookLaunch, Action: r.Query.Action}
		switch {
		case r.Query.Token != "K3VN4TQF2WJ6X7YBZL5AAAAAAA":
			r.Ignore()
			return nil
		case a.Action == bus.HookHeartbeat:
			a.Deadline = &until
		}
		return r.Answer(a)
	})
	for _, tt := range []struct{ line, want string }{
		{"hook continue K3VN4TQF2WJ6X7YBZL5AAAAAAA", "web-3: launch hook: continue\n"},
		{"hook abandon K3VN4TQF2WJ6X7YBZL5AAAAAAA", "web-3: launch hook: abandon\n"},
		{"hook heartbeat K3VN4TQF2WJ6X7YBZL5AAAAAAA", "web-3: launch hook: heartbeat, waits until " +
			until.Format(time.DateTime) + "\n"},
	} {
		out, err := command(t, append(strings.Fields(tt.line), flags...)...)
		if err != nil || out != tt.want {
			t.Errorf("%s: printed %q, %v; want %q", tt.line, out, err, tt.want)
		}
		if q := <-requests; string(q.Action) != strings.Fields(tt.line)[1] || q.Token != "K3VN4TQF2WJ6X7YBZL5AAAAAAA" ||
			!strings.Contains(q.By, "@") {
			t.Errorf("%s: asked %+v", tt.line, q)
		}
	}
	_, err := command(t, append([]string{"hook", "continue", "OLD4TQF2WJ6X7YBZL5AAAAAAAA"}, flags...)...)
	if err == nil || !strings.Contains(err.Error(), `no VM waits with the token "OLD4TQF2WJ6X7YBZL5AAAAAAAA"`) {
		t.Errorf("another token: %v", err)
	}
	flags[3] = t.TempDir() // not the bus's
	if _, err = command(t, append([]string{"hook", "continue", "K3VN4TQF2WJ6X7YBZL5AAAAAAA"}, flags...)...); err == nil ||
		!strings.Contains(err.Error(), "wants credentials of role operator") {
		t.Errorf("without credentials: %v", err)
	}
}

func TestHookWithoutAnActuator(t *testing.T) {
	flags := decider(t, func(r client.Request) error { return r.Refuse("not asked") })
	_, err := command(t, append([]string{"hook", "continue", "K3VN4TQF2WJ6X7YBZL5AAAAAAA"}, flags...)...)
	if err == nil || !strings.Contains(err.Error(), "no actuator is running") {
		t.Errorf("got %v", err)
	}
}
