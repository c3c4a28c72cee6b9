package actuator

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/actuator/vm"
	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// onWaiting does something with each event "waiting" of a host, beside the one who waits.
func (b *testHost) onWaiting(do func(bus.Event)) {
	b.Hooks = vm.NewHooks(zerolog.Nop())
	b.on[bus.EventWaiting] = func() {
		b.mu.Lock()
		e := b.events[len(b.events)-1]
		b.mu.Unlock()
		go do(e)
	}
}

// answering answers each hook over the bus.
func (b *testHost) answering(action bus.HookAction) {
	b.onWaiting(func(e bus.Event) {
		if _, known, err := b.Hooks.Answer(bus.Query{Token: e.Token, Action: action}); !known || err != nil {
			b.t.Errorf("answer: %v, %v", known, err)
		}
	})
}

// the phase of the only VM.
func (b *testHost) meta() bus.Metadata {
	b.t.Helper()
	owned := b.inventory().Owned
	if len(owned) != 1 {
		b.t.Fatalf("owned: %+v", owned)
	}
	return owned[0].Meta
}

func busHooks() bus.HookList {
	return bus.HookList{{WaitFor: bus.WaitForBus, Timeout: time.Hour, Default: bus.HookContinue}}
}

func hookedSpec() bus.Group {
	return webSpec(func(g *bus.Group) { g.Hooks = bus.Hooks{Launch: busHooks(), Remove: busHooks()} })
}

func TestLaunchHook(t *testing.T) {
	t.Run("continue", func(t *testing.T) {
		b := newHost(t)
		b.answering(bus.HookContinue)
		if err := b.Launch(t.Context(), hookedSpec(), "web-1", someUUID, "web-7"); err != nil {
			t.Fatal(err)
		}
		if got := b.heard(); got != "creating started waiting ready" {
			t.Errorf("told %s", got)
		}
		if e := b.events[2]; e.DecisionID != "web-7" || e.Group != "web" || e.VM != "web-1" {
			t.Errorf("event %+v", e)
		}
		if got := b.meta().Phase; got != bus.PhaseReady {
			t.Errorf("phase %s", got)
		}
	})
	t.Run("abandon", func(t *testing.T) {
		b := newHost(t)
		b.answering(bus.HookAbandon)
		err := b.Launch(t.Context(), hookedSpec(), "web-1", someUUID, "web-7")
		if err == nil || !strings.Contains(err.Error(), "the launch hook of web-1 said abandon") {
			t.Errorf("got %v", err)
		}
		b.hasNothing()
	})
	t.Run("it goes off", func(t *testing.T) {
		b := newHost(t)
		b.onWaiting(func(bus.Event) {
			dom, err := b.conn.LookupDomainByName("web-1")
			if err != nil {
				t.Error(err)
				return
			}
			defer dom.Free()
			if err := dom.Destroy(); err != nil {
				t.Error(err)
			}
		})
		err := b.Launch(t.Context(), hookedSpec(), "web-1", someUUID, "web-7")
		if err == nil || !strings.Contains(err.Error(), "web-1 was shut off before its launch hook was answered") {
			t.Errorf("got %v", err)
		}
		b.hasNothing()
	})
	t.Run("command", func(t *testing.T) {
		b := newHost(t)
		b.Hooks, b.Host = vm.NewHooks(zerolog.Nop()), "here"
		file := filepath.Join(t.TempDir(), "told")
		spec := webSpec(func(g *bus.Group) {
			g.Hooks.Launch[0].WaitFor = bus.WaitForCommand
			g.Hooks.Launch[0].Command = `echo $VMSCALER_HOOK $VMSCALER_GROUP $VMSCALER_VM $VMSCALER_UUID ` +
				`$VMSCALER_HOST $VMSCALER_ADDRESS > ` + file
		})
		if err := b.Launch(t.Context(), spec, "web-1", someUUID, "web-7"); err != nil {
			t.Fatal(err)
		}
		// The address is the test driver's.
		if text, err := os.ReadFile(file); err != nil ||
			!strings.HasPrefix(string(text), "launch web web-1 "+someUUID+" here 192.168.122.") {
			t.Errorf("told %q, %v", text, err)
		}
	})
	t.Run("taken over, abandon", func(t *testing.T) {
		b := newHost(t)
		ctx, cancel := context.WithCancel(t.Context())
		b.onWaiting(func(bus.Event) { cancel() })
		if err := b.Launch(ctx, hookedSpec(), "web-1", someUUID, "web-7"); !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		plan := b.plan(hookedSpec(), 1)
		if len(plan.Await) != 1 {
			t.Fatalf("planned %+v, want that it is waited for", plan)
		}
		b.answering(bus.HookAbandon)
		if err := b.AwaitReady(t.Context(), hookedSpec(), plan.Await[0], "web-8"); err == nil || b.meta().Phase != bus.PhaseFailed {
			t.Errorf("got %v, phase %s; want that it is removed next", err, b.meta().Phase)
		}
	})
}

