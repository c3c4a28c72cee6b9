package client_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
)

// Each process answers a step, what is no step is dropped, and whoever asks goes on hearing until it knows enough.
func TestApplyIsAnsweredByAll(t *testing.T) {
	s := bustest.StartServer(t)
	connect := func(role bus.Role) *client.Conn { return bustest.Join(t, s, string(role)) }
	operator := connect(bus.RoleOperator)
	ctx := bustest.Limit(t)
	order := bus.Apply{V: bus.Version, ID: "a", Step: bus.ApplyPrepare, Groups: []bus.Group{bus.DefaultGroup()}, By: "ann"}
	var nobody *client.NobodyError
	if err := operator.AskApply(ctx, order, nil); !errors.As(err, &nobody) {
		t.Errorf("without anybody: %v", err)
	}
	for _, stage := range bus.GroupStages() {
		if err := connect(bus.Role(stage)).ServeApply(ctx, func(_ context.Context, o bus.Apply) bus.Applied {
			if o.Step != bus.ApplyPrepare || o.By != "ann" || bus.SpecsHash(o.Groups) != bus.SpecsHash(order.Groups) {
				t.Errorf("the %s was asked %+v", stage, o)
			}
			return bus.Applied{Instance: stage + "-1", Stages: []string{stage}}
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, wrong := range []string{"", "{}", `{"v":1,"id":"a","step":"ponder"}`, `{"v":9,"id":"a","step":"drop"}`} {
		if err := operator.NATS().PublishRequest(bus.ApplySubject, operator.NATS().NewInbox(), []byte(wrong)); err != nil {
			t.Fatal(err)
		}
	}
	var heard []string
	if err := operator.AskApply(ctx, order, func(a bus.Applied) bool {
		if a.ID != "a" || a.Step != bus.ApplyPrepare || a.V != bus.Version {
			t.Errorf("the answer is %+v", a)
		}
		heard = append(heard, a.Stages...)
		return len(heard) < len(bus.GroupStages())
	}); err != nil {
		t.Fatal(err)
	}
	if slices.Sort(heard); !slices.Equal(heard, []string{"actuator", "collector", "decider"}) {
		t.Errorf("heard %q", heard)
	}
	var denied *client.DeniedError
	short, stop := context.WithTimeout(ctx, time.Second)
	defer stop()
	if err := connect(bus.RoleMonitor).AskApply(short, order, func(bus.Applied) bool { return false }); !errors.As(err, &denied) {
		t.Errorf("as a monitor: %v", err)
	}
}

// A process that has too much to do to look at what is to be prepared says so, and whoever asks is told at once.
func TestApplyOfABusyProcess(t *testing.T) {
	s := bustest.StartServer(t)
	operator := bustest.Join(t, s, string(bus.RoleOperator))
	done := make(chan struct{})
	if err := bustest.Join(t, s, string(bus.RoleDecider)).ServeApply(t.Context(), func(context.Context, bus.Apply) bus.Applied {
		<-done
		return bus.Applied{Instance: "decider-1"}
	}); err != nil {
		t.Fatal(err)
	}
	defer close(done)
	order := bus.Apply{V: bus.Version, ID: "a", Step: bus.ApplyPrepare}
	for range client.MaxRequests + 1 { // one is being dealt with
		if err := operator.NATS().PublishRequest(bus.ApplySubject, operator.NATS().NewInbox(), []byte("{}")); err != nil {
			t.Fatal(err)
		}
	}
	var refused *bus.RefusedError
	bustest.Eventually(t, "it is refused as busy", func() bool { // the first ones are dropped as they are, until one is not
		short, stop := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer stop()
		return errors.As(operator.AskApply(short, order, func(bus.Applied) bool { return true }), &refused)
	})
	if refused.Code != bus.RefusedBusy {
		t.Errorf("refused: %+v, want that it is busy", refused)
	}
}
