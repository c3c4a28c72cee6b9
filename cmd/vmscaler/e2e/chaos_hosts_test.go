package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/server"
)

// hostRenamed: the host has another name, under stages that run or between two lives of them. It is the same host, with the
// same VMs.
func (c *chaos) hostRenamed() {
	if c.l.cred == nil {
		c.t.Fatal("only root's private libvirtd has a host name of its own to change (run this as root)")
	}
	before, _ := c.messages.newest()
	vms := c.vms()
	name := fmt.Sprintf("renamed-%d.example.org", c.rng.IntN(1000)) // with a domain libvirt asks no DNS for it
	pid, err := c.l.daemon()
	c.try("find libvirtd", err)
	rename := func() { asRoot(c.t, "nsenter", "-t", strconv.Itoa(pid), "-u", "hostname", name) }
	stages := []string{"collector", "decider", "actuator"}
	c.rng.Shuffle(len(stages), func(i, j int) { stages[i], stages[j] = stages[j], stages[i] })
	// The stages live on the host as well.
	c.wrap = []string{"nsenter", "-t", strconv.Itoa(pid), "-u"}
	defer func() { c.wrap = nil }()
	if c.rng.IntN(2) == 0 {
		rename()
		c.replaceOne() // by stages that know the old name
		vms = c.vms()
		for _, stage := range stages {
			killAndStart(stage)(c)
		}
	} else {
		for _, stage := range stages {
			c.procs[stage].kill()
		}
		rename()
		for _, stage := range stages {
			c.startStage(stage)
		}
	}
	c.until(settleBound, "the same host says its new name", func() error {
		s, d := c.messages.newest()
		if s.HostID != before.HostID {
			c.t.Fatalf("the host of %s is %s", before.HostID, s.HostID)
		}
		if s.Host != name || d.Desired != c.want || len(d.Shares) != 1 || d.Shares[s.HostID].Host != name ||
			!c.messages.healthOf("actuator", c.procs["actuator"].cmd.Process.Pid).OK {
			return fmt.Errorf("sample %+v, decision %+v", s, d)
		}
		return nil
	})
	if now := c.vms(); !slices.Equal(uuids(now), uuids(vms)) {
		c.t.Errorf("the VMs were %v, and are %v", uuids(vms), uuids(now))
	}
	c.undefineRunning() // whose volume is an orphan that the records know
}

