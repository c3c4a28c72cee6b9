package e2e

import (
	"fmt"
	"strings"
	"testing"

	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
)

// TestRefresh: a group's template changes, and its VMs are replaced one after another while as many as before serve, also by a
// program that is killed in the middle. A template that does not boot takes none of them away, and the group goes on as it was.
func TestRefresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addTemplate("next", templateFile)
	w.addTemplate("deaf" /* cli; hlt; again */, guestDisk(t, "faf4ebfd"))
	of := func(name, more string) string { return w.config("min: 2\nmax: 3\ntemplate: " + name + "\n" + more) }
	p := w.start(of("demo", ""))
	p.untilReady(2)
	old := w.uuids()
	p.stop()

	p = w.start(of("next", ""))
	served := func(b run) int {
		n := 0
		for _, vm := range b.sample.VMs {
			if vm.Phase.Serves() && vm.State == bus.StateRunning {
				n++
			}
		}
		return n
	}
	check := func(b run) {
		t.Helper()
		if n := served(b); b.sample.Group != "" && (n < 2 || len(b.sample.VMs) > 3) {
			t.Fatalf("%d serve of %d: %+v", n, len(b.sample.VMs), b.sample.VMs)
		}
	}
	p.until("one is new", func() bool {
		check(p)
		return p.decision.Refresh != nil && p.decision.Refresh.Updated == 1
	})
	id := p.decision.Refresh.ID
	if out := w.must("status", w.group, "--nats-url", p.url); !strings.Contains(out, "refresh running: 1 of ") ||
		!strings.Contains(out, "outdated") {
		t.Errorf("status says\n%s", out)
	}
	p.kill()
	p = w.start(of("next", ""))
	p.until("all are new", func() bool {
		check(p)
		return p.decision.Refresh != nil && p.decision.Refresh.Phase == bus.RefreshDone && len(p.sample.VMs) == 2
	})
	if p.decision.Refresh.ID != id {
		t.Errorf("another refresh was begun: %+v, want %s", p.decision.Refresh, id)
	}
	now := w.uuids()
	for _, vm := range w.vms() {
		if vm.Meta.Template != "next" {
			t.Errorf("%s is of template %s", vm.Name, vm.Meta.Template)
		}
	}
	for name, uuid := range old {
		if now[name] == uuid {
			t.Errorf("%s was not replaced", name)
		}
	}
	w.refused([]string{"refresh", w.group, "--nats-url", p.url}, "all 2 VMs", "--all")
	w.refused([]string{"refresh", w.group, "--checkpoints", "50%,20%", "--nats-url", p.url}, "found 20 after 50", "ascend")
	w.refused([]string{"refresh", w.group, "--pause", "--nats-url", p.url}, "no refresh goes on")
	p.stop()

	p = w.start(of("deaf", "boot_timeout: 20s\nrefresh:\n  max_failures: 0"))
	p.until("the new one fails, and the group is back", func() bool {
		check(p)
		return p.decision.Refresh != nil && p.decision.Refresh.Phase == bus.RefreshFailed && len(p.sample.VMs) == 2
	})
	if left := w.uuids(); !sameMap(left, now) {
		t.Errorf("there are %v, want %v", left, now)
	}
	p.until("none is retiring", func() bool {
		for _, vm := range p.sample.VMs {
			if vm.Retiring {
				return false
			}
		}
		return true
	})
	if out := w.must("events", w.group, "--nats-url", p.url); !strings.Contains(out, "back at template next") {
		t.Errorf("the history says\n%s", out)
	}
	if out := w.must("refresh", w.group, "--dry-run", "--nats-url", p.url); !strings.Contains(out, "would replace 2 VMs") {
		t.Errorf("a dry run says %q", out)
	}
	p.stop()

	p = w.start(of("next", "refresh:\n  start: manual\n  min_healthy: 0"))
	p.until("its VMs are known", func() bool { return p.decision.HasSample })
	out := w.must("refresh", w.group, "--all", "--max-surge", "0", "--wait", "--nats-url", p.url)
	if !strings.Contains(out, "refresh=done, after ") {
		t.Errorf("the command says\n%s", out)
	}
	for name, uuid := range w.uuids() {
		if now[name] == uuid {
			t.Errorf("%s was not replaced", name)
		}
	}
	p.stop()
}

