package e2e

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestDownSaysWhatItCouldNotAsk: who may not use the system's libvirt and names none is not told that there is nothing.
func TestDownSaysWhatItCouldNotAsk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root to be a user without rights")
	}
	l := newPrivateLibvirt(t)
	cmd := exec.CommandContext(t.Context(), program, "down", "web", "--yes")
	cmd.Dir, cmd.Env = "/", append(l.env, "LIBVIRT_DEFAULT_URI=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: l.cred}
	out, err := cmd.CombinedOutput()
	if strings.Contains(string(out), "at qemu:///system (it answers this user)") {
		t.Skip("here everyone may use the system's libvirt")
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		t.Fatalf("%v, want it to fail\n%s", err, out)
	}
	for _, word := range []string{"has no VMs at qemu:///session", "at qemu:///system is not known", "no permission"} {
		if !strings.Contains(string(out), word) {
			t.Errorf("says\n%s\nwant it to say %q", out, word)
		}
	}
}

// TestSetupOnTheSessionOfAnotherUser: the pool is not made in the home of who calls it.
func TestSetupOnTheSessionOfAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root to be another user")
	}
	l := newPrivateLibvirt(t)
	home := t.TempDir()
	cmd := exec.CommandContext(t.Context(), program, "setup", "--uri", l.uri())
	cmd.Dir, cmd.Env = home, append(os.Environ(), "HOME="+home, "XDG_DATA_HOME=")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "session of user id 65534") {
		t.Errorf("%v\n%s\nwant it refused by whose session it is", err, out)
	}
	if entries, err := os.ReadDir(home); err != nil || len(entries) > 0 {
		t.Errorf("in the caller's home there is %v, %v", entries, err)
	}
}
