package vm

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// Heartbeats prolong a wait to so many time-outs or so long in all, whichever is less.
const (
	mostTimeouts = 100
	longestWait  = 48 * time.Hour
)

// hookCall is one wait for a hook.
type hookCall struct {
	hook                           bus.Hook
	kind                           bus.HookKind
	group, vm, uuid, host, address string
	reason                         string
	// began is when the wait began, as far as the VM's metadata says. So a restart does not give it the whole time-out again.
	began time.Time
	tell  func(bus.Event)
}

// deadline is until when is waited if nobody prolongs it.
func (c hookCall) deadline(now time.Time) time.Time {
	return earlier(c.began, now).Add(c.hook.Timeout) // a clock that was set back prolongs nothing
}

// prolonged is until when is waited after a heartbeat.
func (c hookCall) prolonged(now time.Time) time.Time {
	longest := longestWait
	if c.hook.Timeout < longestWait/mostTimeouts {
		longest = mostTimeouts * c.hook.Timeout
	}
	return earlier(now.Add(c.hook.Timeout), c.began.Add(longest))
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// waiting says who is waited for, and what happens at the deadline.
func (c hookCall) waiting(token string, deadline time.Time) {
	who := "an answer over the bus"
	if c.hook.WaitFor == bus.WaitForCommand {
		who = "its command"
	}
	c.tell(bus.Event{
		Group: c.group, VM: c.vm, Event: bus.EventWaiting, Deadline: new(deadline.UTC()), Token: token,
		Sentence: fmt.Sprintf(
			"the %s hook waits for %s; after %s without one: %s",
			c.kind,
			who,
			time.Until(deadline).Round(time.Second),
			c.hook.Default,
		),
	})
}

// abandoned is the answer abandon, with the reason.
func (c hookCall) abandoned(why string, args ...any) (bus.HookAction, error) {
	return bus.HookAbandon, fmt.Errorf("the %s hook of %s said abandon: "+why, append([]any{c.kind, c.vm}, args...)...)
}

// late is the answer after the time-out.
func (c hookCall) late(log zerolog.Logger) (bus.HookAction, error) {
	log.Warn().
		Str("group", c.group).
		Str("vm", c.vm).
		Msgf("the %s hook had no answer within its time-out: %s", c.kind, c.hook.Default)
	if c.hook.Default == bus.HookAbandon {
		return c.abandoned("that is its default, and no answer came within the time-out")
	}
	return bus.HookContinue, nil
}

// environment is the command's environment.
func (c hookCall) environment() []string {
	return []string{
		"VMSCALER_HOOK=" + string(c.kind), "VMSCALER_GROUP=" + c.group, "VMSCALER_VM=" + c.vm, "VMSCALER_UUID=" + c.uuid,
		"VMSCALER_HOST=" + c.host, "VMSCALER_ADDRESS=" + c.address, "VMSCALER_REASON=" + c.reason,
	}
}

// Hooks keeps who waits for an answer over the bus, by the token that the answer must name. It is safe for concurrent use.
type Hooks struct {
	log zerolog.Logger

	mu      sync.Mutex
	waiters map[string]*waiter
}

// waiter is one who waits.
type waiter struct {
	call     hookCall
	deadline time.Time      // owned by hooks.mu
	answered chan bus.Query // has room for the one answer that a token can have
	moved    chan struct{}  // has an element when deadline has moved
}

// NewHooks makes the hooks of a process; their commands' output goes to log.
func NewHooks(log zerolog.Logger) *Hooks { return &Hooks{log: log, waiters: map[string]*waiter{}} }

// wait waits for the answer to a hook, which is continue or abandon; abandon comes with an error that says why. When ctx
// ends there is no answer, and the error is its cause: the next start waits on.
func (h *Hooks) wait(ctx context.Context, call hookCall) (bus.HookAction, error) {
	switch call.hook.WaitFor {
	case bus.WaitForBus:
		return h.waitForAnswer(ctx, call)
	case bus.WaitForCommand:
		return h.waitForCommand(ctx, call)
	case bus.WaitForNobody:
	}
	return bus.HookContinue, nil
}

func (h *Hooks) waitForAnswer(ctx context.Context, call hookCall) (bus.HookAction, error) {
	deadline := call.deadline(time.Now())
	w := &waiter{call: call, deadline: deadline, answered: make(chan bus.Query, 1), moved: make(chan struct{}, 1)}
	token := rand.Text()
	h.mu.Lock()
	h.waiters[token] = w
	h.mu.Unlock()
	defer h.forget(token)
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	call.waiting(token, deadline)
	for {
		select {
		case <-ctx.Done():
			return "", context.Cause(ctx)
		case q := <-w.answered:
			if q.Action == bus.HookAbandon {
				return call.abandoned("so it was answered over the bus %s", bus.Attribution(q.By, q.Reason))
			}
			return q.Action, nil
		case <-w.moved:
			deadline = h.deadline(w)
			timer.Reset(time.Until(deadline))
			call.waiting(token, deadline)
		case <-timer.C:
			if h.expire(token) {
				return call.late(h.log)
			}
		}
	}
}

func (h *Hooks) forget(token string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.waiters, token)
}

// Waiting are the VMs for which an answer over the bus is waited for, by UUID.
func (h *Hooks) Waiting() map[string]bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	waiting := map[string]bool{}
	for _, w := range h.waiters {
		waiting[w.call.uuid] = true
	}
	return waiting
}

