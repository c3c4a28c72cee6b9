package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

// A host joins by the very command that is printed, is an agent with it, and is none any more once it is removed.
func TestHostJoins(t *testing.T) {
	dir := alone(t)
	state, other := filepath.Join(dir, "bus"), filepath.Join(dir, "host")
	if out, err := command(t, "host", "add", "kvm2", "--state-dir", state); err == nil || !strings.Contains(err.Error(),
		"no vmscaler runs") {
		t.Errorf("without a bus: got %v\n%s", err, out)
	}
	s := bustest.StartWith(t, server.Config{StateDir: state})
	decider := bustest.Join(t, s, string(bus.RoleDecider))
	requests := make(chan client.Request)
	if err := decider.Serve(t.Context(), "decider", "", []string{bus.VerbForget}, requests); err != nil {
		t.Fatal(err)
	}
	forgot := make(chan string, 4)
	go func() {
		for {
			select {
			case r := <-requests:
				forgot <- r.Query.Host
				_ = r.Refuse("%s", bus.Refuse(bus.RefusedUnknown, "no group has a VM on it"))
			case <-t.Context().Done():
				return
			}
		}
	}()
	out, err := command(t, "host", "add", "kvm2", "--state-dir", state)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	_, line, found := strings.Cut(out, "  vmscaler ")
	if !found {
		t.Fatalf("no command in %s", out)
	}
	join := append(strings.Fields(line), "--state-dir", other, "--uri", "test:///default")
	term := filepath.Join(other, "term.json") // of the bus before this one
	if err := errors.Join(os.MkdirAll(other, 0o700), os.WriteFile(term, []byte("{}"), 0o600)); err != nil {
		t.Fatal(err)
	}
	bustest.Eventually(t, "the host joins", func() bool { // the bus looks at its folder twice a second
		out, err = command(t, join...)
		return err == nil
	})
	if !strings.Contains(out, "this host is kvm2 on the bus at "+s.URL()) || !strings.Contains(out,
		"systemctl enable --now vmscaler-agent") {
		t.Errorf("got %s", out)
	}
	if _, err := os.Lstat(term); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it keeps which bus it was of: %v", err)
	}
	cfg, err := (&globals{}).loadConfig(os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	cfg.StateDir, cfg.BusCert, cfg.BusKey = other, "server.crt", "server.key"
	if err := asMember(&cfg); err != nil || cfg.BusURL != s.URL() || cfg.BusListen != "" || cfg.BusCert != "" || cfg.BusKey != "" {
		t.Errorf("got %v, url %s, listen %s, cert %s, key %s", err, cfg.BusURL, cfg.BusListen, cfg.BusCert, cfg.BusKey)
	}
	agents, err := server.Agents(state)
	if err != nil || len(agents) != 1 {
		t.Fatalf("got %v, %v", agents, err)
	}
	conn, err := client.DialNow(agentRemote(cfg, agents[0].HostID)("collector"), "collector", bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if out, err = command(t, "host", "remove", "kvm2", "--state-dir", state); err != nil || !strings.Contains(out,
		"its key is worth nothing") {
		t.Errorf("got %v\n%s", err, out)
	}
	if host := bustest.Receive(t, forgot, "request"); host != string(agents[0].HostID) {
		t.Errorf("asked to forget %s, want %s", host, agents[0].HostID)
	}
	bustest.Eventually(t, "the agent is cut off", func() bool { _, up := conn.Connected(); return !up })
	if _, err = command(t, "host", "remove", "kvm2", "--state-dir", state); err == nil {
		t.Error("it can be removed twice")
	}
}
