package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator"
	"github.com/vmscaler/vmscaler/bus"
)

// The places.
var (
	inOneProcess  = place{name: "one-process"}
	inSplit       = place{name: "split", split: true}
	onExternal    = place{name: "external-nats", split: true, external: true}
	inSmallPool   = place{name: "small-pool", smallPool: true}
	withRealGuest = place{name: "real-guest", guest: true}
)

// chaosFaults are all faults.
func chaosFaults() []fault {
	faults := []fault{
		{name: "kill-run", place: inOneProcess, do: killAndStart("run")},
		{name: "kill-qemu", place: inOneProcess, short: true, do: (*chaos).killQEMU},
		{name: "destroy", place: inOneProcess, do: (*chaos).destroy},
		{name: "undefine-running", place: inOneProcess, do: (*chaos).undefineRunning},
		{name: "undefine-off", place: inOneProcess, do: (*chaos).undefineOff},
		{name: "stall-run", place: inOneProcess, short: true, do: stall("run")},
		{name: "stall-libvirtd", place: inOneProcess, do: stall("libvirtd")},
		{name: "stall-all", place: inOneProcess, do: stall("run", "libvirtd")},
		{name: "stall-bus", place: inSplit, do: stall("bus")},
		{name: "stall-collector", place: inSplit, do: stall("collector")},
		{name: "stall-decider", place: inSplit, do: stall("decider")},
		{name: "stall-actuator", place: inSplit, do: stall("actuator")},
		{name: "stall-all-stages", place: inSplit, do: stall("bus", "collector", "decider", "actuator")},
		{name: "stall-nats-server", place: onExternal, do: stall("nats")},
		{name: "suspend", place: inOneProcess, do: (*chaos).suspend},
		{name: "change-memory", place: inOneProcess, do: (*chaos).changeMemory},
		{name: "change-vcpus", place: inOneProcess, do: (*chaos).changeVCPUs},
		{name: "rename-off", place: inSplit, do: (*chaos).renameOff},
		{name: "foreign-domain", place: inOneProcess, do: (*chaos).foreignNextDomain},
		{name: "foreign-file", place: inOneProcess, do: (*chaos).foreignNextFile},
		{name: "all-hot", place: inOneProcess, do: (*chaos).allHot},
		{name: "deaf-guest", place: inOneProcess, do: (*chaos).deafGuest},
		{name: "frozen-qemu", place: inOneProcess, do: (*chaos).frozenQEMU},
		{name: "kill-libvirtd", place: inOneProcess, short: true, do: (*chaos).killLibvirtd},
		{name: "stop-libvirtd", place: inOneProcess, do: (*chaos).stopLibvirtd},
		{name: "hang-libvirtd", place: inSplit, do: (*chaos).hangLibvirtd},
		{name: "end-while-libvirtd-hangs", place: inOneProcess, do: (*chaos).endWhileLibvirtdHangs},
		{name: "template-deleted", place: inOneProcess, do: (*chaos).templateDeleted},
		{name: "template-replaced", place: inOneProcess, do: (*chaos).templateReplaced},
		{name: "second-run", place: inOneProcess, do: (*chaos).secondRun},
		{name: "two-at-once", place: inOneProcess, do: (*chaos).twoAtOnce},
		{name: "state-deleted", place: inOneProcess, do: (*chaos).stateDeleted},
		{name: "state-read-only", place: inOneProcess, do: (*chaos).stateReadOnly},
		{name: "state-full", place: inOneProcess, do: (*chaos).stateFull},
		{name: "pool-full", place: inSmallPool, do: (*chaos).poolFull},
		{name: "pool-full-in-mid-run", place: inSmallPool, do: (*chaos).poolFullInMidRun},
		{name: "agent-silent", place: withRealGuest, do: (*chaos).agentSilent},
		{name: "agent-late", place: withRealGuest, do: (*chaos).agentLate},
		{name: "never-boots", place: withRealGuest, do: (*chaos).neverBoots},
		{name: "samples-dropped", place: inSplit, do: (*chaos).samplesDropped},
		{name: "samples-mangled", place: inSplit, do: (*chaos).samplesMangled},
		{name: "kill-leader", place: inSplit, do: (*chaos).killLeader},
		{name: "stop-leader", place: inSplit, do: (*chaos).stopLeader},
		{name: "kill-bus", place: inSplit, do: killAndStart("bus")},
		{name: "kill-collector", place: inSplit, do: killAndStart("collector")},
		{name: "kill-decider", place: inSplit, do: killAndStart("decider")},
		{name: "kill-actuator", place: inSplit, do: killAndStart("actuator")},
		{name: "kill-nats-server", place: onExternal, do: killAndStart("nats")},
	}
	for i, step := range actuator.Steps() {
		one, split := fault{name: "die-at-" + step, place: inOneProcess, once: true}, fault{name: "die-at-" + step + "-split", place: inSplit, once: true}
		one.do, split.do = dieAt(step), dieAt(step)
		one.short = i == 1 || i == 11
		faults = append(faults, one, split)
	}
	return faults
}

