package e2e

import (
	"fmt"
	"slices"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// The places.
var (
	inOneProcess  = place{name: "one-process"}
	inSplit       = place{name: "split", split: true}
	onExternal    = place{name: "external-nats", split: true, external: true}
	inSmallPool   = place{name: "small-pool", smallPool: true}
	withRealGuest = place{name: "real-guest", guest: true}
	withBrakes    = place{name: "brakes", brakes: true}
)

// chaosFaults are all faults.
func chaosFaults() []fault {
	refresh := func(c *chaos) { c.refresh(bus.RefreshReplace) }
	reimage := func(c *chaos) { c.refresh(bus.RefreshReimage) }
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
		{name: "suspend-and-scale-in", place: inOneProcess, do: (*chaos).suspendAndScaleIn},
		{name: "resets", place: inOneProcess, do: (*chaos).resets},
		{name: "crash-loop", place: withBrakes, do: (*chaos).crashLoop},
		{name: "deaf-guests", place: withBrakes, do: (*chaos).deafGuests},
		{name: "host-renamed", place: inSplit, do: (*chaos).hostRenamed},
		{name: "second-host", place: inSplit, do: (*chaos).secondHost},
		{name: "other-spelling", place: inOneProcess, do: (*chaos).otherSpelling},
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
		{name: "spare-template-gone", place: inOneProcess, do: (*chaos).spareTemplateGone},
		{name: "pool-undefined", place: inOneProcess, do: (*chaos).poolUndefined},
		{name: "refresh", place: inOneProcess, do: refresh},
		{name: "reimage", place: inOneProcess, do: reimage},
		{name: "restart", place: inOneProcess, do: (*chaos).restartAll},
		{name: "kill-in-refresh", place: inOneProcess, do: killInRefresh(refresh), short: true},
		{name: "kill-in-reimage", place: inOneProcess, do: killInRefresh(reimage)},
		{name: "kill-in-restart", place: inOneProcess, do: killInRefresh((*chaos).restartAll)},
		{name: "kill-while-outlived", place: inOneProcess, do: configured("max_lifetime: 1m", outlived("run"))},
		{name: "kill-while-outlived-split", place: inSplit, do: configured("max_lifetime: 1m", outlived("decider", "actuator"))},
		{name: "victim-hook-hangs", place: inOneProcess, do: configured(hangingHook, (*chaos).victimHookHangs)},
		{name: "kill-while-retained", place: inOneProcess, do: configured(failingHook, (*chaos).retained)},
		{name: "kill-while-asleep", place: inOneProcess, do: func(c *chaos) { c.asleep("run") }},
		{name: "kill-decider-while-asleep", place: inSplit, do: func(c *chaos) { c.asleep("decider") }},
		{name: "kill-actuator-while-asleep", place: inSplit, do: func(c *chaos) { c.asleep("actuator") }},
		{name: "kill-while-waking", place: inOneProcess, do: func(c *chaos) { c.killWhileWaking("run") }},
		{name: "kill-decider-while-waking", place: inSplit, do: func(c *chaos) { c.killWhileWaking("decider") }},
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
	faults = slices.Concat(faults, verbFaults(), asideFaults(), warmFaults())
	for _, step := range append(vm.Steps(), vm.RestartSteps()...) {
		one, split := fault{
			name:  "die-at-" + step,
			place: inOneProcess,
			once:  true,
		}, fault{
			name:  "die-at-" + step + "-split",
			place: inSplit,
			once:  true,
		}
		one.do, split.do = dieAt(step), dieAt(step)
		one.short = step == "launch.seeded" || step == "remove.deleted"
		faults = append(faults, one, split)
	}
	return faults
}

// anyVM is one of those that are there.
func (c *chaos) anyVM() vm.VM {
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
func (c *chaos) with(vm vm.VM, what string, f func(*libvirt.Domain) error) {
	c.t.Helper()
	dom, err := c.conn.LookupDomainByUUIDString(vm.UUID)
	c.try(what, err)
	defer func() { _ = dom.Free() }()
	c.try(what, f(dom))
}

// off powers a VM off.
func (c *chaos) off(vm vm.VM) {
	c.t.Helper()
	c.with(vm, "destroy", (*libvirt.Domain).Destroy)
}

// heat lets a tiny guest take all of its CPU.
func (c *chaos) heat(vm vm.VM) {
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
		vms, at := c.domains.newest()
		if !at.After(since) || len(vms) != n ||
			slices.ContainsFunc(vms, func(vm vm.VM) bool { return vm.Meta.Phase != bus.PhaseReady }) {
			return fmt.Errorf("there are %+v", vms)
		}
		return nil
	})
}

// replaced waits until a VM is gone.
func (c *chaos) replaced(old vm.VM) {
	c.t.Helper()
	since := time.Now()
	c.until(settleBound, old.Name+" is replaced", func() error {
		vms, at := c.domains.newest()
		if !at.After(since) || slices.ContainsFunc(vms, func(other vm.VM) bool { return other.UUID == old.UUID }) {
			return fmt.Errorf("there are %+v", vms)
		}
		return nil
	})
}

// replaceOne lets one VM be replaced, and waits for that.
func (c *chaos) replaceOne() {
	vm := c.anyVM()
	c.off(vm)
	c.replaced(vm)
	c.ready(c.want)
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
