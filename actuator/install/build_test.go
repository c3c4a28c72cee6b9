package install

import (
	"context"
	"errors"
	"strings"
	"testing"
)

// What a person is told to type works with the machine as it is.
func TestKept(t *testing.T) {
	kept := KeptError{Cause: errors.New("no"), VM: "vmscaler-once-a-1", Group: "vmscaler-once-a", URI: "qemu:///system"}
	for off, want := range map[bool]string{
		false: "is kept: virsh -c qemu:///system console vmscaler-once-a-1\n",
		true:  "is kept, and is off: virsh -c qemu:///system start --console vmscaler-once-a-1\n",
	} {
		if kept.Off = off; !strings.Contains(kept.Error(), want) {
			t.Errorf("got %s, want %q", kept.Error(), want)
		}
	}
}

// A disk that cannot be sealed is explained by what the installer said last.
func TestNotSealed(t *testing.T) {
	b := builder{player: NewPlayer(steps(t))}
	if _, err := b.player.Feed([]byte("grub-install: no space\r\n")); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("neither a BIOS nor UEFI starts it")
	err := b.notSealed(t.Context(), cause)
	const want = "sealing its disk: neither a BIOS nor UEFI starts it\nthe console ends with:\n  grub-install: no space"
	if !errors.Is(err, cause) || err.Error() != want {
		t.Errorf("got %v, want %q", err, want)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.notSealed(ended, context.Canceled); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "console") {
		t.Errorf("given up: %v", err)
	}
	if err := b.notSealed(t.Context(), nil); err != nil {
		t.Error(err)
	}
}
