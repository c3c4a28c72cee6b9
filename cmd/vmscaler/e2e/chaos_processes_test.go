package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

// killAndStart is kill -9 of a process, and its start.
func killAndStart(stage string) func(*chaos) {
	return func(c *chaos) {
		c.procs[stage].kill()
		c.startStage(stage)
	}
}

// stall stops processes for 1 to 20 s, as a paused host, a laptop's sleep or a slow disk does, and lets them go on: what is
// decided then is done, although leadership may have been lost, and come back, in between.
func stall(processes ...string) func(*chaos) {
	return func(c *chaos) {
		var pids []int
		for _, name := range processes {
			if name == "libvirtd" {
				pid, err := c.l.daemon()
				c.try("find libvirtd", err)
				pids = append(pids, pid)
				continue
			}
			pids = append(pids, c.procs[name].cmd.Process.Pid)
		}
		signal := func(what string, s syscall.Signal) {
			for _, pid := range pids {
				c.try(what, syscall.Kill(pid, s))
			}
		}
		signal("stop", syscall.SIGSTOP)
		c.pause(time.Duration(1000+c.rng.IntN(19000)) * time.Millisecond)
		signal("continue", syscall.SIGCONT)
		if slices.Contains(processes, "libvirtd") {
			c.mendLibvirt()
		}
		c.replaceOne()
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
		c.procs[c.actuatorProcess()].stop()
		p := c.startStage(c.actuatorProcess(), "VMSCALER_DIE_AT="+step)
		p.willEnd()
		switch {
		case drains:
			c.coolAll()
		case strings.HasPrefix(step, "restart."):
			c.restartAll()
		case strings.HasPrefix(step, "reimage."):
			c.refresh(bus.RefreshReimage)
		default:
			c.off(c.anyVM())
		}
		select {
		case <-p.done:
		case <-time.After(settleBound):
			c.t.Fatalf("the step %s was not reached within %s", step, settleBound)
		}
		c.startStage(c.actuatorProcess())
	}
}

// secondRun: a second one is refused while the first goes on.
func (c *chaos) secondRun() {
	cmd := exec.Command(c.binary, "--uri", c.uri, "run", "-c", c.file, "--no-dashboard", "--bus-listen", freeAddress(c.t))
	cmd.Env = append(os.Environ(), c.env...)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), fmt.Sprint(c.procs["run"].cmd.Process.Pid)) {
		c.t.Fatalf("a second run: %v\n%s", err, out)
	}
}

// twoAtOnce: of two that start at the same moment one runs, and the other says so and ends.
func (c *chaos) twoAtOnce() {
	c.procs["run"].kill()
	both := []*process{c.spawnStage("run"), c.spawnStage("run")}
	for _, p := range both {
		p.willEnd()
	}
	var ended, stays *process
	select {
	case <-both[0].done:
		ended, stays = both[0], both[1]
	case <-both[1].done:
		ended, stays = both[1], both[0]
	case <-time.After(settleBound):
		c.t.Fatal("two run at the same time")
	}
	if ended.err == nil {
		c.t.Errorf("the second one ended well: %s", ended.text())
	}
	c.procs["run"] = stays
}

// stateDeleted deletes all that the bus and the actuator keep, between two runs. Of VMs from before no record authorises
// anything any more, so each is replaced.
func (c *chaos) stateDeleted() {
	c.procs["run"].kill()
	entries, err := os.ReadDir(c.state)
	c.try("read the state folder", err)
	for _, e := range entries {
		c.try("delete the state", os.RemoveAll(filepath.Join(c.state, e.Name())))
	}
	c.forgetHistory()
	before := c.vms()
	c.startStage("run")
	for _, vm := range before {
		c.ready(c.want)
		c.off(vm)
		c.replaced(vm)
	}
}

// stateReadOnly: a bus whose state folder cannot be written does not start, and says which folder.
func (c *chaos) stateReadOnly() {
	c.procs["run"].kill()
	asRoot(c.t, "mount", "--bind", c.state, c.state)
	asRoot(c.t, "mount", "-o", "remount,ro,bind", c.state)
	p := c.spawnStage("run")
	p.willEnd()
	select {
	case <-p.done:
	case <-time.After(settleBound):
	}
	asRoot(c.t, "umount", c.state)
	p.kill()
	if p.err == nil || !strings.Contains(p.text(), c.state) {
		c.t.Errorf("with a state folder that cannot be written: %v\n%s", p.err, p.text())
	}
	c.startStage("run")
}

