package e2e

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// TestWarmPool: a VM boots ahead and waits, and counts in nothing but max; scaling out has it serve without any boot, and another
// takes its place in the pool. It waits also when the program is killed, or when a person lets it go on; one that a person
// destroys, or that is made from something else than the config says, is replaced.
func TestWarmPool(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	of := func(size, more string) string {
		return w.config("min: 1\nmax: 3\nrefresh:\n  start: manual\npolicy:\n  lower: 0\n  upper: 99\n" +
			"warm_pool:\n  size: " + size + more)
	}
	p := w.start(of("1", ""))
	ask := func(args ...string) string { return w.must(append(args, "--nats-url", p.url)...) }
	waiting := func(not ...string) (found bus.VM) {
		for _, vm := range p.sample.VMs {
			if vm.Phase == bus.PhaseWarm && vm.State == bus.StatePaused && !slices.Contains(not, vm.UUID) {
				found = vm
			}
		}
		return found
	}
	fill := func(what string, not ...string) bus.VM {
		t.Helper()
		p.until(what, func() bool {
			if n := len(p.sample.VMs); n > 3 {
				t.Fatalf("%d VMs, max is 3: %+v", n, p.sample.VMs)
			}
			return waiting(not...).Name != ""
		})
		return waiting(not...)
	}
	one := fill("a VM waits in the pool")
	first, uuid := one.Name, one.UUID
	p.until("one serves, and the other counts apart", func() bool {
		in := p.decision.Inputs
		return in.Ready == 1 && in.Warm == 1 && in.WarmWanted == 1 && in.Owned == 2 && p.decision.Desired == 1
	})
	if out := ask("status", w.group); !strings.Contains(out, "warm 1 of 1") {
		t.Errorf("status says\n%s", out)
	}
	if out := ask("explain", w.group); !strings.Contains(out, "warm pool") {
		t.Errorf("explain says\n%s", out)
	}
	w.refused([]string{"replace", first, "--nats-url", p.url}, "warm pool")

	// It serves, and nothing was made or started for that.
	seen := len(p.all)
	ask("scale", w.group, "2")
	e := p.untilEvent(first, bus.EventReady)
	if !strings.Contains(e.Sentence, "its guest agent answers") {
		t.Errorf("event %+v", e)
	}
	for _, of := range p.all {
		if of.Event == bus.EventReady {
			t.Logf("%s: ready %d ms after it was begun or handed over", of.VM, of.ElapsedMS)
		}
	}
	of1 := events(p.all[seen:])
	if handed := slices.Index(of1, first+" handover"); handed < 0 ||
		slices.ContainsFunc(of1, func(e string) bool { return strings.HasSuffix(e, " creating") || strings.HasSuffix(e, " started") }) {
		t.Errorf("until it was ready there were %v", of1)
	}
	two := fill("another waits in its place", uuid)
	second := two.Name
	p.until("two serve, and one waits", func() bool {
		return p.decision.Inputs.Ready+p.decision.Inputs.Warming == 2 && p.decision.Inputs.Warm == 1
	})
	if now := w.uuids(); now[first] != uuid || len(now) != 3 {
		t.Errorf("there are %v, want %s as it was", now, first)
	}

	// Killed, it is the same one that waits.
	p.kill()
	p = w.start(of("max-minus-desired", "\n  reuse: true"))
	p.until("the same one waits", func() bool {
		return waiting().UUID == two.UUID && p.decision.HasSample && p.decision.Inputs.Warm == 1
	})
	dom := w.domain(second)
	if err := dom.Resume(); err != nil {
		t.Fatal(err)
	}
	if e := p.untilEvent(second, bus.EventWarmed); !strings.Contains(e.Sentence, "again") {
		t.Errorf("event %+v", e)
	}
	if w.uuids()[second] != two.UUID {
		t.Error("one that a person let go on was replaced")
	}
	if err := dom.Destroy(); err != nil {
		t.Fatal(err)
	}
	three := fill("one that a person has destroyed is replaced", two.UUID)

	// Scaled in, a VM is back in the pool as it is.
	ask("scale", w.group, "1")
	var back bus.Event
	p.until("one returns to the pool", func() bool {
		for _, e := range p.all {
			if e.Event == bus.EventWarmed && strings.Contains(e.Sentence, "left service") {
				back = e
			}
		}
		return back.VM != ""
	})
	p.until("two wait, and one serves", func() bool { return p.decision.Inputs.Warm == 2 && p.decision.Inputs.Owned == 3 })
	if now := w.uuids(); now[three.Name] != three.UUID || now[back.VM] == "" {
		t.Errorf("there are %v, want %s and %s as they were", now, three.Name, back.VM)
	}

	// Another machine: those that wait are replaced, and the one that serves is left to a refresh.
	before, old := w.uuids(), []string{}
	for _, uuid := range before {
		old = append(old, uuid)
	}
	p.stop()
	p = w.start(of("1", "\nmemory: 264MiB"))
	fresh := fill("one is made from what the config says", old...)
	p.until("the others are gone", func() bool { return p.decision.Inputs.Owned == 2 })
	for name, uuid := range w.uuids() {
		if uuid != fresh.UUID && uuid != before[name] {
			t.Errorf("%s is %s, was %s", name, uuid, before[name])
		}
	}
	p.stop()
}