func TestRemoveHook(t *testing.T) {
	hooked := func(b *testHost) vm.Removal {
		if err := b.Launch(t.Context(), webSpec(), "web-1", someUUID, "web-7"); err != nil {
			t.Fatal(err)
		}
		b.events = nil
		return vm.Removal{VM: b.inventory().Owned[0], Kind: vm.ScaleIn, Reason: "scaling in", Graceful: true}
	}
	for _, action := range []bus.HookAction{bus.HookContinue, bus.HookAbandon} {
		t.Run(string(action), func(t *testing.T) {
			b := newHost(t)
			r := hooked(b)
			b.onWaiting(func(e bus.Event) {
				if vm := b.inventory().Owned[0]; vm.Meta.Phase != bus.PhaseDraining || vm.State != bus.StateRunning {
					t.Errorf("while the hook waits it is %s and %s", vm.Meta.Phase, vm.State)
				}
				_, _, _ = b.Hooks.Answer(bus.Query{Token: e.Token, Action: action})
			})
			if err := b.Remove(t.Context(), r, removeSpec(), nil, "web-8"); err != nil {
				t.Fatal(err)
			}
			if got := b.heard(); got != "draining waiting stopping removed" {
				t.Errorf("told %s", got)
			}
			if got := b.events[2].Error; (got != "") != (action == bus.HookAbandon) {
				t.Errorf("stopping says the error %q", got)
			}
			if e := b.events[0]; e.Deadline.Sub(*b.events[1].Deadline) != time.Second {
				t.Errorf("the drain ends at %s, the hook at %s", e.Deadline, b.events[1].Deadline)
			}
			b.hasNothing()
		})
	}
	retaining := removeSpec()
	retaining.Hooks.Remove[0].OnAbandon, retaining.Max = bus.AbandonRetain, 2
	t.Run("retain", func(t *testing.T) {
		b := newHost(t)
		r := hooked(b)
		b.answering(bus.HookAbandon)
		if err := b.Remove(t.Context(), r, retaining, nil, "web-8"); !vm.IsCalledOff(err) {
			t.Fatalf("got %v", err)
		}
		if got := b.heard(); got != "draining waiting retained" || b.events[2].Error == "" {
			t.Errorf("told %s: %+v", got, b.events)
		}
		kept := b.inventory().Owned[0]
		if kept.Meta.Phase != bus.PhaseRetained || kept.State != bus.StateRunning {
			t.Fatalf("it is %s and %s", kept.Meta.Phase, kept.State)
		}
		if plan := b.plan(retaining, 1); len(plan.Remove) > 0 || len(plan.Await) > 0 || len(plan.Create) != 1 {
			t.Errorf("planned %+v", plan)
		}
		// A person lets it go, and nobody is asked again.
		b.events = nil
		kept.Order = &bus.VMOrder{Verb: bus.VMRemove, At: time.Now()}
		r = vm.Removal{VM: kept, Kind: vm.Ordered, Reason: "removed", Graceful: true}
		if err := b.Remove(t.Context(), r, retaining, nil, "web-9"); err != nil || b.heard() != "draining stopping removed" {
			t.Errorf("got %v, told %s", err, b.heard())
		}
		b.hasNothing()
	})
	t.Run("retain, of one that a person removes", func(t *testing.T) {
		b := newHost(t)
		r := hooked(b)
		b.answering(bus.HookAbandon)
		r.Kind, r.VM.Order = vm.Ordered, &bus.VMOrder{Verb: bus.VMRemove, At: time.Now()}
		if err := b.Remove(t.Context(), r, retaining, nil, "web-8"); err != nil || b.heard() != "draining waiting stopping removed" {
			t.Errorf("got %v, told %s", err, b.heard())
		}
		b.hasNothing()
	})
	t.Run("of a VM that does not serve", func(t *testing.T) {
		b := newHost(t)
		r := hooked(b)
		r.Graceful = false
		if err := b.Remove(t.Context(), r, removeSpec(), nil, "web-8"); err != nil || b.heard() != "stopping removed" {
			t.Errorf("got %v, told %s", err, b.heard())
		}
	})
	// The time that is left is what the metadata says, however often the wait begins again.
	t.Run("restarted", func(t *testing.T) {
		b := newHost(t)
		r := hooked(b)
		var since time.Time
		for range 2 {
			ctx, cancel := context.WithCancel(t.Context())
			b.onWaiting(func(bus.Event) { cancel() })
			if err := b.Remove(ctx, r, removeSpec(), nil, "web-8"); !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v", err)
			}
			meta := b.meta()
			if since.IsZero() {
				since = meta.Since
			}
			if !meta.Since.Equal(since) || meta.Phase != bus.PhaseDraining {
				t.Errorf("phase %s since %s, want draining since %s", meta.Phase, meta.Since, since)
			}
		}
		first, second := b.events[1], b.events[3]
		if first.Token == second.Token || !first.Deadline.Equal(*second.Deadline) {
			t.Errorf("waits %+v, and then %+v", first, second)
		}
		b.answering(bus.HookContinue)
		if err := b.Remove(t.Context(), r, removeSpec(), nil, "web-8"); err != nil {
			t.Fatal(err)
		}
		b.hasNothing()
	})
}

