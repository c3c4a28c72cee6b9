package main

import (
	"testing"

	"github.com/vmscaler/vmscaler/cmd/vmscaler/internal/host"
)

// TestLeavesAlone: a group that has left the config can go while the others are scaled; one of a process that does not
// tell its groups cannot.
func TestLeavesAlone(t *testing.T) {
	for _, tt := range []struct {
		groups []string
		want   bool
	}{{nil, false}, {[]string{}, false}, {[]string{"web"}, true}, {[]string{"web", "old"}, false}} {
		if got := leavesAlone(host.Holder{Groups: tt.groups}, "old"); got != tt.want {
			t.Errorf("%q: %t", tt.groups, got)
		}
	}
}
