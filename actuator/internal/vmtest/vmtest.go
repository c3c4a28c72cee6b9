// Package vmtest has what tests around VMs share: a group, its VM's metadata, and a moment.
package vmtest

import (
	"slices"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// UUID is that of a VM.
const UUID = "5c0d2a9e-7f0b-4e53-9d6a-0d8a4e6b1c11"

// Noon is a moment.
func Noon() time.Time { return time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC) }

// Spec is the group web, whose VMs are ready as soon as they run.
func Spec(changes ...func(*bus.Group)) bus.Group {
	g := bus.DefaultGroup()
	g.Name, g.Network, g.ReadyWhen, g.ReadyAfter = "web", "default", bus.ReadyUptime, 0
	for _, change := range changes {
		change(&g)
	}
	return g
}

// Metadata is that of web-1, which is being created.
func Metadata() bus.Metadata {
	return bus.Metadata{
		Group: "web", Template: "demo", UUID: UUID, Created: Noon(), Phase: bus.PhaseCreating, Since: Noon(),
		Pool: "default", Volume: bus.VolumeName("web-1", UUID),
	}
}

// ContainsAll reports whether all words are in a text.
func ContainsAll(text string, words ...string) bool {
	return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(text, word) })
}
