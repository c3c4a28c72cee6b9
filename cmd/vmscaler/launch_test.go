package main

import (
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// Why a VM does not serve that was launched is what its last failure says.
func TestLaunchFailures(t *testing.T) {
	l := bus.Launch{VMs: []bus.Launched{{VM: "web-3", Host: "a"}, {VM: "web-4", Host: "a"}, {Host: "b"}}}
	events := make(chan bus.Event, 8)
	for _, e := range []bus.Event{
		{VM: "web-4", Event: bus.EventReady},
		{VM: "web-3", Event: bus.EventFailed, Sentence: "launch failed", Error: "no template"},
		{VM: "web-9", Event: bus.EventFailed, Sentence: "launch failed", Error: "of another"},
		{VM: "web-3", Event: bus.EventFailed, Sentence: "launch failed", Error: "no room in the pool"},
	} {
		events <- e
	}
	if got, want := launchFailures(l, events), "web-3: launch failed: no room in the pool"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := launchFailures(l, events); got != "" {
		t.Errorf("without an event: %q", got)
	}
}
