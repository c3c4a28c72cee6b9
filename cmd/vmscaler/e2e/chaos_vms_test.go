package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

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
		s, d := c.messages.newest()
		for _, other := range s.VMs {
			if other.UUID == vm.UUID && other.State == bus.StatePaused && other.CPUPercent == nil && d.Inputs.Ready <= c.want &&
				d.Seq != last.Seq { // another takes its place
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

// uuids are the VMs, by what a name cannot change.
func uuids(vms []vm.VM) []string {
	var all []string
	for _, vm := range vms {
		all = append(all, vm.UUID)
	}
	slices.Sort(all)
	return all
}

// suspendAndScaleIn: a VM that a person suspended is no victim, though the group has too many.
func (c *chaos) suspendAndScaleIn() {
	for _, vm := range c.vms() {
		c.heat(vm)
	}
	c.ready(c.want + 1)
	aside := c.anyVM()
	c.with(aside, "suspend", (*libvirt.Domain).Suspend)
	c.until(settleBound, "the others are scaled in", func() error {
		paused, serving := false, 0
		for _, vm := range c.vms() {
			switch {
			case vm.UUID == aside.UUID:
				paused = vm.State == bus.StatePaused
			case vm.State == bus.StateRunning:
				if dom, err := c.conn.LookupDomainByUUIDString(vm.UUID); err == nil { // it may be scaled in just now
					_ = press(dom, keyCold)
					_ = dom.Free()
				}
				serving++
			}
		}
		if !paused {
			c.t.Fatalf("the suspended %s was not left alone: %+v", aside.Name, c.vms())
		}
		if _, d := c.messages.newest(); d.Desired != c.want || serving != c.want {
			return fmt.Errorf("%d VMs serve, decision %+v", serving, d)
		}
		return nil
	})
	c.with(aside, "resume", func(dom *libvirt.Domain) error {
		if err := dom.Resume(); err != nil {
			return err
		}
		return press(dom, keyCold)
	})
}

// resets: guests that a person resets, all and again and again, boot all the time. That is no load, and no VM is replaced.
func (c *chaos) resets() {
	vms, since, last, warmed := c.vms(), time.Now(), time.Time{}, false
	c.until(settleBound, "the guests were reset for a while", func() error {
		if time.Since(last) > 400*time.Millisecond {
			last = time.Now()
			for _, vm := range vms {
				c.with(vm, "reset", func(dom *libvirt.Domain) error { return dom.Reset(0) })
			}
		}
		s, d := c.messages.newest()
		warmed = warmed || d.Inputs.Warming == len(vms) && d.Time.After(since)
		if d.Desired != c.want || len(c.vms()) != len(vms) {
			c.t.Fatalf("resets were taken for load: sample %+v, decision %+v", s, d)
		}
		if time.Since(since) < 8*time.Second || !warmed {
			return fmt.Errorf("sample %+v, decision %+v", s, d)
		}
		return nil
	})
	if now := c.vms(); !slices.Equal(uuids(now), uuids(vms)) {
		c.t.Errorf("the VMs were %v, and are %v", uuids(vms), uuids(now))
	}
}

// crashLoop: guests that die soon after they were ready are launches that failed: there is a pause.
func (c *chaos) crashLoop() {
	back := c.hide("tiny")
	c.putTemplate("tiny", dyingGuest)
	since := time.Now()
	c.off(c.anyVM())
	c.until(settleBound, "launching pauses for VMs that died early", func() error {
		if found := c.messages.heard(since, func(e bus.Event) bool {
			return e.Event == bus.EventBraked && strings.Contains(e.Sentence, "died within")
		}); len(found) == 0 {
			return fmt.Errorf("no such event: %+v", c.messages.heard(since, func(bus.Event) bool { return true }))
		}
		return nil
	})
	back()
}

// scale gives the group a number of VMs, or releases it.
func (c *chaos) scale(to string) {
	c.t.Helper()
	out, err := c.command("scale", c.group, to, "--nats-url", c.url).CombinedOutput()
	c.try("scale to "+to+": "+string(out), err)
}

// refresh has all VMs of the group replaced, or given new disks. What comes of it is seen when all is to be well again.
func (c *chaos) refresh(strategy bus.RefreshStrategy) {
	c.t.Helper()
	c.refreshAll("--strategy", string(strategy))
}

// restartAll restarts all VMs with their disks.
func (c *chaos) restartAll() {
	c.t.Helper()
	c.refreshAll("--minimal-action", string(bus.UpdateRestart))
}

// refreshAll begins a refresh of all VMs.
func (c *chaos) refreshAll(flags ...string) {
	c.t.Helper()
	c.until(settleBound, "a refresh is begun", func() error {
		args := slices.Concat([]string{"refresh", c.group, "--all", "--nats-url", c.url}, flags, c.login)
		if out, err := c.command(args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// killInRefresh ends the program without warning at a random moment of a refresh, which begin begins.
func killInRefresh(begin func(*chaos)) func(*chaos) {
	return func(c *chaos) {
		begin(c)
		c.pause(time.Duration(c.rng.IntN(8000)) * time.Millisecond)
		c.procs[c.actuatorProcess()].kill()
		c.startStage(c.actuatorProcess())
	}
}

// deafGuests: six that do not hear their power button are to stop at once. The group goes on, and so does the connection.
func (c *chaos) deafGuests() {
	c.scale(fmt.Sprint(c.max))
	c.ready(c.max)
	for _, vm := range c.vms() {
		c.with(vm, "deafen", func(dom *libvirt.Domain) error { return press(dom, keyDeaf) })
	}
	c.scale(fmt.Sprint(c.want))
	var stay []vm.VM
	c.until(settleBound, "all but two are asked to stop", func() error {
		stay = slices.DeleteFunc(c.vms(), func(vm vm.VM) bool { return vm.Meta.Phase != bus.PhaseReady })
		if len(stay) != c.want {
			return fmt.Errorf("there are %+v", c.vms())
		}
		return nil
	})
	c.off(stay[0])
	c.replaced(stay[0])
	c.ready(c.want)
	c.scale("--release")
	if lines := c.procs["run"].lines("keepalive"); len(lines) > 0 {
		c.t.Errorf("the connection was cut: %v", lines)
	}
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
		if !slices.ContainsFunc(c.vms(), func(vm vm.VM) bool { return vm.Name == name }) {
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

// allHot: guests that take their CPU to 100 % forever make the group grow to max, and not beyond.
func (c *chaos) allHot() {
	for n := c.want; n <= c.max; n++ {
		c.ready(n)
		for _, vm := range c.vms() {
			c.heat(vm)
		}
	}
	since := time.Now()
	c.until(settleBound, "held at max for 20 decisions", func() error {
		if _, d := c.messages.newest(); d.Guard != bus.GuardAtMax || d.Desired != c.max || d.Time.Sub(since) < 10*time.Second {
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

// inGuest runs a line in a guest with an agent.
func (c *chaos) inGuest(vm vm.VM, line string) {
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
	c.putTemplate("demo", "")
	since := time.Now()
	c.off(c.anyVM())
	c.until(settleBound, "a launch fails", func() error {
		if len(c.messages.heard(since, func(e bus.Event) bool { return strings.Contains(e.Error, "boot time-out") })) == 0 {
			return fmt.Errorf("no such event")
		}
		return nil
	})
	back()
}
