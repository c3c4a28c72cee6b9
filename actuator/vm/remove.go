package vm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"libvirt.org/go/libvirt"
	"libvirt.org/go/libvirtxml"

	"github.com/vmscaler/vmscaler/actuator/template"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/tracing"
)

// Remove takes a VM away: shut down the guest, destroy, delete its volume, and undefine last, so that at whatever
// moment it is cut off a domain is left that names what belongs to it. A VM that is gone already, or not ours any
// more, is no error. When ctx ends everything stays as it is and the next start goes on. With d the VM drains first, and
// serves again if that is called off; the error is a [CalledOff] then.
func (h Manager) Remove(ctx context.Context, r Removal, spec bus.Group, d *Drain, decision string) error {
	e := &ending{Manager: h, removal: r, spec: spec, drain: d, decision: decision, began: time.Now()}
	if wanted, err := e.look(ctx); !wanted || err != nil {
		return err
	}
	defer func(dom *libvirt.Domain) { _ = dom.Free() }(e.dom)
	step(stepChosen)
	if there, err := e.readDisks(); !there || err != nil {
		return err
	}
	if err := e.takeOut(ctx); err != nil {
		return err
	}
	if err := e.destroy(ctx); err != nil {
		return err
	}
	if err := e.delete(ctx); err != nil {
		return err
	}
	if h.End != nil && e.needed == "" { // else its record says whose the volume is
		e.Tell = func(event bus.Event) { h.End(r.VM.UUID, event) }
	}
	e.tell(bus.EventRemoved, nil, nil)
	return nil
}

// ending is one VM that is being removed.
type ending struct {
	Manager
	removal  Removal
	spec     bus.Group
	drain    *Drain // nil: it cannot be called off
	decision string
	began    time.Time

	dom    *libvirt.Domain // nil: a person has undefined it meanwhile
	vm     VM              // as the domain says it now
	disk   string          // where the domain has its volume, "" if it does not
	others []string        // its other disks
	needed string          // who else needs its disk, which stays then; "": nobody
	// stuck is that QEMU does not answer: libvirt has waited half a minute for it, and would at each further call.
	stuck     bool
	abandoned error // by its hook
	retained  bool  // for that it stays, out of its group; or it has returned to the warm pool
	steps     tracing.Steps
}

// tell publishes an event. A retry publishes only its end.
func (e *ending) tell(event bus.EventType, problem error, deadline *time.Time) {
	if e.removal.Again && event != bus.EventRemoved {
		return
	}
	out := bus.Event{
		Group: e.vm.Meta.Group, VM: e.vm.Name, Event: event, DecisionID: e.decision,
		Sentence:  e.removal.Reason + leftAlone(event, e.others) + e.kept(event),
		ElapsedMS: time.Since(e.began).Milliseconds(), Deadline: deadline,
	}
	if o := e.removal.VM.Order; o != nil && e.removal.Kind == Ordered {
		out.By, out.Reason = o.By, o.Reason
	}
	if problem != nil {
		out.Error = ErrorText(problem)
	}
	e.Tell(out)
}

// look reports whether the VM is to be removed still: what was planned may be out of date; what the domain says now decides.
func (e *ending) look(ctx context.Context) (wanted bool, err error) {
	vm := e.removal.VM
	dom, err := e.Conn.LookupDomainByUUIDString(vm.UUID)
	if errors.Is(err, libvirt.ERR_NO_DOMAIN) {
		if e.removal.Kind == Died { // and was undefined since
			_ = e.Farewell(ctx, e.spec.Hooks.Remove, vm, e.decision) // what went wrong is in the log, and nothing is left to be removed
		}
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look up %s: %w", vm.Name, err)
	}
	e.vm, err = readVM(dom)
	switch {
	case errors.Is(err, errNotOurs):
		err = nil
	case err != nil:
	case e.removal.Kind == Died && e.vm.State == bus.StateRunning: // somebody started it again
	case e.removal.Kind != Operator && e.vm.Order.Is(bus.VMDetach): // it is a person's in a moment
	case e.removal.Kind == Reimaged && e.vm.Reimaging(): // it is out of service, and nothing else brings it back
		e.dom = dom
		return true, nil
	case e.removal.Kind.spares() && e.vm.Protected:
	default:
		e.dom = dom
		return true, nil
	}
	_ = dom.Free()
	return false, err
}

// readDisks reports whether the domain is there still.
func (e *ending) readDisks() (there bool, err error) {
	e.disk, e.others, err = disksOf(e.dom, e.vm.Meta)
	if errors.Is(err, libvirt.ERR_NO_DOMAIN) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("%s: %w", e.vm.Name, err)
	}
	return true, nil
}