// killAndStart is kill -9 of a process, and its start.
func killAndStart(stage string) func(*chaos) {
	return func(c *chaos) {
		c.procs[stage].kill()
		c.startStage(stage)
	}
}

// stall stops processes for 1 to 20 s, as a paused host, a laptop's sleep or a slow disk does, and lets them go on: what is decided
// then is done, although leadership may have been lost, and come back, in between.
func stall(processes ...string) func(*chaos) {
	return func(c *chaos) {
		var pids []int
		for _, name := range processes {
			if name == "libvirtd" {
				pid, err := c.l.daemon()
				c.try("find libvirtd", err)
				pids = append(pids, pid)
				continue
			}
			pids = append(pids, c.procs[name].cmd.Process.Pid)
		}
		signal := func(what string, s syscall.Signal) {
			for _, pid := range pids {
				c.try(what, syscall.Kill(pid, s))
			}
		}
		signal("stop", syscall.SIGSTOP)
		c.pause(time.Duration(1000+c.rng.IntN(19000)) * time.Millisecond)
		signal("continue", syscall.SIGCONT)
		if slices.Contains(processes, "libvirtd") {
			c.mendLibvirt()
		}
		c.replaceOne()
	}
}

// dieAt lets the process with the actuator end itself without warning at a step, and starts it again.
func dieAt(step string) func(*chaos) {
	return func(c *chaos) {
		// Draining comes only with scaling in, all else with a VM that died as well.
		drains := step == "remove.draining" || step == "remove.off"
		if drains {
			c.heat(c.anyVM())
			c.ready(c.want + 1)
		}
		c.procs[c.hands()].stop()
		p := c.startStage(c.hands(), "VMSCALER_DIE_AT="+step)
		p.willEnd()
		if drains {
			c.coolAll()
		} else {
			c.off(c.anyVM())
		}
		select {
		case <-p.done:
		case <-time.After(settleBound):
			c.t.Fatalf("the step %s was not reached within %s", step, settleBound)
		}
		c.startStage(c.hands())
	}
}

// anyVM is one of those that are there.
func (c *chaos) anyVM() actuator.VM {
	c.t.Helper()
	vms := c.vms()
	if len(vms) == 0 {
		c.t.Fatal("there is no VM")
	}
	return vms[c.rng.IntN(len(vms))]
}

// try fails the fault for an error of libvirt.
func (c *chaos) try(what string, err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatalf("%s: %s", what, err)
	}
}

// with calls f with a VM's domain.
func (c *chaos) with(vm actuator.VM, what string, f func(*libvirt.Domain) error) {
	c.t.Helper()
	dom, err := c.conn.LookupDomainByUUIDString(vm.UUID)
	c.try(what, err)
	defer func() { _ = dom.Free() }()
	c.try(what, f(dom))
}

// off powers a VM off.
func (c *chaos) off(vm actuator.VM) {
	c.t.Helper()
	c.with(vm, "destroy", (*libvirt.Domain).Destroy)
}

// heat lets a tiny guest take all of its CPU.
func (c *chaos) heat(vm actuator.VM) {
	c.t.Helper()
	c.with(vm, "heat", func(dom *libvirt.Domain) error { return press(dom, keyHot) })
}

// coolAll lets all tiny guests idle.
func (c *chaos) coolAll() {
	c.t.Helper()
	for _, vm := range c.vms() {
		c.with(vm, "cool", func(dom *libvirt.Domain) error { return press(dom, keyCold) })
	}
}

