package host

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vmscaler/vmscaler/bus/ownfile"
)

// The lock is between processes, so these tests start this binary again with this variable. It says "held" or the error,
// and holds the lock until its standard input ends.
const lockHelperOrder = "VMSCALER_TEST_LOCK"

// order is what a helper is to do.
type order struct {
	Shared, Own, Users, Group string
	Single                    bool
	UID, GID                  int
	Target                    Target
}

func lockHelper() int {
	var o order
	if err := json.Unmarshal([]byte(os.Getenv(lockHelperOrder)), &o); err != nil {
		fmt.Println(err)
		return 1
	}
	if o.UID != os.Geteuid() {
		if err := errors.Join(syscall.Setgroups([]int{o.GID}), syscall.Setresgid(o.GID, o.GID, o.GID),
			syscall.Setresuid(o.UID, o.UID, o.UID)); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	lock, err := o.acquire()
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("held")
	_, _ = io.Copy(io.Discard, os.Stdin)
	lock.Release()
	return 0
}

func (o order) folders() lockFolders {
	return lockFolders{shared: o.Shared, own: o.Own, users: o.Users, group: o.Group, single: o.Single, euid: o.UID}
}

func (o order) acquire() (*Lock, error) {
	return o.folders().
		acquire(o.Target,
			Holder{PID: os.Getpid(), Command: "vmscaler helper", URI: lockURI, BusURL: "nats://127.0.0.1:4222", Since: time.Now()})
}

// holder is a helper process.
type holder struct {
	cmd  *exec.Cmd
	in   io.Closer
	said string
}

func (o order) start(t *testing.T) *holder {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), lockHelperOrder+"="+string(text))
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

// end gives back what the helper holds.
func (h *holder) end(t *testing.T) {
	t.Helper()
	_ = h.in.Close()
	if err := h.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
}

const (
	lockURI  = "qemu:///system"
	stranger = 65534 // nobody, and its group
)

// openFolder is a folder for a test that every user may pass through.
func openFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lock")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// single is a lock in a folder of its own, taken by this process as Acquire does.
func single(t *testing.T) order {
	t.Helper()
	dir := filepath.Join(openFolder(t), "locks")
	t.Setenv("VMSCALER_LOCK_DIR", dir)
	return order{
		Shared: dir,
		Single: true,
		UID:    os.Geteuid(),
		GID:    os.Getegid(),
		Target: Target{Names: []string{"host-system", "daemon-system"}},
	}
}

func (o order) file() string { return filepath.Join(o.Shared, o.Target.Names[0]+".lock") }

func acquire(t *testing.T, o order) (*Lock, error) {
	t.Helper()
	lock, err := o.acquire()
	if err == nil {
		t.Cleanup(lock.Release)
	}
	return lock, err
}

func mustAcquire(t *testing.T, o order) *Lock {
	t.Helper()
	lock, err := acquire(t, o)
	if err != nil {
		t.Fatal(err)
	}
	return lock
}

func refused(t *testing.T, o order) Holder {
	t.Helper()
	_, err := acquire(t, o)
	var locked *LockedError
	if !errors.As(err, &locked) {
		t.Fatalf("got %v, want a LockedError", err)
	}
	return locked.Holder
}

func TestLockIsHeldByOneProcess(t *testing.T) {
	o := single(t)
	h := o.start(t)
	if h.said != "held" {
		t.Fatal(h.said)
	}
	_, err := Acquire(o.Target, Holder{PID: os.Getpid(), URI: lockURI})
	var locked *LockedError
	if !errors.As(err, &locked) {
		t.Fatalf("got %v, want a LockedError", err)
	}
	who := locked.Holder
	if who.PID != h.cmd.Process.Pid || who.UID != os.Geteuid() || who.Command != "vmscaler helper" || who.URI != lockURI {
		t.Errorf("holder %+v, its pid is %d", who, h.cmd.Process.Pid)
	}
	text := err.Error()
	if !strings.Contains(text, fmt.Sprintf("process %d", who.PID)) || !strings.Contains(text, "vmscaler helper") ||
		!strings.Contains(text, lockURI) {
		t.Errorf("error %q", text)
	}
	if found, ok := FindHolder("qemu+unix:///system?socket=/var/run/libvirt/libvirt-sock"); !ok || found.PID != who.PID {
		t.Errorf("found %+v, %v, want the holder", found, ok)
	}
	if found, ok := FindHolder("qemu+ssh://other/system", "qemu:///session?socket=/x"); ok {
		t.Errorf("found %+v for other libvirts", found)
	}
	h.end(t)
	if found, ok := FindHolder(lockURI); ok {
		t.Errorf("found %+v, whom nobody holds", found)
	}
	mustAcquire(t, o)
}

