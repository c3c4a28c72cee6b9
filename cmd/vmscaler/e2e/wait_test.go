package e2e

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// TestWait: a command waits until the group is what it was told to be, and says by its exit code what has become of it. Why it
// was told so is in the history.
func TestWait(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("min: 1\nmax: 3"))
	on := func(args ...string) []string {
		return append(args, "--nats-url", p.url, "--timeout", patience.String())
	}
	ready := func(want int) {
		t.Helper()
		if n := len(w.vms()); n != want {
			t.Errorf("there are %d VMs, want %d", n, want)
		}
	}
	w.must(on("wait", w.group, "stable", "ready=1", "template=demo")...)
	ready(1)
	out := w.must(on("scale", w.group, "2", "--wait", "--reason", "the launch at 9")...)
	if ready(2); !containsAll(out, "scaled to 2 by hand", `("the launch at 9")`, "desired=2, stable, after ") {
		t.Errorf("it says\n%s", out)
	}
	all := w.vms()
	w.must(on("wait", w.group, "vm="+all[0].Name+":ready", "vm="+all[1].Name+":ready")...)
	w.refused(on("wait", w.group, "vm=nosuch-1:gone"), "has no VM \"nosuch-1\", and had none")
	w.must(on("scale", w.group, "1", "--wait")...)
	ready(1)
	w.must(on("set", w.group, "min=2", "--wait")...)
	ready(2)
	before := w.uuids()
	w.must(on("replace", all[0].Name, "--wait")...)
	ready(2)
	for name, uuid := range w.uuids() {
		if uuid == before[all[0].Name] {
			t.Errorf("%s was not replaced", name)
		}
	}
	late := w.command("wait", w.group, "ready=3", "--nats-url", p.url, "--timeout", "3s")
	text, err := late.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 4 ||
		!strings.Contains(string(text), "timed out after 3s: ready=3: 2 are ready") {
		t.Errorf("%v:\n%s", err, text)
	}
	if out := w.must("events", w.group, "--nats-url", p.url); !strings.Contains(out, `scaled from 1 to 2 VMs by hand; by `) ||
		!strings.Contains(out, `("the launch at 9")`) {
		t.Errorf("the history says\n%s", out)
	}
	p.stop()
}
