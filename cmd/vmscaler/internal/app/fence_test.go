package app

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// A fence command says by its status alone whether a host is cut off, and one that hangs is killed with what it has started.
func TestFence(t *testing.T) {
	file := filepath.Join(t.TempDir(), "said")
	for _, tt := range []struct{ command, want string }{
		{`echo "$VMSCALER_GROUP $VMSCALER_HOST $VMSCALER_HOST_ID" > ` + file, ""},
		{"exit 3", "exit status 3"},
		{"", "fence.command"},
		{"sleep 600 & wait", "killed"},
	} {
		spec := bus.Group{Name: "web", Fence: bus.Fence{Command: tt.command, Timeout: time.Minute}}
		ctx, cancel := context.WithCancel(t.Context())
		if tt.want == "killed" {
			cancel()
		}
		err := fence(ctx, spec, "kvm2", "id-2")
		cancel()
		switch {
		case tt.want == "" && err != nil:
			t.Errorf("%q: %v", tt.command, err)
		case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%q: %v, want %q", tt.command, err, tt.want)
		}
	}
	if said, err := os.ReadFile(file); err != nil || string(said) != "web kvm2 id-2\n" {
		t.Errorf("it was told %q, %v", said, err)
	}
}
