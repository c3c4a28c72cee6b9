package e2e

import (
	"os"
	"slices"
	"strings"
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// TestSilentAgentIsReplaced: a VM that runs and whose guest agent is gone is replaced once the health grace is over, and
// goes on serving until its replacement is ready.
func TestSilentAgentIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("min: 1\nrepair: {health_grace: 6s}"))
	p.untilReady(1)
	sick := w.vms()[0]
	if _, err := w.domain(sick.Name).QemuAgentCommand(
		`{"execute": "guest-exec", "arguments": {"path": "killall", "arg": ["-STOP", "qemu-ga"]}}`,
		libvirt.DOMAIN_QEMU_AGENT_COMMAND_DEFAULT, 0); err != nil {
		t.Fatal(err)
	}
	if e := p.untilEvent(sick.Name, bus.EventUnhealthy); !strings.Contains(e.Sentence, "guest agent has not answered for") {
		t.Errorf("event %+v", e)
	}
	p.untilEvent(sick.Name, bus.EventRemoved)
	p.replacedFirst(sick)
	p.stop()
}

// TestNoRoom: where the host has no room a launch waits, says why with numbers once, and is no failure.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	path := w.config("min: 1")
	config, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	full := strings.Replace(string(config), "pool_reserve: 0MiB", "memory_reserve: 16384GiB", 1)
	if err := os.WriteFile(path, []byte(full), 0o644); err != nil {
		t.Fatal(err)
	}
	p := w.start(path)
	if e := p.untilEvent("", bus.EventRefused); !strings.Contains(e.Sentence, "memory_reserve 16777216") {
		t.Errorf("event %+v", e)
	}
	p.until("the actuator says it", func() bool {
		a := p.stages["actuator"]
		return !a.OK && strings.Contains(a.Message, "no room for another VM")
	})
	if out := w.must("explain", w.group, "--nats-url", p.url); !containsAll(
		out,
		"actuator refused",
		"held it back",
		"it has 0 of 1 VM:",
		"memory_reserve 16777216",
	) {
		t.Errorf("explain says\n%s", out)
	}
	p.stop()
	for _, e := range p.all {
		if e.Event != bus.EventRefused && e.Event != bus.EventControl {
			t.Errorf("event %+v", e)
		}
	}
	if n := len(w.vms()); n != 0 {
		t.Errorf("%d VMs", n)
	}
}

// replacedFirst checks that another VM is there in the place of one, and was ready before that drained.
func (b *watcher) replacedFirst(sick vm.VM) {
	b.t.Helper()
	at := func(vm string, what bus.EventType) int {
		return slices.IndexFunc(b.all, func(e bus.Event) bool { return e.VM == vm && e.Event == what })
	}
	now := b.w.vms()
	if len(now) != 1 || now[0].UUID == sick.UUID {
		b.t.Fatalf("VMs %+v, want one other than %s", now, sick.UUID)
	}
	if ready, drained := at(now[0].Name, bus.EventReady), at(sick.Name, bus.EventDraining); ready < 0 || drained < ready {
		b.t.Errorf("drained (event %d) before its replacement was ready (event %d)", drained, ready)
	}
}
