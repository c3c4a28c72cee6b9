package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// onTerminal starts a command of the program on a terminal of its own, and records what that shows.
func (w *world) onTerminal(args ...string) (cmd *exec.Cmd, master, tty *os.File, shown *recorder) {
	w.t.Helper()
	t, is := w.t.(*testing.T)
	if !is {
		w.t.Fatal("terminals are for tests")
	}
	master, tty = openTerminal(t)
	shown = &recorder{}
	go shown.record(master)
	cmd = w.command(args...)
	cmd.Env = append(cmd.Env, "TERM=xterm")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, master, tty, shown
}

// exec runs a command in a VM, and returns how it went.
func (w *world) exec(args ...string) (out, stderr string, code int) {
	w.t.Helper()
	cmd := w.command(append([]string{"exec"}, args...)...)
	var problems strings.Builder
	cmd.Stderr = &problems
	text, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		w.t.Fatal(err)
	}
	return string(text), problems.String(), cmd.ProcessState.ExitCode()
}

// TestInsideAVM: a person runs commands in a VM, uses its console, sees what it printed while it booted, and gets to it by ssh;
// and is refused with the reason where one of these cannot be.
func TestInsideAVM(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("min: 1\nmax: 1"))
	p.untilReady(1)
	vm := w.vms()[0]
	t.Run("exec", func(t *testing.T) { w.checkExec(t, vm.Name) })
	t.Run("console", func(t *testing.T) { w.checkConsole(t, vm.Name) })
	if out := w.must("console", vm.Name, "--last", "3"); strings.Count(out, "\n") > 4 || !strings.Contains(out, vm.Name+" until ") ||
		!strings.Contains(out, "activate this console") {
		t.Errorf("the last lines are\n%s", out)
	}
	w.refused([]string{"console", vm.Name}, "no terminal", "--last")
	w.refused([]string{"console", vm.Name, "--screenshot", filepath.Join(t.TempDir(), "x.png")}, "no screen", "domain_xml")
	w.refused([]string{"console", w.group, "--last", "3"}, "nothing is kept")

	bin := t.TempDir()
	if err := os.WriteFile(filepath.Join(bin, "ssh"), []byte("#!/bin/sh\necho \"$0 $*\"\nexit 42\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	ssh := w.command("ssh", "ann@"+vm.Name, "--", "-v", "uptime")
	ssh.Env = append(ssh.Env, "PATH="+bin+":"+os.Getenv("PATH"))
	out, err := ssh.CombinedOutput()
	address := strings.Fields(w.guestPrints(vm.Name, "ip -4 -o addr show dev eth0 | awk '{print $4}' | cut -d/ -f1"))
	want := fmt.Sprintf("ssh -o HostKeyAlias=%s -p 22 -l ann %s -v uptime\n", vm.UUID, strings.Join(address, " "))
	if ssh.ProcessState.ExitCode() != 42 || !strings.HasSuffix(string(out), want) {
		t.Errorf("ssh: %v\n%swant %q", err, out, want)
	}
	dom := w.domain(vm.Name)
	if err := dom.Suspend(); err != nil {
		t.Fatal(err)
	}
	w.refused([]string{"ssh", vm.Name}, "found it paused, want it running")
	if _, stderr, code := w.exec(vm.Name, "--", "true"); code != 125 || !strings.Contains(stderr, "found it paused") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if err := dom.Resume(); err != nil {
		t.Fatal(err)
	}
	p.untilReady(1)
}

func (w *world) checkExec(t *testing.T, vm string) {
	for name, tt := range map[string]struct {
		args        []string
		out, stderr string
		code        int
	}{
		"streams and code": {[]string{vm, "--", "sh", "-c", "echo out; echo err >&2; exit 7"}, "out\n", "err\n", 7},
		"bytes":            {[]string{vm, "--", "printf", `\033]0;OWNED\007\000`}, "\x1b]0;OWNED\x07\x00", "", 0},
		"a signal":         {[]string{vm, "--", "sh", "-c", "kill -TERM $$"}, "", "Terminated\n", 143},
	} {
		out, stderr, code := w.exec(tt.args...)
		if out != tt.out || stderr != tt.stderr || code != tt.code {
			t.Errorf("%s: printed %q and %q, exit code %d; want %q, %q, %d", name, out, stderr, code, tt.out, tt.stderr, tt.code)
		}
	}
	if _, stderr, code := w.exec(vm, "--timeout", "1s", "--", "sh", "-c", "sleep 4711 | cat"); code != 124 ||
		!strings.Contains(stderr, "longer than 1s") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if left := w.guestPrints(vm, "ps -o pid,ppid,pgid,sid,args | grep '[s]leep 4711' || true"); left != "" {
		t.Errorf("these are left in the guest:\n%s", left)
	}
	out, stderr, code := w.exec(vm, "--", "sh", "-c", "yes | head -c 3000000; exit 5")
	if len(out) != 256<<10 || code != 5 || !strings.Contains(stderr, "more than 256 KiB") {
		t.Errorf("%d bytes, exit code %d: %s", len(out), code, stderr)
	}
	if _, stderr, code := w.exec(vm, "--", "no-such-command"); code != 127 || !strings.Contains(stderr, "not found") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	if _, stderr, code := w.exec(w.group, "--", "true"); code != 2 || !strings.Contains(stderr, "want one of its VMs: "+vm) {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	cmd, _, _, shown := w.onTerminal("exec", vm, "--", "printf", `a\033]0;OWNED\007b\n`)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	until(t, "the output is shown", func() bool { return strings.Contains(shown.text(), "b\r\n") })
	if text := shown.text(); strings.Contains(text, "\x1b") || !strings.Contains(text, "a␛]0;OWNED␇b") {
		t.Errorf("on a terminal it shows %q", text)
	}
}

func (w *world) checkConsole(t *testing.T, vm string) {
	cmd, master, tty, shown := w.onTerminal("console", vm)
	before := settings(t, tty)
	until(t, "the console is open", func() bool { return strings.Contains(shown.text(), "Ctrl-] leaves it") })
	enter := func(text string) {
		if _, err := master.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}
	enter("\r") // which begins a shell
	until(t, "the shell asks", func() bool { return strings.Contains(shown.text(), "# ") })
	enter("printf 'a%sz\\033]0;OWNED\\007\\n' bcd\r")
	until(t, "the shell answers", func() bool { return strings.Contains(shown.text(), "abcdz") })
	out, err := w.command("console", vm).CombinedOutput()
	if err == nil {
		t.Errorf("a second one: %s", out)
	}
	second, _, _, says := w.onTerminal("console", vm)
	if err := second.Wait(); err == nil || !strings.Contains(says.text(), "--force takes it") {
		t.Errorf("a second one: %v, %s", err, says.text())
	}
	enter("\x1d")
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, shown.text())
	}
	until(t, "the terminal is as before", func() bool {
		return strings.Contains(shown.text(), "left its console") && settings(t, tty) == before
	})
	if strings.Contains(shown.text(), "\x1b]0;OWNED") {
		t.Errorf("the title was set: %q", shown.text())
	}
}

