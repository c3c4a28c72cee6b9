package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"github.com/vmscaler/vmscaler/bus/server"
)

// TestTerminalIsGivenBack: however the program ends, the terminal leaves the alternate screen and has its settings
// again; what a crash says can then be read.
func TestTerminalIsGivenBack(t *testing.T) {
	server, err := server.Start(server.Config{Listen: "127.0.0.1:0"}, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	defer server.Stop()
	for _, c := range []struct {
		name   string
		signal os.Signal
		says   string
	}{
		{"Ctrl-C", os.Interrupt, ""},
		{"a crash", syscall.SIGABRT, "SIGABRT"},
		{"killed", syscall.SIGKILL, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			master, tty := openTerminal(t)
			before := settings(t, tty)
			shown := &recorder{}
			go shown.record(master)

			cmd := exec.Command(program, "dashboard", "--nats-url", server.URL())
			cmd.Env = append(os.Environ(), "TERM=xterm")
			cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			until(t, "the alternate screen is shown", func() bool { return strings.Contains(shown.text(), "\x1b[?1049h") })
			if settings(t, tty) == before {
				t.Fatal("the dashboard did not change the terminal's settings")
			}
			if err := cmd.Process.Signal(c.signal); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait()
			until(t, "the terminal is as before", func() bool {
				_, after, left := strings.Cut(shown.text(), "\x1b[?1049l")
				return left && strings.Contains(after, c.says) && settings(t, tty) == before
			})
			if n := strings.Count(shown.text(), "\x1b[?1049l"); n != 1 {
				t.Errorf("the alternate screen was left %d times", n)
			}
		})
	}
}

func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for !holds() {
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatalf("it does not happen that %s", what)
		}
	}
}

// recorder keeps what a terminal shows.
type recorder struct {
	mu   sync.Mutex
	seen strings.Builder
}

func (r *recorder) record(master *os.File) {
	buf := make([]byte, 4096)
	for {
		n, err := master.Read(buf)
		r.mu.Lock()
		r.seen.Write(buf[:n])
		r.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (r *recorder) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen.String()
}

// openTerminal opens both ends of a pseudo-terminal.
func openTerminal(t *testing.T) (master, tty *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	tty, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tty.Close() })
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: 80}); err != nil {
		t.Fatal(err)
	}
	return master, tty
}

func settings(t *testing.T, tty *os.File) unix.Termios {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *s
}
