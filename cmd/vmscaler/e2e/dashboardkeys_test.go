package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
)

// TestDashboardKeys: in real terminals, one of several sizes and one of `vmscaler run` itself, with a real decider and two
// groups of 250 VMs that a collector reports, keys find, open and change things; what they change holds on the bus, and who
// wants to hear of it is told. Without an operator's credentials they do not.
func TestDashboardKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, state, address := filepath.Join(dir, "vmscaler.yaml"), filepath.Join(dir, "state"), freeAddress(t)
	told := filepath.Join(dir, "told")
	text := "bus:\n  listen: " + address + "\n  state_dir: " + state +
		"\nnotify:\n  - name: file\n    type: command\n    command: cat >> " + told + "\n    on: control" +
		"\ngroups:\n  - name: api\n    max: 300\n  - name: web\n    max: 300\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	own := startTerminal(t, program, "run", "-c", file, "--stages", "bus,decider,dashboard")
	startCommand(t, program, "notify", "-c", file)
	reportVMs(t, file, "nats://"+address, state, manyVMs)

	d := startTerminal(t, program, "dashboard", "--nats-url", "nats://"+address, "--state-dir", state)
	for _, size := range [][2]int{{40, 12}, {200, 60}, {120, 40}, {60, 8}, {80, 24}} {
		d.resize(size[0], size[1])
		until(t, fmt.Sprintf("it fills %v", size), func() bool {
			lines := strings.Split(strings.TrimRight(d.text(), "\n"), "\n")
			return len(lines) == size[1] && strings.Contains(lines[size[1]-1], "q quit") && containsAll(d.text(), " api", " web")
		})
	}
	d.press("?")
	d.shows("explain the group's decision", "Before p, s and t change anything")
	d.press("Escape")
	d.shows("host kvm1")
	d.press("/")
	d.shows("filter:")
	d.press("web-250", "Enter")
	d.shows("1 of 2 groups, 1 of 500 VMs", "web-250")
	d.press("j", "Enter")
	d.shows("VM web-250", "UUID")
	d.press("x")
	d.shows("decision of web", "guard at-max")
	d.press("Escape")
	d.shows("VM web-250")
	d.press("Escape")
	d.shows("1 of 2 groups")
	d.press("Escape")
	d.shows("2 groups, 500 VMs")
	d.press("*")
	d.shows("2 groups, 500 VMs", "folded")
	d.press("End", "p")
	d.shows("pause web? y/n")
	d.press("n")
	d.shows("nothing is changed")
	d.press("p", "y")
	d.shows("group web: paused: out, in, repair")
	d.shows("PAUSED")
	d.press("s", "400", "Enter")
	d.shows("number of VMs: found 400, want ")
	d.press("s", "251", "Enter", "y")
	d.shows("SCALED 251", "scaled to 251 by")
	d.press("e")
	d.shows("events, the newest first", "control", "paused: out, in, repair")
	until(t, "the target of notify is told", func() bool {
		data, _ := os.ReadFile(told)
		return containsAll(string(data), `"kind":"control","severity":"info","group":"web"`, "paused: out, in, repair")
	})
	out, err := exec.Command(program, "status", "web", "--nats-url", "nats://"+address).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "paused: out, in, repair") || !strings.Contains(string(out), "scaled to 251") {
		t.Errorf("status: %v\n%s", err, out)
	}
	d.press("q")
	d.ends()
	own.shows("PAUSED", "SCALED 251")
	own.press("*", "End", "p")
	own.shows("resume web? y/n")
	own.press("y")
	own.shows("group web: scaled to 251 by")

	tap := startTerminal(t, program, "dashboard", "--nats-url", "nats://"+address, "--state-dir", t.TempDir())
	tap.shows("read-only", "SCALED 251")
	tap.press("j", "p")
	tap.shows("read-only: ", "wants an operator's credentials")
	tap.press("q")
	tap.ends()
	own.press("q")
	own.ends()
}

// manyVMs are 250 VMs of a group that serve.
func manyVMs(group string) (vms []bus.VM) {
	for i := range 250 {
		vms = append(vms, bus.VM{
			Name: fmt.Sprintf("%s-%d", group, i+1), UUID: fmt.Sprintf("%s-uuid-%d", group, i+1), State: bus.StateRunning,
			Phase: bus.PhaseReady, CPUPercent: new(float64(i % 100)), VCPUs: 1, MemoryMiB: 256, Created: time.Now().Add(-time.Hour),
			PhaseSince: time.Now().Add(-time.Hour),
		})
	}
	return vms
}

// reportVMs publishes samples of each group of a config, twice a second, until the test ends.
func reportVMs(t *testing.T, file, url, state string, vms func(group string) []bus.VM) {
	t.Helper()
	cfg, _, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	var conn *client.Conn
	until(t, "the bus answers", func() bool {
		conn, err = client.DialNow(client.Remote{URL: url, Nkey: server.CredentialsFile(state, bus.RoleCollector)}, "collector",
			zerolog.Nop())
		return err == nil
	})
	done, ended := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(done); <-ended; conn.Close() })
	go func() {
		defer close(ended)
		tick := time.NewTicker(500 * time.Millisecond)
		defer tick.Stop()
		for {
			for _, g := range cfg.Groups {
				_ = conn.Publish(&bus.Sample{
					V: bus.Version, Group: g.Name, HostID: "test", Host: "kvm1", Instance: "kvm1-1", Time: time.Now().UTC(),
					SpecHash: g.Hash(), VMs: vms(g.Name),
				})
			}
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
}

// terminal is a command in a real terminal.
type terminal struct {
	t      *testing.T
	socket string
}

func startTerminal(t *testing.T, command ...string) *terminal {
	t.Helper()
	s := &terminal{t, filepath.Join(t.TempDir(), "tmux")}
	s.tmux(append([]string{"-f", "/dev/null", "-u", "new-session", "-d", "-x", "80", "-y", "24"}, command...)...)
	t.Cleanup(func() { _ = exec.Command("tmux", "-S", s.socket, "kill-server").Run() }) // it has ended where all is well
	s.tmux("set-option", "-g", "escape-time", "0")
	return s
}

func (s *terminal) tmux(args ...string) string {
	s.t.Helper()
	cmd := exec.Command("tmux", append([]string{"-S", s.socket}, args...)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TERM=xterm-256color")
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("tmux %q: %v\n%s", args, err, out)
	}
	return string(out)
}

func (s *terminal) resize(width, height int) {
	s.t.Helper()
	s.tmux("resize-window", "-x", fmt.Sprint(width), "-y", fmt.Sprint(height))
}

func (s *terminal) text() string { s.t.Helper(); return s.tmux("capture-pane", "-p") }

// press presses keys. What comes after an Esc at once is taken for a part of its sequence: wait for what it shows.
func (s *terminal) press(keys ...string) {
	s.t.Helper()
	for _, k := range keys {
		s.tmux("send-keys", k)
	}
}

// shows waits until the screen has all the words.
func (s *terminal) shows(words ...string) {
	s.t.Helper()
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	deadline := time.After(20 * time.Second)
	// A sentence is broken wherever a line is full.
	for !containsAll(strings.Join(strings.Fields(s.text()), " "), words...) {
		select {
		case <-poll.C:
		case <-deadline:
			s.t.Fatalf("want %q on the screen:\n%s", words, s.text())
		}
	}
}

// ends waits until the command has ended.
func (s *terminal) ends() {
	s.t.Helper()
	until(s.t, "the dashboard ends", func() bool {
		return exec.Command("tmux", "-S", s.socket, "has-session").Run() != nil
	})
}
