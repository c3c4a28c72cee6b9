package collector

import (
	"errors"
	"testing"

	"github.com/vmscaler/vmscaler/bus/client"
)

// TestStrangersNote: VMs of a group that was renamed or dropped are told of wherever the stages' health is shown.
func TestStrangersNote(t *testing.T) {
	if err := unconfiguredNote(map[string]int{}); err != nil {
		t.Errorf("without any: %v", err)
	}
	err := unconfiguredNote(map[string]int{"old": 3, "vmscaler-once-x": 1})
	var note client.Note
	want := "group old owns VMs here but is not configured: left alone, as another config or vmscaler may have it (look at who " +
		"made them with `virsh dumpxml`, and only if they are yours and not needed, `vmscaler down old` lists them, asks, and " +
		"removes them); VMs here of group vmscaler-once-x: of a template command that runs, or was killed (the command removes its " +
		"VMs when it ends, and `vmscaler sweep --dry-run` shows whether one runs)"
	if !errors.As(err, &note) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
