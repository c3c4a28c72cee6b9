package vm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/tracing"
)

// Restart gives a VM the definition that a new one would have, and boots it with the disks that it has: it keeps its UUID,
// name, MAC addresses, disks and seed. It leaves service as for its removal. Until it is ready again its metadata says so, so
// that the next start goes on with it at whatever moment this was cut off. Where it does not come up with the new definition
// it gets the one before back, and boots with that; the error says what went wrong. One that was cut off after it had the new
// definition has no other: if it does not come up then, its launch has failed, and it is replaced. It is called off as a reimage
// is.
func (h Manager) Restart(ctx context.Context, spec bus.Group, v VM, d *Drain, decision string) error {
	e := &ending{
		Manager: h, spec: spec, drain: d, decision: decision, began: time.Now(),
		removal: Removal{VM: v, Kind: Reimaged, Reason: "it restarts with its disks", Graceful: true},
	}
	wanted, err := e.look(ctx)
	if !wanted || err != nil {
		return err
	}
	defer func(dom *libvirt.Domain) { _ = dom.Free() }(e.dom)
	l := h.newLaunch(spec, v.Name, v.UUID, decision)
	defer l.free()
	r := &restart{launch: l, ending: e, again: e.vm.Meta.Storage == l.meta.Storage}
	if err := r.prepare(ctx); err != nil { // before anything is done
		return err
	}
	if there, err := e.readDisks(); !there || err != nil {
		return err
	}
	if err := e.untouched("its definition"); err != nil {
		return err
	}
	if err := e.leave(ctx, true, stepRestarting); err != nil {
		return err
	}
	return r.run(ctx)
}

// restart is one VM that is restarted with its disks.
type restart struct {
	*launch
	ending *ending
	// again is that it gets a new definition. One that was cut off, and whose group's disks are others by now, comes back as it
	// is.
	again bool
	old   string // the definition that it had when this began
}

// prepare makes the new definition of what the VM is made from now, and of what it keeps.
func (r *restart) prepare(ctx context.Context) error {
	had := r.ending.vm.Meta
	keeps := had
	keeps.Machine, keeps.Restarts, keeps.Phase, keeps.Since = r.meta.Machine, true, bus.PhaseLaunching, time.Now()
	if keeps.Reimaging.IsZero() {
		keeps.Reimaging = time.Now()
	}
	keeps.Retiring = time.Time{}
	r.meta, r.spec.ProtectNew = keeps, false // what a person has taken its protection from stays without
	if !r.again {
		if !had.Reimaging.IsZero() {
			r.meta.Machine = had.Machine
			return nil
		}
		return fmt.Errorf("%s does not restart, as its disks are not what the config says now", r.name)
	}
	return r.launch.prepare(ctx)
}

// run goes through the steps of a VM that is off.
func (r *restart) run(ctx context.Context) error {
	r.dom = r.ending.dom
	defer func() { r.dom = nil }() // it is its ending's
	var steps tracing.Steps
	for _, s := range []struct {
		do      func(context.Context) error
		name    string // in traces; "": its steps have names of their own
		reached string // its failpoint
	}{
		{r.redefine, "define", stepRedefined},
		{r.boot, "start", stepStarted},
		{r.awaitReady, "", ""},
	} {
		steps.Next(ctx, s.name)
		err := s.do(ctx)
		steps.End(err)
		if err != nil {
			return r.revert(ctx, err)
		}
		if s.reached != "" {
			step(s.reached)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// redefine gives the VM its new definition.
func (r *restart) redefine(ctx context.Context) error {
	var err error
	if r.old, err = r.dom.GetXMLDesc(libvirt.DOMAIN_XML_INACTIVE | libvirt.DOMAIN_XML_SECURE); err != nil {
		return fmt.Errorf("read the definition of %s: %w", r.name, err)
	}
	if !r.again {
		return nil
	}
	return r.Calls.act(ctx, "define", func() error { return r.putDefinition(r.definition) })
}

// putDefinition defines the VM anew, under its name and UUID. The protection that it has at this moment it keeps, also that which
// a person has given it since the definition was made.
func (r *restart) putDefinition(definition string) error {
	protection, err := readProtection(r.dom)
	if err != nil {
		return fmt.Errorf("define %s: %w", r.name, err)
	}
	if protection != (bus.Protection{}) {
		if definition, err = withElement(definition, bus.ProtectionKey, bus.ProtectionURI, protection.XML()); err != nil {
			return fmt.Errorf("protect %s: %w", r.name, err)
		}
	}
	flags := libvirt.DomainDefineFlags(0)
	if r.spec.Hardware.DomainXML.Text != "" { // as a launch does
		flags = libvirt.DOMAIN_DEFINE_VALIDATE
	}
	dom, err := r.Conn.DomainDefineXMLFlags(definition, flags)
	if err != nil {
		return fmt.Errorf("define %s: %w", r.name, err)
	}
	_ = dom.Free() // which is the same domain
	return nil
}

// boot starts the VM, whose guest is busy with that for a while, as after any restart.
func (r *restart) boot(ctx context.Context) error {
	if err := r.mark(ctx); err != nil { // its time to boot begins
		return err
	}
	_ = setElement(r.dom, bus.RebootKey, bus.RebootURI, bus.Reboot{At: time.Now()}.XML())
	if err := r.start(ctx); err != nil {
		return err
	}
	r.Tell(bus.Event{
		Group: r.ending.spec.Name, VM: r.name, Event: bus.EventStarted, DecisionID: r.decision,
		ElapsedMS: time.Since(r.ending.began).Milliseconds(), Sentence: "started again with its disks",
	})
	return nil
}

// revert has a VM that did not come up boot with the definition before; whoever plans next waits for it. Where that fails as
// well, its launch has failed, and it is replaced.
func (r *restart) revert(ctx context.Context, cause error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	err := r.Calls.act(ctx, "revert", r.goBack)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err == nil {
		return fmt.Errorf("%w; it is booted with the definition before", cause)
	}
	return errors.Join(cause, fmt.Errorf("go back: %w", err), SetPhase(r.dom, &r.meta, bus.PhaseFailed))
}

// goBack gives the VM its definition of before, and starts it. That it is launched is noted last: what is cut off before tries
// the restart again.
func (r *restart) goBack() error {
	if err := r.dom.Destroy(); err != nil && !errors.Is(err, libvirt.ERR_OPERATION_INVALID) {
		return fmt.Errorf("destroy: %w", err)
	}
	if r.old != "" { // else it has it still
		if err := r.putDefinition(r.old); err != nil {
			return err
		}
	}
	if err := r.dom.Create(); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	meta := r.ending.vm.Meta
	meta.Reimaging, meta.Restarts = time.Time{}, false
	return SetPhase(r.dom, &meta, bus.PhaseLaunching)
}