// TestCanary: a group that waits at a canary grows by VMs of the template before, and shrinks by those, until a person lets the
// refresh go on.
func TestCanary(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addTemplate("next", templateFile)
	of := func(name string) string {
		return w.config("min: 2\nmax: 4\ntemplate: " + name + "\nrefresh:\n  canary: 30%")
	}
	p := w.start(of("demo"))
	p.untilReady(2)
	p.stop()

	p = w.start(of("next"))
	waits := func(old, updated int) {
		t.Helper()
		p.until(fmt.Sprintf("%d old VMs and %d new ones", old, updated), func() bool {
			n := map[string]int{}
			for _, vm := range p.sample.VMs {
				if vm.Phase.Serves() && vm.State == bus.StateRunning {
					n[vm.Template]++
				}
			}
			return n["demo"] == old && n["next"] == updated && len(p.sample.VMs) == old+updated &&
				p.decision.Refresh != nil && p.decision.Refresh.Phase == bus.RefreshCanary
		})
	}
	w.must("wait", w.group, "refresh=canary", "--nats-url", p.url)
	waits(1, 1)
	first := w.uuids()
	w.must("scale", w.group, "3", "--nats-url", p.url)
	waits(2, 1)
	w.must("scale", w.group, "4", "--nats-url", p.url)
	waits(2, 2)
	now := w.uuids()
	for name, uuid := range first {
		if now[name] != uuid {
			t.Errorf("there are %v, and %s was %s when the refresh began to wait", now, name, uuid)
		}
	}
	w.must("scale", w.group, "2", "--nats-url", p.url)
	waits(1, 1)
	w.must("refresh", w.group, "--resume", "--nats-url", p.url)
	p.until("all are new", func() bool {
		return p.decision.Refresh != nil && p.decision.Refresh.Phase == bus.RefreshDone && len(p.sample.VMs) == 2
	})
	for _, vm := range w.vms() {
		if vm.Meta.Template != "next" {
			t.Errorf("%s is of template %s", vm.Name, vm.Meta.Template)
		}
	}
	p.stop()
}

func sameMap(a, b map[string]string) bool {
	for k, v := range a {
		if b[k] != v {
			return false
		}
	}
	return len(a) == len(b)
}

// addTemplate adds one to the pool.
func (w *world) addTemplate(name, file string) {
	w.t.Helper()
	if err := template.Upload(w.t.Context(), w.conn, template.Target{Pool: w.pool, Name: name}, file, nil); err != nil {
		w.t.Fatal(err)
	}
	w.templates = append(w.templates, template.VolumeName(name))
}

// TestReimage: a VM gets new disks, also of a program that is killed while it does, and is the same VM afterwards: its UUID,
// name and MAC address stay, and so does its address.
func TestReimage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addTemplate("next", templateFile)
	of := func(name string) string {
		return w.config("min: 2\nmax: 2\ntemplate: " + name + "\nrefresh:\n  strategy: reimage")
	}
	p := w.start(of("demo"))
	p.untilReady(2)
	before, macs := w.uuids(), w.macs()
	p.stop()
	p = w.start(of("next"))
	p.until("a VM is without disks", func() bool {
		for _, vm := range p.sample.VMs {
			if vm.Reimaging && vm.Phase == bus.PhaseCreating || vm.Phase == bus.PhaseLaunching {
				return true
			}
		}
		return false
	})
	p.kill()
	p = w.start(of("next"))
	p.until("all have new disks", func() bool {
		serving := 0
		for _, vm := range p.sample.VMs {
			if vm.Phase.Serves() {
				serving++
			}
		}
		if len(p.sample.VMs) > 0 && serving < 1 {
			t.Fatalf("none serves: %+v", p.sample.VMs)
		}
		return p.decision.Refresh != nil && p.decision.Refresh.Phase == bus.RefreshDone
	})
	if after := w.uuids(); !sameMap(before, after) {
		t.Errorf("there are %v, want %v", after, before)
	}
	if after := w.macs(); !sameMap(macs, after) {
		t.Errorf("their MAC addresses are %v, want %v", after, macs)
	}
	for _, vm := range w.vms() {
		if vm.Meta.Template != "next" || vm.Reimaging() {
			t.Errorf("%s has %+v", vm.Name, vm.Meta)
		}
	}
	if files := w.files(); len(files) != 2 {
		t.Errorf("the files are %v", files)
	}
	p.stop()
}

// macs are the VMs' MAC addresses.
func (w *world) macs() map[string]string {
	w.t.Helper()
	macs := map[string]string{}
	for _, v := range w.vms() {
		dom := w.domain(v.Name)
		text, err := dom.GetXMLDesc(0)
		var d libvirtxml.Domain
		if err == nil {
			err = d.Unmarshal(text)
		}
		if err != nil {
			w.t.Fatal(err)
		}
		macs[v.Name] = d.Devices.Interfaces[0].MAC.Address
	}
	return macs
}
