package e2e

import (
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// none waits until there is no VM, and that is what is wanted.
func (c *chaos) none() {
	c.t.Helper()
	since := time.Now()
	c.until(settleBound, "there is no VM", func() error {
		vms, at := c.domains.newest()
		if _, d := c.messages.newest(); !at.After(since) || len(vms) > 0 || !d.Time.After(since) || !d.HasSample || d.Desired > 0 {
			return fmt.Errorf("there are %+v, and decided is %s: %s", vms, d.Rule, d.Sentence)
		}
		return nil
	})
}

// asleep lets the idle group give up its VMs, with an end of a process at any moment of it, and wakes it.
func (c *chaos) asleep(process string) {
	c.ask("set", c.group, "min=0", "idle_to_zero=1s")
	c.pause(time.Duration(c.rng.IntN(8000)) * time.Millisecond)
	killAndStart(process)(c)
	c.none()
	c.ask("wake", c.group, "--wait")
	c.ask("reset", c.group)
}

// killWhileWaking ends a process at the moment at which a group without VMs was woken: it wakes all the same.
func (c *chaos) killWhileWaking(process string) {
	c.ask("set", c.group, "min=0", "wake_for=20s")
	c.ask("scale", c.group, "0")
	c.none()
	c.ask("scale", c.group, "--release")
	c.ask("wake", c.group)
	killAndStart(process)(c)
	c.ready(1)
	if _, d := c.messages.newest(); d.Rule == bus.RuleAsleep {
		c.t.Fatalf("it sleeps again: %s", d.Sentence)
	}
	c.ask("reset", c.group)
}