// ready waits until there are n VMs, all ready.
func (c *chaos) ready(n int) {
	c.t.Helper()
	since := time.Now()
	c.until(settleBound, fmt.Sprintf("%d VMs are ready", n), func() error {
		vms, at := c.eyes.newest()
		if !at.After(since) || len(vms) != n || slices.ContainsFunc(vms, func(vm actuator.VM) bool { return vm.Meta.Phase != bus.PhaseReady }) {
			return fmt.Errorf("there are %+v", vms)
		}
		return nil
	})
}

// replaced waits until a VM is gone.
func (c *chaos) replaced(vm actuator.VM) {
	c.t.Helper()
	since := time.Now()
	c.until(settleBound, vm.Name+" is replaced", func() error {
		vms, at := c.eyes.newest()
		if !at.After(since) || slices.ContainsFunc(vms, func(other actuator.VM) bool { return other.UUID == vm.UUID }) {
			return fmt.Errorf("there are %+v", vms)
		}
		return nil
	})
}

func (c *chaos) killQEMU() {
	vm := c.anyVM()
	c.try("kill QEMU", syscall.Kill(c.l.qemu(vm.Name), syscall.SIGKILL))
	c.replaced(vm)
}

func (c *chaos) destroy() {
	vm := c.anyVM()
	c.off(vm)
	c.replaced(vm)
}

// undefineRunning takes the definition of a VM that runs: it is there until it is off.
func (c *chaos) undefineRunning() {
	vm := c.anyVM()
	c.with(vm, "undefine", (*libvirt.Domain).Undefine)
	c.off(vm)
	c.replaced(vm)
}

// undefineOff takes the definition of a VM as soon as it is off, before or after it is found to be so.
func (c *chaos) undefineOff() {
	vm := c.anyVM()
	c.with(vm, "destroy and undefine", func(dom *libvirt.Domain) error {
		if err := dom.Destroy(); err != nil {
			return err
		}
		_ = dom.Undefine() // it may be removed already
		return nil
	})
	c.replaced(vm)
}

// suspend: a VM that a person suspends is left alone, and is no capacity; what took its place goes once it is resumed.
func (c *chaos) suspend() {
	vm := c.anyVM()
	c.with(vm, "suspend", (*libvirt.Domain).Suspend)
	decisions, last := 0, bus.Decision{}
	c.until(settleBound, "decisions without the suspended VM", func() error {
		s, d := c.ears.newest()
		for _, other := range s.VMs {
			if other.UUID == vm.UUID && other.State == bus.StatePaused && other.CPUPercent == nil && d.Inputs.Ready <= c.want && d.Seq != last.Seq { // another takes its place
				decisions, last = decisions+1, d
			}
		}
		if decisions < 8 {
			return fmt.Errorf("sample %+v, decision %+v", s, d)
		}
		return nil
	})
	c.with(vm, "resume", func(dom *libvirt.Domain) error {
		if state, _, err := dom.GetState(); err != nil || state != libvirt.DOMAIN_PAUSED {
			return fmt.Errorf("it was not left alone: %v, %w", state, err)
		}
		return dom.Resume()
	})
}

func (c *chaos) killLibvirtd() {
	pid, err := c.l.daemon()
	c.try("find libvirtd", err)
	c.try("kill libvirtd", syscall.Kill(pid, syscall.SIGKILL))
	_ = c.l.cmd.Wait()
	c.l.start()
	c.reconnect()
}

// changeMemory takes half of a guest's memory, in its definition and while it runs, which is a person's right.
func (c *chaos) changeMemory() {
	vm := c.anyVM()
	c.with(vm, "change the memory", func(dom *libvirt.Domain) error {
		return dom.SetMemoryFlags(16<<10, libvirt.DOMAIN_MEM_LIVE|libvirt.DOMAIN_MEM_CONFIG)
	})
}

// changeVCPUs gives a guest another vCPU, from its next start on.
func (c *chaos) changeVCPUs() {
	vm := c.anyVM()
	c.with(vm, "change the vCPUs", func(dom *libvirt.Domain) error {
		if err := dom.SetVcpusFlags(2, libvirt.DOMAIN_VCPU_MAXIMUM|libvirt.DOMAIN_VCPU_CONFIG); err != nil {
			return err
		}
		return dom.SetVcpusFlags(2, libvirt.DOMAIN_VCPU_CONFIG)
	})
}

