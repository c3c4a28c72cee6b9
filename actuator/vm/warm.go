package vm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

const (
	// wakeWithin is how long a guest that was paused may take to answer and to pass its checks; then it is replaced by another.
	wakeWithin = 30 * time.Second
	wakePoll   = 20 * time.Millisecond // between two looks at one
	// offWithin is how long a guest has at least to shut down for the warm pool: nothing waits for it.
	offWithin = time.Minute
)

// Prepare makes one VM for its group's warm pool, as [Manager.Launch] makes one that is to serve: once it has booted and passes
// its checks it waits there, as the state of the spec's pool says, and its launch hook is not asked before it is handed over.
func (h Manager) Prepare(ctx context.Context, spec bus.Group, name, uuid, decision string) error {
	l := h.newLaunch(spec, name, uuid, decision)
	defer l.free()
	l.meta.Phase, l.meta.Stops = bus.PhasePreparing, spec.WarmPool.State == bus.WarmStopped
	if err := l.prepare(ctx); err != nil {
		return err
	}
	return l.run(ctx)
}

// park has a VM that has booted wait in the warm pool. That is in its metadata before it stands still, so that nobody takes it
// for one that a person has suspended, or that has died.
func (b *boot) park(ctx context.Context) (done bool, err error) {
	if b.vm.Meta.Saver, err = b.saverOf(b.spec, b.vm.Meta); err != nil {
		return false, b.overdue(err.Error())
	}
	if err := SetPhase(b.dom, &b.vm.Meta, bus.PhaseWarm); err != nil {
		return false, b.overdue(err.Error())
	}
	step(stepWarm)
	if err := b.rest(ctx, b.dom, b.spec, b.vm.Meta); err != nil {
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if !errors.Is(err, ErrCannotWait) {
			return false, b.overdue(err.Error())
		}
		return false, b.fail(fmt.Errorf("%s: %w", b.vm.Name, err))
	}
	step(stepParked)
	b.Tell(bus.Event{
		Group: b.spec.Name, VM: b.vm.Name, Event: bus.EventWarmed, DecisionID: b.decision,
		ElapsedMS: time.Since(b.vm.Meta.Created).Milliseconds(), Sentence: "it waits in the warm pool; " + b.why(),
	})
	return true, nil
}

// ErrCannotWait means that a VM could serve, and cannot wait in the warm pool.
var ErrCannotWait = errors.New("it cannot wait in the warm pool")

// rest has a domain stand still in its way of waiting in its group's warm pool. One that does not is an [ErrCannotWait];
// without a connection that is not known.
func (h Manager) rest(ctx context.Context, dom *libvirt.Domain, spec bus.Group, meta bus.Metadata) error {
	err := h.restAs(ctx, dom, spec, spec.WarmPool.StateOf(meta))
	if err == nil || ctx.Err() != nil {
		return err
	}
	if alive, lost := h.Conn.IsAlive(); lost != nil || !alive {
		return err
	}
	return fmt.Errorf("%w: %w", ErrCannotWait, err)
}

func (h Manager) restAs(ctx context.Context, dom *libvirt.Domain, spec bus.Group, state bus.WarmState) error {
	switch state {
	case bus.WarmPaused:
		return h.pause(ctx, dom)
	case bus.WarmSaved:
		return h.save(ctx, dom)
	case bus.WarmStopped:
		return h.stopGuest(ctx, dom, spec)
	default:
		return fmt.Errorf("warm_pool.state: found %q, want paused, saved or stopped", state)
	}
}

// pause suspends a domain.
func (h Manager) pause(ctx context.Context, dom *libvirt.Domain) error {
	if err := h.Calls.act(ctx, "suspend", dom.Suspend); err != nil {
		return fmt.Errorf("suspend it: %w", err)
	}
	return nil
}

// stopGuest shuts a guest down that keeps its VM, and destroys nothing.
func (h Manager) stopGuest(ctx context.Context, dom *libvirt.Domain, spec bus.Group) error {
	within := max(spec.ShutdownTimeout, offWithin)
	if err := shutDown(ctx, h.Calls, dom, within); err != nil {
		return err
	}
	active, err := dom.IsActive()
	switch {
	case err != nil:
		return fmt.Errorf("see whether it is off: %w", err)
	case active:
		return fmt.Errorf("its guest did not shut down within %s", within)
	}
	return nil
}