// takeOut takes the VM out of service: a running one as gracefully as it is to go, one that is off with its hook.
func (e *ending) takeOut(ctx context.Context) (err error) {
	e.steps.Next(ctx, "drain")
	defer func() { e.steps.End(err) }()
	switch {
	case e.removal.Graceful && e.vm.State == bus.StateRunning:
		err := e.release(ctx)
		switch {
		case e.retained:
			return err
		case IsCalledOff(err):
			return e.serveAgain(err)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", e.vm.Name, err)
		}
		step(stepOff)
	case e.vm.State != bus.StateRunning:
		if e.abandoned = e.Farewell(ctx, e.spec.Hooks.Remove, e.vm, e.decision); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

// release drains a running VM, waits for its hook, and shuts its guest down.
//
// A phase that cannot be written (a QEMU that does not answer keeps libvirt from it) holds no removal up: a VM
// that is found off is removed all the same.
func (e *ending) release(ctx context.Context) error {
	var problem error
	retained := e.vm.Meta.Phase == bus.PhaseRetained
	if e.vm.Meta.Phase == bus.PhaseDraining { // by an earlier start, whose time goes on
		if err := e.spared(); err != nil {
			return err
		}
	} else {
		e.vm.Meta.Sheds = sheds(e.removal, e.vm.Meta)
		problem = e.Calls.act(ctx, "metadata", func() error { return SetPhase(e.dom, &e.vm.Meta, bus.PhaseDraining) })
	}
	began := e.vm.Meta.Since
	if problem != nil {
		began = time.Now()
	}
	step(stepDraining)
	e.stuck = errors.Is(problem, libvirt.ERR_OPERATION_TIMEOUT)
	off, latest := began, time.Now() // when it is shut down, with no hook and with one
	if e.drain != nil && !e.stuck {
		off = began.Add(e.spec.Drain)
	}
	hooks := e.spec.Hooks.Remove
	if retained {
		hooks = nil // they were asked
	}
	if hooks.Waits() {
		latest = later(latest, began.Add(hooks.Timeout()))
	}
	deadline := later(off, latest).Add(e.spec.ShutdownTimeout).UTC()
	e.tell(bus.EventDraining, problem, &deadline)
	action, abandoned := e.removeHook(ctx, hooks, e.dom, e.vm, e.decision, began)
	if action == "" {
		return abandoned
	}
	e.abandoned = abandoned
	if retains(abandoned) && !e.removal.VM.Order.Leaves() {
		return e.retain(ctx)
	}
	if e.drain != nil {
		if err := e.drain.wait(ctx, off); err != nil {
			return err
		}
	}
	if e.stuck {
		return nil
	}
	if err := e.spared(); err != nil {
		return err
	}
	if e.removal.Reuse && abandoned == nil {
		err := e.reuse(ctx)
		if !errors.Is(err, ErrCannotWait) {
			return err
		}
		e.abandoned = err // which its end says
	}
	e.steps.Next(ctx, "shutdown")
	return shutDown(ctx, e.Calls, e.dom, e.spec.ShutdownTimeout)
}

// spared is an error where the VM was protected while it drained, and is to stay for that: a [CalledOff]. Of one that drains
// since an earlier start only a person's order is known.
func (e *ending) spared() error {
	cutOff := e.removal.Kind == Interrupted && e.vm.Meta.Phase == bus.PhaseDraining && !e.vm.Order.Leaves()
	if !e.removal.Kind.spares() && !cutOff {
		return nil
	}
	p, err := readProtection(e.dom)
	switch {
	case errors.Is(err, libvirt.ERR_NO_DOMAIN): // undefined by a person
		return nil
	case err != nil:
		return err
	case p.On:
		return CalledOff{Why: "it is protected now"}
	}
	return nil
}

// retain ends a removal whose hook was abandoned: the VM stays as it is, and belongs to its group's numbers no more.
func (e *ending) retain(ctx context.Context) error {
	if e.drain != nil && !e.drain.commit() {
		<-ctx.Done() // it is needed again, and serves
		return context.Cause(ctx)
	}
	next := e.vm.Meta
	next.Phase, next.Since, next.Retiring, next.Reimaging = bus.PhaseRetained, time.Now(), time.Time{}, time.Time{}
	next.Restarts, next.Sheds = false, false
	if err := e.Calls.act(ctx, "metadata", func() error { return setMetadata(e.dom, next) }); err != nil {
		return fmt.Errorf("retain it: %w", err)
	}
	e.vm.Meta, e.retained = next, true
	e.Tell(bus.Event{
		Group: next.Group, VM: e.vm.Name, Event: bus.EventRetained, DecisionID: e.decision, Error: ErrorText(e.abandoned),
		Sentence: "it is kept, and out of its group, until `vmscaler remove " + e.vm.Name + "`",
	})
	return CalledOff{Why: "its remove hook was abandoned, and it is retained"}
}

// destroy makes sure that the VM is off.
func (e *ending) destroy(ctx context.Context) (err error) {
	e.steps.Next(ctx, "destroy")
	defer func() { e.steps.End(err) }()
	var problem error
	if !e.stuck {
		e.vm.Meta.Sheds = sheds(e.removal, e.vm.Meta)
		problem = e.Calls.act(ctx, "metadata", func() error { return SetPhase(e.dom, &e.vm.Meta, bus.PhaseStopping) })
	}
	step(stepStopping)
	if errors.Is(problem, libvirt.ERR_NO_DOMAIN) { // a domain that somebody undefined vanished when it went off
		e.dom, problem = nil, nil
	}
	e.tell(bus.EventStopping, errors.Join(problem, e.abandoned), nil)
	if e.dom != nil {
		err := e.Calls.act(ctx, "destroy", e.dom.Destroy)
		if err != nil && ctx.Err() == nil && !errors.Is(err, libvirt.ERR_OPERATION_INVALID) && !errors.Is(err, libvirt.ERR_NO_DOMAIN) {
			return fmt.Errorf("destroy %s: %w", e.vm.Name, err)
		}
	}
	step(stepKilled)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// delete deletes the volumes, and then the definition that names them.
func (e *ending) delete(ctx context.Context) (err error) {
	e.steps.Next(ctx, "delete")
	defer func() { e.steps.End(err) }()
	if e.dom != nil && e.removal.Kind != Operator {
		order, err := readOrder(e.dom)
		if err != nil && !errors.Is(err, libvirt.ERR_NO_DOMAIN) {
			return fmt.Errorf("%s: %w", e.vm.Name, err)
		}
		if order.Is(bus.VMDetach) { // which was asked too late to keep it running
			return fmt.Errorf("%s: it is to be detached, and not to be removed", e.vm.Name)
		}
	}
	if err := e.Calls.act(ctx, "delete-volumes", func() error { return e.deleteVolumes(ctx) }); err != nil {
		return err
	}
	step(stepDeleted)
	if e.dom != nil {
		if err := undefine(e.dom); err != nil {
			return fmt.Errorf("%s: %w", e.vm.Name, err)
		}
	}
	step(stepRemoved)
	return nil
}

// deleteVolumes deletes the VM's volumes, unless somebody has come to need them: they stay then as orphans, which a sweep deletes
// when nobody does any more.
func (e *ending) deleteVolumes(ctx context.Context) error {
	var usage template.Usage
	var err error
	if e.needed, usage, err = e.readNeeded(); err != nil || e.needed != "" {
		return err
	}
	return DeleteVolumes(ctx, e.Conn, e.vm.Meta, e.disk, e.shed(usage)...)
}

// readNeeded is who needs the VM's disk, "" if nobody does, and who needs what else.
func (e *ending) readNeeded() (string, template.Usage, error) {
	usage, err := template.ReadUsage(e.Conn)
	if err != nil {
		return "", usage, fmt.Errorf("look who needs the disk of %s: %w", e.vm.Name, err)
	}
	return neededBy(usage.Clones(e.file()), e.vm.Name, e.file(), e.others), usage, nil
}

// file is the path of the VM's disk; "" where no pool has it.
func (e *ending) file() string {
	if e.disk != "" {
		return e.disk
	}
	pool, err := e.Conn.LookupStoragePoolByName(e.vm.Meta.Pool)
	if err != nil {
		return ""
	}
	defer func() { _ = pool.Free() }()
	path, err := VolumePath(pool, e.vm.Meta.Volume)
	if err != nil {
		return ""
	}
	return path
}

// neededBy is who needs a VM's disk beside the VM itself, with whatever a person has laid over the disk there; "" is nobody.
func neededBy(clones []template.Clone, name, disk string, others []string) string {
	for _, c := range clones {
		own := c.Path == disk || slices.Contains(others, c.Path)
		if foreign := slices.DeleteFunc(slices.Clone(c.Domains), func(d string) bool { return d == name }); own && len(foreign) == 0 {
			continue
		}
		return c.String()
	}
	return ""
}

// kept is what the end of a VM says of a disk that stays.
func (e *ending) kept(event bus.EventType) string {
	if event != bus.EventRemoved || e.needed == "" {
		return ""
	}
	return "; its disk stays, as it is needed by " + bus.Line(e.needed)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// serveAgain ends a drain that was called off. Where a group has a launch hook the VM goes through it again: a load balancer
// that removed it must add it back.
func (e *ending) serveAgain(cause error) error {
	phase := bus.PhaseReady
	if e.spec.Hooks.Launch.Waits() {
		phase = bus.PhaseLaunching
	}
	e.vm.Meta.Sheds, e.vm.Meta.Reimaging, e.vm.Meta.Restarts = false, time.Time{}, false
	if err := SetPhase(e.dom, &e.vm.Meta, phase); err != nil {
		return fmt.Errorf("%s: keep it: %w", e.vm.Name, err)
	}
	e.Tell(bus.Event{Group: e.vm.Meta.Group, VM: e.vm.Name, Event: bus.EventKept, DecisionID: e.decision, Sentence: cause.Error()})
	return cause
}

// undefine removes the definition with all that libvirt keeps beside it.
func undefine(dom *libvirt.Domain) error {
	const most = libvirt.DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
	const all = most | libvirt.DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | libvirt.DOMAIN_UNDEFINE_NVRAM
	err := dom.UndefineFlags(all)
	for _, flags := range []libvirt.DomainUndefineFlagsValues{most, 0} { // a driver without a flag has nothing of the kind
		if errors.Is(err, libvirt.ERR_INVALID_ARG) || errors.Is(err, libvirt.ERR_NO_SUPPORT) {
			err = dom.UndefineFlags(flags)
		}
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
