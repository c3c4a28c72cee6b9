package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// TestStandbyAndDetach: a VM leaves service and runs on, whatever happens, until it serves again; and one that is given away
// keeps its disks, comes back as it was, and keeps them also when its new owner undefines it, and has nothing of vmscaler's left.
// All also by a program that is killed in the middle. The remove and launch hooks are told.
func TestStandbyAndDetach(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	told, script := filepath.Join(dir, "told"), filepath.Join(dir, "hook")
	line := fmt.Sprintf("#!/bin/sh\necho \"$VMSCALER_HOOK $VMSCALER_VM $VMSCALER_REASON\" >>%s\n", told)
	if err := os.WriteFile(script, []byte(line), 0o755); err != nil {
		t.Fatal(err)
	}
	hook := "{wait_for: command, command: " + script + "}"
	// The idle group is not scaled in: the VM that returns would be the first to go while it boots.
	// Its expression is of what its guests say, and asks for nothing.
	config := w.config("min: 1\nmax: 3\npolicy:\n  lower: 0\n  type: [threshold, target]\n  signal: expression\n" +
		"  expression: load/5000\n  shadow: step\nhooks:\n  launch: " + hook + "\n  remove: " + hook + "\n")
	start := func() run { return w.start(config) }
	p := start()
	ask := func(args ...string) string { return w.must(append(args, "--nats-url", p.url)...) }
	phase := func(name string) (phase bus.Phase) {
		for _, vm := range p.sample.VMs {
			if vm.Name == name {
				phase = vm.Phase
			}
		}
		return phase
	}
	p.untilReady(1)
	first := p.sample.VMs[0].Name
	uuid := w.uuids()[first]
	p.until("the guest has said its load, and what would be wanted by it and in the shadow", func() bool {
		d := p.decision
		return d.Inputs.Expression != nil && len(d.Recommendations) == 2 &&
			!strings.Contains(d.Recommendations[1].Sentence, "not known") &&
			len(d.Shadow) == 1 && d.Shadow[0].Policy == bus.PolicyStep &&
			d.Shadow[0].Desired == 1
	})
	if out := ask("explain", w.group); !strings.Contains(out, "load ") || !strings.Contains(out, "shadow step") {
		t.Errorf("explain says\n%s", out)
	}

	if out := ask("standby", first, "--reason", "a look at it"); !strings.Contains(out, "another takes its place") {
		t.Errorf("standby says %q", out)
	}
	if e := p.untilEvent(first, bus.EventStandby); e.Reason != "a look at it" || !strings.Contains(e.By, "@") {
		t.Errorf("event %+v", e)
	}
	p.until("another serves", func() bool { return len(p.sample.VMs) == 2 && p.decision.Inputs.Ready == 1 })
	w.refused([]string{"replace", first, "--nats-url", p.url}, "stands by", "resume")
	if out := ask("status", w.group); !strings.Contains(out, "standby") {
		t.Errorf("status says\n%s", out)
	}
	dom := w.domain(first)
	if err := dom.Destroy(); err != nil { // it is nobody's to repair
		t.Fatal(err)
	}
	p.until("it is off", func() bool { return phase(first) == bus.PhaseStandby && p.sample.VMs[0].State == bus.StateShutoff })
	p.kill()
	p = start()
	if err := dom.Create(); err != nil {
		t.Fatal(err)
	}
	p.until("it runs, and stands by", func() bool {
		return len(p.sample.VMs) == 2 && phase(first) == bus.PhaseStandby && p.sample.VMs[0].State == bus.StateRunning &&
			p.decision.HasSample && p.decision.Desired == 1
	})
	if out := ask("resume", first); !strings.Contains(out, "the group wants 2 VMs") {
		t.Errorf("resume says %q", out)
	}
	p.until("it serves again", func() bool { return phase(first) == bus.PhaseReady && p.sample.VMs[0].Order == nil })
	if w.uuids()[first] != uuid {
		t.Error("it is another one")
	}
	text, err := os.ReadFile(told)
	if want := "remove " + first + " standby\n"; err != nil || !strings.Contains(string(text), want) ||
		strings.Count(string(text), "launch "+first+" ready\n") != 2 {
		t.Errorf("the hooks were told (%v)\n%swant %q and two launches", err, text, want)
	}

	var volume string
	for _, vm := range w.vms() {
		if vm.Name == first {
			volume = vm.Meta.Volume
		}
	}
	if out := ask("detach", first, "--keep-size", "--reason", "mine"); !strings.Contains(out, "a domain of yours") {
		t.Errorf("detach says %q", out)
	}
	if e := p.untilEvent(first, bus.EventDetached); e.Reason != "mine" {
		t.Errorf("event %+v", e)
	}
	definition, err := dom.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE)
	live, errLive := dom.GetXMLDesc(0)
	if err != nil || errLive != nil || strings.Contains(definition+live, "urn:vmscaler") {
		t.Errorf("left in its metadata (%v, %v):\n%s", err, errLive, definition)
	}
	if state, _, err := dom.GetState(); err != nil || state != libvirt.DOMAIN_RUNNING {
		t.Errorf("it is %v (%v)", state, err)
	}
	p.until("others serve in its place", func() bool { return p.decision.Inputs.Ready >= 1 && phase(first) == "" })

	// It comes back as it was, by an actuator that was killed as well, and is given away again.
	if out := ask("attach", first, "--reason", "it is well"); !strings.Contains(out, "it is a VM of the group now") {
		t.Errorf("attach says %q", out)
	}
	p.kill()
	p = start()
	p.until("it serves again", func() bool { return phase(first) == bus.PhaseReady && p.decision.HasSample })
	if w.uuids()[first] != uuid || p.decision.Desired < 3 {
		t.Errorf("it is %s, was %s; the group wants %d", w.uuids()[first], uuid, p.decision.Desired)
	}
	if out := ask("attach", first); !strings.Contains(out, "nothing to do") {
		t.Errorf("attach of a VM of the group says %q", out)
	}
	w.refused([]string{"attach", w.group + "-77", "--nats-url", p.url}, "no host has a domain of this name")
	if out := ask("detach", first); !strings.Contains(out, "a domain of yours") {
		t.Errorf("detach says %q", out)
	}
	p.until("it is a domain of ours again", func() bool { return phase(first) == "" })
	defer w.forget(first)
	defer func() { _ = os.Remove(filepath.Join(w.dir, volume)) }()
	if err := dom.Destroy(); err != nil {
		t.Fatal(err)
	}
	if err := dom.Undefine(); err != nil {
		t.Fatal(err)
	}
	p.stop()
	if out := w.must("sweep", "-c", config, "--grace", "0s", "--yes"); strings.Contains(out, "deleted "+w.dir) {
		t.Errorf("sweep says\n%s", out)
	}
	if _, err := os.Stat(filepath.Join(w.dir, volume)); err != nil {
		t.Errorf("its disk: %v", err)
	}
	w.refreshPool()
}

