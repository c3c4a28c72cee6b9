package vm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/bus"
)

// Remove takes a VM away: shut down the guest, destroy, delete its volume, and undefine last, so that at whatever
// moment it is cut off a domain is left that names what belongs to it. A VM that is gone already, or not ours any
// more, is no error. When ctx ends everything stays as it is and the next start goes on. With d the VM drains first, and
// serves again if that is called off; the error is a calledOff then.
func (h Manager) Remove(ctx context.Context, r Removal, spec bus.Group, d *Drain, decision string) error {
	start := time.Now()
	vm := r.VM
	dom, err := h.Conn.LookupDomainByUUIDString(vm.UUID)
	if errors.Is(err, libvirt.ERR_NO_DOMAIN) {
		if r.Kind == Died { // and was undefined since
			_ = h.Farewell(ctx, spec.Hooks.Remove, vm, decision) // what went wrong is in the log, and nothing is left to be removed
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up %s: %w", vm.Name, err)
	}
	defer func(dom *libvirt.Domain) { _ = dom.Free() }(dom)
	// What was planned may be out of date; what the domain says now decides.
	now, err := readVM(dom)
	if errors.Is(err, errNotOurs) {
		return nil
	}
	if err != nil {
		return err
	}
	if r.Kind == Died && now.State == bus.StateRunning { // somebody started it again
		return nil
	}
	if r.Kind == ScaleIn && now.Protected {
		return nil
	}
	step(stepChosen)
	meta := now.Meta
	disk, others, err := disksOf(dom, meta.Volume)
	if errors.Is(err, libvirt.ERR_NO_DOMAIN) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s: %w", now.Name, err)
	}
	tell := func(event bus.EventType, problem error, deadline *time.Time) {
		if r.Again && event != bus.EventRemoved {
			return
		}
		e := bus.Event{
			Group: meta.Group, VM: now.Name, Event: event, DecisionID: decision, Sentence: r.Reason + leftAlone(event, others),
			ElapsedMS: time.Since(start).Milliseconds(), Deadline: deadline,
		}
		if problem != nil {
			e.Error = ErrorText(problem)
		}
		h.Tell(e)
	}
	// A phase that cannot be written (a QEMU that does not answer keeps libvirt from it) holds no removal up: a VM
	// that is found off is removed all the same.
	var stuck bool
	var abandoned error
	if r.Graceful && now.State == bus.StateRunning {
		stuck, abandoned, err = h.release(ctx, dom, spec, d, now, &meta, decision, tell)
		if IsCalledOff(err) {
			return h.serveAgain(dom, spec, meta, now.Name, decision, err)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", now.Name, err)
		}
		step(stepOff)
	} else if now.State != bus.StateRunning {
		if abandoned = h.Farewell(ctx, spec.Hooks.Remove, now, decision); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	if !stuck {
		err = h.Calls.act(ctx, func() error { return SetPhase(dom, &meta, bus.PhaseStopping) })
	}
	step(stepStopping)
	if errors.Is(err, libvirt.ERR_NO_DOMAIN) { // a domain that somebody undefined vanished when it went off
		dom, err = nil, nil
	}
	tell(bus.EventStopping, errors.Join(err, abandoned), nil)
	if dom != nil {
		err := h.Calls.act(ctx, dom.Destroy)
		if err != nil && ctx.Err() == nil && !errors.Is(err, libvirt.ERR_OPERATION_INVALID) && !errors.Is(err, libvirt.ERR_NO_DOMAIN) {
			return fmt.Errorf("destroy %s: %w", now.Name, err)
		}
	}
	step(stepKilled)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := h.Calls.act(ctx, func() error { return DeleteVolume(h.Conn, meta, disk) }); err != nil {
		return err
	}
	step(stepDeleted)
	if dom != nil {
		if err := undefine(dom); err != nil {
			return fmt.Errorf("%s: %w", now.Name, err)
		}
	}
	step(stepRemoved)
	if h.End != nil {
		h.Tell = func(e bus.Event) { h.End(vm.UUID, e) }
	}
	tell(bus.EventRemoved, nil, nil)
	return nil
}

// release takes a running VM out of service: drain, hook, and shutdown of its guest. It is stuck if QEMU does not answer:
// libvirt has waited half a minute for it, and would at each further call. That its hook abandoned it keeps no VM from
// going.
func (h Manager) release(
	ctx context.Context, dom *libvirt.Domain, spec bus.Group, d *Drain, vm VM, meta *bus.Metadata, decision string,
	tell func(bus.EventType, error, *time.Time),
) (stuck bool, abandoned, err error) {
	if meta.Phase != bus.PhaseDraining { // else by an earlier start, whose time goes on
		err = h.Calls.act(ctx, func() error { return SetPhase(dom, meta, bus.PhaseDraining) })
	}
	began := meta.Since
	if err != nil {
		began = time.Now()
	}
	step(stepDraining)
	stuck = errors.Is(err, libvirt.ERR_OPERATION_TIMEOUT)
	off, latest := began, time.Now() // when it is shut down, with no hook and with one
	if d != nil && !stuck {
		off = began.Add(spec.Drain)
	}
	if spec.Hooks.Remove.Waits() {
		latest = later(latest, began.Add(spec.Hooks.Remove.Timeout))
	}
	deadline := later(off, latest).Add(spec.ShutdownTimeout).UTC()
	tell(bus.EventDraining, err, &deadline)
	action, abandoned := h.removeHook(ctx, spec.Hooks.Remove, dom, vm, decision, began)
	if action == "" {
		return stuck, nil, abandoned
	}
	if d != nil {
		if err := d.wait(ctx, off); err != nil {
			return stuck, abandoned, err
		}
	}
	if stuck {
		return stuck, abandoned, nil
	}
	return stuck, abandoned, shutDown(ctx, h.Calls, dom, spec.ShutdownTimeout)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// serveAgain ends a drain that was called off. Where a group has a launch hook the VM goes through it again: whoever was
// told that it goes must hear that it serves.
func (h Manager) serveAgain(dom *libvirt.Domain, spec bus.Group, meta bus.Metadata, name, decision string, cause error) error {
	phase := bus.PhaseReady
	if spec.Hooks.Launch.Waits() {
		phase = bus.PhaseLaunching
	}
	if err := SetPhase(dom, &meta, phase); err != nil {
		return fmt.Errorf("%s: keep it: %w", name, err)
	}
	h.Tell(bus.Event{Group: meta.Group, VM: name, Event: bus.EventKept, DecisionID: decision, Sentence: cause.Error()})
	return cause
}

// turnPatience is for how long a guest may wait until it can be asked to shut down, beyond its time-out: others are asked
// before it, and some may not answer.
const turnPatience = 15 * time.Second

// shutDown asks the guest to shut down, and waits until it is off or the time-out has passed; the caller destroys it then.
// The time-out begins when the guest was asked.
func shutDown(ctx context.Context, calls *Calls, dom *libvirt.Domain, timeout time.Duration) error {
	deadline := time.NewTimer(timeout + turnPatience)
	defer deadline.Stop()
	poll := time.NewTicker(200 * time.Millisecond)
	defer poll.Stop()
	// An error here is not one of the removal: a guest without agent and ACPI is destroyed after the time-out. The
	// call waits for a QEMU that does not answer, so nothing waits for the call.
	if err := dom.Ref(); err != nil {
		return fmt.Errorf("shut down: %w", err)
	}
	asked := make(chan struct{})
	asking, stop := context.WithCancel(ctx)
	go func() {
		defer close(asked)
		_ = calls.ask(asking, func() { askToShutDown(dom) })
		_ = dom.Free()
	}()
	defer func() {
		stop()
		select {
		case <-asked:
		case <-time.After(time.Second): // it hangs, and ends when QEMU answers or is killed
		}
	}()
	answered := asked
	for {
		state, _, err := dom.GetState()
		switch {
		case errors.Is(err, libvirt.ERR_NO_DOMAIN):
			return nil
		case err != nil:
			return fmt.Errorf("wait for the shutdown: %w", err)
		case state == libvirt.DOMAIN_SHUTOFF, state == libvirt.DOMAIN_CRASHED:
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-deadline.C:
			return nil
		case <-answered:
			answered = nil
			deadline.Reset(timeout)
		case <-poll.C:
		}
	}
}

// askToShutDown asks the guest to shut down, by its agent where that answers, else by the power button. Not by libvirt's
// call that does both: that waits for up to a minute until the guest is off.
func askToShutDown(dom *libvirt.Domain) {
	err := agentCommand(dom, time.Second, "guest-shutdown", map[string]any{"mode": "powerdown"}, nil)
	if err == nil || errors.Is(err, libvirt.ERR_AGENT_COMMAND_TIMEOUT) {
		return // an agent that does as it is told does not answer
	}
	err = dom.ShutdownFlags(libvirt.DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
	if errors.Is(err, libvirt.ERR_INVALID_ARG) || errors.Is(err, libvirt.ERR_NO_SUPPORT) {
		_ = dom.Shutdown() // a driver with one way
	}
}

// undefine removes the definition with all that libvirt keeps beside it.
func undefine(dom *libvirt.Domain) error {
	flags := libvirt.DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
		libvirt.DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | libvirt.DOMAIN_UNDEFINE_NVRAM
	err := dom.UndefineFlags(flags)
	if errors.Is(err, libvirt.ERR_INVALID_ARG) || errors.Is(err, libvirt.ERR_NO_SUPPORT) {
		err = dom.Undefine() // a driver without those flags has nothing of the kind
	}
	if err != nil && !errors.Is(err, libvirt.ERR_NO_DOMAIN) {
		return fmt.Errorf("undefine: %w", err)
	}
	return nil
}

// poolDir is the folder of a directory pool.
func poolDir(poolXML string) (string, error) {
	var p libvirtxml.StoragePool
	if err := p.Unmarshal(poolXML); err != nil {
		return "", fmt.Errorf("read the storage pool: %w", err)
	}
	if p.Target == nil || p.Target.Path == "" {
		return "", fmt.Errorf("storage pool %q of type %q has no folder; want a directory pool", p.Name, p.Type)
	}
	return p.Target.Path, nil
}
