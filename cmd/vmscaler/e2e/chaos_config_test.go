package e2e

import (
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/server"
)

// What some faults need in the group's config.
const (
	hangingHook = "scale_in: [hook:jobs, newest]\nvictim_hook: {timeout: 2s}"
	failingHook = "hooks:\n  remove: {wait_for: command, command: exit 3, on_abandon: retain}"
)

// configured plays a fault in a group with more in its config, and starts all with the old one after it.
func configured(more string, do func(*chaos)) func(*chaos) {
	return func(c *chaos) {
		was := c.file
		c.stopAll()
		c.file = c.quickConfig(tinyGroup + "\n" + more)
		c.startAll()
		do(c)
		c.stopAll()
		c.file = was
		c.startAll()
	}
}

// outlived ends processes at a random moment after a VM has become older than max_lifetime, of a minute: all are replaced, and
// meanwhile no fewer serve.
func outlived(processes ...string) func(*chaos) {
	return func(c *chaos) {
		old := c.vms()
		oldest := slices.MinFunc(old, func(a, b vm.VM) int { return a.Meta.Created.Compare(b.Meta.Created) })
		c.pause(time.Until(oldest.Meta.Created.Add(time.Minute)) + time.Duration(c.rng.IntN(6000))*time.Millisecond)
		c.killAll(processes...)
		c.until(time.Minute+settleBound, "all that are too old are replaced", func() error {
			vms, _ := c.domains.newest()
			if n := len(inService(vms)); n < c.want {
				c.t.Fatalf("%d serve, want %d: %+v", n, c.want, vms)
			}
			if slices.ContainsFunc(vms, func(v vm.VM) bool { return slices.Contains(uuids(old), v.UUID) }) {
				return fmt.Errorf("there are %+v", vms)
			}
			return nil
		})
	}
}

// victimHookHangs: a listener that is asked which VM may go, and never answers, keeps none, also when the program is killed while
// it is asked: the next order decides.
func (c *chaos) victimHookHangs() {
	c.ask("scale", c.group, fmt.Sprint(c.want+1))
	c.ready(c.want + 1)
	newest := slices.MaxFunc(c.vms(), func(a, b vm.VM) int { return a.Meta.Created.Compare(b.Meta.Created) })
	key, err := nats.NkeyOptionFromSeed(server.CredentialsFile(c.state, bus.RoleOperator))
	c.try("read the operator's key", err)
	// The question is asked soon after the start: it is to hear it.
	conn, err := nats.Connect(c.url, key, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	c.try("connect as a listener", err)
	defer conn.Close()
	questions, err := conn.SubscribeSync((&bus.Victims{Group: c.group, Hook: "jobs"}).Subject())
	c.try("listen", err)
	c.try("listen", conn.Flush())
	c.ask("scale", c.group, fmt.Sprint(c.want))
	_, err = questions.NextMsg(settleBound)
	c.try("be asked", err)
	killAndStart("run")(c)
	_, err = questions.NextMsg(settleBound)
	c.try("be asked again", err)
	c.replaced(newest)
	c.ready(c.want)
	c.ask("scale", c.group, "--release")
}

// retained: a VM whose remove hook fails is kept, whenever the program is killed, until a person removes it.
func (c *chaos) retained() {
	c.ask("scale", c.group, fmt.Sprint(c.want+1))
	c.ready(c.want + 1)
	c.ask("scale", c.group, fmt.Sprint(c.want))
	c.pause(time.Duration(c.rng.IntN(2500)) * time.Millisecond)
	for range 2 {
		killAndStart("run")(c)
		since := time.Now()
		c.until(settleBound, "one is retained", func() error {
			vms, at := c.domains.newest()
			if _, d := c.messages.newest(); !at.After(since) || !d.Time.After(since) || !d.HasSample || len(retained(vms)) != 1 ||
				len(inService(vms)) != c.want {
				return fmt.Errorf("there are %+v, decision %+v", vms, d)
			}
			return nil
		})
	}
	vms, _ := c.domains.newest()
	kept := retained(vms)[0]
	c.ask("remove", kept.Name)
	c.replaced(kept)
	c.ready(c.want)
	c.ask("scale", c.group, "--release")
}

// retained are those of VMs that were kept.
func retained(vms []vm.VM) []vm.VM {
	return slices.DeleteFunc(slices.Clone(vms), func(v vm.VM) bool {
		return v.Meta.Phase != bus.PhaseRetained || v.State != bus.StateRunning
	})
}
