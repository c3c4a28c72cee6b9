package main

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/printer"
)

// What a command line says is judged before anything is contacted.
func TestCommandsValidate(t *testing.T) {
	now := time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		err  error
		want string // in a usage error; "" is right
	}{
		{(&statusCmd{}).validate(nil), ""},
		{(&statusCmd{}).validate([]string{"web"}), ""},
		{(&statusCmd{}).validate([]string{""}), "group: "},
		{(&eventsCmd{}).validate([]string{"web1"}), "group: "},
		{(&explainCmd{group: "web"}).validate(now), ""},
		{(&explainCmd{group: "web", at: "2h", id: "x"}).validate(now), "--at and --decision: want one of them"},
		{(&explainCmd{group: "web", at: "soon"}).validate(now), "--at: found \"soon\""},
		{(&webTokenCmd{role: "operator"}).validate([]string{"terraform"}), ""},
		{(&webTokenCmd{role: "watch"}).validate(nil), ""},
		{(&webTokenCmd{role: "watcher"}).validate(nil), "--role: found \"watcher\", want watch or operator; did you mean watch?"},
		{(&webTokenCmd{}).validate(nil), "--role: found \"\""},
		{(&webTokenCmd{role: "watch"}).validate([]string{"a b"}), "NAME: found \"a b\""},
		{(&loadCmd{workers: 1, percent: 100, duration: time.Minute}).validate(), ""},
		{(&loadCmd{workers: -1, percent: 100, duration: time.Minute}).validate(), "--cpu: found -1"},
		{(&loadCmd{percent: 101, duration: time.Minute}).validate(), "--percent: found 101"},
		{(&loadCmd{percent: 1, duration: 25 * time.Hour}).validate(), "--for: found 25h0m0s"},
		{(&consoleCmd{last: 20}).validate(), ""},
		{(&consoleCmd{last: -1}).validate(), "--last: found -1"},
		{(&consoleCmd{last: 1, force: true}).validate(), "--last: found with"},
		{(&consoleCmd{screenshot: "x.png", force: true}).validate(), "--force: found with"},
		{(&execCmd{timeout: time.Minute}).validate(), ""},
		{(&execCmd{timeout: time.Millisecond}).validate(), "--timeout: found 1ms"},
		{(&sshCmd{port: 22}).validate(), ""},
		{(&sshCmd{port: 65536}).validate(), "--port: found 65536"},
		{(&scopesCmd{}).validate([]string{"web"}), ""},
		{(&scopesCmd{}).validate([]string{"web", "in", "repair"}), ""},
		{
			(&scopesCmd{}).validate([]string{"web", "inn"}),
			"scope: found \"inn\", want one of out, in, repair, health, hooks, schedule; did you mean in?",
		},
		{(&scopesCmd{}).validate([]string{"web-1"}), "group: "},
		{(&resumeCmd{}).validate([]string{"web", "in"}), ""},
		{(&resumeCmd{}).validate([]string{"web-1"}), ""},
		{(&resumeCmd{}).validate([]string{"web-1", "in"}), "scope: found one with a VM"},
		{(&resumeCmd{vm: vmVerb{query: bus.Query{KeepSize: true}}}).validate([]string{"web"}), "--keep-size: found it with a group"},
		{(&dryRunCmd{}).validate([]string{"Web"}), "group: "},
		{(&scaleCmd{}).validate([]string{"web", "0"}), ""},
		{(&scaleCmd{}).checkArgs([]string{"web"}), "found [\"web\"]"},
		{(&scaleCmd{}).validate([]string{"web", "2.5"}), "number of VMs: found \"2.5\""},
		{(&scaleCmd{}).validate([]string{"web", "-1"}), "number of VMs: found \"-1\""},
		{(&scaleCmd{release: true}).validate([]string{"web"}), ""},
		{(&scaleCmd{release: true}).checkArgs([]string{"web", "2"}), "found [\"web\" \"2\"]"},
		{(&setCmd{}).validate([]string{"web", "upper=60", "min=2"}), ""},
		{(&setCmd{}).validate([]string{"web", "upper"}), "found \"upper\", want FIELD=VALUE"},
		{(&setCmd{}).validate([]string{"web", "upper=60", "policy.upper=61"}), "found policy.upper twice"},
		{(&setCmd{}).validate([]string{"web", "upper=" + strings.Repeat("1", 10_000)}), "policy.upper: found 10000 bytes"},
		{(&setCmd{}).validate([]string{"web", "template=x"}), "template"},
		{(&resetCmd{}).validate([]string{"web"}), ""},
		{(&resetCmd{}).validate([]string{"web", "uper"}), "uper"},
		{(&diffCmd{}).validate(nil), ""},
		{(&scheduleCmd{upcoming: 1000}).validate([]string{"web"}), ""},
		{(&scheduleCmd{upcoming: 1001}).validate(nil), "--upcoming: found 1001"},
		{(&hookCmd{}).validate([]string{"continue", "K3VN4TQF2WJ6X7YBZL5AAAAAAA"}), ""},
		{(&hookCmd{}).validate([]string{"continue", "web-1"}), "token: found \"web-1\""},
		{(&hookCmd{}).validate([]string{"kontinue", "K3VN4TQF2WJ6X7YBZL5AAAAAAA"}), "found \"kontinue\""},
		{(&metricCmd{}).validate([]string{"web", "requests", "118.5"}), ""},
		{(&wakeCmd{}).validate([]string{"web"}), ""},
		{(&wakeCmd{wait: true, timeout: time.Minute}).validate([]string{"web"}), ""},
		{(&wakeCmd{}).validate([]string{"web-1"}), "group: "},
		{(&wakeCmd{wait: true}).validate([]string{"web"}), "--timeout: found 0s"},
		{(&metricCmd{}).validate([]string{"web", "requests", "many"}), "value: found \"many\""},
		{(&templateBuildCmd{name: "web"}).validate(), ""},
		{(&templateBuildCmd{name: "Web"}).validate(), "--name: template name \"Web\""},
		{(&templateImportCmd{}).validate([]string{"web", "disk.qcow2"}), ""},
		{(&templateImportCmd{}).validate([]string{"web.1", "disk.qcow2"}), "NAME: template name \"web.1\""},
		{(&templateShowCmd{name: "Web"}).validate(), "NAME: template name \"Web\""},
		{(&templateSealCmd{}).validate([]string{"web", "disk.qcow2"}), ""},
		{(&templateSealCmd{pool: "p"}).validate([]string{"web"}), "--pool: want VOLUME"},
		{(&templateCheckCmd{name: "web", bootTimeout: time.Millisecond}).validate(), "--boot-timeout: found 1ms"},
		{(&templateCheckCmd{name: "web", group: "We b"}).validate(), "--group: "},
		{(&templateInstallCmd{name: "web"}).validate(), "--iso: found nothing"},
		{(&templateInstallCmd{name: "web", iso: "x", vcpus: 0}).validate(), "--vcpus: found 0"},
		{(&templateInstallCmd{name: "web", iso: "x", vcpus: 1, hostname: "a.b"}).validate(), "--hostname: found \"a.b\""},
		{(&templateInstallCmd{name: "web", iso: "x", vcpus: 1, disk: "2"}).validate(), "--disk: found \"2\""},
		{(&templateInstallCmd{name: "web", iso: "x", vcpus: 1, disk: "2GiB", memory: "16MiB"}).validate(), "--memory: found \"16MiB\""},
		{(&templatePrebuildCmd{name: "web", within: time.Hour}).validate(), "--user-data: found nothing"},
		{(&templatePrebuildCmd{name: "web", userData: "x"}).validate(), "--within: found 0s"},
		{(&templatePrebuildCmd{name: "web", userData: "x", within: time.Hour}).validate(), "--from: template name \"\""},
	} {
		var usage usageError
		wrong := errors.As(tt.err, &usage) && strings.Contains(tt.err.Error(), tt.want)
		if tt.want == "" && tt.err != nil || tt.want != "" && !wrong {
			t.Errorf("got %v, want %q", tt.err, tt.want)
		}
	}
	c := &explainCmd{group: "web", at: "2h"}
	if err := c.validate(now); err != nil || !c.when.Equal(now.Add(-2*time.Hour)) {
		t.Errorf("--at 2h: %v, %v", c.when, err)
	}
}