// TestStoppedWarmPool: the VM that waits is shut down, and boots once more to serve, with the disk that it has.
func TestStoppedWarmPool(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("min: 1\nmax: 2\npolicy:\n  lower: 0\n  upper: 99\nwarm_pool:\n  size: 1\n  state: stopped"))
	var waits bus.VM
	p.until("one serves, and another is off and waits", func() bool {
		for _, vm := range p.sample.VMs {
			if vm.Phase == bus.PhaseWarm && vm.State == bus.StateShutoff {
				waits = vm
			}
		}
		return waits.Name != "" && p.decision.Inputs.Ready == 1 && p.decision.Inputs.Warm == 1
	})
	seen := len(p.all)
	w.must("scale", w.group, "2", "--nats-url", p.url)
	e := p.untilEvent(waits.Name, bus.EventReady)
	t.Logf("from the pool to ready: %d ms", e.ElapsedMS)
	if got := events(p.all[seen:]); !slices.Contains(got, waits.Name+" handover") || slices.Contains(got, waits.Name+" creating") {
		t.Errorf("until it was ready there were %v", got)
	}
	p.untilReady(2)
	if w.uuids()[waits.Name] != waits.UUID {
		t.Error("it is another one")
	}
	p.until("its boot is no load", func() bool { return p.decision.Inputs.Ready == 2 && p.decision.Desired == 2 })
	p.stop()
}

// TestWarmPoolDiesAtEachStep: killed at any step of the way to the pool, out of it and back into it, the next start goes on with
// the same VM.
func TestWarmPoolDiesAtEachStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config("min: 1\nmax: 2\npolicy:\n  lower: 0\n  upper: 99\nwarm_pool:\n  size: 1\n  reuse: true")
	w.diesInWarmPool(config, bus.StatePaused)
}

