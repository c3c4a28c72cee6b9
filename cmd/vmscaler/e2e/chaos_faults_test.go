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
		{name: "suspend", place: inOneProcess, do: (*chaos).suspend},
		{name: "kill-libvirtd", place: inOneProcess, short: true, do: (*chaos).killLibvirtd},
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

// suspend: a VM that a person suspends is left alone, and counts neither as idle nor as ready.
func (c *chaos) suspend() {
	vm := c.anyVM()
	c.with(vm, "suspend", (*libvirt.Domain).Suspend)
	decisions, last := 0, bus.Decision{}
	c.until(settleBound, "decisions without the suspended VM", func() error {
		s, d := c.ears.newest()
		for _, other := range s.VMs {
			if other.UUID == vm.UUID && other.State == bus.StatePaused && other.CPUPercent == nil && d.Inputs.Ready == c.want-1 && d.Seq != last.Seq {
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

var _, _, _ = os.Remove, filepath.Join, strings.Contains
