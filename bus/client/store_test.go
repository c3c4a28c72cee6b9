package client_test

import (
	"errors"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

func TestStoreKeepsOverARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := bus.Controls{Paused: []bus.Scope{bus.ScopeIn}, DryRun: true, By: "me@here"}
	s, err := server.Start(server.Config{Listen: "127.0.0.1:0", StateDir: dir}, bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	c := bustest.DialAs(t, s, dir, bus.RoleDecider, bustest.Quiet)
	var got bus.Controls
	if err := c.Load(bustest.Limit(t), "control.web", &got); !errors.Is(err, client.ErrNotKept) {
		t.Errorf("before: %v", err)
	}
	if err := c.Save(bustest.Limit(t), "control.web", want); err != nil {
		t.Fatal(err)
	}
	c.Close()
	s.Stop()
	s = bustest.StartWith(t, server.Config{StateDir: dir})
	if err := bustest.Join(t, s, "decider").Load(bustest.Limit(t), "control.web", &got); err != nil || !got.DryRun ||
		!got.IsPaused(bus.ScopeIn) ||
		got.By != want.By {
		t.Errorf("after the restart: %+v, %v", got, err)
	}
}

func TestNoStoreWithoutJetStream(t *testing.T) {
	t.Parallel()
	c := bustest.Join(t, bustest.StartServer(t), "decider")
	if err := c.Save(bustest.Limit(t), "x", 1); !errors.Is(err, client.ErrNoStore) {
		t.Errorf("save: %v", err)
	}
	var x int
	if err := c.Load(bustest.Limit(t), "x", &x); !errors.Is(err, client.ErrNoStore) {
		t.Errorf("load: %v", err)
	}
	if err := client.EnsureStore(bustest.Limit(t), c, client.LockTTL); !errors.Is(err, client.ErrNoStore) {
		t.Errorf("ensure: %v", err)
	}
}
