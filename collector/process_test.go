package collector

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// standIn is a process that computes, with the command line of a guest, and libvirt's file about it.
func standIn(t *testing.T, name, uuid string) (cmd *exec.Cmd, folder string) {
	t.Helper()
	cmd = exec.Command("sh", "-c", "while :; do :; done", "-uuid", uuid)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	until(t, "its command line is there, a moment after its start", func() bool {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", cmd.Process.Pid))
		return err == nil && isGuest(line, uuid)
	})
	folder = t.TempDir()
	writePID(t, folder, name, fmt.Sprintln(cmd.Process.Pid))
	return cmd, folder
}

func writePID(t *testing.T, folder, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(folder, name+".pid"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// until asks again and again.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for !done() {
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		}
	}
}

// The clock of another process is what it has used, until it ends.
func TestProcessClock(t *testing.T) {
	cmd, folder := standIn(t, "web-1", ourUUID)
	p, err := findProcess(folder, "web-1", ourUUID)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	first, err := p.cpu()
	if err != nil {
		t.Fatal(err)
	}
	last := first
	until(t, "it counts", func() bool {
		now, err := p.cpu()
		if err != nil || now < last {
			t.Fatalf("%s after %s, %v", now, last, err)
		}
		last = now
		return now-first >= 100*time.Millisecond
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, "it has ended", func() bool {
		now, err := p.cpu()
		last = max(now, last)
		return errors.Is(err, errEnded)
	})
	_ = cmd.Wait()
	if used := cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(); !agrees(last, used, used) {
		t.Errorf("its clock said %s, and it has used %s", last, used)
	}
	if _, err := (*process)(nil).cpu(); !errors.Is(err, errEnded) {
		t.Errorf("none: %v", err)
	}
}

func TestFindProcessRefuses(t *testing.T) {
	_, folder := standIn(t, "web-1", ourUUID)
	writePID(t, folder, "web-2", "0\n")
	writePID(t, folder, "web-3", "4194304") // no process
	for _, c := range []struct{ name, uuid, want string }{
		{"web-1", otherUUID, "not that of web-1"},
		{"web-2", ourUUID, "want the number of a process"},
		{"web-3", ourUUID, "open process 4194304"},
		{"web-4", ourUUID, "no such file"},
	} {
		if p, err := findProcess(folder, c.name, c.uuid); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: found %+v, %v, want %q", c.name, p, err, c.want)
		}
	}
}

// A process whose figure is not libvirt's (the test driver's is the time of day) leaves libvirt's.
func TestProcessThatDisagrees(t *testing.T) {
	conn := host(t)
	dom := define(t, conn, "web-1", ourUUID, metadata(t, "web-1", ourUUID, t0), true)
	_, folder := standIn(t, "web-1", ourUUID)
	v, now := inventoryOf(t), time.Now()
	v.started, v.listens, v.pids = true, true, folder
	read := func() reading {
		t.Helper()
		all := v.all(t, now)
		if len(all) != 1 {
			t.Fatalf("got %+v", all)
		}
		return all[0]
	}
	for range 2 {
		if r := read(); r.state != bus.StateRunning || r.counter.exact || r.counter.cpu < time.Hour || r.counter.vcpus != 2 {
			t.Fatalf("got %+v, want libvirt's figures", r)
		}
		if k := v.domains[ourUUID]; !k.distrusted || k.process != nil {
			t.Fatalf("it is trusted: %+v", k.guest)
		}
	}
	if err := dom.Destroy(); err != nil {
		t.Fatal(err)
	}
	if r := read(); r.state != bus.StateShutoff || v.domains[ourUUID].distrusted {
		t.Errorf("off: %+v, %+v", r, v.domains[ourUUID].guest)
	}
}

// A domain that is known to run, and whose process is, is not asked; one that is paused, restarted or without its process is.
func TestQuickReading(t *testing.T) {
	conn := host(t)
	dom := define(t, conn, "web-1", ourUUID, metadata(t, "web-1", ourUUID, t0), true)
	cmd, folder := standIn(t, "web-1", ourUUID)
	run, err := dom.GetID()
	if err != nil {
		t.Fatal(err)
	}
	know := func(change func(*known)) *known {
		p, err := findProcess(folder, "web-1", ourUUID)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(p.close)
		k := &known{reading: reading{name: "web-1", uuid: ourUUID}, ours: true, guest: guest{
			process: p, givenMiB: 256, last: counter{run: run, vcpus: 3, cpu: time.Hour, exact: true},
		}}
		if change != nil {
			change(k)
		}
		return k
	}
	r, quick := know(nil).quick(dom, map[uint]bool{run: true})
	if !quick || r.name != "web-1" || r.state != bus.StateRunning || r.memoryMiB != 256 || r.counter.vcpus != 3 ||
		r.counter.run != run || !r.counter.exact || r.counter.cpu >= time.Hour || time.Since(r.counter.at) > time.Minute {
		t.Errorf("got %v, %+v", quick, r)
	}
	for _, c := range []struct {
		name string
		k    *known
		runs map[uint]bool
	}{
		{"it does not run", know(nil), map[uint]bool{}},
		{"libvirt was not asked who runs", know(nil), nil},
		{"it was never measured", know(func(k *known) { k.last.exact = false }), map[uint]bool{run: true}},
		{"another run", know(func(k *known) { k.last.run++ }), map[uint]bool{run: true, run + 1: true}},
		{"no process", know(func(k *known) { k.process = nil }), map[uint]bool{run: true}},
	} {
		if r, quick := c.k.quick(dom, c.runs); quick {
			t.Errorf("%s: got %+v", c.name, r)
		}
	}
	k := know(func(k *known) { k.rest = &reading{state: bus.StatePaused} })
	if r, known := k.again(); !known || r.state != bus.StatePaused {
		t.Errorf("at rest: got %v, %+v", known, r)
	}
	k.quick(dom, map[uint]bool{run: true})
	if r, known := k.again(); !known || r.state != bus.StateRunning || r.counter.run != run {
		t.Errorf("it runs again: got %v, %+v", known, r)
	}
	_ = cmd.Process.Kill()
	until(t, "its process has ended", func() bool {
		_, known := k.again()
		_, quick := k.quick(dom, map[uint]bool{run: true})
		return !known && !quick
	})
}