// Park has a VM of the warm pool wait that was found running: its way there was cut off, or a person let it go on. One that
// cannot wait is to be removed from then on.
func (h Manager) Park(ctx context.Context, spec bus.Group, v VM, decision string) error {
	dom, v, err := h.pooled(v)
	if dom == nil || err != nil {
		return err
	}
	defer func() { _ = dom.Free() }()
	if v.Meta.Phase != bus.PhaseWarm || v.State.Suspended() || v.Off() {
		return nil
	}
	began := time.Now()
	saver, err := h.saverOf(spec, v.Meta)
	if err == nil && saver != v.Meta.Saver {
		v.Meta.Saver = saver
		err = h.Calls.act(ctx, "metadata", func() error { return setMetadata(dom, v.Meta) })
	}
	if err != nil {
		return fmt.Errorf("%s: %w", v.Name, err)
	}
	if err := h.rest(ctx, dom, spec, v.Meta); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !errors.Is(err, ErrCannotWait) {
			return fmt.Errorf("%s: %w", v.Name, err)
		}
		return errors.Join(fmt.Errorf("%s: %w", v.Name, err), SetPhase(dom, &v.Meta, bus.PhaseStopping))
	}
	step(stepParked)
	h.Tell(bus.Event{
		Group: spec.Name, VM: v.Name, Event: bus.EventWarmed, DecisionID: decision, ElapsedMS: time.Since(began).Milliseconds(),
		Sentence: "it ran, and waits in the warm pool again",
	})
	return nil
}

// reuse ends a removal whose VM returns to the warm pool, with whatever its last use left in it.
func (e *ending) reuse(ctx context.Context) error {
	next := e.vm.Meta
	next.Phase, next.Since, next.Retiring, next.Address = bus.PhaseWarm, time.Now(), time.Time{}, ""
	next.Stops = e.removal.Stops
	saver, err := e.saverOf(e.spec, next)
	if err != nil {
		return fmt.Errorf("return it to the warm pool: %w", err)
	}
	next.Saver = saver
	if err := e.Calls.act(ctx, "metadata", func() error { return setMetadata(e.dom, next) }); err != nil {
		return fmt.Errorf("return it to the warm pool: %w", err)
	}
	e.vm.Meta, e.retained = next, true
	step(stepReused)
	if err := e.rest(ctx, e.dom, e.spec, next); err != nil {
		e.retained = !errors.Is(err, ErrCannotWait) // else it goes
		return err
	}
	step(stepParked)
	e.Tell(bus.Event{
		Group: next.Group, VM: e.vm.Name, Event: bus.EventWarmed, DecisionID: e.decision, ElapsedMS: time.Since(e.began).Milliseconds(),
		Sentence: "it has left service, and waits in the warm pool",
	})
	return CalledOff{Why: "it has returned to the warm pool"}
}

// HandOver has a VM of the warm pool serve: it goes on where it was, or boots once more, its clock is set, and once it answers,
// passes its checks and is let go on by the launch hook, it is ready. One that is still on its way to the pool is waited for as
// one that was launched. Its metadata says all of that before it moves; one that was cut off in between is handed over again.
func (h Manager) HandOver(ctx context.Context, spec bus.Group, v VM, decision string) error {
	dom, v, err := h.pooled(v)
	if dom == nil || err != nil {
		return err
	}
	defer func() { _ = dom.Free() }()
	o := &handover{Manager: h, spec: spec, dom: dom, vm: v, decision: decision}
	if v.Meta.Handed.IsZero() {
		if err := o.mark(ctx); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	why, err := o.unfit(v)
	if err != nil {
		return fmt.Errorf("%s: %w", v.Name, err)
	}
	o.slept = v.State == bus.StatePaused || v.State == bus.StateSaved || v.Meta.Saver != ""
	if why != "" {
		err = fmt.Errorf("%s: %s", v.Name, why)
	} else {
		err = o.wake(ctx, v)
	}
	if err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return errors.Join(err, SetPhase(dom, &o.vm.Meta, bus.PhaseFailed))
	}
	step(stepWoken)
	b, err := h.newBoot(spec, o.vm, decision)
	if err != nil {
		return err
	}
	defer b.free()
	if o.resumed() {
		b.resume(o.slept, time.Now())
	}
	return b.await(ctx)
}

// resume has a VM that goes on where it was be waited for from now on: of the time since it was handed over it may have stood
// still for all, or nobody has asked it.
func (b *boot) resume(slept bool, now time.Time) { b.resumed, b.slept, b.started = true, slept, now }

// pooled is a VM of the warm pool, or one that is being handed over, as its domain says it now; nil where it is none any more.
func (h Manager) pooled(v VM) (*libvirt.Domain, VM, error) {
	dom, err := h.Conn.LookupDomainByUUIDString(v.UUID)
	if errors.Is(err, libvirt.ERR_NO_DOMAIN) {
		return nil, v, nil
	}
	if err != nil {
		return nil, v, fmt.Errorf("look up %s: %w", v.Name, err)
	}
	now, err := readVM(dom)
	if err == nil && (now.Meta.Phase.Pooled() || now.BeingHanded()) && !now.Order.Leaves() {
		return dom, now, nil
	}
	_ = dom.Free()
	if errors.Is(err, errNotOurs) {
		err = nil
	}
	return nil, v, err
}

// handover is one VM that leaves the warm pool to serve.
type handover struct {
	Manager
	spec     bus.Group
	dom      *libvirt.Domain
	vm       VM
	decision string
	slept    bool // it stood still until now, and its clock with it
}

