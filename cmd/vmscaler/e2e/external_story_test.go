//go:build external

package e2e

import (
	"testing"

	"github.com/vmscaler/vmscaler/bus/client"
)

// TestStoryExternal plays the story in five processes on NATS's own server.
func TestStoryExternal(t *testing.T) {
	w := newWorld(t)
	s := w.startOn(w.natsServer(w.jetStream()))
	w.playStory(w.watch(client.Remote{URL: s.url}))
	s.stages["dashboard"].saidTheStory(w.group)
	if out := w.must("events", w.group, "--nats-url", s.url); !containsAll(
		out,
		"desired 2 -> 3",
		"desired 2 -> 1",
		" ready ",
		" removed ",
	) {
		t.Errorf("events after the story:\n%s", out)
	}
	s.stop()
}

// TestStoryExternalWithoutJetStream is the same on a server that can keep no history: all else works there.
func TestStoryExternalWithoutJetStream(t *testing.T) {
	w := newWorld(t)
	s := w.startOn(w.natsServer(""))
	w.playStory(w.watch(client.Remote{URL: s.url}))
	s.stages["dashboard"].saidTheStory(w.group)
	w.refused([]string{"events", w.group, "--nats-url", s.url}, "no history", "no JetStream")
	if said := s.stages["actuator"].lines("no history is kept"); len(said) != 1 {
		t.Errorf("said of the history: %q, want it once", said)
	}
	s.stop()
}

// startOn starts all stages but the bus on a server, and the dashboard.
func (w *world) startOn(address string) *split {
	w.t.Helper()
	s := w.split(address, w.config(storyPolicy))
	for _, stage := range []string{"dashboard", "decider", "actuator", "collector"} {
		s.start(stage).says("nats://" + address)
	}
	return s
}
