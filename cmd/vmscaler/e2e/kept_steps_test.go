//go:build long

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus/client"
)

// TestKeptDisksAtEachStep: killed at any step of a launch, a removal or a reimage, the program neither loses a kept disk nor
// makes a second one.
func TestKeptDisksAtEachStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	binary, err := buildFaulty()
	if err != nil {
		t.Fatal(err)
	}
	config := w.config(strings.Replace(keptConfig, "max: 2", "max: 1", 1) + "cloud_init:\n  user_data: |\n    #!/bin/sh\n")
	name, line := w.group+"-1", "written by the first"
	p := w.start(config)
	p.untilReady(1)
	w.writeKept(name, line)
	p.stop()
	files := w.keptFiles()
	check := func(step string) {
		t.Helper()
		if now := w.keptFiles(); len(files) != 2 || !slices.Equal(now, files) {
			t.Fatalf("%s: kept are %v, want %v", step, now, files)
		}
		for _, file := range files {
			data, err := os.ReadFile(filepath.Join(w.dir, file))
			if err != nil || !strings.Contains(string(data), line) {
				t.Fatalf("%s: %s has lost what was written onto it (%v)", step, file, err)
			}
		}
	}
	dies := func(step string, args ...string) {
		t.Helper()
		cmd := exec.Command(binary, "--uri", w.uri, "run", "--no-dashboard", "-c", config)
		cmd.Env = append(append(os.Environ(), w.env...), "VMSCALER_DIE_AT="+step)
		p := w.startProcess("vmscaler run that dies at "+step, cmd)
		p.willEnd()
		if len(args) > 0 {
			_, rest, _ := strings.Cut(p.says("bus: nats://"), "bus: ")
			b := w.watch(client.Remote{URL: strings.Fields(rest)[0]})
			b.until("the VM is known", func() bool { return b.decision.HasSample && b.decision.Inputs.Owned == 1 })
			_ = w.command(append(args, "--nats-url", b.url)...).Run() // its end may come before the answer
		}
		select {
		case <-p.done:
		case <-t.Context().Done():
			t.Fatalf("the step %s is not reached:\n%s", step, p.text())
		}
		check(step)
	}
	off := func() {
		t.Helper()
		if err := w.domain(name).Destroy(); err != nil {
			t.Fatal(err)
		}
	}
	seen := map[string]bool{}
	at := func(step string, args ...string) { seen[step] = true; dies(step, args...) }

	off()
	for _, step := range []string{"chosen", "stopping", "killed", "deleted", "removed"} {
		at("remove." + step)
	}
	for _, step := range []string{"defined", "cloned", "disked", "seeded", "marked", "started", "booted", "ready"} {
		at("launch." + step)
	}
	at("remove.draining", "replace", name)
	at("remove.off")
	p = w.start(config)
	p.untilReady(1)
	w.holdsKept(name, line)
	p.stop()
	at("reimage.begun", "refresh", w.group, "--all", "--strategy", "reimage")
	at("reimage.stripped")
	p = w.start(config)
	p.untilReady(1)
	w.holdsKept(name, line)
	p.stop()
	for _, step := range vm.Steps() {
		if !seen[step] && !strings.HasPrefix(step, "restart.") { // which leaves all disks alone
			t.Errorf("the step %s is not tried", step)
		}
	}
	check("at the end")
	w.must("down", w.group, "--yes", "--shutdown-timeout", "5s")
	if left := w.keptFiles(); len(left) != 1 {
		t.Fatalf("down leaves %v", left)
	}
	w.must("volume", "rm", w.keptFiles()[0], "-c", config, "--yes")
}
