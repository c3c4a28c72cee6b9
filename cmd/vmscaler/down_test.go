package main

import (
	"bytes"
	"errors"
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

// That a group has no VMs is only sure where the system's libvirt could be asked.
func TestNothingToTakeDown(t *testing.T) {
	c := &downCmd{group: "old"}
	for _, unasked := range []error{nil, errors.New("no permission")} {
		var out bytes.Buffer
		err := c.nothing(&out, host.Choice{URI: "test:///", Why: "as root", Unasked: unasked}, []string{"web"})
		if !errors.Is(err, unasked) || unasked == nil && err != nil {
			t.Errorf("got %v, want %v", err, unasked)
		}
		if want := "group old has no VMs at test:/// (as root); nothing to remove\ngroups with VMs there: web\n"; out.String() != want {
			t.Errorf("got %q, want %q", &out, want)
		}
	}
}