// What the arguments say is what the decider is asked.
func TestQueriesOfCommands(t *testing.T) {
	pause, scale, release := &scopesCmd{}, &scaleCmd{}, &scaleCmd{release: true}
	dry, set, reset := &dryRunCmd{off: true}, &setCmd{}, &resetCmd{}
	for _, tt := range []struct {
		c    *control
		err  error
		want bus.Query
	}{
		{
			&pause.control, pause.validate([]string{"web", "in", "out"}),
			bus.Query{Group: "web", Scopes: []bus.Scope{bus.ScopeIn, bus.ScopeOut}},
		},
		{&scale.control, scale.validate([]string{"web", "3"}), bus.Query{Group: "web", Desired: new(3)}},
		{&release.control, release.validate([]string{"web"}), bus.Query{Group: "web"}},
		{&dry.control, dry.validate([]string{"web"}), bus.Query{Group: "web"}},
		{
			&set.control, set.validate([]string{"web", "upper=60", "max=8"}),
			bus.Query{Group: "web", Set: map[string]string{"policy.upper": "60", "max": "8"}},
		},
		{&reset.control, reset.validate([]string{"web", "upper"}), bus.Query{Group: "web", Keys: []string{"policy.upper"}}},
	} {
		if tt.err != nil || !reflect.DeepEqual(tt.c.query, tt.want) {
			t.Errorf("got %+v, %v, want %+v", tt.c.query, tt.err, tt.want)
		}
	}
}

func TestStatusIsPrinted(t *testing.T) {
	status := bus.Status{Groups: []bus.GroupStatus{{Group: "web"}}}
	for output, want := range map[printer.Format]string{
		printer.Table: "group web\n", printer.Wide: "group web\n", printer.Name: "web\n", printer.JSON: `"group": "web"`,
		printer.YAML: "- group: web\n",
	} {
		var out strings.Builder
		if err := (&statusCmd{output: printer.As(output)}).print(&out, status); err != nil || !strings.Contains(out.String(), want) {
			t.Errorf("%s: got %q, %v, want %q in it", output, &out, err, want)
		}
	}
}
