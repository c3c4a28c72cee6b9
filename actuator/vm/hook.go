package vm

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rs/zerolog"

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
		Group: c.group, VM: c.vm, Event: bus.EventWaiting, Deadline: new(deadline.UTC()), Token: token, Hook: c.hook.Name,
		Sentence: fmt.Sprintf(
			"the %s waits for %s; after %s without one: %s",
			c.hook.Text(c.kind),
			who,
			time.Until(deadline).Round(time.Second),
			c.hook.Default,
		),
	})
}

// abandoned is the answer abandon, with the reason.
func (c hookCall) abandoned(why string, args ...any) (bus.HookAction, error) {
	return bus.HookAbandon, fmt.Errorf("the %s of %s said abandon: "+why, append([]any{c.hook.Text(c.kind), c.vm}, args...)...)
}

// late is the answer after the time-out.
func (c hookCall) late(log zerolog.Logger) (bus.HookAction, error) {
	log.Warn().
		Str("group", c.group).
		Str("vm", c.vm).
		Msgf("the %s had no answer within its time-out: %s", c.hook.Text(c.kind), c.hook.Default)
	if c.hook.Default == bus.HookAbandon {
		return c.abandoned("that is its default, and no answer came within the time-out")
	}
	return bus.HookContinue, nil
}

// environment is the command's environment.
func (c hookCall) environment() []string {
	return []string{
		"VMSCALER_HOOK=" + string(
			c.kind,
		), "VMSCALER_HOOK_NAME=" + c.hook.Name, "VMSCALER_GROUP=" + c.group, "VMSCALER_VM=" + c.vm, "VMSCALER_UUID=" + c.uuid,
		"VMSCALER_HOST=" + c.host, "VMSCALER_ADDRESS=" + c.address, "VMSCALER_REASON=" + c.reason,
	}
}

// Hooks keeps who waits for an answer over the bus, by the token that the answer must name. It is safe for concurrent use.
type Hooks struct {
	log zerolog.Logger

	mu      sync.Mutex
	waiters map[string]*waiter
	pending map[*pending]bool // all waits, for answers and for commands
}

// pending is one wait that goes on.
type pending struct {
	call  hookCall
	drop  context.CancelCauseFunc
	token string    // "": a command is waited for
	until time.Time // owned by Hooks.mu, as is token
}

// errDropped ends a wait for a hook that the config has no more.
var errDropped = errors.New("the config has no such hook any more")

// waiter is one who waits.
type waiter struct {
	call     hookCall
	deadline time.Time      // owned by hooks.mu
	answered chan bus.Query // has room for the one answer that a token can have
	moved    chan struct{}  // has an element when deadline has moved
}

// NewHooks makes the hooks of a process; their commands' output goes to log.
func NewHooks(log zerolog.Logger) *Hooks {
	return &Hooks{log: log, waiters: map[string]*waiter{}, pending: map[*pending]bool{}}
}

// wait waits for the answer to a hook, which is continue or abandon; abandon comes with an error that says why. When ctx
// ends there is no answer, and the error is its cause: the next start waits on. A hook that the config has no more says continue.
func (h *Hooks) wait(ctx context.Context, call hookCall) (bus.HookAction, error) {
	if !call.hook.Waits() {
		return bus.HookContinue, nil
	}
	waiting, drop := context.WithCancelCause(ctx)
	defer drop(nil)
	p := &pending{call: call, drop: drop, until: call.deadline(time.Now())}
	h.mu.Lock()
	h.pending[p] = true
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.pending, p)
	}()
	action, err := h.waitFor(waiting, p)
	if action == "" && errors.Is(err, errDropped) {
		h.log.Info().Str("group", call.group).Str("vm", call.vm).Msgf("the %s: %s: continue", call.hook.Text(call.kind), errDropped)
		return bus.HookContinue, nil
	}
	return action, err
}

// Keep ends the waits of a group for hooks that it has no more: of another name, or that another than before is waited for.
func (h *Hooks) Keep(group string, hooks bus.Hooks) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for p := range h.pending {
		list := map[bus.HookKind]bus.HookList{bus.HookLaunch: hooks.Launch, bus.HookRemove: hooks.Remove}[p.call.kind]
		if p.call.group == group && !slices.ContainsFunc(list, func(hook bus.Hook) bool {
			return hook.Name == p.call.hook.Name && hook.WaitFor == p.call.hook.WaitFor
		}) {
			p.drop(errDropped)
		}
	}
}

// Pending are the waits that go on, those that end first before the others, and no more than a message may have.
func (h *Hooks) Pending() []bus.PendingHook {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []bus.PendingHook
	for p := range h.pending {
		all = append(all, bus.PendingHook{
			Group: p.call.group, VM: p.call.vm, Hook: p.call.kind, Name: p.call.hook.Name, WaitFor: p.call.hook.WaitFor,
			Token: p.token, Since: p.call.began.UTC(), Until: p.until.UTC(),
		})
	}
	slices.SortFunc(all, func(a, b bus.PendingHook) int {
		return cmp.Or(a.Until.Compare(b.Until), cmp.Compare(a.VM, b.VM), cmp.Compare(a.Name, b.Name))
	})
	return all[:min(len(all), bus.MaxPendingHooks)]
}

func (h *Hooks) waitFor(ctx context.Context, p *pending) (bus.HookAction, error) {
	switch p.call.hook.WaitFor {
	case bus.WaitForBus:
		return h.waitForAnswer(ctx, p)
	case bus.WaitForCommand:
		return h.waitForCommand(ctx, p.call)
	case bus.WaitForNobody:
	}
	return bus.HookContinue, nil
}

func (h *Hooks) waitForAnswer(ctx context.Context, p *pending) (bus.HookAction, error) {
	call, deadline := p.call, p.until
	w := &waiter{call: call, deadline: deadline, answered: make(chan bus.Query, 1), moved: make(chan struct{}, 1)}
	token := rand.Text()
	h.mu.Lock()
	h.waiters[token], p.token = w, token
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
			deadline = h.deadline(w, p)
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

func (h *Hooks) deadline(w *waiter, p *pending) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	p.until = w.deadline
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
	a = bus.HookAnswer{
		V:      bus.Version,
		Group:  w.call.group,
		VM:     w.call.vm,
		Hook:   w.call.kind,
		Name:   w.call.hook.Name,
		Action: q.Action,
	}
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
		Msgf("the %s was answered: %s, %s", w.call.hook.Text(a.Hook), q.Action, bus.Attribution(q.By, q.Reason))
	return a, true, nil
}
