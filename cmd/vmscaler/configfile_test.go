package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Whoever calls the program in a stranger's folder runs nothing of what lies there.
func TestStrangersConfigRunsNothing(t *testing.T) {
	dir := alone(t)
	marker := filepath.Join(t.TempDir(), "ran")
	evil := filepath.Join(dir, "evil.sh")
	text := "libvirt: {uri: \"qemu+ext:///system?command=" + evil + "\"}\n"
	if err := errors.Join(os.WriteFile(evil, []byte("#!/bin/sh\ntouch "+marker+"\n"), 0o755),
		os.WriteFile(defaultConfig, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"down x -y", "load x", "protect x", "template list", "setup", "status"} {
		if _, err := command(t, strings.Fields(line)...); err == nil || !strings.Contains(err.Error(), "libvirt.uri: found the ") {
			t.Errorf("%s, with an own file: got %v, want it refused", line, err)
		}
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
		if out, err := command(t, "config", "show"); err != nil || strings.Contains(out, "evil") {
			t.Errorf("in another user's folder: got %v, %s", err, out)
		}
	}
	if _, err := os.Stat(marker); err == nil {
		t.Error("the program of the file was run")
	}
}
