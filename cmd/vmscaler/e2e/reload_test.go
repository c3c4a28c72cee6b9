package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestReloadAndApply: a hangup has the config file hold, and apply a file over the bus, with no restart; what is wrong changes
// nothing, and a group that leaves keeps its VMs until somebody removes them.
func TestReloadAndApply(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config("min: 1\nmax: 1")
	p := w.start(config)
	p.untilReady(1)
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	write := func(path, from, to string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(strings.Replace(string(text), from, to, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(config, "min: 1\n    max: 1", "min: 2\n    max: 2")
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.untilReady(2)

	file := filepath.Join(t.TempDir(), "new.yaml")
	apply := []string{"apply", "-f", file, "--nats-url", p.url, "--reason", "less load"}
	write(file, "min: 1\n    max: 1", "min: 3\n    max: 2")
	w.refused(apply, "min: found 3, want at most max (2)")
	write(file, "min: 1\n    max: 1", "min: 1\n    max: 1\n    template: none-of-that-name")
	w.refused(apply, "nothing is changed", "none-of-that-name")
	write(file, "min: 1\n    max: 1", "min: 1\n    max: 1\n    checks: [{type: command, command: /bin/true}]")
	w.refused(apply, "nothing is changed", "checks: found what no group of this host's config file has")

	write(file, "", "")
	if out := w.must(append(apply, "--dry-run")...); !containsAll(out, "min 1 (was 2)", "dry run: nothing is changed") {
		t.Errorf("the dry run says\n%s", out)
	}
	if out := w.must(apply...); !containsAll(out, "max 1 (was 2)", config, "says otherwise of "+w.group, "applied in 1 process") {
		t.Errorf("apply says\n%s", out)
	}
	p.until("one VM is left", func() bool { return len(w.vms()) == 1 && p.decision.Inputs.Max == 1 })
	if out := w.must("events", w.group, "--nats-url", p.url); !containsAll(out, "by SIGHUP", `("less load")`) {
		t.Errorf("the history says\n%s", out)
	}

	before := w.uuids()
	write(file, "name: "+w.group, "name: other\n    dry_run: true")
	if out := w.must(apply...); !strings.Contains(out, "group "+w.group+": leaves the config: its VMs stay as they are") {
		t.Errorf("apply says\n%s", out)
	}
	if after := w.uuids(); len(after) != 1 || len(before) != 1 {
		t.Errorf("VMs of the group that has left: %v, want those before: %v", after, before)
	}
	w.must("down", w.group, "--yes")
	if left := w.vms(); len(left) > 0 {
		t.Errorf("after down there are %v", left)
	}
	p.stop()
}
