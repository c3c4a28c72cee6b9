package vm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"libvirt.org/go/libvirt"
)

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
		_ = calls.ask(asking, "shutdown", func() { askToShutDown(dom) })
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
		return // an agent that obeys does not answer
	}
	err = dom.ShutdownFlags(libvirt.DOMAIN_SHUTDOWN_ACPI_POWER_BTN)
	if errors.Is(err, libvirt.ERR_INVALID_ARG) || errors.Is(err, libvirt.ERR_NO_SUPPORT) {
		_ = dom.Shutdown() // a driver with one way
	}
}
