package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/server"
)

// answering answers each question for victims with the texts, one after the other.
func answering(t *testing.T, nc *nats.Conn, texts ...string) {
	t.Helper()
	sub, err := nc.Subscribe(bus.AllVictims, func(msg *nats.Msg) {
		if _, err := bus.DecodeOn[bus.Victims](msg.Subject, msg.Data); err != nil {
			t.Error(err)
		}
		for _, text := range texts {
			if err := msg.Respond([]byte(text)); err != nil {
				t.Error(err)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushWithContext(bustest.Limit(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sub.Unsubscribe() })
}

func text(t *testing.T, m any) string {
	t.Helper()
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// An actuator takes the first answer that is one: of an operator, and about what it has asked.
func TestAskVictims(t *testing.T) {
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	actuator := bustest.Join(t, s, string(bus.RoleActuator))
	operator := bustest.NewMember(t, s, server.CredentialsFile(dir, bus.RoleOperator))
	good := *bustest.VictimsAnswer()
	answering(t, operator.NC,
		``, `{`, `{"v":1}`, `{"v":2,"vms":[]}`, `{"v":1,"vms":["another"]}`, text(t, good), `{"v":1,"vms":[]}`)
	before := actuator.Dropped()
	got, err := actuator.AskVictims(bustest.Limit(t), bustest.Victims())
	if err != nil || !slices.Equal(got.VMs, good.VMs) {
		t.Errorf("got %+v, %v; want %+v", got, err, good)
	}
	if n := actuator.Dropped() - before; n != 5 {
		t.Errorf("%d answers were dropped, want 5", n)
	}
}

// Where nobody listens, or nobody answers, the question ends with its time; one who comes meanwhile is heard.
func TestAskVictimsInVain(t *testing.T) {
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	actuator := bustest.Join(t, s, string(bus.RoleActuator))
	operator := bustest.NewMember(t, s, server.CredentialsFile(dir, bus.RoleOperator))
	ask := func(within time.Duration) error {
		ctx, cancel := context.WithTimeout(t.Context(), within)
		defer cancel()
		_, err := actuator.AskVictims(ctx, bustest.Victims())
		return err
	}
	if err := ask(50 * time.Millisecond); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("nobody listens: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- ask(time.Minute) }()
	answering(t, operator.NC, text(t, bustest.VictimsAnswer()))
	if err := <-done; err != nil {
		t.Errorf("one who comes late: %v", err)
	}
}

func TestAskVictimsOfOneWhoIsSilent(t *testing.T) {
	dir := t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	answering(t, bustest.NewMember(t, s, server.CredentialsFile(dir, bus.RoleOperator)).NC)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := bustest.Join(t, s, string(bus.RoleActuator)).AskVictims(ctx, bustest.Victims())
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("nobody answers: %v", err)
	}
}