// secondHost: another libvirt of this host's name joins the bus and gets VMs, and leaves again. None takes the other's for its
// own.
func (c *chaos) secondHost() {
	other, stop := c.join()
	c.until(settleBound, "two hosts have shares", func() error {
		if _, d := c.messages.newest(); len(d.Shares) != 2 || d.Direction == bus.In || d.Desired != c.want {
			return fmt.Errorf("decision %+v", d)
		}
		return nil
	})
	serving := func(what string, here, there int) (names []string) {
		c.until(settleBound, what, func() error {
			mine, theirs := c.vms(), other.vms()
			names = nil
			for _, vm := range slices.Concat(mine, theirs) {
				if vm.Meta.Phase == bus.PhaseReady && vm.State == bus.StateRunning && !slices.Contains(names, vm.Name) {
					names = append(names, vm.Name)
				}
			}
			if _, d := c.messages.newest(); len(mine) != here || len(theirs) != there || len(names) != here+there ||
				d.Inputs.Ready != here+there {
				return fmt.Errorf("here %+v, there %+v, decision %+v", mine, theirs, d)
			}
			return nil
		})
		return names
	}
	c.scale("4")
	serving("each host gets two VMs, and their names differ", 2, 2)
	for _, w := range []*world{c.world, other} {
		here, there := uuids(c.vms()), uuids(other.vms())
		lost := w.vms()[c.rng.IntN(2)]
		if err := w.domain(lost.Name).Destroy(); err != nil {
			c.t.Fatalf("destroy: %s", err)
		}
		c.until(settleBound, lost.Name+" is replaced", func() error {
			if slices.Contains(uuids(w.vms()), lost.UUID) {
				return fmt.Errorf("there are %+v", w.vms())
			}
			return nil
		})
		serving("each host has two VMs again", 2, 2)
		for _, uuid := range slices.Concat(here, there) {
			if uuid != lost.UUID && !slices.Contains(slices.Concat(uuids(c.vms()), uuids(other.vms())), uuid) {
				c.t.Errorf("with %s the VM %s was replaced", lost.UUID, uuid)
			}
		}
	}
	c.scale("--release")
	c.until(settleBound, "two VMs are left", func() error {
		if _, d := c.messages.newest(); len(c.vms())+len(other.vms()) != c.want || d.Inputs.Ready != c.want || d.Desired != c.want {
			return fmt.Errorf("here %+v, there %+v, decision %+v", c.vms(), other.vms(), d)
		}
		return nil
	})
	kept := uuids(c.vms())
	stop()
	other.must("down", c.group, "--yes", "--shutdown-timeout", "1s")
	c.until(settleBound, "the host that is gone is forgotten", func() error {
		name, err := other.conn.GetHostname()
		c.try("read the host's name", err)
		if out, err := c.command("host", "remove", name, "--nats-url", c.url).CombinedOutput(); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
	c.ready(c.want)
	for _, uuid := range kept {
		if !slices.Contains(uuids(c.vms()), uuid) {
			c.t.Errorf("%s was removed", uuid)
		}
	}
}

// join starts another libvirt of the host's name with a collector and an actuator of its own, which stop ends.
func (c *chaos) join() (other *world, stop func()) {
	c.t.Helper()
	l := newPrivateLibvirt(c.t)
	other = l.world()
	name, err := c.conn.GetHostname()
	c.try("read the host's name", err)
	if l.cred != nil { // else neither can have been renamed
		pid, err := l.daemon()
		c.try("find libvirtd", err)
		asRoot(c.t, "nsenter", "-t", strconv.Itoa(pid), "-u", "hostname", name)
	}
	other.group = c.group
	other.uploadTiny()
	c.t.Cleanup(func() { _ = os.Remove(filepath.Join(other.dir, filepath.Base(c.disk("tiny")))) })
	file := other.quickConfig(tinyGroup)
	var procs []*process
	for _, role := range []bus.Role{bus.RoleCollector, bus.RoleActuator} {
		cmd := exec.Command(
			c.binary,
			"--uri",
			other.uri,
			string(role),
			"-c",
			file,
			"--nats-url",
			c.url,
			"--nats-nkey",
			server.CredentialsFile(c.state, role),
		)
		cmd.Env = append(os.Environ(), other.env...)
		procs = append(procs, c.startProcess("the other host's "+string(role), cmd))
	}
	return other, func() {
		c.t.Helper()
		for _, p := range procs {
			p.stop()
		}
	}
}

// otherSpelling: a second actuator is refused, however it spells the URI, and the first one goes on.
func (c *chaos) otherSpelling() {
	link := filepath.Join(c.l.dir, "link")
	c.try("link to the socket's folder", os.Symlink(filepath.Dir(c.l.socket), link))
	defer func() { _ = os.Remove(link) }()
	for _, uri := range []string{
		"qemu:///session?socket=" + c.l.socket,
		"qemu+unix:///session?mode=legacy&socket=" + c.l.socket,
		"qemu+unix:///session?socket=" + filepath.Join(link, filepath.Base(c.l.socket)),
	} {
		cmd := exec.Command(c.binary, "--uri", uri, "actuator", "-c", c.file, "--nats-url", c.url)
		cmd.Env = append(os.Environ(), c.env...)
		timer := time.AfterFunc(settleBound, func() { _ = cmd.Process.Kill() })
		out, err := cmd.CombinedOutput()
		timer.Stop()
		if err == nil ||
			!containsAll(string(out), fmt.Sprint(c.procs[c.actuatorProcess()].cmd.Process.Pid),
				"acts on qemu:///session?socket="+c.l.socket) {
			c.t.Errorf("a second actuator at %s: %v\n%s", uri, err, out)
		}
	}
	c.replaceOne()
}
