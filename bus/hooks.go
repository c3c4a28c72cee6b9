package bus

import (
	"time"
)

// Hooks are whom a group waits for, such as a load balancer.
type Hooks struct {
	Launch Hook `json:"launch"` // when a VM is ready, before it counts as such
	Remove Hook `json:"remove"` // before a ready VM is shut down
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

func defaultHook() Hook {
	return Hook{WaitFor: WaitForNobody, Timeout: time.Minute, Default: HookContinue, OnAbandon: AbandonContinue}
}
