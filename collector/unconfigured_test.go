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
	err := unconfiguredNote(map[string]int{"old": 3, "db": 1})
	var note client.Note
	want := "group db owns 1 VM here but is not configured: they are left alone, `vmscaler down db` removes them; " +
		"group old owns 3 VMs here but is not configured: they are left alone, `vmscaler down old` removes them"
	if !errors.As(err, &note) || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}
