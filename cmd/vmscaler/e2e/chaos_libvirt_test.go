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
		a := c.messages.healthOf("actuator", c.procs["actuator"].cmd.Process.Pid)
		d := c.messages.healthOf("decider", c.procs["decider"].cmd.Process.Pid)
		_, decision := c.messages.newest()
		if a.OK || !d.OK || time.Since(d.Time) > 3*bus.HealthInterval || !decision.Time.After(since.Add(10*time.Second)) ||
			decision.Desired != c.want {
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
		if found := c.messages.heard(since,
			func(e bus.Event) bool { return e.Event == bus.EventFailed && strings.Contains(e.Error, "template") }); len(
			found,
		) == 0 {
			return fmt.Errorf("no such event")
		}
		return nil
	})
	back()
}

// templateReplaced puts another file of the same content in the template's place.
func (c *chaos) templateReplaced() {
	back := c.hide("tiny")
	defer back() // over the other one
	c.putTemplate("tiny", tinyGuest)
	c.replaceOne()
}

// putTemplate writes the file of a template.
func (c *chaos) putTemplate(name, sector string) {
	c.t.Helper()
	data, err := os.ReadFile(guestDisk(c.t, sector))
	c.try("read a disk", err)
	c.try("write a template", os.WriteFile(c.disk(name), data, 0o644))
	c.l.own(c.dir)
	c.refreshPool()
}

// spareTemplateGone: a template that no group uses is gone, which libvirt does not know yet. Nothing stops, nor does a start.
func (c *chaos) spareTemplateGone() {
	c.putTemplate("spare", tinyGuest)
	c.try("delete the template", os.Remove(c.disk("spare")))
	c.replaceOne()
	killAndStart(c.actuatorProcess())(c)
	c.replaceOne()
	c.refreshPool()
}

// poolUndefined: without a pool nothing is made or removed, and health has the command that brings it back; what runs goes on,
// and is decided on.
func (c *chaos) poolUndefined() {
	pool, err := c.conn.LookupStoragePoolByName(c.pool)
	c.try("look up the pool", err)
	definition, err := pool.GetXMLDesc(libvirt.STORAGE_XML_INACTIVE)
	c.try("read the pool", err)
	c.try("stop the pool", pool.Destroy())
	c.try("undefine the pool", pool.Undefine())
	_ = pool.Free()
	vm := c.anyVM()
	c.off(vm)
	pid, since := c.procs[c.actuatorProcess()].cmd.Process.Pid, time.Now()
	c.until(settleBound, "health has the command that defines the pool, and the group is decided on", func() error {
		h := c.messages.healthOf("actuator", pid)
		s, d := c.messages.newest()
		if h.OK || !strings.Contains(h.Message, "pool-define-as") || d.Desired != c.want || !d.Time.After(since.Add(5*time.Second)) ||
			!slices.ContainsFunc(s.VMs, func(other bus.VM) bool { return other.UUID != vm.UUID && other.CPUPercent != nil }) {
			return fmt.Errorf("actuator %+v, sample %+v, decision %+v", h, s, d)
		}
		return nil
	})
	if pool, err = c.conn.StoragePoolDefineXML(definition, 0); err == nil {
		defer func() { _ = pool.Free() }()
		err = pool.Create(0)
	}
	c.try("bring the pool back", err)
	c.replaced(vm)
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
			return len(c.messages.heard(since, func(e bus.Event) bool { return e.Event == what }))
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
