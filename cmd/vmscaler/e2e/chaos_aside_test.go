package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
)

// sideways is a way in which a VM leaves its group, or comes back, and is not removed.
type sideways struct {
	command string
	args    []string
	// before brings the VM into the state in which it can be asked for, and after waits until it was done.
	before, after func(*chaos, vm.VM)
}

var (
	standsBy = sideways{
		command: "standby",
		before:  func(*chaos, vm.VM) {},
		after: func(c *chaos, v vm.VM) {
			c.standsBy(v)
			c.ask("resume", v.Name)
			c.servesAgain(v)
		},
	}
	returns = sideways{
		command: "resume",
		before: func(c *chaos, v vm.VM) {
			c.ask("standby", v.Name)
			c.standsBy(v)
		},
		after: (*chaos).servesAgain,
	}
	detached = sideways{
		command: "detach",
		args:    []string{"--keep-size"},
		before:  func(*chaos, vm.VM) {},
		after:   (*chaos).givenAway,
	}
	attached = sideways{
		command: "attach",
		before: func(c *chaos, v vm.VM) {
			c.scale(fmt.Sprint(c.want + 1))
			c.ready(c.want + 1)
			c.ask("detach", v.Name)
			c.replaced(v)
			c.ready(c.want)
		},
		after: func(c *chaos, v vm.VM) {
			since := time.Now()
			c.until(settleBound, v.Name+" is a VM of the group again", func() error {
				// An actuator that was killed may have left a domain like any other, and nobody an answer.
				again := c.tryToAsk("attach", v.Name)
				vms, at := c.domains.newest()
				if !at.After(since) || !slices.Contains(inService(vms), v.UUID) || len(inService(vms)) != c.want+1 {
					return fmt.Errorf("there are %+v; asked again: %w", vms, again)
				}
				return nil
			})
			c.ask("scale", c.group, "--release")
			c.ready(c.want)
		},
	}
)

// asideFaults end processes while a VM stands by, returns, is given away or taken in: at a random moment, and at each step.
func asideFaults() (faults []fault) {
	for _, way := range []sideways{standsBy, returns, detached, attached} {
		faults = append(faults,
			fault{name: "kill-in-" + way.command, place: inOneProcess, do: killAside(way, "run")},
			fault{name: "kill-in-" + way.command + "-split", place: inSplit, do: killAside(way, "decider", "actuator")})
	}
	for _, step := range vm.OrderSteps() {
		verb, _, _ := strings.Cut(step, ".")
		way, known := map[string]sideways{"standby": standsBy, "detach": detached, "attach": attached}[verb]
		if step == "standby.returning" {
			way = returns
		}
		if !known {
			panic("no way leads to the step " + step)
		}
		faults = append(faults,
			fault{name: "die-at-" + step, place: inOneProcess, once: true, do: dieAside(way, step)},
			fault{name: "die-at-" + step + "-split", place: inSplit, once: true, do: dieAside(way, step)})
	}
	return faults
}

// killAside ends processes without warning at a random moment after it was asked for: it is done all the same.
func killAside(way sideways, processes ...string) func(*chaos) {
	return func(c *chaos) {
		v := c.anyVM()
		way.before(c, v)
		c.ask(append([]string{way.command, v.Name}, way.args...)...)
		c.pause(time.Duration(c.rng.IntN(1000)) * time.Millisecond)
		c.killAll(processes...)
		way.after(c, v)
	}
}

// dieAside lets the process with the actuator end itself at a step, and starts it again.
func dieAside(way sideways, step string) func(*chaos) {
	return func(c *chaos) {
		v := c.anyVM()
		way.before(c, v)
		c.procs[c.actuatorProcess()].stop()
		p := c.startStage(c.actuatorProcess(), "VMSCALER_DIE_AT="+step)
		p.willEnd()
		asked := false // its end may come before the answer
		c.until(settleBound, "the step "+step+" is reached", func() error {
			select {
			case <-p.done:
				return nil
			default:
			}
			var err error
			if !asked {
				err = c.tryToAsk(append([]string{way.command, v.Name}, way.args...)...)
				asked = err == nil
			}
			return fmt.Errorf("it runs (asked %t: %w)", asked, err)
		})
		c.startStage(c.actuatorProcess())
		way.after(c, v)
	}
}

// standsBy waits until a VM does, runs, and others serve in its place.
func (c *chaos) standsBy(v vm.VM) {
	c.t.Helper()
	since := time.Now()
	c.until(settleBound, v.Name+" stands by", func() error {
		vms, at := c.domains.newest()
		by := func(other vm.VM) bool {
			return other.UUID == v.UUID && other.State == bus.StateRunning && other.Meta.Phase.StandsBy()
		}
		if !at.After(since) || !slices.ContainsFunc(vms, by) || len(inService(vms)) != c.want {
			return fmt.Errorf("there are %+v", vms)
		}
		return nil
	})
}

// servesAgain waits until a VM does that stood by, and until the group, of which it was one more, has as many as before.
func (c *chaos) servesAgain(v vm.VM) {
	c.t.Helper()
	since := time.Now()
	c.until(settleBound, v.Name+" serves again", func() error {
		vms, at := c.domains.newest()
		if !at.After(since) || !slices.Contains(inService(vms), v.UUID) {
			return fmt.Errorf("there are %+v", vms)
		}
		return nil
	})
	c.ready(c.want)
}

// inService are those of VMs that serve, by UUID.
func inService(vms []vm.VM) (all []string) {
	for _, v := range vms {
		if v.State == bus.StateRunning && v.Meta.Phase == bus.PhaseReady {
			all = append(all, v.UUID)
		}
	}
	return all
}

// givenAway waits until a VM is nobody's but its owner's, and removes it as one does: no disk of it is deleted by a sweep, also
// when its domain is gone.
func (c *chaos) givenAway(v vm.VM) {
	c.t.Helper()
	c.replaced(v)
	c.ready(c.want)
	c.until(settleBound, "no record is kept of "+v.Name, c.recordsMatch)
	c.with(v, "look at it", func(dom *libvirt.Domain) error {
		definition, err := dom.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE)
		live, errLive := dom.GetXMLDesc(0)
		state, _, errState := dom.GetState()
		if strings.Contains(definition+live, "urn:vmscaler") || state != libvirt.DOMAIN_RUNNING {
			c.t.Errorf("it is %v, with the metadata\n%s", state, definition)
		}
		return errors.Join(err, errLive, errState)
	})
	c.procs[c.actuatorProcess()].stop()
	c.off(v)
	c.with(v, "undefine", (*libvirt.Domain).Undefine)
	c.must("sweep", "-c", c.file, "--grace", "0s", "--yes")
	for _, volume := range v.Meta.Volumes() {
		c.try("remove a disk as its owner", os.Remove(filepath.Join(c.dir, volume)))
	}
	c.refreshPool()
	c.startStage(c.actuatorProcess())
}
