package dashboard

import (
	"bytes"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// openPTY opens a pseudo-terminal of 80x24. What is written to tty is collected by the returned function's
// calls; it blocks until the collected output has what it waits for.
func openPTY(t *testing.T) (master, tty *os.File) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatalf("no pseudo-terminals here: %v", err)
	}
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	// Not blocking, so that the runtime polls it and Close ends a Read.
	if err := unix.SetNonblock(fd, true); err != nil {
		t.Fatal(err)
	}
	master = os.NewFile(uintptr(fd), "/dev/ptmx")
	tty, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	resize(t, tty, 80, 24)
	return master, tty
}

func resize(t *testing.T, tty *os.File, width, height uint16) {
	t.Helper()
	if err := unix.IoctlSetWinsize(int(tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: height}); err != nil {
		t.Fatal(err)
	}
}

func termios(t *testing.T, tty *os.File) unix.Termios {
	t.Helper()
	mode, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *mode
}

// recorder reads a pseudo-terminal to its end, and lets a test wait for what is written to it.
type recorder struct {
	mu      sync.Mutex
	changed *sync.Cond
	got     bytes.Buffer
	read    int // up to here waits have consumed it
	ended   bool
}

func record(master *os.File) *recorder {
	r := &recorder{}
	r.changed = sync.NewCond(&r.mu)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			r.mu.Lock()
			r.got.Write(buf[:n])
			r.ended = err != nil
			r.changed.Broadcast()
			r.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	return r
}

// until waits for text and returns what came up to and with it, since the last call.
func (r *recorder) until(t *testing.T, text string) string {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for {
		rest := r.got.String()[r.read:]
		if i := strings.Index(rest, text); i >= 0 {
			r.read += i + len(text)
			return rest[:i+len(text)]
		}
		if r.ended {
			t.Fatalf("the output ended without %q: %q", text, rest)
		}
		r.changed.Wait()
	}
}

func TestScreenGivesTheTerminalBack(t *testing.T) {
	master, tty := openPTY(t)
	defer master.Close()
	defer tty.Close()
	out := record(master)
	before := termios(t, tty)

	s, err := openScreen(tty, tty)
	if err != nil {
		t.Fatal(err)
	}
	out.until(t, enterScreen)
	during := termios(t, tty)
	if during.Lflag&(unix.ECHO|unix.ICANON) != 0 || during.Lflag&unix.ISIG == 0 {
		t.Errorf("local modes %#x: want no echo, no line mode, and signals", during.Lflag)
	}
	for range 2 { // the second time does nothing
		if err := s.restore(); err != nil {
			t.Fatal(err)
		}
	}
	if after := termios(t, tty); after != before {
		t.Errorf("settings %+v, want %+v", after, before)
	}
	if err := s.draw([]string{"late"}, 80, 24); err != nil {
		t.Fatal(err)
	}
	if _, err := tty.WriteString("END"); err != nil {
		t.Fatal(err)
	}
	if got := out.until(t, "END"); got != leaveScreen+"END" {
		t.Errorf("got %q, want the screen left once and nothing drawn after that", got)
	}
}

func TestScreenRewritesOnlyWhatChanged(t *testing.T) {
	master, tty := openPTY(t)
	defer master.Close()
	defer tty.Close()
	out := record(master)
	s, err := openScreen(tty, nil)
	if err != nil {
		t.Fatal(err)
	}
	out.until(t, enterScreen)
	draw := func(lines ...string) string {
		t.Helper()
		if err := s.draw(lines, 4, 3); err != nil {
			t.Fatal(err)
		}
		if _, err := tty.WriteString("|"); err != nil {
			t.Fatal(err)
		}
		return out.until(t, "|")
	}
	for _, step := range []struct {
		got, want string
	}{
		{draw("ab", "full", "c"), beginFrame + clearAll + "\x1b[1;1Hab\x1b[K\x1b[2;1Hfull\x1b[3;1Hc\x1b[K" + endFrame + "|"},
		{draw("ab", "full", "c"), "|"},
		{draw("ab", "x"), beginFrame + "\x1b[2;1Hx\x1b[K\x1b[3;1H\x1b[K" + endFrame + "|"},
	} {
		if step.got != step.want {
			t.Errorf("got %q, want %q", step.got, step.want)
		}
		if strings.Contains(step.got, "\n") {
			t.Error("a newline may scroll")
		}
	}
	s.invalidate()
	if got := draw("ab"); !strings.Contains(got, clearAll) {
		t.Errorf("got %q, want a full frame", got)
	}
	if err := s.restore(); err != nil {
		t.Fatal(err)
	}
}

func TestSizeWithoutAnswer(t *testing.T) {
	master, tty := openPTY(t)
	defer master.Close()
	defer tty.Close()
	resize(t, tty, 0, 0)
	if w, h := (&screen{out: tty}).size(); w != defaultWidth || h != defaultHeight {
		t.Errorf("%dx%d, want the default", w, h)
	}
}
