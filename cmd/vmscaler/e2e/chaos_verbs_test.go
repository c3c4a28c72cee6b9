package e2e

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// verbFaults are what a person asks for one VM that is to go, with a process that is killed in the middle of it.
func verbFaults() (faults []fault) {
	for _, verb := range bus.VMVerbs() {
		if slices.Contains([]bus.VMVerb{bus.VMStandby, bus.VMExitStandby, bus.VMDetach, bus.VMAttach}, verb) { // those of asideFaults
			continue
		}
		faults = append(faults,
			fault{name: string(verb), place: inOneProcess, do: killInVerb(verb, "run"), short: verb == bus.VMReplace},
			fault{name: string(verb) + "-split", place: inSplit, do: killInVerb(verb, "decider", "actuator")})
	}
	return append(faults,
		fault{name: "schedule-added", place: inOneProcess, do: killWhileScheduled("run")},
		fault{name: "schedule-added-split", place: inSplit, do: killWhileScheduled("decider")},
		fault{name: "launch", place: inOneProcess, do: killWhileLaunching("run")},
		fault{name: "launch-split", place: inSplit, do: killWhileLaunching("decider", "actuator")})
}

// killWhileScheduled adds an action to the schedule, which holds at once as it was due before, and ends processes without warning
// at a random moment: its min holds all the same, until it is removed.
func killWhileScheduled(processes ...string) func(*chaos) {
	return func(c *chaos) {
		c.ask("schedule", "add", c.group, "chaos", "--at", "@daily", "--from", "2020-01-01",
			"--min", fmt.Sprint(c.want+1), "--reason", "chaos")
		c.pause(time.Duration(c.rng.IntN(4000)) * time.Millisecond)
		c.killAll(processes...)
		c.ready(c.want + 1)
		c.ask("schedule", "rm", c.group, "chaos")
		c.ask("scale", c.group, fmt.Sprint(c.want))
		c.ready(c.want)
		c.ask("scale", c.group, "--release")
	}
}

// ask runs a command over the bus until it is answered.
func (c *chaos) ask(args ...string) {
	c.t.Helper()
	c.until(settleBound, strings.Join(args, " ")+" is answered", func() error { return c.tryToAsk(args...) })
}

// tryToAsk runs a command over the bus once.
func (c *chaos) tryToAsk(args ...string) error {
	args = append(append(slices.Clone(args), "--nats-url", c.url), c.login...)
	if out, err := c.command(args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// killAll ends processes without warning, and starts them again.
func (c *chaos) killAll(processes ...string) {
	c.t.Helper()
	for _, name := range processes {
		c.procs[name].kill()
	}
	for _, name := range processes {
		c.startStage(name)
	}
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
		c.ask(string(verb), v.UUID, "--reason", "chaos")
		c.pause(time.Duration(c.rng.IntN(4000)) * time.Millisecond)
		c.killAll(processes...)
		c.replaced(v)
		c.ready(c.want)
		if verb == bus.VMRemove {
			c.ask("scale", c.group, "--release")
		}
	}
}

// killWhileLaunching launches a VM more, and ends processes without warning at a random moment after the answer: it comes all the
// same, and no second one.
func killWhileLaunching(processes ...string) func(*chaos) {
	return func(c *chaos) {
		c.scale(fmt.Sprint(c.want))
		c.ask("launch", c.group, "--reason", "chaos")
		c.pause(time.Duration(c.rng.IntN(4000)) * time.Millisecond)
		c.killAll(processes...)
		c.ready(c.want + 1)
		c.ask("scale", c.group, fmt.Sprint(c.want))
		c.ready(c.want)
		c.ask("scale", c.group, "--release")
	}
}