// diesInWarmPool kills the program at each of those steps; a VM of the config's pool of one waits in a state.
func (w *world) diesInWarmPool(config string, waits bus.State) {
	t := w.t
	t.Helper()
	binary, err := buildFaulty()
	if err != nil {
		t.Fatal(err)
	}
	dies := func(step string, scale string) {
		t.Helper()
		cmd := exec.Command(binary, "--uri", w.uri, "run", "--no-dashboard", "-c", config)
		cmd.Env = append(append(os.Environ(), w.env...), "VMSCALER_DIE_AT="+step)
		p := w.startProcess("vmscaler run that dies at "+step, cmd)
		p.willEnd()
		if scale != "" {
			_, rest, _ := strings.Cut(p.says("bus: nats://"), "bus: ")
			b := w.watch(client.Remote{URL: strings.Fields(rest)[0]})
			b.until("the VMs are known", func() bool { return b.decision.HasSample && b.decision.Inputs.Owned == 2 })
			_ = w.command("scale", w.group, scale, "--nats-url", b.url).Run() // its end may come before the answer
		}
		select {
		case <-p.done:
		case <-time.After(2 * patience):
			t.Fatalf("the step %s is not reached:\n%s", step, p.text())
		}
	}
	all := func(phase bus.Phase) (uuids []string) {
		for _, v := range w.vms() {
			if v.Meta.Phase == phase {
				uuids = append(uuids, v.UUID)
			}
		}
		return uuids
	}
	dies("warm.marked", "")
	warm := all(bus.PhaseWarm)
	dies("warm.parked", "")
	p := w.start(config)
	p.until("one serves, and one waits", func() bool { return p.decision.Inputs.Ready == 1 && p.decision.Inputs.Warm == 1 })
	p.stop()
	if now := all(bus.PhaseWarm); len(warm) != 1 || !slices.Equal(now, warm) {
		t.Errorf("%v wait, want %v", now, warm)
	}

	dies("handover.marked", "2")
	if waits == bus.StateSaved {
		dies("handover.restored", "")
	}
	dies("handover.woken", "")
	p = w.start(config)
	p.untilReady(2)
	p.stop()
	if now := all(bus.PhaseReady); !slices.Contains(now, warm[0]) {
		t.Errorf("%v serve, want %s among them", now, warm[0])
	}

	serve := all(bus.PhaseReady)
	dies("warm.returned", "1")
	p = w.start(config)
	p.until("one serves, and one waits", func() bool { return p.decision.Inputs.Ready == 1 && p.decision.Inputs.Warm == 1 })
	p.until("it stands still", func() bool {
		return slices.ContainsFunc(p.sample.VMs, func(vm bus.VM) bool {
			return vm.Phase == bus.PhaseWarm && vm.State == waits && slices.Contains(serve, vm.UUID)
		})
	})
	p.stop()
}

// events are VMs with what has happened to them, in words.
func events(all []bus.Event) (words []string) {
	for _, e := range all {
		words = append(words, e.VM+" "+string(e.Event))
	}
	return words
}

// TestWarmPoolOfBothKinds: of two VMs that wait one is paused and the other off. The paused one serves first and another is made
// in its place, also by a program that was killed meanwhile; then the other boots.
func TestWarmPoolOfBothKinds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config("min: 1\nmax: 4\npolicy:\n  lower: 0\n  upper: 99\nwarm_pool:\n  size: 1\n  stopped: 1")
	p := w.start(config)
	both := func() (paused, off []bus.VM) {
		for _, vm := range p.sample.VMs {
			switch {
			case vm.Phase == bus.PhaseWarm && vm.State == bus.StatePaused:
				paused = append(paused, vm)
			case vm.Phase == bus.PhaseWarm && vm.State == bus.StateShutoff:
				off = append(off, vm)
			}
		}
		return paused, off
	}
	fill := func() (paused, off bus.VM) {
		t.Helper()
		p.until("one waits paused, and one off", func() bool {
			a, b := both()
			return len(a) == 1 && len(b) == 1 && p.decision.Inputs.Warm == 2
		})
		a, b := both()
		return a[0], b[0]
	}
	one, two := fill()
	w.must("scale", w.group, "2", "--nats-url", p.url)
	p.untilEvent(one.Name, bus.EventReady)
	p.kill()
	p = w.start(config)
	next, same := fill()
	if same.UUID != two.UUID || next.UUID == one.UUID {
		t.Errorf("%s and %s wait, want %s and a new one", next.Name, same.Name, two.Name)
	}
	w.must("scale", w.group, "4", "--nats-url", p.url)
	p.until("all serve", func() bool { return p.decision.Inputs.Ready+p.decision.Inputs.Warming == 4 })
	if now := w.uuids(); now[next.Name] != next.UUID || now[two.Name] != two.UUID || now[one.Name] != one.UUID || len(now) != 4 {
		t.Errorf("there are %v, want %s, %s and %s as they were", now, one.Name, two.Name, next.Name)
	}
	p.stop()
}