// mark notes that the VM is launched from now on.
func (o *handover) mark(ctx context.Context) error {
	waited := time.Since(o.vm.Meta.Since)
	next := o.vm.Meta
	next.Phase, next.Since = bus.PhaseLaunching, time.Now()
	next.Handed, next.Stops = next.Since, false
	if err := o.Calls.act(ctx, "metadata", func() error { return setMetadata(o.dom, next) }); err != nil {
		return fmt.Errorf("hand over %s: %w", o.vm.Name, err)
	}
	sentence := fmt.Sprintf("it leaves the warm pool to serve, after %s there", max(0, waited).Round(time.Second))
	if o.vm.Meta.Phase == bus.PhasePreparing {
		sentence = "it was on its way to the warm pool, and is to serve at once"
	}
	o.vm.Meta = next
	step(stepHanded)
	o.Tell(bus.Event{
		Group: o.spec.Name, VM: o.vm.Name, Event: bus.EventHanded, DecisionID: o.decision, Sentence: sentence,
	})
	return nil
}

// wake has the VM go on, and refuses one that has lost what was in its memory, and one whose turn does not come within the boot
// time-out.
func (o *handover) wake(ctx context.Context, v VM) error {
	ctx, cancel := context.WithTimeoutCause(ctx, o.spec.BootTimeout,
		fmt.Errorf("%s did not go on within %s of leaving the warm pool", v.Name, o.spec.BootTimeout))
	defer cancel()
	if err := o.Manager.wake(ctx, o.dom, v); err != nil {
		return err
	}
	if v.State != bus.StateSaved && v.Meta.Saver == "" {
		return nil
	}
	if v.State == bus.StateRunning { // it was cut off after it had gone on
		if err := o.recall(ctx, o.dom, v); err != nil {
			return err
		}
	}
	if err := wentOn(o.dom); err != nil {
		return fmt.Errorf("%s: %w", v.Name, err)
	}
	return nil
}

// wake has a VM run that was laid down.
func (h Manager) wake(ctx context.Context, dom *libvirt.Domain, v VM) error {
	switch {
	case v.State == bus.StatePaused:
		if err := h.Calls.act(ctx, "resume", dom.Resume); err != nil {
			return fmt.Errorf("resume %s: %w", v.Name, err)
		}
	case v.State == bus.StateAsleep:
		if err := h.Calls.act(ctx, "wake", func() error { return dom.PMWakeup(0) }); err != nil {
			return fmt.Errorf("wake %s: %w", v.Name, err)
		}
	case v.State == bus.StateSaved:
		return h.restore(ctx, dom, v)
	case v.Off():
		// Its boot is busy as any; only this says so, as the one that its metadata has was long ago.
		reboot := bus.Reboot{At: time.Now()}
		if err := setElement(dom, bus.RebootKey, bus.RebootURI, reboot.XML()); err != nil {
			return fmt.Errorf("note the boot of %s: %w", v.Name, err)
		}
		if err := h.Calls.act(ctx, "start", dom.Create); err != nil {
			return fmt.Errorf("start %s: %w", v.Name, err)
		}
	}
	return nil
}

// resumed reports whether the VM goes on where it was, or did so before this was cut off; else it boots.
func (o *handover) resumed() bool {
	if o.vm.Meta.Booted.IsZero() {
		return false
	}
	element, err := readElement(o.dom, bus.RebootURI)
	return err != nil || bus.ParseReboot(element).At.Before(o.vm.Meta.Handed)
}

// awake reports whether a VM that goes on where it was is there again, or else what it lacks. That it has booted is known.
func (b *boot) awake() (ready bool, why string) {
	switch b.spec.ReadyWhen {
	case bus.ReadyAgent:
		if err := agentCommand(b.dom, time.Second, "guest-ping", nil, nil); err != nil {
			return false, ErrorText(err)
		}
		why = "its guest agent answers"
		if b.slept {
			why += b.setClock()
			b.slept = false
		}
	case bus.ReadyLease, bus.ReadyUptime: // a lease may have run out meanwhile, which the guest does not know yet
		why = "it goes on where it was"
	default:
		return false, fmt.Sprintf("ready_when: found %q, want agent, lease or uptime", b.spec.ReadyWhen)
	}
	if b.spec.Hooks.Launch.Waits() && b.watch.network != "" && addressOf(b.dom) == "" {
		return false, fmt.Sprintf("its launch hook waits for an address, and it has none on network %s", b.watch.network)
	}
	return true, why
}

// setClock sets the clock of a guest that stood still, and returns what is to be said of that; "" is nothing. It stands in
// nobody's way: most guests also ask a time server.
func (b *boot) setClock() string {
	err := agentCommand(b.dom, agentTimeout, "guest-set-time", map[string]any{"time": time.Now().UnixNano()}, nil)
	if err != nil {
		return "; that its clock is right is not known (" + ErrorText(err) + ")"
	}
	return ", and its clock is set"
}
