package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// heard is what a test waits for from others, a minute at most.
func heard(t *testing.T, from <-chan string, word string) {
	t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case got := <-from:
			if strings.Contains(got, word) {
				return
			}
		case <-deadline:
			t.Fatalf("nothing with %q was heard", word)
		}
	}
}

// TestNotifyReloads: a process that only notifies tells others from a hangup on, and goes on as before where the file is not
// right.
func TestNotifyReloads(t *testing.T) {
	dir := alone(t)
	told := make(chan string, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m struct{ Group string }
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		told <- r.URL.Path + " " + m.Group
	}))
	defer receiver.Close()
	file, self := filepath.Join(dir, defaultConfig), os.Args[0]
	write := func(notify string) {
		t.Helper()
		text := "bus: {listen: \"127.0.0.1:0\", state_dir: " + filepath.Join(dir, "state") + "}\n" +
			"groups: [{name: web}, {name: db}, {name: queue}]\n" + notify
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	target := func(path string) string {
		return fmt.Sprintf("notify: [{name: ops, type: json, url: %q, on: [control]}]\n", receiver.URL+path)
	}
	ctx, end := context.WithCancel(t.Context())
	start := func(words ...string) (*exec.Cmd, <-chan string) {
		t.Helper()
		cmd := exec.CommandContext(ctx, self, words...)
		cmd.Env = append(os.Environ(), asProgram+"=1")
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		stderr, err := cmd.StderrPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := make(chan string, 1000)
		go func() {
			for s := bufio.NewScanner(stderr); s.Scan(); {
				lines <- s.Text()
			}
		}()
		t.Cleanup(func() { end(); _ = cmd.Wait() })
		return cmd, lines
	}
	pause := func(group string) {
		t.Helper()
		cmd := exec.CommandContext(ctx, self, "pause", group)
		cmd.Env = append(os.Environ(), asProgram+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("pause %s: %v\n%s", group, err, out)
		}
	}
	write(target("/a"))
	_, lines := start("run", "--stages", "bus,decider")
	heard(t, lines, "bus: ")
	notifies, lines := start("notify")
	heard(t, lines, "bus: ")
	hangup := func(notify, says string) {
		t.Helper()
		write(notify)
		if err := notifies.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		heard(t, lines, says)
	}
	hangup(target("/b"), "1 target of the config from now on")
	pause("web")
	heard(t, told, "/b web")
	hangup("", "notify: found no target")
	hangup("nonsense: 1\n", "all goes on as before")
	pause("db")
	heard(t, told, "/b db")
}
