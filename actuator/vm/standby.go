package vm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// StandBy takes a VM out of service that is to stand by: its remove hook lets it go, whatever that answers, it is suspended or
// shut down where that is wanted, and then its metadata says so. A guest that does not shut down runs on. A VM of which that is
// not wanted any more is left as it is.
func (h Manager) StandBy(ctx context.Context, spec bus.Group, v VM, decision string) error {
	dom, v, err := h.ordered(v, bus.VMStandby)
	if dom == nil || err != nil {
		return err
	}
	defer func() { _ = dom.Free() }()
	if !v.Meta.Phase.Serves() {
		return nil
	}
	began := time.Now()
	abandoned, err := h.leaveService(ctx, spec, dom, v, decision)
	if err != nil {
		return err
	}
	says, restless := h.layDown(ctx, spec, dom, v)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	step(stepLaidDown)
	if err := h.Calls.act(ctx, "metadata", func() error { return SetPhase(dom, &v.Meta, bus.PhaseStandby) }); err != nil {
		return fmt.Errorf("%s: %w", v.Name, err)
	}
	step(stepStandby)
	h.tellOrdered(v, bus.EventStandby, says, decision, began, errors.Join(abandoned, restless))
	return nil
}

// layDown has a VM rest that is to stand by, and returns what it does from now on; an error is why it runs on all the same.
func (h Manager) layDown(ctx context.Context, spec bus.Group, dom *libvirt.Domain, v VM) (says string, err error) {
	const runsOn = "it has left service and runs on"
	if v.State == bus.StateRunning {
		switch v.Order.Rest {
		case "":
			return runsOn, nil
		case bus.RestSuspend:
			err = h.pause(ctx, dom)
		case bus.RestStop:
			err = h.stopGuest(ctx, dom, spec)
		default:
			err = fmt.Errorf("rest: found %q, want suspend or stop", v.Order.Rest)
		}
	}
	if err != nil {
		return runsOn, err
	}
	return "it has left service and rests: " + string(v.Order.Rest), nil
}

// Return has a VM serve again that stands by, as one that was just launched: it is woken if it does not run, it must be ready,
// pass its checks, and be let go on by the launch hook. One that does not is removed as a launch that failed.
func (h Manager) Return(ctx context.Context, spec bus.Group, v VM, decision string) error {
	dom, v, err := h.ordered(v, bus.VMExitStandby)
	if dom == nil || err != nil {
		return err
	}
	defer func() { _ = dom.Free() }()
	if !v.Meta.Phase.StandsBy() {
		return nil
	}
	if err := h.wake(ctx, dom, v); err != nil { // before it is one whose launch was cut off
		return err
	}
	step(stepWoken)
	if v.State == bus.StatePaused || v.State == bus.StateSaved { // its clock stood still; that it is set stands in nobody's way
		_ = agentCommand(dom, agentTimeout, "guest-set-time", map[string]any{"time": time.Now().UnixNano()}, nil)
	}
	if err := h.Calls.act(ctx, "metadata", func() error { return SetPhase(dom, &v.Meta, bus.PhaseLaunching) }); err != nil {
		return fmt.Errorf("%s: %w", v.Name, err)
	}
	step(stepReturning)
	return h.AwaitReady(ctx, spec, v, decision)
}

// Detach gives a VM away: its remove hook lets it go, and then nothing of vmscaler's is in its metadata, and no record says
// that its disks may be deleted. Whatever else it is and does stays. At whatever moment it is cut off the VM is either one
// that is to be detached, or a domain like any other.
func (h Manager) Detach(ctx context.Context, spec bus.Group, v VM, decision string) error {
	dom, v, err := h.ordered(v, bus.VMDetach)
	if dom == nil || err != nil {
		return err
	}
	defer func() { _ = dom.Free() }()
	if v.State == bus.StateSaved { // since it was planned
		return nil
	}
	began := time.Now()
	var abandoned error
	if v.Meta.Phase.Serves() {
		if abandoned, err = h.leaveService(ctx, spec, dom, v, decision); err != nil {
			return err
		}
	}
	if h.Records != nil {
		if err := h.Records.Release(v.UUID); err != nil {
			return fmt.Errorf("detach %s: %w", v.Name, err)
		}
	}
	step(stepReleased)
	if err := h.Calls.act(ctx, "metadata", func() error { return disown(dom) }); err != nil {
		return fmt.Errorf("detach %s: %w", v.Name, err)
	}
	step(stepDisowned)
	if h.End != nil {
		h.Tell = func(event bus.Event) { h.End(v.UUID, event) }
	}
	h.tellOrdered(v, bus.EventDetached, "it is a domain of yours now, with its disks", decision, began, abandoned)
	return nil
}

// ordered is a VM of which a person wants something, as its domain says it now; nil where that is not wanted any more.
func (h Manager) ordered(v VM, verb bus.VMVerb) (*libvirt.Domain, VM, error) {
	dom, err := h.Conn.LookupDomainByUUIDString(v.UUID)
	if errors.Is(err, libvirt.ERR_NO_DOMAIN) {
		return nil, v, nil
	}
	if err != nil {
		return nil, v, fmt.Errorf("look up %s: %w", v.Name, err)
	}
	now, err := readVM(dom)
	if err == nil && now.Order.Is(verb) {
		return dom, now, nil
	}
	_ = dom.Free()
	if errors.Is(err, errNotOurs) {
		err = nil
	}
	return nil, v, err
}

// leaveService asks the remove hook about a VM that leaves service and runs on. What it answers keeps nothing back; an error
// is the end of ctx.
func (h Manager) leaveService(
	ctx context.Context,
	spec bus.Group,
	dom *libvirt.Domain,
	v VM,
	decision string,
) (abandoned, err error) {
	if !spec.Hooks.Remove.Waits() || v.State != bus.StateRunning {
		return nil, nil
	}
	action, abandoned := h.removeHook(ctx, spec.Hooks.Remove, dom, v, decision, v.Order.At)
	if action == "" {
		return nil, abandoned
	}
	return abandoned, nil
}

func (h Manager) tellOrdered(v VM, event bus.EventType, sentence, decision string, began time.Time, problem error) {
	e := bus.Event{
		Group: v.Meta.Group, VM: v.Name, Event: event, DecisionID: decision, Sentence: sentence,
		ElapsedMS: time.Since(began).Milliseconds(), By: v.Order.By, Reason: v.Order.Reason,
	}
	if problem != nil {
		e.Error = ErrorText(problem)
	}
	h.Tell(e)
}

// disown removes what is vmscaler's from a domain's metadata. The element that makes it ours goes before the order that says
// so: a VM that was cut off in between is a domain like any other.
func disown(dom *libvirt.Domain) error {
	for _, e := range ownElements() {
		err := setElement(dom, e.key, e.uri, "")
		if err != nil && !errors.Is(err, libvirt.ERR_NO_DOMAIN_METADATA) && !errors.Is(err, libvirt.ERR_NO_DOMAIN) {
			return fmt.Errorf("remove vmscaler's metadata: %w", err)
		}
	}
	return nil
}