func TestLockEndsWithAKilledProcess(t *testing.T) {
	o := single(t)
	h := o.start(t)
	refused(t, o)
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = h.cmd.Wait()
	lock := mustAcquire(t, o)
	// The killed one's name is gone from the file.
	if other := o.start(t); !strings.Contains(other.said, fmt.Sprintf("process %d,", os.Getpid())) {
		t.Errorf("the next one is told %q", other.said)
	}
	lock.Release()
}

func TestLockRefusesASecondInTheSameProcess(t *testing.T) {
	o := single(t)
	lock := mustAcquire(t, o)
	who := refused(t, o)
	if who.PID != os.Getpid() || who.BusURL != "nats://127.0.0.1:4222" {
		t.Errorf("holder %+v", who)
	}
	since := who.Since
	if err := lock.Describe(Holder{
		Since: since.Add(time.Hour), PID: 1, Command: "x", URI: lockURI, BusURL: "nats://127.0.0.1:5",
		StateDir: "/srv/s",
	}); err != nil {
		t.Fatal(err)
	}
	if who := refused(t, o); who.BusURL != "nats://127.0.0.1:5" || who.StateDir != "/srv/s" || since.IsZero() ||
		!who.Since.Equal(since) {
		t.Errorf("described again: %+v", who)
	}
	lock.Release()
	mustAcquire(t, o)
}

// Each name alone keeps others away, and another libvirt is another lock.
func TestLockOfEachName(t *testing.T) {
	o := single(t)
	mustAcquire(t, o)
	for name, refuse := range map[string]bool{"host-system": true, "daemon-system": true, "host-session-1000": false} {
		other := o
		other.Target.Names = []string{"another-" + name, name}
		_, err := acquire(t, other)
		var locked *LockedError
		if errors.As(err, &locked) != refuse || !refuse && err != nil {
			t.Errorf("%s: got %v, want it refused: %v", name, err, refuse)
		}
	}
}

// A daemon that starts again has another name: the lock follows, or stays as it was where another process has that.
func TestLockFollowsADaemonThatStartsAnew(t *testing.T) {
	o := single(t)
	lock := mustAcquire(t, o)
	before, after := o.Target, Target{Names: []string{"host-system", "daemon2-system"}}
	if err := lock.Renew(after); err != nil {
		t.Fatal(err)
	}
	o.Target.Names = after.Names[1:]
	refused(t, o)
	o.Target.Names = before.Names[1:]
	other := mustAcquire(t, o) // nobody needs the old one
	var locked *LockedError
	if err := lock.Renew(before); !errors.As(err, &locked) {
		t.Errorf("got %v, want it refused", err)
	}
	o.Target.Names = after.Names
	refused(t, o)
	other.Release()
	if err := lock.Renew(before); err != nil {
		t.Error(err)
	}
	// A file that somebody deletes is made again.
	if err := os.Remove(o.file()); err != nil {
		t.Fatal(err)
	}
	if err := lock.Renew(before); err != nil {
		t.Fatal(err)
	}
	o.Target.Names = before.Names[:1]
	refused(t, o)
}

func TestLockWithADamagedFile(t *testing.T) {
	o := single(t)
	mustAcquire(t, o).Release()
	if err := os.WriteFile(o.file(), []byte("{not JSON"), 0o600); err != nil {
		t.Fatal(err)
	}
	mustAcquire(t, o)
	if who := refused(t, o); who.PID != os.Getpid() {
		t.Errorf("holder %+v", who)
	}
}

