package server_test

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/bustest"
	"github.com/vmscaler/vmscaler/bus/ownfile"
	"github.com/vmscaler/vmscaler/bus/server"
)

func TestStateFolderHasOneBus(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "deep", "state")
	if h, found := server.FindState(dir); found {
		t.Errorf("before there is one: %+v", h)
	}
	first, err := server.Start(server.Config{Listen: "127.0.0.1:0", StateDir: dir}, bustest.Quiet)
	if err != nil {
		t.Fatal(err)
	}
	second, err := server.Start(server.Config{Listen: "127.0.0.1:0", StateDir: dir}, bustest.Quiet)
	if err == nil {
		second.Stop()
	}
	var locked *server.StateLockedError
	if !errors.As(err, &locked) {
		t.Fatalf("got %v, want a *StateLockedError", err)
	}
	if h := locked.Holder; h.PID != os.Getpid() || h.URL != first.URL() || h.Since.IsZero() || h.Since.After(time.Now()) ||
		locked.Dir != dir {
		t.Errorf("got %+v", locked)
	}
	for _, part := range []string{strconv.Itoa(os.Getpid()), first.URL(), dir} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no %q in: %v", part, err)
		}
	}
	if h, found := server.FindState(dir); !found || h != locked.Holder {
		t.Errorf("FindState: %+v, %t", h, found)
	}
	// The refused one has taken nothing from the first.
	if err := loggedIn(first, server.CredentialsFile(dir, bus.RoleOperator), bus.RoleOperator); err != nil {
		t.Errorf("the first: %v", err)
	}

	first.Stop()
	if h, found := server.FindState(dir); found {
		t.Errorf("after its end: %+v", h)
	}
	third := bustest.StartWith(t, server.Config{StateDir: dir})
	if h, found := server.FindState(dir); !found || h.URL != third.URL() {
		t.Errorf("after a restart: %+v, %t", h, found)
	}
}

// What a killed process has left says nothing about the one that has the folder now.
func TestStateOfAKilledBusIsForgotten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(server.StateLockPath(dir), []byte(`{"pid":4711,"url":"nats://127.0.0.1:1"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if h, found := server.FindState(dir); found {
		t.Errorf("nobody has it: %+v", h)
	}
	state, err := server.OpenState(dir, os.Geteuid())
	if err != nil {
		t.Fatal(err)
	}
	defer state.Close()
	if h, found := server.FindState(dir); !found || h.PID != 0 {
		t.Errorf("before the new one has said who it is: %+v, %t", h, found)
	}
	if _, err := server.OpenState(dir, os.Geteuid()); err == nil || !strings.Contains(err.Error(), dir) ||
		strings.Contains(err.Error(), "4711") {
		t.Errorf("got %v", err)
	}
}

// Processes that wait for a bus look for it all the time; none of them may be taken for the bus.
func TestLookingForABusDoesNotKeepItFromStarting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					server.FindState(dir)
				}
			}
		})
	}
	for range 500 {
		state, err := server.OpenState(dir, os.Geteuid())
		if err != nil {
			t.Error(err)
			break
		}
		state.Close()
	}
	close(stop)
	wg.Wait()
}

func TestStateFolderThatCannotBe(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := server.Start(server.Config{Listen: "127.0.0.1:0", StateDir: file}, bustest.Quiet)
	if err == nil {
		s.Stop()
		t.Fatal("a file is accepted")
	}
	if !strings.Contains(err.Error(), file) {
		t.Errorf("got %v", err)
	}
}

func TestStateFolderOfAnotherUserIsRefused(t *testing.T) {
	t.Parallel()
	dir, euid := t.TempDir(), os.Geteuid()
	if euid == 0 {
		if err := os.Chown(dir, 12345, 12345); err != nil {
			t.Fatal(err)
		}
	} else {
		euid = 12345
	}
	state, err := server.OpenState(dir, euid)
	if err == nil {
		state.Close()
		t.Fatal("it is accepted")
	}
	for _, part := range []string{dir, "belongs to user id", strconv.Itoa(euid), "--state-dir"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("no %q in: %v", part, err)
		}
	}
	if _, err := os.Stat(server.StateLockPath(dir)); err == nil {
		t.Error("something was written into it")
	}
}

// A bus that could not start leaves neither the folder locked nor anything running.
func TestFailedStartFreesTheStateFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "jetstream"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := server.Start(server.Config{Listen: "127.0.0.1:0", StateDir: dir}, bustest.Quiet)
	if err == nil {
		s.Stop()
		t.Fatal("it starts without a place for its history")
	}
	if !strings.Contains(err.Error(), "jetstream") && !strings.Contains(err.Error(), "JetStream") {
		t.Errorf("got %v", err)
	}
	if h, found := server.FindState(dir); found {
		t.Errorf("it is still locked: %+v", h)
	}
}

// What others could have put in the place of the lock is neither followed, nor emptied, nor waited for.
func TestStateFolderIsNoTrap(t *testing.T) {
	t.Parallel()
	victim := filepath.Join(t.TempDir(), "victim")
	for name, trap := range map[string]func(dir string) error{
		"link":           func(dir string) error { return os.Symlink(victim, server.StateLockPath(dir)) },
		"second name":    func(dir string) error { return os.Link(victim, server.StateLockPath(dir)) },
		"FIFO":           func(dir string) error { return unix.Mkfifo(server.StateLockPath(dir), 0o600) },
		"folder for all": func(dir string) error { return os.Chmod(dir, 0o777) },
		"way for all":    func(dir string) error { return os.Chmod(filepath.Dir(dir), 0o777) },
	} {
		dir := filepath.Join(t.TempDir(), "state")
		if err := errors.Join(os.WriteFile(victim, []byte("keep me"), 0o600), os.Mkdir(dir, 0o700), trap(dir)); err != nil {
			t.Fatal(err)
		}
		state, err := server.OpenState(dir, os.Geteuid())
		var unsafe *ownfile.UnsafeError
		if err == nil {
			state.Close()
		}
		if !errors.As(err, &unsafe) {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
		if text, _ := os.ReadFile(victim); string(text) != "keep me" {
			t.Errorf("%s: the victim is %q now", name, text)
		}
		if h, found := server.FindState(dir); found {
			t.Errorf("%s: found %+v there", name, h)
		}
	}
}
