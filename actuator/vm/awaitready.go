package vm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/console"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/tracing"
)

// readyPoll is between two looks at a VM that boots.
const readyPoll = 250 * time.Millisecond

// AwaitReady waits until a started VM is ready and its launch hook lets it go on, and marks it ready. It fails when the VM
// goes off, the boot time-out has passed, or the hook abandons it. The time during which a person has the VM suspended
// does not count, nor that of the hook.
// One that is made for the warm pool waits there then.
func (h Manager) AwaitReady(ctx context.Context, spec bus.Group, vm VM, decision string) error {
	b, err := h.newBoot(spec, vm, decision)
	if err != nil {
		return err
	}
	defer b.free()
	return b.await(ctx)
}

// newBoot looks up a VM that is to be waited for.
func (h Manager) newBoot(spec bus.Group, vm VM, decision string) (*boot, error) {
	spec = h.Machine.resolve(spec)
	dom, err := h.Conn.LookupDomainByUUIDString(vm.UUID)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", vm.Name, err)
	}
	return &boot{
		Manager: h, spec: spec, vm: vm, dom: dom, decision: decision,
		watch:   &bootWatch{dom: dom, spec: spec, network: leasedNetwork(h.Conn, spec)},
		started: begun(vm.Meta.Since, time.Now()),
		checks:  newPassing(spec.Checks, h.guest(spec, vm.Name, dom)),
	}, nil
}

func (b *boot) free() {
	b.checks.end() // before the domain is freed
	b.unheard()
	_ = b.dom.Free()
}

func (b *boot) await(ctx context.Context) (err error) {
	b.steps.Next(ctx, "boot")
	defer func() { b.steps.End(err) }()
	between := wakePoll
	if !b.resumed {
		b.witness(ctx)
		between = readyPoll
	}
	poll := time.NewTicker(between)
	defer poll.Stop()
	for {
		ready, err := b.look(ctx)
		if err != nil && ctx.Err() == nil {
			err = b.keep(ctx, err)
		}
		if ready || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-poll.C:
		}
	}
}

// boot is a VM that is waited for until it is ready.
type boot struct {
	Manager
	spec     bus.Group
	vm       VM
	dom      *libvirt.Domain
	decision string
	watch    *bootWatch
	started  time.Time // later by whatever does not count
	paused   time.Time // since when a person has it suspended; zero: nobody has
	up       string    // what shows that it has booted; "": it has not yet
	checks   *passing
	identity string            // what is to be said of its identity
	hooked   bool              // the launch hook let it go on
	recorder *console.Recorder // nil: its console is not recorded, or not any more
	resumed  bool              // it leaves the warm pool, and goes on where it was
	slept    bool              // its clock is to be set
	steps    tracing.Steps
}

// look goes as far with the VM as it is. An error is the end of its launch.
func (b *boot) look(ctx context.Context) (ready bool, err error) {
	state, reason, err := b.dom.GetState()
	if err != nil {
		return false, fmt.Errorf("read the state of %s: %w", b.vm.Name, err)
	}
	stuck := pausedOnIOError(state, reason) // nobody has suspended it
	switch state := bus.StateFromLibvirt(int(state)); {
	case state == bus.StatePaused && !stuck:
		if b.paused.IsZero() {
			b.paused = time.Now()
		}
		return false, nil
	case state == bus.StateShutoff, state == bus.StateCrashed:
		return false, fmt.Errorf("%s was %s before it was ready", b.vm.Name, state)
	}
	if !b.paused.IsZero() {
		b.started, b.paused = b.started.Add(time.Since(b.paused)), time.Time{}
	}
	if stuck {
		return false, b.overdue("it is paused on an I/O error")
	}
	if b.up == "" {
		var why string
		look := func() { ready, why = isReady(b.watch, b.started, time.Now()) }
		if b.resumed {
			look = func() { ready, why = b.awake() }
		}
		if err := b.Calls.ask(ctx, "ready", look); err != nil {
			return false, err
		}
		if !ready {
			return false, b.overdue(why)
		}
		if b.up = why; !b.resumed {
			b.identity = b.identify(ctx)
		}
		b.steps.Next(ctx, "checks")
	}
	if !b.checks.step(ctx, time.Now()) {
		return false, b.overdue(b.checks.lacks())
	}
	return b.admit(ctx)
}