// renameOff renames a VM that is off while no actuator runs. It goes as a whole, by whatever name.
func (c *chaos) renameOff() {
	vm := c.anyVM()
	c.procs["actuator"].kill()
	c.with(vm, "rename", func(dom *libvirt.Domain) error {
		if err := dom.Destroy(); err != nil {
			return err
		}
		return dom.Rename("elsewhere", 0)
	})
	c.startStage("actuator")
	c.replaced(vm)
}

// nextName is the name that the next VM would have.
func (c *chaos) nextName() string {
	for n := 1; ; n++ {
		name := fmt.Sprintf("%s-%d", c.group, n)
		if !slices.ContainsFunc(c.vms(), func(vm actuator.VM) bool { return vm.Name == name }) {
			return name
		}
	}
}

func (c *chaos) foreignNextDomain() {
	name := c.nextName()
	whole := c.foreignOff(name)
	c.replaceOne()
	whole()
	dom, err := c.conn.LookupDomainByName(name)
	c.try("look up the foreign domain", err)
	defer func() { _ = dom.Free() }()
	c.try("undefine the foreign domain", dom.Undefine())
}

func (c *chaos) foreignNextFile() {
	name := c.nextName() + ".qcow2"
	whole := c.foreignFile(name)
	c.replaceOne()
	whole()
	c.try("remove the foreign file", os.Remove(filepath.Join(c.dir, name)))
}

// replaceOne lets one VM be replaced, and waits for that.
func (c *chaos) replaceOne() {
	vm := c.anyVM()
	c.off(vm)
	c.replaced(vm)
	c.ready(c.want)
}

// allHot: guests that take their CPU to 100 % for ever make the group grow to max, and not beyond.
func (c *chaos) allHot() {
	for n := c.want; n <= c.max; n++ {
		c.ready(n)
		for _, vm := range c.vms() {
			c.heat(vm)
		}
	}
	since := time.Now()
	c.until(settleBound, "held at max for 20 decisions", func() error {
		if _, d := c.ears.newest(); d.Guard != bus.GuardAtMax || d.Desired != c.max || d.Time.Sub(since) < 10*time.Second {
			return fmt.Errorf("decision %+v", d)
		}
		return nil
	})
	c.coolAll()
}

// deafGuest: a guest that does not hear its power button is powered off after its time.
func (c *chaos) deafGuest() {
	for _, vm := range c.vms() {
		c.heat(vm)
	}
	c.ready(c.want + 1)
	for _, vm := range c.vms() {
		c.with(vm, "deafen", func(dom *libvirt.Domain) error { return press(dom, keyDeaf) })
	}
	c.coolAll()
}

// frozenQEMU: a QEMU that does not answer keeps nothing else from being done, and is left alone.
func (c *chaos) frozenQEMU() {
	vms := c.vms()
	frozen := vms[0]
	pid := c.l.qemu(frozen.Name)
	c.try("freeze", syscall.Kill(pid, syscall.SIGSTOP))
	defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
	other := vms[1]
	c.try("kill QEMU", syscall.Kill(c.l.qemu(other.Name), syscall.SIGKILL))
	c.replaced(other)
	c.ready(c.want)
}

func (c *chaos) stopLibvirtd() {
	c.l.stop()
	c.pause(time.Minute)
	c.l.start()
	c.reconnect()
}

// pause is how long a fault lasts.
func (c *chaos) pause(d time.Duration) {
	c.t.Helper()
	since := time.Now()
	c.until(d+settleBound, "the fault's time is over", func() error {
		if left := d - time.Since(since); left > 0 {
			return fmt.Errorf("%s are left", left)
		}
		return nil
	})
}

