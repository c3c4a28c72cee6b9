package e2e

import (
	"encoding/json"
	"errors"
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
)

// as connects with the credentials of one of the bus's roles.
func (w *world) as(role bus.Role, url string) *client.Conn {
	w.t.Helper()
	conn, err := client.DialNow(client.Remote{URL: url, Nkey: server.CredentialsFile(w.state, role)}, string(role), zerolog.Nop())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(conn.Close)
	return conn
}

// startBus starts `vmscaler bus` alone and returns its address.
func (w *world) startBus() (p *process, url string) {
	w.t.Helper()
	address := freeAddress(w.t)
	p = w.spawn("bus", "--bus-listen", address)
	p.says("bus: nats://" + address)
	return p, "nats://" + address
}

// TestEvents: what happened is printed as text or JSON, of one group or of all, from a time on, and with -f what
// happens while it is printed.
func TestEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, url := w.startBus()
	actuator, decider := w.as(bus.RoleActuator, url), w.as(bus.RoleDecider, url)
	happens := func(group string, event bus.EventType) {
		t.Helper()
		if err := errors.Join(actuator.Publish(&bus.Event{
			V: bus.Version, Group: group, VM: group + "-1", Event: event, Sentence: "it is " + string(event), Host: "h", Time: time.Now(),
		}), actuator.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	decides := func(d bus.Direction, current, desired int) {
		t.Helper()
		if err := errors.Join(decider.Publish(&bus.Decision{
			V: bus.Version, Group: "web", Direction: d, Current: current, Desired: desired, HasSample: true, ID: fmt.Sprintf("web-%s", d),
			Rule:     bus.RuleStable,
			Sentence: "said of " + string(d), Time: time.Now(), ExpiresAt: time.Now(),
		}), decider.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	follow := w.spawn("events", "-f")
	decides(bus.Out, 1, 2)
	decides(bus.Hold, 2, 2)
	happens("web", bus.EventCreating)
	happens("db", bus.EventReady)
	happens("web", bus.EventReady)
	follow.says(" web ", " ready ", "web-1", "it is ready") // so all is stored
	follow.stop()

	text := w.must("events")
	if lines := strings.Split(strings.TrimSpace(text), "\n"); len(lines) != 4 ||
		!containsAll(lines[0], " web ", "decision-out", "desired 1 -> 2", "said of out") ||
		!containsAll(lines[1], " web ", " creating ", "web-1") || !containsAll(lines[2], " db ", " ready ", "db-1") ||
		!containsAll(lines[3], " web ", " ready ", "web-1") {
		t.Errorf("events, of which a decision to hold is none:\n%s", text)
	}
	if text != follow.text() {
		t.Errorf("events -f had shown\n%s\nwant\n%s", follow.text(), text)
	}
	if text := w.must("events", "db"); strings.Count(text, "\n") != 1 || !strings.Contains(text, "db-1") {
		t.Errorf("events db:\n%s", text)
	}
	decoder := json.NewDecoder(strings.NewReader(w.must("events", "web", "-o", "json", "--since", "1h")))
	var records []client.HistoryEntry
	for decoder.More() {
		var r client.HistoryEntry
		if err := decoder.Decode(&r); err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	if len(records) != 3 || records[0].Decision == nil || records[0].Decision.Desired != 2 || records[2].Event == nil ||
		records[2].Event.Event != bus.EventReady {
		t.Errorf("events web -o json: %+v", records)
	}
	for _, args := range [][]string{{"--since", "1ms"}, {"nobody"}} {
		if text := w.must(append([]string{"events"}, args...)...); text != "" {
			t.Errorf("events %v, want none:\n%s", args, text)
		}
	}
}

// TestCredentials: who has none learns which are wanted and where they are, and can then use them.
func TestCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	elsewhere := t.TempDir() // as on another machine, or of another user
	w.refused(
		[]string{"bus", "credentials", "decider", "--state-dir", elsewhere},
		filepath.Join(elsewhere, "credentials", "decider.nk"),
		"no such file",
		"first start",
		"--state-dir",
	)
	daemon, url := w.startBus()
	w.refused([]string{"bus", "credentials", "nobody"}, "nobody", "collector", "decider", "actuator", "dashboard", "operator", "tap")
	for _, role := range bus.Roles() {
		file := server.CredentialsFile(w.state, role)
		out := w.must("bus", "credentials", string(role))
		if !containsAll(
			out,
			file+"\n",
			"nats context save vmscaler-"+string(role)+" --server "+url+" --nkey "+file+" --inbox-prefix "+role.InboxPrefix(),
		) {
			t.Errorf("credentials of %s:\n%s", role, out)
		}
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", file, info, err)
		}
	}
	config := w.config("")
	for _, stage := range []string{"collector", "decider", "actuator"} {
		w.refused([]string{stage, "-c", config, "--nats-url", url, "--state-dir", elsewhere}, url, "credentials of role "+stage,
			"--nats-nkey", "VMSCALER_NATS_NKEY", "vmscaler bus credentials "+stage)
	}
	w.refused(
		[]string{"events", "--nats-url", url, "--state-dir", elsewhere},
		"credentials of role operator",
		"vmscaler bus credentials operator",
	)
	stranger, _ := newUser(t)
	p := w.spawn("decider", "-c", config, "--nats-url", url, "--nats-nkey", stranger)
	p.says("does not know these credentials", "vmscaler bus credentials decider")
	p.stop()

	p = w.spawn(
		"decider",
		"-c",
		config,
		"--nats-url",
		url,
		"--state-dir",
		elsewhere,
		"--nats-nkey",
		server.CredentialsFile(w.state, bus.RoleDecider),
	)
	b := w.watch(client.Remote{URL: url})
	b.until("the decider is heard", func() bool { return b.decision.Group == w.group && b.stages["decider"].OK })
	p.stop()
	daemon.stop()
}

// TestTLS: with a certificate made by the line in docs/running.md a bus listens beyond loopback. On its own host commands
// find it, its certificate and their credentials by themselves; from elsewhere both are wanted, and what is missing is said.
func TestTLS(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("bus", "certificate", "kvm1")
	made := filepath.Join(w.state, "certificates", "kvm1")
	cert, key := filepath.Join(made, "bus.crt"), filepath.Join(made, "bus.key")
	daemon := w.spawn("bus", "--bus-listen", "0.0.0.0:0", "--nats-cert", cert, "--nats-key", key)
	_, rest, _ := strings.Cut(daemon.says("bus: tls://127.0.0.1:", "bus credentials tap"), "bus: ")
	url := strings.Fields(rest)[0]

	if out := w.must("health", "bus"); !strings.Contains(out, "bus: ") {
		t.Errorf("health: %s", out)
	}
	w.must("events")
	decider := w.spawn("decider", "-c", w.config(""))
	decider.says("bus: " + url)
	if out := w.must("bus", "credentials", "tap"); !containsAll(out, "--server "+url, "--tlsca "+cert) {
		t.Errorf("credentials: %s", out)
	}
	screen := w.spawn("dashboard", "--no-dashboard")
	screen.says("connected to " + url)
	screen.stop()
	decider.stop()

	w.env = append(w.env, "VMSCALER_STATE_DIR="+t.TempDir()) // as on another host
	w.refused([]string{"dashboard", "--no-dashboard", "--nats-url", url}, "certificate signed by unknown authority")
	w.refused(
		[]string{"dashboard", "--no-dashboard", "--nats-url", url, "--nats-ca", cert},
		"wants credentials of role dashboard",
		"--nats-nkey",
	)
	daemon.stop()
}

// TestSecondBus: one that finds the state folder taken says by whom, and where that one is.
func TestSecondBus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	daemon, url := w.startBus()
	pid := fmt.Sprintf("process %d", daemon.cmd.Process.Pid)
	for _, command := range []string{"bus", "run --stages bus,decider"} {
		w.refused(
			append(strings.Fields(command), "--bus-listen", freeAddress(t)),
			pid,
			url,
			w.state,
			"--state-dir",
			"vmscaler dashboard --nats-url "+url,
		)
	}
	daemon.stop()
}

// TestBusSettings: a flag is over the environment, which is over the file; each may change between a bus of its own
// and another one.
func TestBusSettings(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vmscaler.yaml")
	if err := os.WriteFile(file, []byte("bus: {listen: 127.0.0.1:1, state_dir: /file}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		env, flags string
		want       string // lines of the output, in any order
		not        string
	}{
		{"", "", "  listen: 127.0.0.1:1|  url: \"\"|  state_dir: /file", "# "},
		{"VMSCALER_STATE_DIR=/env", "", "  state_dir: /env|# bus.state_dir is from VMSCALER_STATE_DIR", "# bus.listen"},
		{"VMSCALER_STATE_DIR=/env", "--state-dir /flag", "  state_dir: /flag|# bus.state_dir is from --state-dir", "VMSCALER"},
		{"VMSCALER_NATS_URL=nats://env", "", "  listen: \"\"|  url: nats://env|# bus.url is from VMSCALER_NATS_URL", "--"},
		{"VMSCALER_NATS_URL=nats://env", "--nats-url nats://flag", "  url: nats://flag|# bus.url is from --nats-url", "VMSCALER"},
		{
			"VMSCALER_NATS_URL=nats://env", "--bus-listen 127.0.0.1:2",
			"  listen: 127.0.0.1:2|  url: \"\"|# bus.listen is from --bus-listen", "VMSCALER",
		},
		{"VMSCALER_BUS_TAPS=false", "", "  taps: false|# bus.taps is from VMSCALER_BUS_TAPS", "--"},
		{"VMSCALER_BUS_TAPS=false", "--bus-taps true", "  taps: true|# bus.taps is from --bus-taps", "VMSCALER"},
		{"VMSCALER_HTTP=off", "", "  listen: off|# http.listen is from VMSCALER_HTTP", "--"},
		{
			"VMSCALER_BUS_LISTEN=127.0.0.1:3", "--nats-url nats://flag", "  listen: \"\"|  url: nats://flag|# bus.url is from --nats-url",
			"VMSCALER",
		},
	} {
		cmd := exec.Command(program, append([]string{"config", "show", "-c", file}, strings.Fields(c.flags)...)...)
		cmd.Env = append(os.Environ(), c.env)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s vmscaler config show %s: %s\n%s", c.env, c.flags, err, out)
			continue
		}
		for _, line := range strings.Split(c.want, "|") {
			if !strings.Contains("\n"+string(out), "\n"+line+"\n") {
				t.Errorf("%s vmscaler config show %s: want the line %q in\n%s", c.env, c.flags, line, out)
			}
		}
		if c.not != "" && strings.Contains(string(out), c.not) {
			t.Errorf("%s vmscaler config show %s: %q is in\n%s", c.env, c.flags, c.not, out)
		}
	}
}
