package actuator

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The lock is between processes, so these tests start this binary again with the URI in this variable. It says
// "held" or the error, and holds the lock until its standard input ends.
const (
	lockHelperURI = "VMSCALER_TEST_LOCK_URI"
	lockHelperUID = "VMSCALER_TEST_LOCK_UNPRIVILEGED"
)

func lockHelper() int {
	if os.Getenv(lockHelperUID) != "" {
		if err := unix.Setresuid(65534, 65534, 65534); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	lock, err := Acquire(Holder{PID: os.Getpid(), Command: "vmscaler helper", URI: os.Getenv(lockHelperURI), Since: time.Now()})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
	lock.Release()
	return 0
}

// holder is a helper process.
type holder struct {
	cmd  *exec.Cmd
	in   io.Closer
	said string
}

func startHolder(t *testing.T, uri string, env ...string) *holder {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), lockHelperURI+"="+uri), env...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h := &holder{cmd: cmd, in: in}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the helper said nothing: %v", err)
	}
	h.said = strings.TrimSpace(line)
	return h
}

// lockFolder is a folder of locks for one test, open to every user.
func lockFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o1777); err != nil {
		t.Fatal(err)
	}
	t.Setenv("VMSCALER_LOCK_DIR", dir)
	return dir
}

const lockURI = "qemu:///system"

func acquire(t *testing.T) (*Lock, error) {
	t.Helper()
	lock, err := Acquire(Holder{PID: os.Getpid(), Command: "vmscaler run", URI: lockURI, BusURL: "nats://127.0.0.1:4222", Since: time.Now()})
	if err == nil {
		t.Cleanup(lock.Release)
	}
	return lock, err
}

func refused(t *testing.T) Holder {
	t.Helper()
	_, err := acquire(t)
	var locked *LockedError
	if !errors.As(err, &locked) {
		t.Fatalf("got %v, want a LockedError", err)
	}
	return locked.Holder
}

func TestLockIsHeldByOneProcess(t *testing.T) {
	lockFolder(t)
	h := startHolder(t, lockURI)
	if h.said != "held" {
		t.Fatal(h.said)
	}
	who := refused(t)
	if who.PID != h.cmd.Process.Pid || who.Command != "vmscaler helper" || who.URI != lockURI {
		t.Errorf("holder %+v, its pid is %d", who, h.cmd.Process.Pid)
	}
	text := (&LockedError{who}).Error()
	if !strings.Contains(text, fmt.Sprintf("process %d", who.PID)) || !strings.Contains(text, "vmscaler helper") || !strings.Contains(text, lockURI) {
		t.Errorf("error %q", text)
	}

	_ = h.in.Close()
	if err := h.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if _, err := acquire(t); err != nil {
		t.Errorf("given back, but %v", err)
	}
}

func TestLockEndsWithAKilledProcess(t *testing.T) {
	lockFolder(t)
	h := startHolder(t, lockURI)
	refused(t)
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = h.cmd.Wait()
	lock, err := acquire(t)
	if err != nil {
		t.Fatalf("its holder was killed, but %v", err)
	}
	// The killed one's name is gone from the file.
	if other := startHolder(t, lockURI); !strings.Contains(other.said, fmt.Sprintf("process %d,", os.Getpid())) {
		t.Errorf("the next one is told %q", other.said)
	}
	lock.Release()
}

func TestLockRefusesASecondInTheSameProcess(t *testing.T) {
	lockFolder(t)
	lock, err := acquire(t)
	if err != nil {
		t.Fatal(err)
	}
	if who := refused(t); who.PID != os.Getpid() || who.BusURL != "nats://127.0.0.1:4222" {
		t.Errorf("holder %+v", who)
	}
	if err := lock.Describe(Holder{PID: 1, Command: "x", URI: lockURI, BusURL: "nats://127.0.0.1:5"}); err != nil {
		t.Fatal(err)
	}
	if who := refused(t); who.BusURL != "nats://127.0.0.1:5" {
		t.Errorf("described anew: %+v", who)
	}
	lock.Release()
	if _, err := acquire(t); err != nil {
		t.Errorf("released, but %v", err)
	}
}

func TestLocksOfTwoURIs(t *testing.T) {
	lockFolder(t)
	if _, err := acquire(t); err != nil {
		t.Fatal(err)
	}
	if h := startHolder(t, "qemu:///session"); h.said != "held" {
		t.Error(h.said)
	}
}

// A file that another user made, and that cannot be written, locks as well; only the holder's name is missing.
func TestLockInAFileThatCannotBeWritten(t *testing.T) {
	dir := lockFolder(t)
	path := LockPath(lockURI)
	if filepath.Dir(path) != dir {
		t.Fatalf("lock %s is not in %s", path, dir)
	}
	if err := os.WriteFile(path, nil, 0o444); err != nil {
		t.Fatal(err)
	}
	var env []string
	if os.Getuid() == 0 {
		env = append(env, lockHelperUID+"=1") // root may write anything
	}
	h := startHolder(t, lockURI, env...)
	if h.said != "held" {
		t.Fatal(h.said)
	}
	if who := refused(t); who.PID != 0 || who.Command != "another vmscaler" {
		t.Errorf("holder %+v", who)
	}
}

func TestLockWithADamagedFile(t *testing.T) {
	lockFolder(t)
	if err := os.WriteFile(LockPath(lockURI), []byte("{not JSON"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := acquire(t); err != nil {
		t.Fatal(err)
	}
	if who := refused(t); who.PID != os.Getpid() {
		t.Errorf("holder %+v", who)
	}
}

func TestLockPath(t *testing.T) {
	t.Setenv("VMSCALER_LOCK_DIR", "")
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/1000")
	for _, tt := range []struct{ uri, dir string }{
		{"qemu:///system", "/run/lock"},
		{"qemu:///session", "/run/user/1000"},
		{"qemu+unix:///session?socket=/x", "/run/user/1000"},
	} {
		if got := filepath.Dir(LockPath(tt.uri)); got != tt.dir {
			t.Errorf("%s: in %s, want %s", tt.uri, got, tt.dir)
		}
	}
	if LockPath("qemu:///system") == LockPath("qemu+ssh://other/system") {
		t.Error("two hosts have one lock")
	}
	t.Setenv("XDG_RUNTIME_DIR", "")
	if got := filepath.Base(filepath.Dir(LockPath("qemu:///session"))); got != fmt.Sprintf("vmscaler-%d", os.Getuid()) {
		t.Errorf("without a runtime folder: in %s", got)
	}
}