// hangLibvirtd: while no call to libvirt returns, the other stages go on, and collector and actuator say so.
func (c *chaos) hangLibvirtd() {
	pid, err := c.l.daemon()
	c.try("find libvirtd", err)
	c.try("stop libvirtd", syscall.Kill(pid, syscall.SIGSTOP))
	defer func() {
		_ = syscall.Kill(pid, syscall.SIGCONT)
		c.mendLibvirt()
	}()
	since := time.Now()
	c.until(settleBound, "the actuator says that libvirt hangs, and the decider goes on", func() error {
		a := c.ears.healthOf("actuator", c.procs["actuator"].cmd.Process.Pid)
		d := c.ears.healthOf("decider", c.procs["decider"].cmd.Process.Pid)
		_, decision := c.ears.newest()
		if a.OK || !d.OK || time.Since(d.Time) > 3*bus.HealthInterval || !decision.Time.After(since.Add(10*time.Second)) || decision.Desired != c.want {
			return fmt.Errorf("actuator %+v, decider %+v, decision %+v", a, d, decision)
		}
		return nil
	})
}

// endWhileLibvirtdHangs: Ctrl-C ends the program although libvirt never answers.
func (c *chaos) endWhileLibvirtdHangs() {
	pid, err := c.l.daemon()
	c.try("find libvirtd", err)
	c.try("stop libvirtd", syscall.Kill(pid, syscall.SIGSTOP))
	c.pause(3 * time.Second)
	c.procs["run"].stop()
	c.try("continue libvirtd", syscall.Kill(pid, syscall.SIGCONT))
	c.mendLibvirt()
	c.startStage("run")
}

// hideTiny takes the group's template away until back is called.
func (c *chaos) hide(template string) (back func()) {
	c.t.Helper()
	hidden := filepath.Join(c.l.dir, template+".hidden")
	c.try("hide the template", os.Rename(c.disk(template), hidden))
	c.refreshPool()
	return func() {
		c.t.Helper()
		c.try("bring the template back", os.Rename(hidden, c.disk(template)))
		c.refreshPool()
	}
}

func (c *chaos) templateDeleted() {
	back := c.hide("tiny")
	since := time.Now()
	c.off(c.anyVM())
	c.until(settleBound, "a launch fails for want of the template", func() error {
		if found := c.ears.heard(since, func(e bus.Event) bool { return e.Event == bus.EventFailed && strings.Contains(e.Error, "template") }); len(found) == 0 {
			return fmt.Errorf("no such event")
		}
		return nil
	})
	back()
}

// templateReplaced puts another file of the same content in the template's place.
func (c *chaos) templateReplaced() {
	data, err := os.ReadFile(c.disk("tiny"))
	c.try("read the template", err)
	back := c.hide("tiny")
	defer back() // over the other one
	c.try("write another template", os.WriteFile(c.disk("tiny"), data, 0o644))
	c.l.own(c.dir)
	c.refreshPool()
	c.replaceOne()
}

// secondRun: a second one is refused while the first goes on.
func (c *chaos) secondRun() {
	cmd := exec.Command(c.binary, "--uri", c.uri, "run", "-c", c.file, "--no-dashboard", "--bus-listen", freeAddress(c.t))
	cmd.Env = append(os.Environ(), c.env...)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), fmt.Sprint(c.procs["run"].cmd.Process.Pid)) {
		c.t.Fatalf("a second run: %v\n%s", err, out)
	}
}

// twoAtOnce: of two that start at the same moment one runs, and the other says so and ends.
func (c *chaos) twoAtOnce() {
	c.procs["run"].kill()
	both := []*process{c.spawnStage("run"), c.spawnStage("run")}
	for _, p := range both {
		p.willEnd()
	}
	var ended, stays *process
	select {
	case <-both[0].done:
		ended, stays = both[0], both[1]
	case <-both[1].done:
		ended, stays = both[1], both[0]
	case <-time.After(settleBound):
		c.t.Fatal("two run at the same time")
	}
	if ended.err == nil {
		c.t.Errorf("the second one ended well: %s", ended.text())
	}
	c.procs["run"] = stays
}

// stateDeleted deletes all that the bus and the actuator keep, between two runs. Of VMs from before no record authorises
// anything any more, so each is replaced.
func (c *chaos) stateDeleted() {
	c.procs["run"].kill()
	entries, err := os.ReadDir(c.state)
	c.try("read the state folder", err)
	for _, e := range entries {
		c.try("delete the state", os.RemoveAll(filepath.Join(c.state, e.Name())))
	}
	c.forgetHistory()
	before := c.vms()
	c.startStage("run")
	for _, vm := range before {
		c.ready(c.want)
		c.off(vm)
		c.replaced(vm)
	}
}

