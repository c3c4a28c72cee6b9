package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// TestVMVerbs: what a person asks for one VM is done to that one, also by a program that is killed in the middle, is in the
// history with who and why, and takes no VM out of service before another is there, where it need not.
func TestVMVerbs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config("min: 2\nmax: 4\ndrain: 1s")
	p := w.start(config)
	ask := func(args ...string) string { return w.must(append(args, "--nats-url", p.url)...) }
	refused := func(words []string, args ...string) {
		t.Helper()
		w.refused(append(args, "--nats-url", p.url), words...)
	}
	serving := func() (n int) {
		for _, vm := range p.sample.VMs {
			if vm.Phase.Serves() && vm.State == bus.StateRunning {
				n++
			}
		}
		return n
	}
	first, second := w.group+"-1", w.group+"-2"
	// gone waits until a VM is, whatever has its name then, and n are left that serve; at least as many as enough did all the time.
	gone := func(uuid string, n, enough int) {
		t.Helper()
		p.until("it is gone, and others serve", func() bool {
			if p.sample.Group != "" && serving() < enough {
				t.Fatalf("%d serve, want %d: %+v", serving(), enough, p.sample.VMs)
			}
			is := func(vm bus.VM) bool { return vm.UUID == uuid }
			return p.sample.Group != "" && len(p.sample.VMs) == n && serving() == n && !slices.ContainsFunc(p.sample.VMs, is)
		})
	}
	p.untilReady(2)
	refused([]string{`no VM "nosuch"`, first, second}, "remove", "nosuch")
	refused([]string{first, "its min is 2", "--keep-size"}, "remove", first)
	ask("dry-run", w.group)
	refused([]string{"dry run"}, "replace", first)
	ask("dry-run", w.group, "--off")

	uuid := w.uuids()[first]
	if out := ask("replace", first, "--reason", "its disk is slow"); !strings.Contains(out, "another serves before it goes") {
		t.Errorf("replace says %q", out)
	}
	p.until("it is noted", func() bool {
		return slices.ContainsFunc(p.sample.VMs, func(vm bus.VM) bool { return vm.Name == first && vm.Order.Is(bus.VMReplace) })
	})
	if out := ask("replace", first); !strings.Contains(out, "nothing to do") {
		t.Errorf("replace says the second time %q", out)
	}
	p.kill()
	p = w.start(config)
	gone(uuid, 2, 2)
	history := ask("events", w.group)
	for _, want := range []string{"ordered", "its disk is slow", "removed", "replaced, as ordered"} {
		if !strings.Contains(history, want) {
			t.Errorf("the history does not say %q:\n%s", want, history)
		}
	}

	uuid = w.uuids()[second]
	ask("unhealthy", second, "--reason", "answers 502")
	if e := p.untilEvent(second, bus.EventUnhealthy); e.Reason != "answers 502" || !strings.Contains(e.By, "@") {
		t.Errorf("unhealthy by %q, as %q", e.By, e.Reason)
	}
	gone(uuid, 2, 2)

	name := p.sample.VMs[0].Name
	uuid = w.uuids()[name]
	w.must("protect", name) // which is no protection from this
	ask("drain", name)
	if e := p.untilEvent(name, bus.EventDraining); e.By == "" || e.Deadline == nil {
		t.Errorf("draining is %+v", e)
	}
	p.kill()
	p = w.start(config)
	gone(uuid, 2, 1)

	ask("scale", w.group, "3")
	p.untilReady(3)
	name = p.sample.VMs[0].Name // the oldest, where the newest is the first to be scaled in
	uuid = w.uuids()[name]
	ask("remove", name, "--reason", "too many")
	gone(uuid, 2, 2)
	if p.decision.Desired != 2 {
		t.Errorf("the group wants %d: %s", p.decision.Desired, p.decision.Sentence)
	}
	name = p.sample.VMs[0].Name
	uuid = w.uuids()[name]
	ask("remove", name, "--keep-size")
	gone(uuid, 2, 1)
	p.stop()
}