// TestBootIsWitnessed: of a VM that does not become ready the event of its failure has what it printed last, harmlessly, and
// that is kept with a picture of its screen when nothing else of the VM is left.
func TestBootIsWitnessed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// xor ax,ax; mov ds,ax; L: mov si,text; M: lodsb; test al,al; jz N; mov dx,0x3f8; out dx,al; jmp M; N: hlt; jmp L; text
	w.addTemplate(
		"talks",
		guestDisk(
			t,
			"31c08ed8"+"be157cac84c07406baf803eeebf5"+"f4ebef"+fmt.Sprintf("%x", "no \x1b[2Jinit\x1b]0;OWNED\x07 found\r\n")+"00",
		),
	)
	config := w.config(`min: 1
max: 1
template: talks
boot_timeout: 12s
domain_xml: |
  <domain>
    <devices>
      <graphics type='vnc' autoport='yes' listen='127.0.0.1'/>
      <video><model type='vga'/></video>
    </devices>
  </domain>`)
	p := w.start(config)
	e := p.untilEvent("", bus.EventFailed)
	if len(e.Console) == 0 || len(e.Console) > bus.MaxConsoleLines || !strings.Contains(e.Error, "not ready within") {
		t.Fatalf("event %+v", e)
	}
	for _, line := range e.Console[1:] {
		if line != "no init found" {
			t.Errorf("the console's line is %q", line)
		}
	}
	out := w.must("console", e.VM, "--last", "5")
	if !strings.HasSuffix(out, strings.Repeat("no init found\n", 4)) {
		t.Errorf("what is kept ends with\n%s", out)
	}
	_, path, found := strings.Cut(out, "its screen then: ")
	path, _, _ = strings.Cut(path, "\n")
	if picture, err := os.ReadFile(path); !found || err != nil || !strings.HasPrefix(string(picture), "\x89PNG") {
		t.Errorf("its screen: %v\n%s", err, out)
	}
	if says := w.must("events", w.group, "--nats-url", p.url); !strings.Contains(says, "\n    console | no init found\n") {
		t.Errorf("the history says\n%s", says)
	}
	shot := filepath.Join(t.TempDir(), "now.png")
	p.untilEvent("", bus.EventStarted)
	w.must("console", w.vms()[0].Name, "--screenshot", shot)
	if picture, err := os.ReadFile(shot); err != nil || !strings.HasPrefix(string(picture), "\x89PNG") {
		t.Errorf("the screenshot: %v", err)
	}
}