// stateReadOnly: a bus whose state folder cannot be written does not start, and says which folder.
func (c *chaos) stateReadOnly() {
	c.procs["run"].kill()
	asRoot(c.t, "mount", "--bind", c.state, c.state)
	asRoot(c.t, "mount", "-o", "remount,ro,bind", c.state)
	p := c.spawnStage("run")
	p.willEnd()
	select {
	case <-p.done:
	case <-time.After(settleBound):
	}
	asRoot(c.t, "umount", c.state)
	p.kill()
	if p.err == nil || !strings.Contains(p.text(), c.state) {
		c.t.Errorf("with a state folder that cannot be written: %v\n%s", p.err, p.text())
	}
	c.startStage("run")
}

// stateFull: with no room for its state the program ends and says why, or runs on without a history; the VMs are none the
// worse for it.
func (c *chaos) stateFull() {
	c.procs["run"].kill()
	before := len(c.vms())
	asRoot(c.t, "mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "vmscaler-e2e", c.state)
	fill(c.t, filepath.Join(c.state, "filler"))
	p := c.spawnStage("run")
	p.willEnd()
	select {
	case <-p.done:
		if !strings.Contains(p.text(), "no space left") {
			c.t.Errorf("with no room for its state it ends with %v:\n%s", p.err, p.text())
		}
	case <-time.After(15 * time.Second):
		p.kill()
	}
	asRoot(c.t, "umount", c.state)
	if after := len(c.vms()); after != before {
		c.t.Errorf("%d VMs, there were %d", after, before)
	}
	c.startStage("run")
}

// poolFull: where no volume can be made the launch fails, and goes on when there is room.
func (c *chaos) poolFull() {
	var fillers []string
	refill := func() { // also with the room that the dead VM leaves
		fillers = append(fillers, filepath.Join(c.dir, fmt.Sprintf("filler%d", len(fillers))))
		fill(c.t, fillers[len(fillers)-1])
	}
	refill()
	since := time.Now()
	killed := 0
	c.until(settleBound, "a launch fails", func() error {
		refill()
		heard := func(what bus.EventType) int {
			return len(c.ears.heard(since, func(e bus.Event) bool { return e.Event == what }))
		}
		if heard(bus.EventFailed) > 0 {
			return nil
		}
		if heard(bus.EventReady) == killed { // the last replacement was made before the room that its forerunner left was filled
			c.off(c.anyVM())
			killed++
		}
		return fmt.Errorf("no such event")
	})
	for _, filler := range fillers {
		c.try("remove the filler", os.Remove(filler))
	}
}

// poolFullInMidRun: the guests run on while the pool has no room for another byte.
func (c *chaos) poolFullInMidRun() {
	filler := filepath.Join(c.dir, "filler")
	fill(c.t, filler)
	c.pause(3 * time.Second)
	c.ready(c.want)
	c.try("remove the filler", os.Remove(filler))
}

// inGuest runs a line in a guest with an agent.
func (c *chaos) inGuest(vm actuator.VM, line string) {
	c.t.Helper()
	c.with(vm, line, func(dom *libvirt.Domain) error {
		_, err := dom.QemuAgentCommand(fmt.Sprintf(`{"execute": "guest-exec", "arguments": {"path": "sh", "arg": ["-c", %q]}}`, line),
			libvirt.DOMAIN_QEMU_AGENT_COMMAND_DEFAULT, 0)
		return err
	})
}

func (c *chaos) agentSilent() {
	vm := c.anyVM()
	c.inGuest(vm, "killall -STOP qemu-ga")
	c.replaced(vm)
}

// agentLate: an agent that is silent for less than the grace is no reason to replace its VM.
func (c *chaos) agentLate() {
	vm := c.anyVM()
	c.inGuest(vm, "killall -STOP qemu-ga; sleep 3; killall -CONT qemu-ga")
	c.pause(8 * time.Second)
	if now := c.anyVM(); now.UUID != vm.UUID {
		c.t.Errorf("%s was replaced by %s", vm.UUID, now.UUID)
	}
}

// neverBoots: a guest that never comes up fails its launch at the boot time-out, again and again, until its template is
// mended.
func (c *chaos) neverBoots() {
	back := c.hide("demo")
	broken, err := os.ReadFile(tinyDisk(c.t, true))
	c.try("read a broken disk", err)
	c.try("write a broken template", os.WriteFile(c.disk("demo"), broken, 0o644))
	c.l.own(c.dir)
	c.refreshPool()
	since := time.Now()
	c.off(c.anyVM())
	c.until(settleBound, "a launch fails", func() error {
		if len(c.ears.heard(since, func(e bus.Event) bool { return strings.Contains(e.Error, "boot time-out") })) == 0 {
			return fmt.Errorf("no such event")
		}
		return nil
	})
	back()
}

// samplesDropped: without samples for a minute the group is held, and blind after a while.
func (c *chaos) samplesDropped() {
	c.procs["collector"].kill()
	since := time.Now()
	c.until(settleBound, "the group is blind for a minute", func() error {
		if _, d := c.ears.newest(); d.Rule != bus.RuleBlind || d.Desired != c.want || d.Time.Sub(since) < time.Minute {
			return fmt.Errorf("decision %+v", d)
		}
		return nil
	})
	c.startStage("collector")
}

// samplesMangled: samples that come late, twice or in the wrong order scale nothing in.
func (c *chaos) samplesMangled() {
	for n := c.want; n <= c.max; n++ {
		c.ready(n)
		for _, vm := range c.vms() {
			c.heat(vm)
		}
	}
	c.procs["collector"].kill()
	last, _ := c.ears.newest()
	idle := 0.0
	for i := range last.VMs {
		last.VMs[i].CPUPercent = &idle
	}
	conn, err := bus.DialNow(bus.Remote{URL: c.url, Nkey: bus.CredentialsFile(c.state, bus.RoleCollector)}, "collector", zerolog.Nop())
	c.try("connect as a collector", err)
	defer conn.Close()
	was := last.Time
	for range 60 {
		last.Time = was.Add(-time.Duration(c.rng.IntN(5000)) * time.Millisecond)
		c.try("publish", conn.Publish(&last))
	}
	c.try("publish", conn.Flush())
	since := time.Now()
	c.until(settleBound, "they are no data", func() error {
		if _, d := c.ears.newest(); d.Desired != c.max || !d.Time.After(since.Add(3*time.Second)) {
			return fmt.Errorf("decision %+v", d)
		}
		return nil
	})
	if vms, _ := c.eyes.newest(); len(vms) != c.max {
		c.t.Errorf("%d VMs are left of %d", len(vms), c.max)
	}
	c.startStage("collector")
	c.coolAll()
}

// killLeader: another decider goes on with what the first one wanted.
func (c *chaos) killLeader() {
	c.startStage("decider2")
	_, before := c.ears.newest()
	c.procs["decider"].kill()
	c.leads(before.Term)
	c.procs["decider"] = c.procs["decider2"]
	delete(c.procs, "decider2")
}

// leads waits until another term than the one before decides, and wants the same.
func (c *chaos) leads(before int64) (term int64) {
	c.t.Helper()
	c.until(settleBound, "another decider leads", func() error {
		_, d := c.ears.newest()
		if d.Term <= before || !d.Known || d.Desired != c.want {
			return fmt.Errorf("decision %+v", d)
		}
		term = d.Term
		return nil
	})
	return term
}

// stopLeader: a leader that was stopped past its lock, and goes on, does not decide any more.
func (c *chaos) stopLeader() {
	second := c.startStage("decider2")
	_, before := c.ears.newest()
	first := c.procs["decider"]
	c.try("stop the leader", first.cmd.Process.Signal(syscall.SIGSTOP))
	term := c.leads(before.Term)
	c.try("continue the leader", first.cmd.Process.Signal(syscall.SIGCONT))
	since := time.Now()
	c.replaceOne()
	for _, e := range c.ears.heard(since, func(e bus.Event) bool { return e.DecisionID != "" }) {
		if !strings.Contains(e.DecisionID, fmt.Sprintf("-%d-", term)) {
			c.t.Errorf("%s of %s was decided by %s, which is not of term %d", e.Event, e.VM, e.DecisionID, term)
		}
	}
	first.stop()
	c.procs["decider"] = second
	delete(c.procs, "decider2")
}
