package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
)

// goldenLines are asked of a group web with two VMs, of which min is 1 and max 3, one after the other.
var goldenLines = []string{
	"status web", "status web -o name", "status wbe", "groups", "groups -o name", "vms", "vms web -o name", "host list",
	"schedule", "diff",
	"scale web 3", "scale web 4", "scale web 0", "scale web many", "wait web desired=3 --timeout 1m", "scale web --release",
	"set web upper=60 max=4", "set web upper=10", "set web min=9", "set web uper=60", "set web template=x", "diff",
	"scale web 4", "schedule web",
	"scale web --release",
	"reset web upper",
	"reset web", "reset web lower",
	"pause web in repair --reason maintenance", "pause web", "schedule web", "schedule web -o json",
	"resume web in", "resume web", "resume web", "pause wbe",
	"schedule add web morning --at 2199-01-01T08:00 --min 2 --reason launch", "schedule add web noon --at @dayly --min 2",
	"schedule add web noon --at 2001-01-01T12:00 --min 2", "schedule add web noon --at @daily",
	"schedule add web noon --at @daily --min 3 --max 2", "schedule add web noon --at @daily --min 9", "schedule web",
	"diff web", "schedule rm web noon", "schedule rm web morning",
	"dry-run web", "dry-run web --off", "scale web 2", "wait web desired=2 --timeout 1m",
	"replace web-1 --reason slow", "replace web-1", "replace web-9", "replace web", "remove web-2 --group db",
	"drain web-2", "unhealthy web-2", "standby web-2", "resume web-2", "detach web-2", "attach web-2", "attach web-7",
	"refresh web --dry-run", "refresh web --bake -1s", "refresh web --pause --all", "refresh web --bake soon",
	"vms -o list", "explain",
	"refresh web --cancel", "refresh web --pause --resume",
	"wake web", "metric web requests 5", "metric web requests -5", "host remove kvm1", "host remove kvm9",
	"wait web vm=web-1:ready --timeout 5s", "wait web ready=9 --timeout 1s", "wait web stabel",
	"wait web template=dmo --timeout 5s", "wait web vm=wbe-1:ready --timeout 5s", "wait web vm=web-8:gone --timeout 5s",
	"events wbe", "explain wbe", "explain web --at 2h", "hook continue AAAAAAAAAAAAAAAAAAAAAAAAAA",
	"forecast web", "forecast web --hours 99",
	"launch web --count 0", "launch web --count 9", "launch web --host kvm9", "launch wbe",
	"protect web-1", "console web-1", "exec web-1 -- true", "ssh web-1", "load web", "down web --yes", "down wbe --yes",
	"template show demo", "context use kvm1", "simulate --since 1h", "version", "nonsense",
}

