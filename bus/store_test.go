package bus

import (
	"errors"
	"testing"
)

func TestStoreKeepsOverARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := Controls{Paused: []Scope{ScopeIn}, DryRun: true, By: "me@here"}
	s, err := StartServer(ServerConfig{Listen: "127.0.0.1:0", StateDir: dir}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	c := dialAs(t, s, dir, RoleDecider, quiet)
	var got Controls
	if err := c.Load(limit(t), "control.web", &got); !errors.Is(err, ErrNotKept) {
		t.Errorf("before: %v", err)
	}
	if err := c.Save(limit(t), "control.web", want); err != nil {
		t.Fatal(err)
	}
	c.Close()
	s.Stop()
	s = startWith(t, ServerConfig{StateDir: dir})
	if err := join(t, s, "decider").Load(limit(t), "control.web", &got); err != nil || !got.DryRun || !got.Has(ScopeIn) || got.By != want.By {
		t.Errorf("after the restart: %+v, %v", got, err)
	}
}

func TestNoStoreWithoutJetStream(t *testing.T) {
	t.Parallel()
	c := join(t, startServer(t), "decider")
	if err := c.Save(limit(t), "x", 1); !errors.Is(err, ErrNoStore) {
		t.Errorf("save: %v", err)
	}
	var x int
	if err := c.Load(limit(t), "x", &x); !errors.Is(err, ErrNoStore) {
		t.Errorf("load: %v", err)
	}
	if err := EnsureStore(limit(t), c, LockTTL); !errors.Is(err, ErrNoStore) {
		t.Errorf("ensure: %v", err)
	}
}