// stateFull: with no room for its state the program ends and says why, or runs on without a history; the VMs are none the
// worse for it.
func (c *chaos) stateFull() {
	c.procs["run"].kill()
	before := len(c.vms())
	asRoot(c.t, "mount", "-t", "tmpfs", "-o", "size=1m,mode=0700", "vmscaler-e2e", c.state)
	fill(c.t, filepath.Join(c.state, "filler"))
	p := c.spawnStage("run")
	p.willEnd()
	select {
	case <-p.done:
		if !strings.Contains(p.text(), "no space left") {
			c.t.Errorf("with no room for its state it ends with %v:\n%s", p.err, p.text())
		}
	case <-time.After(15 * time.Second):
		p.kill()
	}
	asRoot(c.t, "umount", c.state)
	if after := len(c.vms()); after != before {
		c.t.Errorf("%d VMs, there were %d", after, before)
	}
	c.startStage("run")
}

// samplesDropped: without samples for a minute the group is held, and blind after a while.
func (c *chaos) samplesDropped() {
	c.procs["collector"].kill()
	since := time.Now()
	c.until(settleBound, "the group is blind for a minute", func() error {
		if _, d := c.messages.newest(); d.Rule != bus.RuleBlind || d.Desired != c.want || d.Time.Sub(since) < time.Minute {
			return fmt.Errorf("decision %+v", d)
		}
		return nil
	})
	c.startStage("collector")
}

// samplesMangled: samples that come late, twice or in the wrong order scale nothing in.
func (c *chaos) samplesMangled() {
	for n := c.want; n <= c.max; n++ {
		c.ready(n)
		for _, vm := range c.vms() {
			c.heat(vm)
		}
	}
	c.procs["collector"].kill()
	last, _ := c.messages.newest()
	idle := 0.0
	for i := range last.VMs {
		last.VMs[i].CPUPercent = &idle
	}
	conn, err := client.DialNow(
		client.Remote{URL: c.url, Nkey: server.CredentialsFile(c.state, bus.RoleCollector)},
		"collector",
		zerolog.Nop(),
	)
	c.try("connect as a collector", err)
	defer conn.Close()
	was := last.Time
	for range 60 {
		last.Time = was.Add(-time.Duration(c.rng.IntN(5000)) * time.Millisecond)
		c.try("publish", conn.Publish(&last))
	}
	c.try("publish", conn.Flush())
	since := time.Now()
	c.until(settleBound, "they are no data", func() error {
		if _, d := c.messages.newest(); d.Desired != c.max || !d.Time.After(since.Add(3*time.Second)) {
			return fmt.Errorf("decision %+v", d)
		}
		return nil
	})
	if vms, _ := c.domains.newest(); len(vms) != c.max {
		c.t.Errorf("%d VMs are left of %d", len(vms), c.max)
	}
	c.startStage("collector")
	c.coolAll()
}

// killLeader: another decider goes on with what the first one wanted.
func (c *chaos) killLeader() {
	c.startStage("decider2")
	_, before := c.messages.newest()
	c.procs["decider"].kill()
	c.leads(before.Term)
	c.procs["decider"] = c.procs["decider2"]
	delete(c.procs, "decider2")
}

// leads waits until another term than the one before decides, and wants the same.
func (c *chaos) leads(before int64) (term int64) {
	c.t.Helper()
	c.until(settleBound, "another decider leads", func() error {
		_, d := c.messages.newest()
		if d.Term <= before || !d.HasSample || d.Desired != c.want {
			return fmt.Errorf("decision %+v", d)
		}
		term = d.Term
		return nil
	})
	return term
}

// stopLeader: a leader that was stopped past its lock, and goes on, does not decide any more.
func (c *chaos) stopLeader() {
	second := c.startStage("decider2")
	_, before := c.messages.newest()
	first := c.procs["decider"]
	c.try("stop the leader", first.cmd.Process.Signal(syscall.SIGSTOP))
	term := c.leads(before.Term)
	c.try("continue the leader", first.cmd.Process.Signal(syscall.SIGCONT))
	since := time.Now()
	c.replaceOne()
	for _, e := range c.messages.heard(since, func(e bus.Event) bool { return e.DecisionID != "" }) {
		if !strings.Contains(e.DecisionID, fmt.Sprintf("-%d-", term)) {
			c.t.Errorf("%s of %s was decided by %s, which is not of term %d", e.Event, e.VM, e.DecisionID, term)
		}
	}
	first.stop()
	c.procs["decider"] = second
	delete(c.procs, "decider2")
}
