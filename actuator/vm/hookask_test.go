package vm

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
)

// Hooks of one moment are asked at the same time, each with its name, token and time-out; all must say continue, and the first
// that says abandon ends the others.
func TestSeveralHooks(t *testing.T) {
	const cont, abandon = bus.HookContinue, bus.HookAbandon
	dns := bus.Hook{Name: "dns", WaitFor: bus.WaitForBus, Timeout: time.Hour, Default: cont}
	lb := bus.Hook{Name: "lb", WaitFor: bus.WaitForBus, Timeout: 2 * time.Hour, Default: cont, OnAbandon: bus.AbandonRetain}
	nobody := bus.Hook{Name: "later", WaitFor: bus.WaitForNobody}
	hangs := bus.Hook{Name: "hangs", WaitFor: bus.WaitForCommand, Command: "exec sleep 1000", Timeout: time.Hour, Default: cont}
	fails := bus.Hook{Name: "fails", WaitFor: bus.WaitForCommand, Command: "exit 3", Timeout: time.Hour, Default: cont}
	late := bus.Hook{Name: "late", WaitFor: bus.WaitForBus, Timeout: time.Millisecond, Default: abandon}
	for name, tt := range map[string]struct {
		hooks   bus.HookList
		answers map[string]bus.HookAction // by name, given once all are waited for
		want    bus.HookAction
		by      string // who abandoned it
		retains bool
	}{
		"none":   {bus.HookList{}, nil, cont, "", false},
		"nobody": {bus.HookList{nobody}, nil, cont, "", false},
		"both continue": {
			bus.HookList{dns, lb, nobody}, map[string]bus.HookAction{"dns": cont, "lb": cont}, cont, "", false,
		},
		"one abandons":   {bus.HookList{dns, lb}, map[string]bus.HookAction{"dns": abandon}, abandon, "dns", false},
		"the other does": {bus.HookList{dns, lb}, map[string]bus.HookAction{"lb": abandon}, abandon, "lb", true},
		"one abandons after the other": {
			bus.HookList{dns, lb}, map[string]bus.HookAction{"dns": cont, "lb": abandon}, abandon, "lb", true,
		},
		"a command fails, another hangs":  {bus.HookList{hangs, fails, dns}, nil, abandon, "fails", false},
		"the time-out of one, not of all": {bus.HookList{dns, late}, nil, abandon, "late", false},
	} {
		t.Run(name, func(t *testing.T) {
			hooks := NewHooks(zerolog.Nop())
			waiting := make(chan bus.Event, 16)
			m := Manager{Hooks: hooks, Tell: func(e bus.Event) { waiting <- e }}
			go func() {
				tokens := map[string]string{}
				for len(tokens) < len(tt.answers) {
					e := <-waiting
					if !strings.Contains(e.Sentence, "launch hook "+e.Hook) {
						t.Errorf("event %+v", e)
					}
					if tt.answers[e.Hook] != "" {
						tokens[e.Hook] = e.Token
					}
				}
				for name, action := range tt.answers {
					a, known, err := hooks.Answer(bus.Query{Token: tokens[name], Action: action})
					if !known || err != nil || a.Name != name {
						t.Errorf("%+v, %v, %v", a, known, err)
					}
				}
			}()
			action, err := m.ask(t.Context(), VM{Name: "web-1"}, "d", tt.hooks, hookCall{kind: bus.HookLaunch})
			if action != tt.want || (err != nil) != (tt.by != "") || retains(err) != tt.retains {
				t.Errorf("%s, %v", action, err)
			}
			if err != nil && !strings.Contains(err.Error(), "launch hook "+tt.by+" of web-1 said abandon") {
				t.Errorf("%v", err)
			}
			if left := hooks.Waiting(); len(left) > 0 {
				t.Errorf("still waited for: %v", left)
			}
		})
	}
}

// The end of the program is no answer, and ends all waits.
func TestSeveralHooksEnd(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	m := Manager{Hooks: NewHooks(zerolog.Nop()), Tell: func(bus.Event) { cancel(errNotWanted) }}
	hook := bus.Hook{WaitFor: bus.WaitForBus, Timeout: time.Hour, Default: bus.HookAbandon}
	action, err := m.ask(ctx, VM{Name: "web-1"}, "d", bus.HookList{hook, hook}, hookCall{kind: bus.HookRemove})
	if action != "" || !errors.Is(err, errNotWanted) {
		t.Errorf("%q, %v", action, err)
	}
}