// TestRestingStandby: a VM that stands by is suspended, or shut down, and serves again as the same one when it is asked to.
func TestRestingStandby(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("min: 1\nmax: 2\npolicy:\n  lower: 0\n  upper: 99\n"))
	p.untilReady(1)
	name := p.sample.VMs[0].Name
	uuid := w.uuids()[name]
	is := func(phase bus.Phase, state bus.State) bool {
		for _, vm := range p.sample.VMs {
			if vm.Name == name {
				return vm.Phase == phase && vm.State == state && (phase == bus.PhaseStandby || vm.Order == nil)
			}
		}
		return false
	}
	for flag, state := range map[string]bus.State{"--suspend": bus.StatePaused, "--stop": bus.StateShutoff} {
		w.must("scale", w.group, "2", "--nats-url", p.url)
		p.until("two serve", func() bool { return p.decision.Inputs.Ready+p.decision.Inputs.Warming == 2 })
		w.must("standby", name, flag, "--keep-size=false", "--nats-url", p.url)
		p.until("it rests", func() bool { return is(bus.PhaseStandby, state) })
		p.until("it says so", func() bool {
			return slices.ContainsFunc(p.all, func(e bus.Event) bool {
				return e.VM == name && e.Event == bus.EventStandby &&
					strings.HasSuffix(e.Sentence, "rests: "+strings.TrimPrefix(flag, "--"))
			})
		})
		if out := w.must("resume", name, "--nats-url", p.url); !strings.Contains(out, "it is woken") {
			t.Errorf("resume says %q", out)
		}
		p.until("it serves again", func() bool { return is(bus.PhaseReady, bus.StateRunning) })
		if w.uuids()[name] != uuid {
			t.Errorf("%s is another one", name)
		}
	}
	w.refused([]string{"standby", name, "--suspend", "--stop", "--nats-url", p.url}, "suspend", "stop")
	p.stop()
}