// admit has the launch hook let a VM go on that has booted, and marks it ready.
func (b *boot) admit(ctx context.Context) (ready bool, err error) {
	step(stepBooted)
	_ = b.keep(ctx, nil)
	if b.vm.Meta.Booted.IsZero() {
		b.vm.Meta.Booted = time.Now()
	}
	if b.vm.Meta.Phase.Pooled() {
		return b.park(ctx)
	}
	if !b.hooked {
		b.steps.Next(ctx, "hook")
		asked := time.Now()
		address, err := b.launchHook(ctx, b.spec, b.dom, b.vm, b.decision)
		if ctx.Err() != nil {
			return false, context.Cause(ctx)
		}
		if err != nil {
			return false, b.fail(err)
		}
		b.hooked, b.started, b.vm.Meta.Address = true, b.started.Add(time.Since(asked)), address
	}
	b.steps.Next(ctx, "ready")
	began := later(later(b.vm.Meta.Created, b.vm.Meta.Handed), b.vm.Meta.Reimaging)
	if b.vm.Restarting() {
		b.vm.Meta.Restarts, b.vm.Meta.Restarted = false, time.Now()
	}
	b.vm.Meta.Reimaging, b.vm.Meta.Handed, b.vm.Meta.Saver = time.Time{}, time.Time{}, ""
	// libvirt can be kept from writing it for a while; the VM is none the worse for it.
	if err := SetPhase(b.dom, &b.vm.Meta, bus.PhaseReady); err != nil {
		return false, b.overdue(err.Error())
	}
	step(stepReady)
	b.Tell(bus.Event{
		Group: b.spec.Name, VM: b.vm.Name, Event: bus.EventReady, DecisionID: b.decision,
		ElapsedMS: time.Since(began).Milliseconds(), Sentence: b.why(),
	})
	return true, nil
}

// why is what shows that the VM has booted, or is there again, and passes its checks.
func (b *boot) why() string {
	why := b.up
	if b.checks.done > 0 {
		why += fmt.Sprintf(", and it passes %s", bus.Count(b.checks.done, "check"))
	}
	return why + b.identity
}

// overdue is the end of a launch whose boot time-out is over, with what the VM lacks; nil before.
func (b *boot) overdue(lacks string) error {
	if b.resumed {
		if within := min(b.spec.BootTimeout, wakeWithin); time.Since(b.started) > within {
			return b.fail(fmt.Errorf("%s did not serve within %s of leaving the warm pool: %s", b.vm.Name, within, lacks))
		}
		return nil
	}
	if time.Since(b.started) <= b.spec.BootTimeout {
		return nil
	}
	err := fmt.Errorf("%s was not ready within the boot time-out of %s: %s", b.vm.Name, b.spec.BootTimeout, lacks)
	remedy := "see that its image starts what the check asks for (`vmscaler console " + b.vm.Name +
		" --last 40`), or raise boot_timeout"
	if b.up == "" || len(b.checks.left) == 0 {
		remedy = b.watch.last.remedy(b.spec, b.vm.Name, b.watch.network != "")
	}
	if remedy != "" {
		err = fmt.Errorf("%w; %s", err, remedy)
	}
	return b.fail(err)
}

// fail marks the VM as one whose launch has failed. Whoever launched it undoes that now; one taken over from an earlier run is
// removed for its phase. One that a person has attached is that person's again.
func (b *boot) fail(cause error) error {
	if b.vm.Order.Is(bus.VMAttach) {
		element, err := GiveBack(*b.vm.Order, time.Now()).XML()
		if err == nil {
			err = setElement(b.dom, bus.OrderKey, bus.OrderURI, element)
		}
		return errors.Join(cause, err)
	}
	next := bus.PhaseFailed
	if b.vm.Meta.Phase.Pooled() { // which was in none of the group's numbers, and a failed one is
		next = bus.PhaseStopping
	}
	return errors.Join(cause, SetPhase(b.dom, &b.vm.Meta, next))
}

// begun is when what is noted to have begun at a moment did so, on a clock that nobody sets. A moment that is still to come was
// noted by a clock that was wrong: then it is now.
func begun(noted, now time.Time) time.Time {
	return now.Add(-max(0, now.Sub(noted)))
}

// isReady reports whether a running VM has booted, with what shows it, or else with what it lacks. Where a hook waits that
// gives its address to others, it needs one, if its network has any.
func isReady(w *bootWatch, started, now time.Time) (ready bool, why string) {
	v := w.look(started, now)
	switch w.spec.ReadyWhen {
	case bus.ReadyAgent:
		return v.ready()
	case bus.ReadyLease:
		leased, err := hasLease(w.dom)
		if err != nil {
			return false, ErrorText(err)
		}
		if !leased {
			return false, "it has no DHCP lease"
		}
		return true, "it has a DHCP lease"
	case bus.ReadyUptime:
		switch {
		case v.Elapsed < w.spec.ReadyAfter:
			return false, fmt.Sprintf("it has run for less than %s", w.spec.ReadyAfter)
		case w.spec.Hooks.Launch.Waits() && v.Network != "" && !v.Addressed:
			return false, fmt.Sprintf("its launch hook waits for an address, and it has none on network %s", v.Network)
		}
		return true, fmt.Sprintf("it has run for %s", w.spec.ReadyAfter)
	}
	return false, fmt.Sprintf("ready_when: found %q, want agent, lease or uptime", w.spec.ReadyWhen)
}

// hasLease reports whether the network's DHCP server has given a VM an address.
func hasLease(dom *libvirt.Domain) (bool, error) {
	leases, err := dom.ListAllInterfaceAddresses(libvirt.DOMAIN_INTERFACE_ADDRESSES_SRC_LEASE)
	if err != nil {
		return false, fmt.Errorf("read its DHCP leases: %w", err)
	}
	return slices.ContainsFunc(leases, func(i libvirt.DomainInterface) bool { return len(i.Addrs) > 0 }), nil
}
