package e2e

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/scenario"
)

const storyPolicy = `policy:
  upper: 40
  lower: 15`

// TestStory plays the demonstration: growth under load to exactly three VMs, and back to one. It runs beside no other
// test, as its VMs must get the CPU that they ask for.
func TestStory(t *testing.T) {
	w := newWorld(t)
	p := w.start(w.config(storyPolicy))
	w.playStory(p.watcher)
	p.stop()
	if n := len(w.vms()); n != 1 {
		t.Errorf("%d VMs after Ctrl-C, want the one that was there", n)
	}
}

// playStory plays the story on a bus where the stages run.
func (w *world) playStory(b *watcher) {
	w.t.Helper()
	err := scenario.Run(w.t.Context(), scenario.Config{
		Conn: b.conn, Group: w.group, Patience: patience, Say: w.t.Logf, Grown: w.checkClones,
		Load: func(ctx context.Context, vm string) error {
			cmd := w.command("load", vm, "--for", "1h")
			return runUntil(ctx, cmd)
		},
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// runUntil runs a command, and interrupts it when ctx ends; it must end well in both cases.
func runUntil(ctx context.Context, cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(os.Interrupt) })
	defer stop()
	return cmd.Wait()
}

// checkClones checks what each VM of the group is made of.
func (w *world) checkClones() {
	w.t.Helper()
	if n := len(w.vms()); n != scenario.Needed {
		w.t.Errorf("libvirt has %d VMs of the group, want %d", n, scenario.Needed)
	}
	pool, err := w.conn.LookupStoragePoolByName(w.pool)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = pool.Free() }()
	for _, vm := range w.vms() {
		text, err := w.domain(vm.Name).GetXMLDesc(0)
		if err != nil {
			w.t.Fatal(err)
		}
		var d libvirtxml.Domain
		if err := d.Unmarshal(text); err != nil {
			w.t.Fatal(err)
		}
		disk := d.Devices.Disks[0]
		if disk.Source.File.File != w.dir+"/"+vm.Meta.Volume {
			w.t.Errorf("%s: disk %s, want %s in the pool", vm.Name, disk.Source.File.File, vm.Meta.Volume)
		}
		vol, err := pool.LookupStorageVolByName(vm.Meta.Volume)
		if err != nil {
			w.t.Fatal(err)
		}
		w.checkVolume(vm.Name, vol)
		_ = vol.Free()
	}
}

func (w *world) checkVolume(vm string, vol *libvirt.StorageVol) {
	w.t.Helper()
	text, err := vol.GetXMLDesc(0)
	if err != nil {
		w.t.Fatal(err)
	}
	var v libvirtxml.StorageVolume
	if err := v.Unmarshal(text); err != nil {
		w.t.Fatal(err)
	}
	if v.BackingStore == nil || v.BackingStore.Path != w.templatePath() {
		w.t.Errorf("%s: backing store %+v, want the template %s", vm, v.BackingStore, w.templatePath())
	}
	if v.Allocation.Value >= 16<<20 {
		w.t.Errorf("%s: its own disk takes %d MiB, want a small one", vm, v.Allocation.Value>>20)
	}
}

// TestDemoIsInterrupted starts the demonstration, which wires the stages on its own, and ends it as soon as its VM is there.
func TestDemoIsInterrupted(t *testing.T) {
	t.Parallel()
	w := newPrivateLibvirt(t).world() // its own, as all demonstrations have one group
	p := w.spawn("demo", "-c", w.config(""))
	p.says("One worker now keeps it busy.")
	p.willEnd()
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	p.says("vmscaler-demo-1 is removed.")
	p.says("interrupted")
	<-p.done
	if domains, err := w.conn.ListAllDomains(0); err != nil || len(domains) != 0 {
		t.Errorf("%d domains are left (%v), want none", len(domains), err)
	}
	if files := w.files(); len(files) != 0 {
		t.Errorf("left in the pool: %v", files)
	}
}
