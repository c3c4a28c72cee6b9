package vm

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
)

// Saver is what saves a VM's memory on this host: QEMU, libvirt and the CPU. What one has saved is not for another.
func (h Manager) Saver() (string, error) {
	qemu, err := h.Conn.GetVersion()
	if err != nil {
		return "", fmt.Errorf("read the version of QEMU: %w", err)
	}
	lib, err := h.Conn.GetLibVersion()
	if err != nil {
		return "", fmt.Errorf("read the version of libvirt: %w", err)
	}
	return saver(qemu, lib, h.Machine.CPU), nil
}

func saver(qemu, lib uint32, cpu string) string {
	text := fmt.Sprintf("qemu %s libvirt %s", version(qemu), version(lib))
	if cpu != "" {
		text += " cpu " + cpu
	}
	return text
}

// version is a version as libvirt's functions return it, in words.
func version(v uint32) string { return fmt.Sprintf("%d.%d.%d", v/1000000, v/1000%1000, v%1000) }

// fingerprint is short for all of a host's CPU that a guest can have seen.
func fingerprint(cpu libvirtxml.CapsHostCPU) string {
	parts := []string{cpu.Arch, cpu.Vendor, cpu.Model}
	if cpu.Microcode != nil {
		parts = append(parts, fmt.Sprint(cpu.Microcode.Version))
	}
	for _, f := range cpu.FeatureFlags {
		parts = append(parts, f.Name)
	}
	slices.Sort(parts[3:])
	return fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(parts, " "))))[:8]
}

// saverOf is what is noted of a VM before it waits in the warm pool: what saves its memory, or "" where that is kept.
func (h Manager) saverOf(spec bus.Group, meta bus.Metadata) (string, error) {
	if spec.WarmPool.StateOf(meta) != bus.WarmSaved {
		return "", nil
	}
	return h.Saver()
}

// save writes a guest's memory to a file that libvirt keeps for its domain, from which that goes on when it is started. A guest
// whose memory cannot be written runs on.
func (h Manager) save(ctx context.Context, dom *libvirt.Domain) error {
	done, err := h.Calls.save(ctx)
	if err != nil {
		return err
	}
	defer done()
	if err := h.roomToSave(ctx, dom); err != nil {
		return fmt.Errorf("save its memory: %w", err)
	}
	err = h.Calls.act(ctx, "save", func() error { return dom.ManagedSave(libvirt.DOMAIN_SAVE_RUNNING) })
	if err != nil {
		return fmt.Errorf("save its memory: %w", err)
	}
	return nil
}

// roomToSave is an error where a file with all of a guest's memory would leave less than the reserve of the pool of disks: where
// that is full, guests are paused that write. libvirt's folder for these files is taken to be on the pool's file system. What is
// not known refuses nothing.
func (h Manager) roomToSave(ctx context.Context, dom *libvirt.Domain) error {
	kib, err := dom.GetMaxMemory()
	if err != nil {
		return fmt.Errorf("read how much it has: %w", err)
	}
	if err := template.HasRoom(ctx, h.Conn, h.Pools.Disks, kib<<10, h.PoolReserveMiB); errors.Is(err, template.ErrNoRoom) {
		return err
	}
	return nil
}

// restore has a domain go on from its saved memory.
func (h Manager) restore(ctx context.Context, dom *libvirt.Domain, v VM) error {
	if err := h.Calls.restore(ctx, dom.Create); err != nil {
		return fmt.Errorf("start %s from its saved memory: %w", v.Name, err)
	}
	step(stepRestored)
	if err := h.recall(ctx, dom, v); err != nil {
		return err
	}
	state, _, err := dom.GetState()
	if err != nil {
		return fmt.Errorf("read the state of %s: %w", v.Name, err)
	}
	if state != libvirt.DOMAIN_PAUSED {
		return nil
	}
	if err := h.Calls.act(ctx, "resume", dom.Resume); err != nil { // a person has saved it while it was paused
		return fmt.Errorf("resume %s: %w", v.Name, err)
	}
	return nil
}

// recall writes what was noted of a VM while its memory was saved to what runs, whose definition is that of then.
func (h Manager) recall(ctx context.Context, dom *libvirt.Domain, v VM) error {
	err := h.Calls.act(ctx, "metadata", func() error {
		for _, e := range ownElements() {
			kept, err := readElementAt(dom, e.uri, libvirt.DOMAIN_AFFECT_CONFIG)
			if err != nil {
				return err
			}
			runs, err := readElementAt(dom, e.uri, libvirt.DOMAIN_AFFECT_LIVE)
			if err != nil {
				return err
			}
			if kept == runs {
				continue
			}
			// And not to what is kept, which a person may have changed meanwhile.
			err = dom.SetMetadata(libvirt.DOMAIN_METADATA_ELEMENT, kept, e.key, e.uri, libvirt.DOMAIN_AFFECT_LIVE)
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("recall what was noted of %s: %w", v.Name, err)
	}
	return nil
}

// unfit is why a VM cannot go on from its saved memory; "": it may be tried. An error means that it is not known.
func (h Manager) unfit(v VM) (why string, err error) {
	switch {
	case v.Meta.Saver == "": // it waits otherwise, or a person has saved it
		return "", nil
	case v.Off():
		return "its saved memory is gone", nil
	case v.State != bus.StateSaved:
		return "", nil
	}
	here, err := h.Saver()
	if err != nil {
		return "", err
	}
	return v.SavedElsewhere(here), nil
}

// wentOn reports, as an error, that a VM has booted in place of going on from its saved memory: libvirt boots one whose file is
// not complete.
func wentOn(dom *libvirt.Domain) error {
	state, reason, err := dom.GetState()
	if err != nil {
		return fmt.Errorf("read its state: %w", err)
	}
	if state == libvirt.DOMAIN_RUNNING && reason == int(libvirt.DOMAIN_RUNNING_BOOTED) {
		return errors.New("libvirt could not use its saved memory, and has booted it anew")
	}
	return nil
}