// TestCommandsOfARunningGroup: what each command prints and how it exits, refusals included, where the real bus and the real
// decider run, in a process of their own; a test reports the VMs. `go test ./cmd/vmscaler -run RunningGroup -update` writes it.
func TestCommandsOfARunningGroup(t *testing.T) {
	golden, err := filepath.Abs("testdata/commands.golden")
	if err != nil {
		t.Fatal(err)
	}
	dir := alone(t)
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	t.Setenv("VMSCALER_URI", "test:///default") // libvirt's own test driver, in which is none of vmscaler's VMs
	file := filepath.Join(dir, defaultConfig)
	text := "bus: {listen: \"127.0.0.1:0\", state_dir: " + filepath.Join(dir, "state") + "}\nlibvirt: {pool: default-pool}\n" +
		"groups: [{name: web, min: 1, max: 3}, {name: db}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, _, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	vmscaler := func(ctx context.Context, words ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, self, words...)
		cmd.Env = append(os.Environ(), asProgram+"=1")
		return cmd
	}
	ctx, end := context.WithCancel(t.Context())
	stages := vmscaler(ctx, "run", "--stages", "bus,decider")
	stages.Cancel = func() error { return stages.Process.Signal(syscall.SIGTERM) }
	if err := stages.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(); _ = stages.Wait() })
	reports(ctx, t, cfg)

	var got strings.Builder
	for _, line := range goldenLines {
		out, err := vmscaler(ctx, strings.Fields(line)...).CombinedOutput()
		code := 0
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			code = exit.ExitCode()
		}
		fmt.Fprintf(&got, "$ vmscaler %s\n%s[%d]\n\n", line, steady(string(out), self, dir), code)
	}
	if *update {
		if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil { //nolint:gosec // everyone reads it
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	wanted := strings.SplitAfter(string(want), "]\n\n")
	for i, part := range strings.SplitAfter(got.String(), "]\n\n") {
		if i >= len(wanted) || part != wanted[i] {
			t.Errorf("got\n%swant\n%s", part, wanted[min(i, len(wanted)-1)])
		}
	}
}

// reports publishes samples of the groups until ctx ends, and returns once there is a decision of each on them.
func reports(ctx context.Context, t *testing.T, cfg config.Config) {
	t.Helper()
	var url string
	bustest.Eventually(t, "the bus", func() bool {
		h, found := server.FindState(cfg.StateDir)
		url = h.URL
		return found && url != ""
	})
	as := func(role bus.Role) *client.Conn {
		remote := client.Remote{URL: url, Nkey: server.CredentialsFile(cfg.StateDir, role)}
		conn, err := client.DialNow(remote, string(role), zerolog.Nop())
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	conn, actuator := as(bus.RoleCollector), as(bus.RoleActuator)
	done := make(chan struct{})
	t.Cleanup(func() { <-done; conn.Close(); actuator.Close() })
	go func() {
		defer close(done)
		again := time.NewTicker(cfg.Tick)
		defer again.Stop()
		for {
			for _, g := range cfg.Groups {
				s := &bus.Sample{
					V: bus.Version, Group: g.Name, HostID: "kvm1", Host: "kvm1", Instance: "kvm1-1", Time: time.Now(), VMs: []bus.VM{},
					HostLoad: bus.Host{Cores: 8, MemoryMiB: 16000}, SpecHash: g.Hash(),
				}
				for n := range map[string]int{"web": 2}[g.Name] {
					long := time.Now().Add(-time.Hour)
					s.VMs = append(s.VMs, bus.VM{
						Name: bus.VMName(g.Name, n+1), UUID: fmt.Sprintf("00000000-0000-4000-8000-00000000000%d", n+1), State: bus.StateRunning,
						Phase: bus.PhaseReady, CPUPercent: new(40.0), VCPUs: 1, MemoryMiB: 256, Created: long, PhaseSince: long, BootedAt: &long,
						Template: "demo", Machine: g.MachineHash(),
					})
				}
				if err := conn.Publish(s); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
			acts := &bus.Health{
				V: bus.Version, Stage: string(bus.RoleActuator), Instance: "kvm1-2", OK: true, Since: time.Now(), Time: time.Now(),
				Acts: &bus.Acts{HostID: "kvm1", Full: []string{}, Taken: map[string][]int{}},
			}
			if err := actuator.Publish(acts); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			select {
			case <-again.C:
			case <-ctx.Done():
				return
			}
		}
	}()
	host, _ := os.Hostname()
	bustest.Eventually(t, "decisions and signs of life", func() bool {
		out, err := command(t, "status", "web")
		return err == nil && strings.Contains(out, "stable: average 40 %") && strings.Contains(out, "  bus        "+host) &&
			strings.Contains(out, "  decider    "+host) && strings.Contains(out, "  actuator   kvm1-2 ")
	})
}

// steady is an output without what differs from one run to another.
func steady(out, self, dir string) string {
	host, _ := os.Hostname()
	name := ""
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	out = strings.NewReplacer(self, program, dir, "DIR", name+"@"+host, "USER@HOST").Replace(out)
	for _, r := range [][2]string{
		{`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z?`, "TIME"},
		{`[A-Z][a-z][a-z] \d{4}-\d\d-\d\d \d\d:\d\d [A-Z]+`, "TIME"},
		{`127\.0\.0\.1:\d+`, "ADDRESS"},
		{`\b` + regexp.QuoteMeta(host) + `-\d+ `, "HOST-PID "},
		{`\d+m?s?\d*\.?\d* ?m?s\b`, "N s"},
		{`[ \t]+\n`, "\n"},
		{`  +`, "  "},
	} {
		out = regexp.MustCompile(r[0]).ReplaceAllString(out, r[1])
	}
	return out
}
