package e2e

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// mountSmall mounts a file system of 64 MiB, which needs root: by sudo where this user is not root.
func mountSmall(t *testing.T, dir string) {
	t.Helper()
	asRoot(t, "mount", "-t", "tmpfs", "-o", "size=64m,mode=0777", "vmscaler-e2e", dir)
	t.Cleanup(func() { asRoot(t, "umount", "-l", dir) })
}

func asRoot(t *testing.T, args ...string) {
	t.Helper()
	if os.Geteuid() != 0 {
		args = append([]string{"sudo", "-n"}, args...)
	}
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s: %s (this test needs root, or a sudo that does not ask: sudo -v)", args, err, out)
	}
}

// fill writes a file until its file system is full.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	block := make([]byte, 1<<16)
	for size := len(block); size >= 512; {
		if _, err := f.Write(block[:size]); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}
