package demo

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The guest's agent calls shutdown with arguments, or by another name.
func TestShutdownByEachName(t *testing.T) {
	dir, path := t.TempDir(), t.TempDir() // apart: a script that finds itself would never end
	script, err := guestFile("shutdown")
	if err != nil {
		t.Fatal(err)
	}
	write := func(dir, name, content string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(dir, "shutdown", string(script))
	for _, name := range shutdownNames {
		if err := os.Symlink("shutdown", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"killall", "sync", "mount"} {
		write(path, name, "#!/bin/sh\n")
	}
	write(path, "busybox", "#!/bin/sh\necho \"$@\"\n")
	for line, want := range map[string]string{
		"shutdown -P +0 hypervisor initiated shutdown": "poweroff -f",
		"shutdown -h -P +0":                            "poweroff -f",
		"shutdown -h -H +0":                            "poweroff -f",
		"shutdown -H +0":                               "halt -f",
		"shutdown -r +0":                               "reboot -f",
		"poweroff":                                     "poweroff -f",
		"halt":                                         "halt -f",
		"reboot":                                       "reboot -f",
		"reboot -f":                                    "reboot -f",
	} {
		args := strings.Fields(line)
		cmd := exec.Command(filepath.Join(dir, args[0]), args[1:]...)
		cmd.Env = []string{"PATH=" + path} // nothing of this machine's
		out, err := cmd.CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%s does %q (%v), want %q", line, got, err, want)
		}
	}
}