// What others could have put in the place of the lock is neither followed, nor emptied, nor waited for.
func TestLockIsNoTrap(t *testing.T) {
	for name, trap := range map[string]func(path, victim string) error{
		"symbolic link":  func(path, victim string) error { return os.Symlink(victim, path) },
		"hard link":      func(path, victim string) error { return os.Link(victim, path) },
		"FIFO":           func(path, _ string) error { return unix.Mkfifo(path, 0o600) },
		"file for all":   func(path, _ string) error { return errors.Join(os.WriteFile(path, nil, 0o600), os.Chmod(path, 0o666)) },
		"folder for all": func(path, _ string) error { return os.Chmod(filepath.Dir(path), 0o777) },
		"sticky folder":  func(path, _ string) error { return os.Chmod(filepath.Dir(path), fs.ModeSticky|0o777) },
		"folder of another": func(path, _ string) error {
			if os.Geteuid() != 0 {
				return errors.ErrUnsupported
			}
			return os.Chown(filepath.Dir(path), stranger, stranger)
		},
		"file of another": func(path, _ string) error {
			if os.Geteuid() != 0 {
				return errors.ErrUnsupported
			}
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Chown(path, stranger, stranger))
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := single(t)
			if err := os.Mkdir(o.Shared, 0o755); err != nil {
				t.Fatal(err)
			}
			victim := filepath.Join(t.TempDir(), "victim")
			if err := os.WriteFile(victim, []byte("keep me"), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := trap(o.file(), victim); errors.Is(err, errors.ErrUnsupported) {
				t.Skip("needs root to make what is another user's")
			} else if err != nil {
				t.Fatal(err)
			}
			done := make(chan error, 1)
			go func() {
				_, err := acquire(t, o)
				done <- err
			}()
			select {
			case err := <-done:
				var unsafe *ownfile.UnsafeError
				if !errors.As(err, &unsafe) || !strings.Contains(err.Error(), filepath.Dir(o.file())) {
					t.Errorf("got %v, want it refused by its path", err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("it waits")
			}
			if text, _ := os.ReadFile(victim); string(text) != "keep me" {
				t.Errorf("the victim is %q now", text)
			}
			if found, ok := FindHolder(lockURI); ok {
				t.Errorf("found %+v there", found)
			}
		})
	}
}

// A stranger can neither lock the file nor write to it, and what stands there does not reach a terminal as it is.
func TestLockOfStrangers(t *testing.T) {
	o := single(t)
	lock := mustAcquire(t, o)
	info, err := os.Stat(o.file())
	if err != nil || info.Mode().Perm()&0o007 != 0 {
		t.Errorf("the file has mode %v, %v; want it closed to others", info.Mode(), err)
	}
	lock.Release()
	f, err := os.Open(o.file())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil { // as one who has opened it once
		t.Fatal(err)
	}
	lock = mustAcquire(t, o)
	for _, text := range []string{
		`{"pid":1,"command":"\u001b]0;title\u0007vmscaler run","uri":"qemu:///system","bus_url":"nats://evil:1"}`,
		`{"pid":1,"command":"vmscaler run","uri":"qemu:///system\n","bus_url":"nats://evil:1"}`,
		`{"pid":-1,"command":"vmscaler run","uri":"qemu:///system"}`,
		"\x1b[31m" + strings.Repeat("x", 1<<20),
	} {
		if err := os.WriteFile(o.file(), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if who := refused(t, o); who.PID != 0 || who.Command != "another vmscaler" || who.URI != lockURI || who.BusURL != "" {
			t.Errorf("%.60q: holder %+v, want it unnamed", text, who)
		}
	}
	lock.Release()
}

// Root and another user see each other, by the shared folder where the user may write there, and else as far as they may.
func TestLockOfTwoUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to be another user")
	}
	for _, c := range []struct {
		name     string
		shared   fs.FileMode // 0: not there
		group    string      // whose members may use libvirt
		session  int
		root     string // what root is told while the user holds it
		userTold string // and the user while root does
	}{
		{name: "a folder of the group", shared: fs.ModeSetgid | 0o775, group: "nogroup", root: "process", userTold: "process"},
		{name: "a folder of root's alone", shared: 0o755, group: "nogroup", root: "process", userTold: "cannot be seen"},
		{name: "no folder yet", group: "nogroup", root: "process", userTold: "process"},
		{name: "no folder yet, and a user who may not use libvirt", group: "daemon", root: "held", userTold: "cannot be seen"},
		{name: "the user's session", group: "daemon", session: stranger, root: "process", userTold: "process"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := openFolder(t)
			users := filepath.Join(dir, "users")
			mine := filepath.Join(users, strconv.Itoa(stranger))
			if err := errors.Join(os.MkdirAll(mine, 0o755), os.Chmod(mine, 0o700), os.Chown(mine, stranger, stranger)); err != nil {
				t.Fatal(err)
			}
			root := order{
				Shared: filepath.Join(dir, "shared"),
				Users:  users,
				Group:  c.group,
				Target: Target{Names: []string{"host"}, SessionUID: c.session},
			}
			if c.shared != 0 {
				if err := errors.Join(os.Mkdir(root.Shared, 0o755), os.Chown(root.Shared, 0, stranger),
					os.Chmod(root.Shared, c.shared)); err != nil {
					t.Fatal(err)
				}
			}
			user := root
			user.UID, user.GID, user.Own = stranger, stranger, filepath.Join(mine, ownLocks)
			h := user.start(t)
			if h.said != "held" {
				t.Fatal(h.said)
			}
			lock, err := root.acquire()
			if got := told(err); !strings.Contains(got, c.root) {
				t.Errorf("root is told %q, want %q", got, c.root)
			}
			if err == nil {
				lock.Release()
			}
			h.end(t)
			mustAcquire(t, root)
			h = user.start(t)
			if !strings.Contains(h.said, c.userTold) {
				t.Errorf("the user is told %q, want %q", h.said, c.userTold)
			}
		})
	}
}

