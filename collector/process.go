package collector

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// process is the QEMU process of a run of a domain on this machine, whose CPU time is read from the kernel: the figure that
// libvirt's info has, in nanoseconds instead of steps of 10 ms, and without a call to libvirt. It is a process's own clock, which
// also counts threads that have ended, and which any user may read.
type process struct {
	clock int32 // of its CPU time
	fd    int   // says whether it has ended: its number can then be another process's
}

// errEnded means that a process is not there any more.
var errEnded = errors.New("the process has ended")

// cpu is the CPU time that it has used. A nil process has ended.
func (p *process) cpu() (time.Duration, error) {
	if p == nil {
		return 0, errEnded
	}
	var t unix.Timespec
	if err := unix.ClockGettime(p.clock, &t); err != nil {
		return 0, fmt.Errorf("read the clock of a process: %w", err)
	}
	end := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
	n, err := unix.Poll(end, 0) // after the reading, which then was of no other process
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Poll(end, 0)
	}
	switch {
	case err != nil:
		return 0, fmt.Errorf("ask for the end of a process: %w", err)
	case n > 0:
		return 0, errEnded
	}
	return time.Duration(t.Nano()), nil
}

// close lets the process go; of nil it does nothing.
func (p *process) close() {
	if p != nil {
		_ = unix.Close(p.fd)
	}
}

// pidFolder is where the libvirt of a URI keeps the process ids of its domains; "" where that is not known. runtime is the
// user's folder for such files.
func pidFolder(uri, runtime string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Host != "" {
		return ""
	}
	driver, _, _ := strings.Cut(u.Scheme, "+")
	switch {
	case driver != "qemu":
		return ""
	case u.Path == "/system":
		return "/run/libvirt/qemu"
	case u.Path == "/session" && filepath.IsAbs(runtime):
		return filepath.Join(runtime, "libvirt/qemu/run")
	}
	return ""
}

// findProcess finds a domain's process by libvirt's file in a folder. Where /proc shows the process it must be that of a QEMU
// with the domain's UUID; units of systemd can hide it. Whether its clock agrees with libvirt is for the caller to see.
func findProcess(folder, domain, uuid string) (*process, error) {
	text, err := readStart(filepath.Join(folder, domain+".pid"), 32)
	if err != nil {
		return nil, err
	}
	pid, ok := parsePID(text)
	if !ok {
		return nil, fmt.Errorf("%s.pid: found %.32q, want the number of a process", domain, text)
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", pid, err)
	}
	p := &process{clock: cpuClock(pid), fd: fd}
	if line, err := readStart(fmt.Sprintf("/proc/%d/cmdline", pid), 64<<10); err == nil && !isGuest(line, uuid) {
		p.close()
		return nil, fmt.Errorf("process %d is not that of %s", pid, domain)
	}
	return p, nil
}

// cpuClock is the kernel's name of the clock of a process's CPU time.
func cpuClock(pid int) int32 {
	const scheduler = 2 // as the scheduler counts, and not in ticks
	return int32(^pid)<<3 | scheduler
}

// readStart is what a file begins with, at most so many bytes.
func readStart(name string, most int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, most))
}

// parsePID reads a file with the number of a process: one that can be a domain's, so neither 0 nor 1.
func parsePID(text []byte) (int, bool) {
	const mostPID = 1 << 22 // of Linux
	pid, err := strconv.ParseUint(strings.TrimSuffix(string(text), "\n"), 10, 32)
	return int(pid), err == nil && pid > 1 && pid <= mostPID
}

// isGuest reports whether a command line, as in /proc, is that of a QEMU which libvirt has started for the domain.
func isGuest(line []byte, uuid string) bool {
	args := bytes.Split(line, []byte{0})
	for i, arg := range args[:len(args)-1] {
		if string(arg) == "-uuid" && string(args[i+1]) == uuid {
			return true
		}
	}
	return false
}

// agrees reports whether libvirt's figure of a process's CPU time, which has two parts in steps of 10 ms, lies between two
// readings of the process's clock.
func agrees(before, libvirts, after time.Duration) bool {
	const steps = 50 * time.Millisecond
	return libvirts >= before-steps && libvirts <= after+steps
}
