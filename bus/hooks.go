package bus

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

// Hooks are whom a group waits for, such as a load balancer. Those of one moment are asked at the same time.
type Hooks struct {
	Launch HookList `json:"launch"` // when a VM is ready, before it counts as such
	Remove HookList `json:"remove"` // before a ready VM is shut down
}

// MaxHooks is how many hooks a group may have at one moment.
const MaxHooks = 10

// HookList are the hooks of one moment. All must say continue; the first that says abandon ends the others.
type HookList []Hook

// Waits reports whether there is anybody to wait for.
func (l HookList) Waits() bool { return slices.ContainsFunc(l, Hook.Waits) }

// RunsCommand reports whether one of them is a command.
func (l HookList) RunsCommand() bool {
	return slices.ContainsFunc(l, func(h Hook) bool { return h.WaitFor == WaitForCommand })
}

// Timeout is how long they take at most without a heartbeat, one beside the other; 0 where nobody is waited for.
func (l HookList) Timeout() (longest time.Duration) {
	for _, h := range l {
		if h.Waits() {
			longest = max(longest, h.Timeout)
		}
	}
	return longest
}

var hookName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)

// IsHookName reports whether a hook may be called so.
func IsHookName(name string) bool { return hookName.MatchString(name) }

// Text is how people are told which hook of a kind it is: "launch hook", or "launch hook dns" with a name.
func (h Hook) Text(kind HookKind) string {
	if h.Name == "" {
		return fmt.Sprintf("%s hook", kind)
	}
	return fmt.Sprintf("%s hook %s", kind, h.Name)
}

// Waits reports whether there is anybody to wait for.
func (h Hook) Waits() bool { return h.WaitFor == WaitForBus || h.WaitFor == WaitForCommand }

// HookKind is which of a group's hooks.
type HookKind string

// The hooks.
const (
	HookLaunch HookKind = "launch"
	HookRemove HookKind = "remove"
)

// Hook is one thing to wait for.
type Hook struct {
	Name    string  `json:"name,omitempty"` // where there are several; it distinguishes them
	WaitFor WaitFor `json:"wait_for"`
	// Command runs by /bin/sh where the actuator runs and with its rights; what it is about is in its environment.
	Command string        `json:"command"`
	Timeout time.Duration `json:"timeout"` // until Default is taken for the answer
	Default HookAction    `json:"default"` // continue or abandon
	// OnAbandon is what abandon means on removal.
	OnAbandon OnAbandon `json:"on_abandon"`
}

// OnAbandon is what becomes of a VM whose remove hook was abandoned.
type OnAbandon string

// What becomes of it.
const (
	AbandonContinue OnAbandon = "continue" // it goes all the same
	AbandonRetain   OnAbandon = "retain"   // it is kept, and belongs to its group's numbers no more, until a person removes it
)

// WaitFor says who answers a hook.
type WaitFor string

// Those who may answer a hook.
const (
	WaitForNobody  WaitFor = "nobody"
	WaitForBus     WaitFor = "bus"     // any client that answers the event "waiting" with a request
	WaitForCommand WaitFor = "command" // its exit status: 0 is continue, any other abandon
)

// HookAction is the answer to a hook.
type HookAction string

// The answers to a hook.
const (
	HookContinue  HookAction = "continue"
	HookAbandon   HookAction = "abandon"   // on launch: the VM is removed. On removal: as OnAbandon says
	HookHeartbeat HookAction = "heartbeat" // wait for the time-out again, from now; only over the bus
)

// DefaultHook is what a hook's unset fields mean.
func DefaultHook() Hook {
	return Hook{WaitFor: WaitForNobody, Timeout: time.Minute, Default: HookContinue, OnAbandon: AbandonContinue}
}
