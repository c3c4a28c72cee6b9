package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// privateLibvirt is a session libvirtd of the test's own, which it may stop, kill and break.
type privateLibvirt struct {
	t      *testing.T
	dir    string
	env    []string
	cred   *syscall.Credential // nil: this user
	within []string            // a command that runs another one in a place of its own, as that user; nil: here
	cmd    *exec.Cmd
	socket string
}

// newPrivateLibvirt starts one. libvirtd is a session daemon only for an ordinary user, so root starts it as nobody.
func newPrivateLibvirt(t *testing.T) *privateLibvirt {
	t.Helper()
	return newPrivateLibvirtWithin(t)
}

// newPrivateLibvirtWithin starts one by a command that runs it as nobody, in a place of its own.
func newPrivateLibvirtWithin(t *testing.T, within ...string) *privateLibvirt {
	t.Helper()
	dir, err := os.MkdirTemp("/var/tmp", "vms-") // short: the paths of sockets below it have a limit
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + os.Getenv("PATH") + ":/usr/sbin:/sbin", "HOME=" + dir}
	p := &privateLibvirt{t: t, dir: dir, within: within, env: env}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	for _, name := range []string{"RUNTIME", "CONFIG", "CACHE", "DATA", "STATE"} {
		p.mkdir(strings.ToLower(name))
		variable := "XDG_" + name + "_HOME"
		if name == "RUNTIME" {
			variable = "XDG_RUNTIME_DIR"
		}
		p.env = append(p.env, variable+"="+filepath.Join(dir, strings.ToLower(name)))
	}
	if os.Geteuid() == 0 {
		nobody, err := user.Lookup("nobody")
		if err != nil {
			t.Fatal(err)
		}
		uid, err := strconv.Atoi(nobody.Uid)
		if err != nil {
			t.Fatal(err)
		}
		gid, err := strconv.Atoi(nobody.Gid)
		if err != nil {
			t.Fatal(err)
		}
		p.cred = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	// No virtlogd: one daemon less to look after.
	p.mkdir("config/libvirt")
	if err := os.WriteFile(filepath.Join(dir, "config/libvirt/qemu.conf"), []byte("stdio_handler = \"file\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.own(dir)
	p.socket = filepath.Join(dir, "runtime/libvirt/libvirt-sock")
	p.start()
	t.Cleanup(p.end)
	return p
}

func (p *privateLibvirt) mkdir(name string) {
	if err := os.MkdirAll(filepath.Join(p.dir, name), 0o755); err != nil {
		p.t.Fatal(err)
	}
}

// own gives all below path to the daemon's user.
func (p *privateLibvirt) own(path string) {
	if p.cred == nil {
		return
	}
	if err := filepath.WalkDir(path, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, int(p.cred.Uid), int(p.cred.Gid))
	}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *privateLibvirt) uri() string { return "qemu+unix:///session?socket=" + p.socket }

// start starts the daemon and waits until its socket answers.
func (p *privateLibvirt) start() {
	p.t.Helper()
	log, err := os.OpenFile(filepath.Join(p.dir, "libvirtd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = log.Close() }()
	name, args := "libvirtd", []string{}
	// Where nothing reaps orphans quickly, ending a VM takes seconds: QEMU is not the daemon's child.
	if tini, err := exec.LookPath("tini"); err == nil {
		name, args = tini, []string{"-s", "--", "libvirtd"}
	}
	command := append(append(slices.Clone(p.within), name), args...)
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = p.env, log, log
	p.cmd.Dir = p.dir
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if p.within == nil {
		p.cmd.SysProcAttr.Credential = p.cred
	}
	if p.cred != nil && p.within == nil { // then this is root, and the host's name may be changed for the daemon alone
		p.cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUTS
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		if conn, err := net.Dial("unix", p.socket); err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-poll.C:
		case <-deadline.C:
			text, _ := os.ReadFile(filepath.Join(p.dir, "libvirtd.log"))
			p.t.Fatalf("the private libvirtd does not answer:\n%s", text)
		}
	}
}

// stop ends the daemon; its VMs go on.
func (p *privateLibvirt) stop() {
	p.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.t.Fatal(err)
	}
	_ = p.cmd.Wait()
}

// end ends the daemon and whatever VM a failed test left.
func (p *privateLibvirt) end() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	_ = p.cmd.Wait()
	for _, pid := range p.qemus() {
		p.t.Errorf("a QEMU process was left: %d", pid)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// qemus are the process ids of the VMs, from the files that libvirt writes.
func (p *privateLibvirt) qemus() []int {
	files, _ := filepath.Glob(filepath.Join(p.dir, "runtime/libvirt/qemu/run/*.pid"))
	var pids []int
	for _, f := range files {
		if pid, err := readPID(f, "qemu-system"); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// qemu is the process id of one VM.
func (p *privateLibvirt) qemu(vm string) int {
	p.t.Helper()
	pid, err := readPID(filepath.Join(p.dir, "runtime/libvirt/qemu/run", vm+".pid"), "qemu-system")
	if err != nil {
		p.t.Fatal(err)
	}
	return pid
}

// readPID is the process that a file names. A file that its daemon left can name a process of somebody else by now, so what the
// process is called counts as well.
func readPID(path, program string) (int, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || pid <= 1 {
		return 0, fmt.Errorf("%s: %q is no process id", path, data)
	}
	comm, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return 0, err
	}
	if !strings.HasPrefix(string(comm), program) {
		return 0, fmt.Errorf("%s: process %d is %q, want %s", path, pid, comm, program)
	}
	return pid, nil
}

// world makes a world on the private libvirt.
func (p *privateLibvirt) world() *world {
	p.t.Helper()
	p.mkdir("pool")
	p.own(filepath.Join(p.dir, "pool"))
	return newWorldAt(p.t, p.uri(), filepath.Join(p.dir, "pool"))
}