func TestPIDFolder(t *testing.T) {
	const runtime = "/run/user/1000"
	for _, c := range []struct{ uri, runtime, want string }{
		{"qemu:///system", runtime, "/run/libvirt/qemu"},
		{"qemu+unix:///system", "", "/run/libvirt/qemu"},
		{"qemu:///session", runtime, "/run/user/1000/libvirt/qemu/run"},
		{"qemu:///session", "", ""},
		{"qemu:///session", "relative", ""},
		{"qemu+ssh://elsewhere/system", runtime, ""},
		{"qemu:///embed?root=/tmp/x", runtime, ""},
		{"test:///default", runtime, ""},
		{"xen:///system", runtime, ""},
		{"::", runtime, ""},
		{"", runtime, ""},
	} {
		if got := pidFolder(c.uri, c.runtime); got != c.want {
			t.Errorf("%s: got %q, want %q", c.uri, got, c.want)
		}
	}
}

func TestParsePID(t *testing.T) {
	for text, want := range map[string]int{
		"4711\n": 4711, "4711": 4711, "2": 2, "4194304": 4194304,
		"": 0, "\n": 0, "1": 0, "0": 0, "-4711": 0, "+4711": 0, " 4711": 0, "4711 x": 0, "4711\n\n": 0, "4194305": 0, "0x12": 0,
		"99999999999999999999": 0,
	} {
		if pid, ok := parsePID([]byte(text)); ok != (want > 0) || ok && pid != want {
			t.Errorf("%q: got %d, %v, want %d", text, pid, ok, want)
		}
	}
}

func TestIsGuest(t *testing.T) {
	line := func(args ...string) string { return strings.Join(args, "\x00") + "\x00" }
	for _, c := range []struct {
		name, line string
		want       bool
	}{
		{"libvirt's QEMU", line("/usr/bin/qemu-system-x86_64", "-name", "guest=web-1", "-uuid", ourUUID, "-S"), true},
		{"of another domain", line("/usr/bin/qemu-system-x86_64", "-uuid", otherUUID), false},
		{"it has another option", line("/usr/bin/qemu-system-x86_64", "-smbios", ourUUID), false},
		{"in the midst of an argument", line("grep", "-uuid "+ourUUID), false},
		{"the end is missing", line("qemu", "-uuid"), false},
		{"a kernel thread or a zombie", "", false},
	} {
		if got := isGuest([]byte(c.line), ourUUID); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}

func TestAgrees(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	for _, c := range []struct {
		name                    string
		before, libvirts, after time.Duration
		want                    bool
	}{
		{"the same", 7 * s, 7 * s, 7 * s, true},
		{"between the two", 7 * s, 8 * s, 9 * s, true},
		{"steps of 10 ms", 7*s + 19*ms, 7 * s, 7*s + 19*ms, true},
		{"a new process", 0, 0, 0, true},
		{"less", 7 * s, 6 * s, 7 * s, false},
		{"more", 7 * s, 8 * s, 7 * s, false},
		{"of the run before", 100 * ms, time.Hour, 110 * ms, false},
	} {
		if got := agrees(c.before, c.libvirts, c.after); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}

func FuzzParsePID(f *testing.F) {
	for _, seed := range []string{"4711\n", "", "-1", "4194305", "\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		pid, ok := parsePID(text)
		if ok && (pid < 2 || pid > 1<<22 || !strings.HasSuffix(strings.TrimSuffix(string(text), "\n"), fmt.Sprint(pid))) {
			t.Errorf("%q: got %d", text, pid)
		}
	})
}

func FuzzIsGuest(f *testing.F) {
	f.Add([]byte("qemu\x00-uuid\x00"+ourUUID+"\x00"), ourUUID)
	f.Add([]byte{}, "")
	f.Add([]byte("\x00"), "\x00")
	f.Fuzz(func(t *testing.T, line []byte, uuid string) {
		if isGuest(line, uuid) && !strings.Contains(string(line), "-uuid\x00"+uuid) {
			t.Errorf("%q: found %q", line, uuid)
		}
	})
}
