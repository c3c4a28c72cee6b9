package vm

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// Reimage gives a VM new disks, and the definition that a new one would have: it keeps its UUID, name and MAC addresses, and
// with them what others know it by. It leaves service as for its removal, and then goes through a launch. Until it is ready
// again its metadata says so, so that the next start goes on with it at whatever moment this was cut off. A step of the launch
// that fails removes the VM. Until its guest is shut down d calls it off, and so does its protection: it serves again then, and
// the error is a [CalledOff].
func (h Manager) Reimage(ctx context.Context, spec bus.Group, v VM, d *Drain, decision string) error {
	e := &ending{
		Manager: h, spec: spec, drain: d, decision: decision, began: time.Now(),
		removal: Removal{VM: v, Kind: Reimaged, Reason: "it gets new disks, of template " + spec.Template, Graceful: true},
	}
	wanted, err := e.look(ctx)
	if !wanted || err != nil {
		return err
	}
	defer func(dom *libvirt.Domain) { _ = dom.Free() }(e.dom)
	l := h.newLaunch(spec, v.Name, v.UUID, decision)
	defer l.free()
	l.meta.Reimaging = time.Now()
	if err := l.prepare(ctx); err != nil { // before anything is taken away
		return err
	}
	if there, err := e.readDisks(); !there || err != nil {
		return err
	}
	if err := e.untouched("its disks"); err != nil {
		return err
	}
	if needed, _, err := e.readNeeded(); err != nil {
		return err
	} else if needed != "" {
		return fmt.Errorf("%s gets no new disks, as the one that it has is needed by %s", v.Name, needed)
	}
	if err := e.takeOutForReimage(ctx); err != nil {
		return err
	}
	if l.protection, err = readProtection(e.dom); err != nil { // which a person has given it too late
		return fmt.Errorf("%s: %w", v.Name, err)
	}
	return l.run(ctx)
}

// untouched is an error where a person has given the VM disks or snapshots, which a new definition and new disks would break.
// what is what it keeps then.
func (e *ending) untouched(what string) error {
	if e.vm.Reimaging() { // it was looked at before it began
		return nil
	}
	snapshots, err := e.dom.SnapshotNum(0)
	switch {
	case err != nil && !errors.Is(err, libvirt.ERR_NO_SUPPORT):
		return fmt.Errorf("%s: count its snapshots: %w", e.vm.Name, err)
	case snapshots > 0:
		return fmt.Errorf("%s keeps %s, as it has %s (virsh snapshot-list)", e.vm.Name, what, bus.Count(snapshots, "snapshot"))
	case len(e.others) > 0:
		return fmt.Errorf(
			"%s keeps %s, as it has disks that vmscaler did not make: %s", e.vm.Name, what, strings.Join(e.others, ", "),
		)
	}
	return nil
}

// leave notes that the VM is out of service to come back, with its own disks where it restarts, and leaves it off. reached is the
// step of having noted it.
func (e *ending) leave(ctx context.Context, restarts bool, reached string) error {
	if !e.vm.Reimaging() {
		meta := e.vm.Meta
		meta.Reimaging, meta.Restarts, meta.Phase, meta.Since = time.Now(), restarts, bus.PhaseDraining, time.Now()
		if err := e.Calls.act(ctx, "metadata", func() error { return setMetadata(e.dom, meta) }); err != nil {
			return fmt.Errorf("%s: %w", e.vm.Name, err)
		}
		e.vm.Meta = meta
	}
	step(reached)
	if e.vm.Meta.Phase == bus.PhaseDraining { // else it was off when this was cut off
		if err := e.takeOut(ctx); err != nil {
			return err
		}
	}
	if err := e.destroy(ctx); err != nil {
		return err
	}
	if e.dom == nil {
		return errors.New("it was undefined meanwhile")
	}
	return nil
}

// takeOutForReimage leaves the VM off and without its volumes.
func (e *ending) takeOutForReimage(ctx context.Context) error {
	if err := e.leave(ctx, false, stepReimaging); err != nil {
		return err
	}
	if err := e.Calls.act(ctx, "delete-volumes", func() error { return DeleteVolumes(ctx, e.Conn, e.vm.Meta, e.disk) }); err != nil {
		return err
	}
	step(stepStripped)
	return nil
}
