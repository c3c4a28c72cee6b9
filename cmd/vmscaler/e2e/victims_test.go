//go:build long

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// TestVictims: the listener of the recipe keeps VMs with a job, lets the one go that has none, and where it is gone the next
// order decides.
func TestVictims(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	nats := newNatsCLI(w)
	p := w.start(w.config("max: 3\nscale_in: [hook:jobs, newest]\nvictim_hook: {timeout: 2s}\n"))
	w.must("scale", w.group, "3", "--nats-url", p.url)
	p.untilReady(3)

	jobs := t.TempDir()
	job := func(n string) string { return filepath.Join(jobs, w.group+"-"+n) }
	for _, n := range []string{"1", "2", "3"} {
		if err := os.WriteFile(job(n), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	recipe, err := filepath.Abs("../../../docs/recipes/victims.sh")
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	if err := os.Symlink(program, filepath.Join(bin, "vmscaler")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(recipe)
	cmd.Env = append(append(nats.env, w.env...), "JOBS="+jobs, "NATS_URL="+p.url, "PATH="+bin+":"+pathOf(nats.env))
	listener := w.startProcess("listener", cmd)
	listener.says("Listening on")

	w.must("scale", w.group, "2", "--nats-url", p.url)
	if e := p.untilEvent("", bus.EventBraked); !containsAll(e.Sentence, "hook:jobs lets none of 3 VMs go for now") {
		t.Errorf("event %+v", e)
	}
	if vms := w.vms(); len(vms) != 3 {
		t.Errorf("all have a job, and there are %+v", vms)
	}
	if err := os.Remove(job("1")); err != nil {
		t.Fatal(err)
	}
	p.untilEvent(w.group+"-1", bus.EventRemoved)
	p.untilReady(2)

	listener.kill()
	w.must("scale", w.group, "1", "--nats-url", p.url)
	p.untilEvent(w.group+"-3", bus.EventRemoved)
	p.until("health says that nobody answers", func() bool {
		for _, problem := range p.stages["actuator"].Problems {
			if problem == (bus.Problem{Code: bus.ProblemVictimHook, Subject: w.group}) {
				return true
			}
		}
		return false
	})
	p.untilReady(1)
	p.stop()
}

// pathOf is the PATH of an environment.
func pathOf(env []string) (path string) {
	for _, v := range env {
		if len(v) > 5 && v[:5] == "PATH=" {
			path = v[5:]
		}
	}
	return path
}
