package app

import (
	"context"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/config"
	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/membership"
)

// Collector and actuator of a host that has joined do with its one key all that they do with two of their roles.
func TestAgentOfAHost(t *testing.T) {
	dir, state := t.TempDir(), t.TempDir()
	s := bustest.StartWith(t, server.Config{StateDir: dir})
	token, _, err := server.AddToken(dir, "kvm2", nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var m membership.Membership
	bustest.Eventually(t, "the host joins", func() bool {
		m, err = membership.Join(t.Context(), state, s.URL(), token, "test-driver")
		return err == nil
	})
	decider := bustest.Join(t, s, string(bus.RoleDecider))
	samples := bustest.Subscribe[bus.Sample](t, decider, bus.AllSamples)
	healths := bustest.Subscribe[bus.Health](t, decider, bus.AllHealth)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() {
		ended <- Run(ctx, Options{
			Config: config.Default(), Stages: []string{StageCollector, StageActuator}, Log: zerolog.Nop(),
			Remote: func(string) client.Remote { return m.Remote(state) },
			Libvirt: Libvirt{
				Dial: func(context.Context) (*libvirt.Connect, error) { return libvirt.NewConnect("test:///default") },
				DialReadOnly: func(context.Context) (*libvirt.Connect,
					error,
				) {
					return libvirt.NewConnectReadOnly("test:///default")
				},
				Identify: func(*libvirt.Connect) (bus.HostID, string, error) { return "test-driver", "test", nil },
			},
		})
	}()
	if got := bustest.Receive(t, samples, "sample"); got.HostID != "test-driver" {
		t.Errorf("got a sample of %s", got.HostID)
	}
	for seen := map[string]bool{}; !seen[StageCollector] || !seen[StageActuator]; {
		h := bustest.Receive(t, healths, "health of both stages")
		if h.HostID != "test-driver" {
			t.Errorf("got health of %q", h.HostID)
		}
		seen[h.Stage] = true
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