func (h *Hooks) deadline(w *waiter) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return w.deadline
}

// expire ends a wait, unless an answer or a heartbeat came at the last moment.
func (h *Hooks) expire(token string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.waiters[token]
	if w == nil || time.Now().Before(w.deadline) {
		return false
	}
	delete(h.waiters, token)
	return true
}

// Answer takes an answer; known is false if nobody here waits for this token.
func (h *Hooks) Answer(q bus.Query) (a bus.HookAnswer, known bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w := h.waiters[q.Token]
	if w == nil {
		return a, false, nil
	}
	a = bus.HookAnswer{V: bus.Version, Group: w.call.group, VM: w.call.vm, Hook: w.call.kind, Action: q.Action}
	switch q.Action {
	case bus.HookContinue, bus.HookAbandon:
		delete(h.waiters, q.Token)
		w.answered <- q
	case bus.HookHeartbeat:
		w.deadline = w.call.prolonged(time.Now())
		a.Deadline = new(w.deadline.UTC())
		select {
		case w.moved <- struct{}{}:
		default: // it will look anyway
		}
	default:
		return a, true, bus.Refuse(
			bus.RefusedMalformed,
			"action: found %.40q, want %s, %s or %s",
			q.Action,
			bus.HookContinue,
			bus.HookAbandon,
			bus.HookHeartbeat,
		)
	}
	h.log.Info().
		Str("group", a.Group).
		Str("vm", a.VM).
		Msgf("the %s hook was answered: %s, %s", a.Hook, q.Action, bus.Attribution(q.By, q.Reason))
	return a, true, nil
}

// The reasons that a hook's command is given.
const (
	reasonReady   = "ready"   // the VM could serve
	reasonRemoval = "removal" // it runs, and is about to go
	reasonDied    = "died"    // it does not run any more
	reasonStandby = "standby" // it runs on, out of service
	reasonDetach  = "detach"  // it runs on, as a person's own
)

// ask asks a hook about a VM and waits for the answer, as hooks.wait does. The call has the hook, its kind, the reason and the
// address; where it does not say when the wait began, it begins now.
func (h Manager) ask(ctx context.Context, vm VM, decision string, call hookCall) (bus.HookAction, error) {
	if call.began.IsZero() {
		call.began = time.Now()
	}
	call.group, call.vm, call.uuid, call.host = vm.Meta.Group, vm.Name, vm.UUID, h.Host
	call.tell = func(e bus.Event) {
		e.DecisionID = decision
		h.Tell(e)
	}
	return h.Hooks.wait(ctx, call)
}

// removeHook asks the remove hook about a running VM.
func (h Manager) removeHook(
	ctx context.Context,
	hook bus.Hook,
	dom *libvirt.Domain,
	vm VM,
	decision string,
	began time.Time,
) (bus.HookAction, error) {
	address := vm.Meta.Address // the load balancer knows the VM by what the launch hook was given
	if address == "" && hook.WaitFor == bus.WaitForCommand {
		_ = h.Calls.ask(ctx, func() { address = addressOf(dom) }) // else ctx has ended, which the wait sees
	}
	reason := reasonRemoval
	switch {
	case vm.Order.Is(bus.VMStandby):
		reason = reasonStandby
	case vm.Order.Is(bus.VMDetach):
		reason = reasonDetach
	}
	return h.ask(ctx, vm, decision, hookCall{
		kind: bus.HookRemove, hook: hook, address: address, reason: reason, began: began,
	})
}

// farewellWait is for how long a removal waits for the remove hook of a VM that died: its replacement may wait for the removal.
const farewellWait = 10 * time.Second

// farewellHook is a group's remove hook for a VM that died; its failure holds nothing up.
func farewellHook(hook bus.Hook) bus.Hook {
	hook.Timeout, hook.Default = min(hook.Timeout, farewellWait), bus.HookContinue
	return hook
}

// Farewell tells the command of the remove hook that a VM which had served died. Whoever listens on the bus hears it by the
// event "died".
func (h Manager) Farewell(ctx context.Context, hook bus.Hook, vm VM, decision string) error {
	if hook.WaitFor != bus.WaitForCommand || !vm.Meta.Phase.Serves() && vm.Meta.Phase != bus.PhaseDraining {
		return nil
	}
	_, abandoned := h.ask(ctx, vm, decision, hookCall{
		kind: bus.HookRemove, hook: farewellHook(hook), address: vm.Meta.Address, reason: reasonDied,
	})
	return abandoned
}

// launchHook runs the launch hook of a VM that could serve, and returns the address that it was given. It fails when the
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
	hook := spec.Hooks.Launch
	switch {
	case hook.WaitFor == bus.WaitForCommand:
		address = awaitAddress(ctx, h.Calls, dom)
	case spec.Hooks.Remove.WaitFor == bus.WaitForCommand: // which runs even if the VM died
		_ = h.Calls.ask(ctx, func() { address = addressOf(dom) })
	}
	if err := noAddress(spec, vm.Name, address); err != nil && ctx.Err() == nil {
		return "", err
	}
	_, err = h.ask(ctx, vm, decision, hookCall{kind: bus.HookLaunch, hook: hook, address: address, reason: reasonReady})
	return address, err
}

// noAddress is the error that a launch hook's command would have no address; nil if it has one or needs none.
func noAddress(spec bus.Group, vm, address string) error {
	if address != "" || spec.Hooks.Launch.WaitFor != bus.WaitForCommand || spec.ReadyWhen == bus.ReadyUptime {
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
