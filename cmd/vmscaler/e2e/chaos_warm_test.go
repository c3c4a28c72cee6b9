package e2e

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// onePooled is a group's warm pool of one VM. Nothing else is replaced meanwhile.
const onePooled = "warm_pool: {size: 1, reuse: true}\nrefresh: {start: manual}"

// warmFaults end processes, and let a person meddle, while VMs go to the warm pool, wait there, and leave it.
func warmFaults() []fault {
	return []fault{
		{name: "kill-with-warm-pool", place: inOneProcess, do: configured(onePooled, killInHandOver("run"))},
		{name: "kill-with-warm-pool-split", place: inSplit, do: configured(onePooled, killInHandOver("decider", "actuator"))},
		{name: "warm-resumed-and-destroyed", place: inOneProcess, do: configured(onePooled, (*chaos).meddleWithWarm)},
		{name: "warm-outdated", place: inOneProcess, do: configured(onePooled, (*chaos).warmOutdated)},
		{name: "kill-in-standby-suspended", place: inOneProcess, do: killAside(laidDown, "run")},
		{name: "kill-in-standby-suspended-split", place: inSplit, do: killAside(laidDown, "decider", "actuator")},
	}
}

// pooled waits until so many VMs serve and one waits in the warm pool, and returns that.
func (c *chaos) pooled(serving int) (waits vm.VM) {
	c.t.Helper()
	since := time.Now()
	c.until(settleBound, fmt.Sprintf("%d VMs serve, and one waits", serving), func() error {
		vms, at := c.domains.newest()
		i := slices.IndexFunc(vms, func(v vm.VM) bool { return v.Meta.Phase == bus.PhaseWarm && v.State == bus.StatePaused })
		if !at.After(since) || i < 0 || len(vms) != serving+1 || len(inService(vms)) != serving {
			return fmt.Errorf("there are %+v", vms)
		}
		waits = vms[i]
		return nil
	})
	return waits
}

// killInHandOver ends processes without warning at a random moment after the group has grown by the VM that waits, while another
// is made in its place, and after it has shrunk again.
func killInHandOver(processes ...string) func(*chaos) {
	return func(c *chaos) {
		kill := func() {
			c.pause(time.Duration(c.rng.IntN(2500)) * time.Millisecond)
			c.killAll(processes...)
		}
		one := c.pooled(c.want)
		c.ask("scale", c.group, fmt.Sprint(c.want+1))
		kill()
		c.until(settleBound, one.Name+" serves", func() error {
			if vms, _ := c.domains.newest(); !slices.Contains(inService(vms), one.UUID) {
				return fmt.Errorf("there are %+v", vms)
			}
			return nil
		})
		kill()
		c.pooled(c.want + 1)
		c.ask("scale", c.group, fmt.Sprint(c.want))
		kill()
		c.pooled(c.want)
		c.ask("scale", c.group, "--release")
	}
}

// meddleWithWarm lets a person resume the VM that waits, which waits again, and destroy it, which is replaced.
func (c *chaos) meddleWithWarm() {
	one := c.pooled(c.want)
	c.with(one, "resume", (*libvirt.Domain).Resume)
	if again := c.pooled(c.want); again.UUID != one.UUID {
		c.t.Fatalf("%s waits, want %s as before", again.Name, one.Name)
	}
	c.off(one)
	c.replaced(one)
	c.pooled(c.want)
}

// warmOutdated changes what VMs are made from: the one that waits is replaced, and those that serve are left to a refresh.
func (c *chaos) warmOutdated() {
	one, before := c.pooled(c.want), c.vms()
	was := c.file
	c.stopAll()
	c.file = c.quickConfig(strings.Replace(tinyGroup, "memory: 32MiB", "memory: 40MiB", 1) + "\n" + onePooled)
	c.startAll()
	c.replaced(one)
	if fresh := c.pooled(c.want); slices.Contains(uuids(before), fresh.UUID) {
		c.t.Fatalf("%s serves no more, and waits", fresh.Name)
	}
	c.file = was
}

// laidDown is a VM that stands by suspended.
var laidDown = sideways{
	command: "standby",
	args:    []string{"--suspend"},
	before:  func(*chaos, vm.VM) {},
	after: func(c *chaos, v vm.VM) {
		c.until(settleBound, v.Name+" stands by, suspended", func() error {
			vms, _ := c.domains.newest()
			if !slices.ContainsFunc(vms, func(other vm.VM) bool {
				return other.UUID == v.UUID && other.State == bus.StatePaused && other.Meta.Phase.StandsBy()
			}) || len(inService(vms)) != c.want {
				return fmt.Errorf("there are %+v", vms)
			}
			return nil
		})
		c.ask("resume", v.Name)
		c.servesAgain(v)
	},
}
