package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

func (c *chaos) killLibvirtd() {
	pid, err := c.l.daemon()
	c.try("find libvirtd", err)
	c.try("kill libvirtd", syscall.Kill(pid, syscall.SIGKILL))
	_ = c.l.cmd.Wait()
	c.l.start()
	c.reconnect()
}

func (c *chaos) stopLibvirtd() {
	c.l.stop()
	c.pause(time.Minute)
	c.l.start()
	c.reconnect()
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
