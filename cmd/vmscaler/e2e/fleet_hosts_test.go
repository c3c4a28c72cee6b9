//go:build fleet

package e2e

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
)

// TestFleetRefusingHost: one host can make no VM, as its template is gone. The others get its share, and it is not asked again
// and again.
func TestFleetRefusingHost(t *testing.T) {
	f := newHostFleet(t, 2)
	f.settled()
	bad := f.hosts[2]
	path := filepath.Join(bad.w.dir, template.VolumeName("tiny"))
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	bad.w.refreshPool()
	back := func() {
		if err := os.Rename(path+".away", path); err == nil {
			bad.w.refreshPool()
		}
	}
	t.Cleanup(back)
	vms, _ := bad.vms()
	f.fault(bad.name + " can make no VM, and one of its VMs dies")
	if err := bad.w.domain(vms[0].Name).Destroy(); err != nil {
		t.Fatal(err)
	}
	f.until(fleetStep, "another host has a VM in its place", func() error {
		if n := count(f.others(bad)...); n != fleetVMs-1 || f.decision.Inputs.Ready != fleetVMs {
			return errors.New(f.where())
		}
		return nil
	})
	t.Log(f.must("explain", f.group))
	back()
	f.ends()
}

// TestFleetLostWhileDrained: a host is drained, and loses its power in the middle of it. Others have all its VMs, and when it
// comes back none is made there until somebody says so.
func TestFleetLostWhileDrained(t *testing.T) {
	f := newHostFleet(t, 2)
	f.settled()
	f.identify()
	lost := f.hosts[2]
	f.fault(lost.name + " is drained")
	f.must("host", "drain", string(lost.id))
	f.until(fleetStep, "the first VM has gone", func() error {
		if n := count(lost); n >= 2 {
			return fmt.Errorf("it has %d", n)
		}
		return nil
	})
	f.fault("power off of " + lost.name)
	lost.powerOff()
	f.replaced(lost)
	f.fault("power on of " + lost.name)
	lost.powerOn()
	f.until(fleetStep, "it is drained", func() error {
		if n := count(lost); n != 0 || stateOf(f.decision, lost.name) != bus.HostDrained || f.decision.Inputs.Ready != fleetVMs {
			return errors.New(f.where())
		}
		return nil
	})
	lost.excused = false
	f.must("host", "uncordon", string(lost.id))
	f.ends()
}

// TestFleetReinstalled: a host loses its power, and comes back with nothing on its disks, of the same name: to the group it is
// another one.
func TestFleetReinstalled(t *testing.T) {
	f := newHostFleet(t, 2)
	f.settled()
	f.identify()
	lost := f.hosts[2]
	old := lost.id
	f.fault("power off of " + lost.name)
	lost.powerOff()
	f.replaced(lost)
	f.fault(lost.name + " is installed anew")
	lost.reinstall()
	f.until(fleetStep, "it is another host, and the old one holds nobody up", func() error {
		d := f.decision
		if f.ids[lost.name] == old || d.Shares[f.ids[lost.name]].Host != lost.name || d.Inputs.Ready != fleetVMs {
			return fmt.Errorf("%s", f.where())
		}
		return nil
	})
	lost.excused = false
	// A VM that dies where none is to be made is replaced there, where there is none.
	f.must("host", "cordon", f.hosts[0].name)
	vms, _ := f.hosts[0].vms()
	if err := f.hosts[0].w.domain(vms[0].Name).Destroy(); err != nil {
		t.Fatal(err)
	}
	f.until(fleetStep, "it has a VM", func() error {
		if n := count(lost); n == 0 || f.decision.Inputs.Ready != fleetVMs {
			return errors.New(f.where())
		}
		return nil
	})
	if state := f.decision.Hosts[old].State; state != bus.HostLost {
		t.Errorf("the old host is %q", state)
	}
	f.must("host", "uncordon", f.hosts[0].name)
	f.must("host", "remove", string(old))
	f.ends()
}

// reinstall is powerOn for a host that has lost all that was on its disks, but for the template.
func (h *fleetHost) reinstall() {
	t := h.f.t
	t.Helper()
	id := make([]byte, 16)
	_, _ = rand.Read(id)
	h.do("sh", "-c", fmt.Sprintf("echo %x >/etc/machine-id", id)) // it is a file of its own, mounted over the machine's
	h.l.start()
	h.w.reconnect()
	vms, ok := h.recovered()
	if !ok {
		t.Fatalf("%s does not say what it has", h.name)
	}
	for _, name := range vms {
		h.w.forget(name)
	}
	for _, file := range h.w.files() {
		if file != template.VolumeName("tiny") {
			if err := os.Remove(filepath.Join(h.w.dir, file)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, folder := range []string{filepath.Join(h.l.dir, "nats"), h.w.state} {
		if err := os.RemoveAll(folder); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(h.w.state, 0o755); err != nil {
		t.Fatal(err)
	}
	h.l.stop()
	for uuid, s := range h.f.seen { // nobody is left who could tell of their end
		if s.host == h {
			h.f.ignored = append(h.f.ignored, uuid)
		}
	}
	h.powerOn()
}

// recovered are the names of the VMs that a host has, whose stages do not run yet.
func (h *fleetHost) recovered() (names []string, ok bool) {
	h.dead = false
	vms, ok := h.vms()
	h.dead = true
	for _, vm := range vms {
		names = append(names, vm.Name)
	}
	return slices.Compact(names), ok
}

// TestFleetDiskFull: the disk of the host that leads all is full. The group goes on: a VM that dies is replaced.
func TestFleetDiskFull(t *testing.T) {
	f := newHostFleetBy(t, 2, func(h *fleetHost) {
		store := filepath.Join(h.l.dir, "nats")
		h.do("mkdir", "-p", store)
		h.do("mount", "-t", "tmpfs", "-o", "size=32m", "tmpfs", store)
	})
	f.settled()
	full := f.leader()
	f.leadStreams(full)
	f.fault("the disk of " + full.name + " is full")
	fill := filepath.Join(full.l.dir, "nats", "fill")
	full.do("sh", "-c", "cat /dev/zero >"+fill+" 2>/dev/null; true")
	other := f.others(full)[0]
	for range 3 {
		vms, _ := other.vms()
		if err := other.w.domain(vms[0].Name).Destroy(); err != nil {
			t.Fatal(err)
		}
		f.until(fleetStep, "a VM that died is replaced", func() error {
			uuids := f.uuids(f.hosts...)
			if f.decision.Inputs.Ready != fleetVMs || len(uuids) != fleetVMs || slices.Contains(uuids, vms[0].UUID) {
				return errors.New(f.where())
			}
			return nil
		})
	}
	full.do("rm", fill)
	full.procs["nats"].kill()
	full.startNATS()
	f.ends()
}
