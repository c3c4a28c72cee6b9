package dashboard

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// WatchdogArg is the argument with which a program is its own watchdog: it must call RunWatchdog then.
const WatchdogArg = "restore-terminal"

// cleanExit is written last by a process that has restored the terminal itself.
const cleanExit = "all is well\n"

// StartWatchdog starts a process that gives tty back when this one ends without doing so: when it is killed, or by a panic
// in whatever goroutine, whose text is then printed where it can be read. It runs this program again, with WatchdogArg.
// release ends it; call it when the terminal has been given back.
func StartWatchdog(tty *os.File) (release func(), err error) {
	saved, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("watch over the terminal: %w", err)
	}
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("watch over the terminal: %w", err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("watch over the terminal: %w", err)
	}
	cmd := exec.Command(program, WatchdogArg)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = r, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is not for it
	err = cmd.Start()
	_ = r.Close()
	if err == nil {
		err = json.NewEncoder(w).Encode(saved)
	}
	if err == nil {
		err = debug.SetCrashOutput(w, debug.CrashOptions{})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("watch over the terminal: %w", err), w.Close())
	}
	return func() {
		_ = debug.SetCrashOutput(nil, debug.CrashOptions{}) // it holds a copy of the pipe's end
		_, _ = io.WriteString(w, cleanExit)
		_ = w.Close()
		_ = cmd.Wait()
	}, nil
}

// RunWatchdog is the watchdog's process: it waits until the watched one, at the other end of in, has ended, and then gives
// tty back if that is still to be done.
func RunWatchdog(in io.Reader, tty *os.File) error {
	// A background process may change the terminal only if it ignores SIGTTOU.
	signal.Ignore(syscall.SIGTTOU, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	lines := bufio.NewReader(in)
	first, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("watch over the terminal: %w", err)
	}
	var saved unix.Termios
	if err := json.Unmarshal(first, &saved); err != nil {
		return fmt.Errorf("watch over the terminal: %w", err)
	}
	last, err := io.ReadAll(lines)
	if err != nil {
		return fmt.Errorf("watch over the terminal: %w", err)
	}
	if strings.HasSuffix(string(last), cleanExit) {
		return nil
	}
	_, err = tty.WriteString(leaveScreen)
	if setErr := unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, &saved); setErr != nil {
		err = errors.Join(err, setErr)
	}
	_, printErr := tty.Write(last)
	if err = errors.Join(err, printErr); err != nil {
		return fmt.Errorf("give the terminal back: %w", err)
	}
	return nil
}
