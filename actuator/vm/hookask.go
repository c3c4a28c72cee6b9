package vm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// The reasons that a hook's command is given.
const (
	reasonReady   = "ready"   // the VM could serve
	reasonRemoval = "removal" // it runs, and is about to go
	reasonDied    = "died"    // it does not run any more
	reasonStandby = "standby" // it runs on, out of service
	reasonDetach  = "detach"  // it runs on, as a person's own
)

// abandonedError is why a transition was abandoned, and by which hook.
type abandonedError struct {
	error
	hook bus.Hook
}

func (e abandonedError) Unwrap() error { return e.error }

// retains reports whether a VM is to be kept whose removal was abandoned with this error.
func retains(abandoned error) bool {
	var e abandonedError
	return errors.As(abandoned, &e) && e.hook.OnAbandon == bus.AbandonRetain
}

// errAbandoned ends the wait for the other hooks once one has said abandon.
var errAbandoned = errors.New("another hook said abandon")

// ask asks hooks about a VM, all at once, and waits for their answers, as hooks.wait does: each in its own time-out. All must say
// continue; the first that says abandon ends the waits for the others. The call has the kind of hook, the reason and the address;
// where it does not say when the wait began, it begins now.
func (h Manager) ask(ctx context.Context, vm VM, decision string, hooks bus.HookList, call hookCall) (bus.HookAction, error) {
	if call.began.IsZero() {
		call.began = time.Now()
	}
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type answer struct {
		hook   bus.Hook
		action bus.HookAction
		err    error
	}
	answers := make(chan answer, len(hooks))
	asked := 0
	for _, hook := range hooks {
		if !hook.Waits() {
			continue
		}
		asked++
		one := call
		one.hook = hook
		go func() {
			action, err := h.askOne(waiting, vm, decision, one)
			answers <- answer{hook, action, err}
		}()
	}
	action, err := bus.HookContinue, error(nil)
	for range asked { // also those that have ended for another's answer, so that no command is left
		a := <-answers
		if a.action == bus.HookAbandon && err == nil {
			action, err = a.action, abandonedError{a.err, a.hook}
			cancel(errAbandoned)
		}
	}
	if ctx.Err() != nil && err == nil {
		return "", context.Cause(ctx)
	}
	return action, err
}

// askOne asks one hook about a VM.
func (h Manager) askOne(ctx context.Context, vm VM, decision string, call hookCall) (bus.HookAction, error) {
	call.group, call.vm, call.uuid, call.host = vm.Meta.Group, vm.Name, vm.UUID, h.Host
	call.tell = func(e bus.Event) {
		e.DecisionID = decision
		h.Tell(e)
	}
	return h.Hooks.wait(ctx, call)
}

// removeHook asks the remove hooks about a running VM.
func (h Manager) removeHook(
	ctx context.Context,
	hooks bus.HookList,
	dom *libvirt.Domain,
	vm VM,
	decision string,
	began time.Time,
) (bus.HookAction, error) {
	address := vm.Meta.Address // the load balancer knows the VM by what the launch hook was given
	if address == "" && hooks.RunsCommand() {
		_ = h.Calls.ask(ctx, "addresses", func() { address = addressOf(dom) }) // else ctx has ended, which the wait sees
	}
	reason := reasonRemoval
	switch {
	case vm.Order.Is(bus.VMStandby):
		reason = reasonStandby
	case vm.Order.Is(bus.VMDetach):
		reason = reasonDetach
	}
	return h.ask(ctx, vm, decision, hooks, hookCall{kind: bus.HookRemove, address: address, reason: reason, began: began})
}

// farewellWait is for how long a removal waits for the remove hook of a VM that died: its replacement may wait for the removal.
const farewellWait = 10 * time.Second

// farewellHooks are those of a group's remove hooks that are told of a VM that died; their failure holds nothing up.
func farewellHooks(hooks bus.HookList) (all bus.HookList) {
	for _, hook := range hooks {
		if hook.WaitFor == bus.WaitForCommand {
			hook.Timeout, hook.Default = min(hook.Timeout, farewellWait), bus.HookContinue
			all = append(all, hook)
		}
	}
	return all
}

// Farewell tells the commands of the remove hooks that a VM which had served died. Whoever listens on the bus hears it by the
// event "died".
func (h Manager) Farewell(ctx context.Context, hooks bus.HookList, vm VM, decision string) error {
	if !vm.Meta.Phase.Serves() && vm.Meta.Phase != bus.PhaseDraining {
		return nil
	}
	_, abandoned := h.ask(ctx, vm, decision, farewellHooks(hooks), hookCall{
		kind: bus.HookRemove, address: vm.Meta.Address, reason: reasonDied,
	})
	return abandoned
}

// launchHook runs the launch hooks of a VM that could serve, and returns the address that it was given. It fails when a
// hook abandons the VM, when the VM goes off meanwhile, and when a command would be given no address although the guest
// could have said one.
func (h Manager) launchHook(
	ctx context.Context,
	spec bus.Group,
	dom *libvirt.Domain,
	vm VM,
	decision string,
) (address string, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		if err := untilOff(ctx, dom, vm.Name); err != nil {
			cancel(err)
		}
	})
	defer watching.Wait()
	defer cancel(nil)
	hooks := spec.Hooks.Launch
	switch {
	case hooks.RunsCommand():
		address = awaitAddress(ctx, h.Calls, dom)
	case spec.Hooks.Remove.RunsCommand(): // which runs even if the VM died
		_ = h.Calls.ask(ctx, "addresses", func() { address = addressOf(dom) })
	}
	if err := noAddress(spec, vm.Name, address); err != nil && ctx.Err() == nil {
		return "", err
	}
	_, err = h.ask(ctx, vm, decision, hooks, hookCall{kind: bus.HookLaunch, address: address, reason: reasonReady})
	return address, err
}

// noAddress is the error that a launch hook's command would have no address; nil if it has one or needs none.
func noAddress(spec bus.Group, vm, address string) error {
	if address != "" || !spec.Hooks.Launch.RunsCommand() || spec.ReadyWhen == bus.ReadyUptime {
		return nil
	}
	return fmt.Errorf(
		"%s has no address for its launch hook: within %s neither a DHCP lease nor its guest agent named one; a group whose VMs "+
			"have none needs ready_when: uptime, or a hook with wait_for: bus",
		vm,
		addressWait,
	)
}

// untilOff returns an error as soon as a VM is off or cannot be read, and nil when ctx ends.
func untilOff(ctx context.Context, dom *libvirt.Domain, name string) error {
	poll := time.NewTicker(time.Second)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-poll.C:
		}
		state, _, err := dom.GetState()
		if err != nil {
			return fmt.Errorf("read the state of %s: %w", name, err)
		}
		if state := bus.StateFromLibvirt(int(state)); state == bus.StateShutoff || state == bus.StateCrashed {
			return fmt.Errorf("%s was %s before its launch hook was answered", name, state)
		}
	}
}