func told(err error) string {
	if err == nil {
		return "held"
	}
	return err.Error()
}

// Without any place for a lock there is none, and a way to make one is told.
func TestLockWithoutAFolder(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to be another user")
	}
	dir := openFolder(t)
	o := order{
		Shared: filepath.Join(dir, "shared"),
		Own:    filepath.Join(dir, "own"),
		UID:    stranger,
		GID:    stranger,
		Target: Target{Names: []string{"host"}},
	}
	if h := o.start(t); !strings.Contains(h.said, "install -d") {
		t.Errorf("told %q, want how to make a folder", h.said)
	}
}

func TestLockFolders(t *testing.T) {
	t.Setenv("VMSCALER_LOCK_DIR", "")
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/1000")
	t.Setenv("HOME", "/home/u")
	f := defaultLockFolders()
	if f.shared != LockFolder || f.euid != os.Geteuid() || (f.own == "") != (f.euid == 0) {
		t.Errorf("got %+v", f)
	}
	if f.euid != 0 && f.own != "/run/user/1000/vmscaler" {
		t.Errorf("got %+v", f)
	}
}

func TestSpelling(t *testing.T) {
	for _, c := range []struct {
		uri  string
		uid  int
		want string
	}{
		{"qemu:///system", 1000, "qemu:///system"},
		{"qemu:///session", 1000, "qemu:///session"},
		{"qemu:///session", 0, "qemu:///system"},
		{"qemu+unix:///session", 0, "qemu:///system"},
		{"qemu+unix:///system?socket=/run/libvirt/libvirt-sock", 0, "qemu:///system"},
		{"qemu:///system?socket=/var/run/libvirt/virtqemud-sock", 0, "qemu:///system"},
		{"qemu:///system?mode=direct", 0, "qemu:///system"},
		{
			"qemu+unix:///session?socket=/run/user/1000/libvirt/libvirt-sock", 0,
			"qemu:///session?socket=%2Frun%2Fuser%2F1000%2Flibvirt%2Flibvirt-sock",
		},
		{"qemu+ssh://root@h/system", 0, "qemu+ssh://root@h/system"},
	} {
		if got := spelling(c.uri, c.uid); got != c.want {
			t.Errorf("%s of user %d: got %s, want %s", c.uri, c.uid, got, c.want)
		}
	}
}