// The whole stage: what is answered over the bus is what happens, and a launch that waits is given up when it is not
// wanted any more.
func TestActuatorServesHooks(t *testing.T) {
	b := newHost(t)
	spec := hookedSpec()
	spec.Min = 0
	s := startStage(t, b, spec, dialTest)
	ask := func(token string, action bus.HookAction) (bus.HookAnswer, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		return client.Ask[bus.HookAnswer](ctx, s.operator, bus.VerbHook, bus.Query{Token: token, Action: action, By: "ann"})
	}
	must := func(e bus.Event, action bus.HookAction) {
		t.Helper()
		if a, err := ask(e.Token, action); err != nil || a.VM != e.VM || a.Action != action {
			t.Fatalf("answered %+v, %v", a, err)
		}
	}
	launching := func() bool {
		owned := b.inventory().Owned
		return len(owned) == 1 && owned[0].Meta.Phase == bus.PhaseLaunching && owned[0].State == bus.StateRunning
	}
	s.want(1, "a launching VM", launching)
	e := s.event(bus.EventWaiting)
	if _, err := ask(e.Token, "stop"); err == nil || !strings.Contains(err.Error(), "want continue, abandon or heartbeat") {
		t.Errorf("a wrong action: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := client.Ask[bus.HookAnswer](short, s.operator, bus.VerbHook,
		bus.Query{Token: "another actuator's", Action: bus.HookContinue}); !errors.Is(
		err,
		context.DeadlineExceeded,
	) {
		t.Errorf("an unknown token is not left to others: %v", err)
	}
	must(e, bus.HookHeartbeat)
	if beat := s.event(bus.EventWaiting); beat.Token != e.Token || !beat.Deadline.After(*e.Deadline) {
		t.Errorf("after a heartbeat %+v, before %+v", beat, e)
	}
	must(e, bus.HookAbandon)
	if failed := s.event(bus.EventFailed); !strings.Contains(failed.Error, "the launch hook of web-1 said abandon") {
		t.Errorf("event %+v", failed)
	}
	s.want(1, "another launching VM", launching)
	again := s.event(bus.EventWaiting)
	s.want(0, "no VM", func() bool { return len(b.inventory().Owned) == 0 })
	s.want(1, "a third one", launching)
	third := s.event(bus.EventWaiting)
	if third.Token == again.Token {
		t.Error("the third VM has the token of the second")
	}
	must(third, bus.HookContinue)
	s.want(1, "it is ready", b.ready(1))
	s.want(0, "it drains", func() bool { return b.meta().Phase == bus.PhaseDraining })
	must(s.event(bus.EventWaiting), bus.HookContinue)
	s.want(0, "it is gone", func() bool { return len(b.inventory().Owned) == 0 })
	s.stop()
	b.hasNothing()
}

func removeSpec() bus.Group {
	return bus.Group{ShutdownTimeout: time.Second, Hooks: bus.Hooks{Remove: busHooks()}}
}

// commandSpec is a group whose hooks write what they are told into a file.
func commandSpec(file string) bus.Group {
	return webSpec(func(g *bus.Group) {
		g.ShutdownTimeout = time.Second
		for _, l := range []*bus.HookList{&g.Hooks.Launch, &g.Hooks.Remove} {
			*l = bus.HookList{{
				WaitFor: bus.WaitForCommand, Timeout: time.Minute, Default: bus.HookContinue,
				Command: "echo $VMSCALER_HOOK $VMSCALER_REASON $VMSCALER_VM $VMSCALER_UUID $VMSCALER_ADDRESS >> " + file,
			}}
		}
	})
}

// Whoever was told that a VM serves is told that it does not, however it went, and by the address that it was told.
func TestRemoveHookHearsOfTheDead(t *testing.T) {
	for _, tt := range []struct {
		name, reason, command string
		how                   func(*libvirt.Domain) error
	}{
		{"destroyed", "died", "", (*libvirt.Domain).Destroy},
		{"destroyed, and the hook fails", "died", "exit 1", (*libvirt.Domain).Destroy},
		{"destroyed, and the hook hangs", "died", "sleep 1000", (*libvirt.Domain).Destroy},
		{"running", "removal", "", func(*libvirt.Domain) error { return nil }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newHost(t)
			b.Hooks = vm.NewHooks(zerolog.Nop())
			file := filepath.Join(t.TempDir(), "told")
			spec := commandSpec(file)
			if tt.command != "" {
				spec.Hooks.Remove[0].Command += "; " + tt.command
				spec.Hooks.Remove[0].Timeout = 2 * time.Second
			}
			if err := b.Launch(t.Context(), spec, "web-1", someUUID, "web-7"); err != nil {
				t.Fatal(err)
			}
			address := b.meta().Address
			dom, err := b.conn.LookupDomainByUUIDString(someUUID)
			if err != nil || !strings.HasPrefix(address, "192.168.122.") {
				t.Fatalf("address %q, %v", address, err)
			}
			if err := errors.Join(tt.how(dom), dom.Free()); err != nil {
				t.Fatal(err)
			}
			desired := 1
			if tt.reason == "removal" {
				desired = 0
			}
			spec.Min = 0
			plan := b.plan(spec, desired)
			if len(plan.Remove) != 1 || (plan.Remove[0].Kind == vm.Died) != (tt.reason == "died") {
				t.Fatalf("planned %+v", plan)
			}
			if err := b.Remove(t.Context(), plan.Remove[0], spec, nil, "web-8"); err != nil {
				t.Fatal(err)
			}
			b.hasNothing()
			want := fmt.Sprintf("launch ready web-1 %s %s\nremove %s web-1 %s %s\n", someUUID, address, tt.reason, someUUID, address)
			if text, err := os.ReadFile(file); err != nil || string(text) != want {
				t.Errorf("told %q, %v; want %q", text, err, want)
			}
		})
	}
}

// A VM that vanishes as a whole is told as well, by the stage.
func TestRemoveHookHearsOfTheVanished(t *testing.T) {
	b := newHost(t)
	file := filepath.Join(t.TempDir(), "told")
	spec := commandSpec(file)
	s := startStage(t, b, spec, dialTest)
	s.want(1, "it is ready", b.ready(1))
	vm := b.inventory().Owned[0]
	s.want(2, "another one, after a look at the first that is ready", b.ready(2))
	dom, err := b.conn.LookupDomainByUUIDString(vm.UUID)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(dom.Undefine(), dom.Destroy(), dom.Free()); err != nil { // in this order it vanishes as it goes off
		t.Fatal(err)
	}
	want := "remove died " + vm.Name + " " + vm.UUID + " " + vm.Meta.Address + "\n"
	s.want(2, "the hook was told", func() bool {
		text, err := os.ReadFile(file)
		return err == nil && strings.Contains(string(text), want)
	})
	s.stop()
}
