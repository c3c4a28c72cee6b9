package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// keptConfig is a group of up to two VMs whose further disks are kept, one until the group shrinks, and one always.
const keptConfig = "min: 1\nmax: 2\npolicy:\n  lower: 0\n  upper: 99\n" +
	"disks:\n  - size: 8MiB\n    keep: replace\n  - size: 8MiB\n    keep: always\n" +
	"maintenance:\n  min_healthy: 0\n  max_healthy: 100\nshutdown_timeout: 5s\n"

// writeKept writes a line onto each kept disk of a VM.
func (w *world) writeKept(vm, line string) {
	w.t.Helper()
	for _, disk := range []string{"vdb", "vdc"} {
		w.guestPrints(vm, fmt.Sprintf("echo '%s' | dd of=/dev/%s bs=512 conv=sync,fsync 2>/dev/null", line, disk))
	}
}

// holdsKept checks that the line is on each kept disk of a VM.
func (w *world) holdsKept(vm, line string) {
	w.t.Helper()
	for _, disk := range []string{"vdb", "vdc"} {
		if got := w.guestPrints(vm, fmt.Sprintf("head -c %d /dev/%s", len(line), disk)); got != line {
			w.t.Errorf("%s has %q on %s, want %q", vm, got, disk, line)
		}
	}
}

// keptFiles are the volumes that outlive their VMs.
func (w *world) keptFiles() (names []string) {
	w.t.Helper()
	for _, name := range w.files() {
		if _, _, _, is := bus.ParseKeptName(name); is {
			names = append(names, name)
		}
	}
	return names
}

// untilAnother waits until a VM other than the one with the UUID is the group's only one, and serves.
func (p run) untilAnother(uuid string) {
	p.watcher.t.Helper()
	p.until("another one serves", func() bool {
		return len(p.sample.VMs) == 1 && p.sample.VMs[0].UUID != uuid && p.sample.VMs[0].Phase.Serves()
	})
}

// TestKeptDisks: what is written onto a kept disk is there for the next VM of its name, whatever has become of the one before;
// scaling in and `vmscaler down` do as the disk's keep says, and the last word is a person's.
func TestKeptDisks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config(keptConfig)
	p := w.start(config)
	ask := func(args ...string) string { return w.must(append(args, "--nats-url", p.url)...) }
	first, second := w.group+"-1", w.group+"-2"
	const line = "written by the first"
	p.untilReady(1)
	w.writeKept(first, line)
	files := w.keptFiles()
	if len(files) != 2 {
		t.Fatalf("kept are %v, want 2", files)
	}
	there := func(what string) {
		t.Helper()
		w.holdsKept(first, line)
		if now := w.keptFiles(); !slices.Equal(now, files) {
			t.Errorf("%s: kept are %v, want %v", what, now, files)
		}
	}

	uuid := w.uuids()[first]
	if out := ask("replace", first); !strings.Contains(out, "it goes before another takes its place") {
		t.Errorf("replace says %q", out)
	}
	p.untilAnother(uuid)
	there("replaced")

	ask("refresh", w.group, "--all", "--strategy", "reimage", "--wait")
	there("reimaged")

	uuid = w.uuids()[first]
	if err := w.domain(first).Destroy(); err != nil {
		t.Fatal(err)
	}
	p.untilAnother(uuid)
	there("died")

	w.refused([]string{"refresh", w.group, "--all", "--max-surge", "1", "--nats-url", p.url}, "max_surge: found 1, want 0")
	w.refused([]string{"detach", first, "--keep-size", "--nats-url", p.url}, "keeps disks")
	w.refused([]string{"volume", "rm", files[0], "-c", config, "--yes"}, "needed by", first)

	ask("scale", w.group, "2")
	p.untilReady(2)
	w.writeKept(second, "written by the second")
	ask("scale", w.group, "1")
	p.until("one is left", func() bool { return len(p.sample.VMs) == 1 && p.decision.Inputs.Owned == 1 })
	always := slices.DeleteFunc(w.keptFiles(), func(name string) bool { return slices.Contains(files, name) })
	if len(always) != 1 || !strings.HasPrefix(always[0], second+".") || !strings.HasSuffix(always[0], ".keep2.qcow2") {
		t.Errorf("scaling in leaves %v of the second", always)
	}
	files = append(files, always...)
	there("scaled in")
	p.stop()

	// Those that are kept have no VM either, and are no orphans.
	w.must("sweep", "-c", config, "--grace", "0s", "--yes")
	there("swept")

	if out := w.must("down", w.group, "--yes", "--shutdown-timeout", "5s"); !strings.Contains(out, "kept: disk 2 of "+first) ||
		strings.Contains(out, "kept: disk 1") {
		t.Errorf("down says\n%s", out)
	}
	left := w.files()
	if len(left) != 2 || !slices.Equal(left, w.keptFiles()) {
		t.Errorf("down leaves %v", left)
	}
	out := w.must("volume", "list", "-c", config)
	for _, name := range left {
		if !strings.Contains(out, name) {
			t.Errorf("the list lacks %s:\n%s", name, out)
		}
		w.must("volume", "rm", name, "-c", config, "--yes")
	}
	w.refused([]string{"volume", "rm", left[0], "-c", config, "--yes"}, "found no kept disk")
}
