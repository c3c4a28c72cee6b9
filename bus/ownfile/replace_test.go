package ownfile

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "file")
	for _, text := range []string{"a longer text", "short", ""} {
		if err := Replace(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != text {
			t.Errorf("got %q, %v; want %q", got, err, text)
		}
	}
	for at, want := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): os.ModeDir | 0o700} {
		if info, err := os.Stat(at); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v; want %v", at, info.Mode(), err, want)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("the folder has %v, %v", left, err)
	}
}

// A link where the new file is written is not followed, and the old file stays.
func TestReplaceThroughALink(t *testing.T) {
	dir := t.TempDir()
	victim, path := filepath.Join(dir, "victim"), filepath.Join(dir, "file")
	if err := errors.Join(os.WriteFile(path, []byte("old"), 0o600), os.Symlink(victim, Unfinished(path))); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("new")); err == nil {
		t.Error("it was written through a link")
	}
	if _, err := os.Lstat(victim); err == nil {
		t.Error("the link was followed")
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "old" {
		t.Errorf("got %q, %v", got, err)
	}
}

// What cannot take the file's place is not left behind.
func TestReplaceFails(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder")
	if err := os.MkdirAll(filepath.Join(path, "in", "it"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Replace(path, []byte("new")); err == nil {
		t.Error("it took the place of a folder")
	}
	if _, err := os.Lstat(Unfinished(path)); err == nil {
		t.Error("its unfinished file is left")
	}
}

// A process that ends between the new file and its place leaves the old one, and the next one goes on from there.
func TestReplaceCutOff(t *testing.T) {
	const inside = "VMSCALER_TEST_REPLACE"
	if path := os.Getenv(inside); path != "" {
		renaming = func() {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		_ = Replace(path, []byte("new"))
		t.Fatal("it was not ended")
	}
	path := filepath.Join(t.TempDir(), "file")
	if err := Replace(path, []byte("old")); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run", "^TestReplaceCutOff$")
	cmd.Env = append(os.Environ(), inside+"="+path)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("it ended with %v:\n%s", err, out)
	}
	if _, err := os.Stat(Unfinished(path)); err != nil {
		t.Fatalf("it was ended elsewhere: %s", err)
	}
	for _, want := range []string{"old", "newer"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
		if err := Replace(path, []byte("newer")); err != nil {
			t.Fatal(err)
		}
	}
}
