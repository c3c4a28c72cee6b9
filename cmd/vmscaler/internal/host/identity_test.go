package host

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"libvirt.org/go/libvirt"
)

const (
	firmwares = "11111111-2222-4333-8444-555555555555" // a host UUID as libvirt has it
	machineID = "0123456789abcdef0123456789abcdef"
)

// Which UUID is taken, and which kind of daemon it is, does not depend on how the URI is spelled.
func TestIdentityOf(t *testing.T) {
	own, err := uuidOf(machineID)
	if err != nil {
		t.Fatal(err)
	}
	if strings.ReplaceAll(own, "-", "") == machineID ||
		!regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`).MatchString(own) {
		t.Fatalf("the UUID of the machine-id is %s, want one of version 4 that does not show it", own)
	}
	usual := []string{"/run/user/1000/libvirt", "/home/u/.cache/libvirt"}
	for _, c := range []struct {
		name        string
		f           facts
		id, running string
	}{
		{"system, with firmware", facts{path: "/system", manages: true, dmi: true}, firmwares + "-system", firmwares + "-system"},
		{
			"root's session is the system",
			facts{path: "/session", manages: true, dmi: true},
			firmwares + "-system",
			firmwares + "-system",
		},
		{"system, without firmware", facts{path: "/system", manages: true}, own + "-system", firmwares + "-system"},
		{"system of another host", facts{path: "/system", remote: true, user: "root"}, firmwares + "-system", firmwares + "-system"},
		{
			"root's session of another host",
			facts{path: "/session", manages: true, remote: true, user: "root"},
			firmwares + "-system",
			firmwares + "-system",
		},
		{
			"session, with firmware",
			facts{path: "/session", uid: 1000, dmi: true, socketDir: usual[0], usualDirs: usual},
			own + "-session-1000", firmwares + "-session-1000",
		},
		{
			"session, started without a runtime folder",
			facts{path: "/session", uid: 1000, socketDir: usual[1], usualDirs: usual},
			own + "-session-1000", firmwares + "-session-1000",
		},
		{
			"a second session of the user",
			facts{path: "/session", uid: 1000, socketDir: "/srv/l", usualDirs: usual},
			own + "-session-1000-" + short("/srv/l"), firmwares + "-session-1000",
		},
		{
			"session of another host",
			facts{path: "/session", remote: true, user: "jo"},
			firmwares + "-session-jo",
			firmwares + "-session-jo",
		},
		{
			"session of a user with an odd name",
			facts{path: "/session", remote: true, user: "J.o"},
			firmwares + "-session-o-" + short("J.o"), firmwares + "-session-o-" + short("J.o"),
		},
		{
			"no daemon",
			facts{path: "/embed", root: "/srv/e"},
			firmwares + "-embed-" + short("/srv/e"),
			firmwares + "-embed-" + short("/srv/e"),
		},
		{"test", facts{driver: "test", path: "/default", hostUUID: "none"}, own + "-test-default", own + "-test-default"},
		{
			"no machine-id",
			facts{path: "/session", uid: 7, socketDir: "/x", usualDirs: []string{"/x"}, machineID: "none"},
			firmwares + "-session-7", firmwares + "-session-7",
		},
	} {
		f := c.f
		if f.driver == "" {
			f.driver = "qemu"
		}
		f.hostUUID, f.machineID = orNone(f.hostUUID, firmwares), orNone(f.machineID, machineID)
		if c.name == "no daemon" {
			f.dmi = true
		}
		got, err := f.identity()
		if err != nil || got.ID != c.id || got.Running != c.running {
			t.Errorf("%s: got %+v, %v; want %s, running %s", c.name, got, err, c.id, c.running)
		}
		if !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(got.ID + got.Running) {
			t.Errorf("%s: %+v is not of [a-z0-9-]", c.name, got)
		}
	}
	for name, f := range map[string]facts{
		"no UUID at all": {driver: "qemu", path: "/system"},
		"another driver": {driver: "xen", path: "/system", hostUUID: firmwares},
		"another path":   {driver: "qemu", path: "/", hostUUID: firmwares},
	} {
		if got, err := f.identity(); err == nil {
			t.Errorf("%s: got %+v, want an error", name, got)
		}
	}
}

func orNone(said, otherwise string) string {
	switch said {
	case "":
		return otherwise
	case "none":
		return ""
	}
	return said
}

// All spellings of the system's libvirt are one identity, which lasts over connections.
func TestIdentityOfSystem(t *testing.T) {
	const socket = "/run/libvirt/libvirt-sock"
	if _, err := os.Stat(socket); err != nil {
		t.Fatal("no system libvirtd: ", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("the spellings of root's session need root")
	}
	link := filepath.Join(t.TempDir(), "sock")
	if err := os.Symlink(socket, link); err != nil {
		t.Fatal(err)
	}
	uris := []string{
		SystemURI, SessionURI, "qemu+unix:///system", "qemu+unix:///session", "qemu+unix:///system?socket=" + socket,
		SystemURI + "?socket=" + socket, SystemURI + "?mode=legacy", SystemURI + "?socket=" + link, SystemURI + "?socket=/var" + socket,
	}
	if _, err := os.Stat("/run/libvirt/virtqemud-sock"); err == nil {
		uris = append(uris, SystemURI+"?mode=direct", SystemURI+"?socket=/run/libvirt/virtqemud-sock")
	}
	want := identify(t, SystemURI)
	if !strings.HasSuffix(want.ID, "-system") || !strings.HasSuffix(want.Running, "-system") || want.Name == "" {
		t.Errorf("got %+v, want the system's", want)
	}
	for _, uri := range uris {
		if got := identify(t, uri); got != want {
			t.Errorf("%s is %+v, %s is %+v", uri, got, SystemURI, want)
		}
	}
	if got := identify(t, "test:///default"); got.ID == want.ID || got.Running == want.Running {
		t.Errorf("libvirt's test driver has the identity of the system: %+v", got)
	}
}

// A user's own daemon keeps its ID when it starts again, and is another Running then; that of another folder is another.
func TestIdentityOfSession(t *testing.T) {
	if _, err := exec.LookPath("libvirtd"); err != nil {
		t.Fatal("no libvirtd here")
	}
	one, other := newSession(t), newSession(t)
	stop := one.start(t)
	first := identify(t, one.uri())
	if uid := "-session-" + one.uid(); !strings.Contains(first.ID, uid) || !strings.HasSuffix(first.Running, uid) {
		t.Errorf("got %+v, want the session of user %s", first, one.uid())
	}
	if again := identify(t, one.uri()+"&mode=legacy"); again != first {
		t.Errorf("got %+v, then %+v", first, again)
	}
	stop()
	one.start(t)
	second := identify(t, one.uri())
	if second.ID != first.ID || second.Running == first.Running {
		t.Errorf("after a restart got %+v, before it %+v; want one ID and another Running", second, first)
	}
	other.start(t)
	if got := identify(t, other.uri()); got.ID == second.ID || got.Running == second.Running {
		t.Errorf("two daemons of one user are both %+v", got)
	}
}

func identify(t *testing.T, uri string) Identity {
	t.Helper()
	conn, err := libvirt.NewConnect(uri)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _, _ = conn.Close() }()
	id, err := Identify(conn, uri)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// session is a libvirtd of an ordinary user, in folders of its own.
type session struct {
	dir  string
	cred *syscall.Credential
}

func newSession(t *testing.T) *session {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "vms-") // short: the paths of sockets have a limit
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &session{dir: dir}
	if os.Geteuid() == 0 {
		s.cred = &syscall.Credential{Uid: 65534, Gid: 65534}
		if err := os.Chown(dir, 65534, 65534); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func (s *session) uid() string {
	if s.cred != nil {
		return "65534"
	}
	return strconv.Itoa(os.Geteuid())
}

func (s *session) socket() string { return filepath.Join(s.dir, "libvirt", "libvirt-sock") }

func (s *session) uri() string { return "qemu+unix:///session?socket=" + s.socket() }

// start starts it, waits until it answers, and returns what ends it.
func (s *session) start(t *testing.T) func() {
	t.Helper()
	cmd := exec.Command("libvirtd")
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "HOME=" + s.dir, "XDG_RUNTIME_DIR=" + s.dir}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := false
	stop := func() {
		if !ended {
			ended = true
			_ = cmd.Process.Signal(syscall.SIGTERM)
			_ = cmd.Wait()
		}
	}
	t.Cleanup(stop)
	deadline := time.NewTimer(time.Minute)
	defer deadline.Stop()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	for {
		if conn, err := net.Dial("unix", s.socket()); err == nil {
			_ = conn.Close()
			return stop
		}
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatal("the session's libvirtd does not answer")
		}
	}
}
