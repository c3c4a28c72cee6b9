package e2e

import (
	"fmt"
	"time"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// verbFaults are what a person asks for one VM, with a process that is killed in the middle of it.
func verbFaults() (faults []fault) {
	for _, verb := range bus.VMVerbs() {
		faults = append(faults,
			fault{name: string(verb), place: inOneProcess, do: killInVerb(verb, "run"), short: verb == bus.VMReplace},
			fault{name: string(verb) + "-split", place: inSplit, do: killInVerb(verb, "decider", "actuator")})
	}
	return faults
}

// askFor asks something for a VM until it is answered.
func (c *chaos) askFor(verb bus.VMVerb, v vm.VM) {
	c.t.Helper()
	c.until(settleBound, string(verb)+" of "+v.Name+" is answered", func() error {
		args := append([]string{string(verb), v.UUID, "--reason", "chaos", "--nats-url", c.url}, c.login...)
		if out, err := c.command(args...).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}

// killInVerb asks something for a VM, and ends processes without warning at a random moment after the answer. The VM goes all the
// same, and the group has as many as before; a removal takes one that it has more.
func killInVerb(verb bus.VMVerb, processes ...string) func(*chaos) {
	return func(c *chaos) {
		if verb == bus.VMRemove {
			c.scale(fmt.Sprint(c.want + 1))
			c.ready(c.want + 1)
		}
		v := c.anyVM()
		c.askFor(verb, v)
		c.pause(time.Duration(c.rng.IntN(4000)) * time.Millisecond)
		for _, name := range processes {
			c.procs[name].kill()
		}
		for _, name := range processes {
			c.startStage(name)
		}
		c.replaced(v)
		c.ready(c.want)
		if verb == bus.VMRemove {
			c.until(settleBound, "a decider leads", func() error {
				args := append([]string{"scale", c.group, "--release", "--nats-url", c.url}, c.login...)
				if out, err := c.command(args...).CombinedOutput(); err != nil {
					return fmt.Errorf("%w: %s", err, out)
				}
				return nil
			})
		}
	}
}
