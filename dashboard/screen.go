package dashboard

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// The terminal's control sequences. Wrapping at the margin is off while we draw, so that a character that the
// terminal takes for wider than we do cannot break the frame.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
	leaveScreen = "\x1b[?2026l\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
	beginFrame  = "\x1b[?2026h" // synchronized update: shown at once, where the terminal knows it
	endFrame    = "\x1b[?2026l"
	clearAll    = "\x1b[0m\x1b[2J"
	clearRight  = "\x1b[K"
)

// Used where the terminal does not say how large it is.
const (
	defaultWidth  = 80
	defaultHeight = 24
)

// screen owns the terminal between openScreen and restore.
type screen struct {
	out *os.File
	// tty is the file whose settings were changed, saved what they were; nil where neither is a terminal.
	tty   *os.File
	saved *unix.Termios
	gone  atomic.Bool // restored

	shown         []string // the lines on the screen; nil: not known
	width, height int
}

// openScreen switches to the alternate screen, hides the cursor and turns off echo and line mode. Ctrl-C stays a
// signal; Ctrl-Z and Ctrl-\ do not, as they would leave the terminal in this state.
func openScreen(out, in *os.File) (*screen, error) {
	s := &screen{out: out}
	for _, file := range []*os.File{in, out} {
		if file == nil || !term.IsTerminal(int(file.Fd())) {
			continue
		}
		saved, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
		if err != nil {
			return nil, fmt.Errorf("read the settings of %s: %w", file.Name(), err)
		}
		s.tty, s.saved = file, saved
		break
	}
	if err := s.enter(); err != nil {
		return nil, errors.Join(err, s.restore())
	}
	return s, nil
}

// enter takes the terminal; once more after the process was stopped and continued.
func (s *screen) enter() error {
	if s.gone.Load() {
		return nil
	}
	if s.tty != nil {
		mode := *s.saved
		mode.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.IEXTEN
		mode.Lflag |= unix.ISIG
		mode.Iflag &^= unix.IXON // Ctrl-S would stop us in the middle of a frame
		mode.Cc[unix.VMIN], mode.Cc[unix.VTIME] = 1, 0
		mode.Cc[unix.VSUSP], mode.Cc[unix.VQUIT] = 0, 0
		if err := unix.IoctlSetTermios(int(s.tty.Fd()), unix.TCSETS, &mode); err != nil {
			return fmt.Errorf("change the settings of %s: %w", s.tty.Name(), err)
		}
	}
	s.shown = nil
	return s.write(enterScreen)
}

// restore puts everything back. Only the first call does something.
func (s *screen) restore() error {
	if s.gone.Swap(true) {
		return nil
	}
	err := s.write(leaveScreen)
	if s.tty != nil {
		if setErr := unix.IoctlSetTermios(int(s.tty.Fd()), unix.TCSETS, s.saved); setErr != nil {
			err = errors.Join(err, fmt.Errorf("restore the settings of %s: %w", s.tty.Name(), setErr))
		}
	}
	return err
}

// size is the terminal's, in cells.
func (s *screen) size() (width, height int) {
	ws, err := unix.IoctlGetWinsize(int(s.out.Fd()), unix.TIOCGWINSZ)
	if err != nil || ws.Col == 0 || ws.Row == 0 {
		return defaultWidth, defaultHeight
	}
	return int(ws.Col), int(ws.Row)
}

// invalidate makes the next frame a full one.
func (s *screen) invalidate() { s.shown = nil }

// draw shows lines, in one write, and rewrites only those that changed.
func (s *screen) draw(lines []string, width, height int) error {
	if s.gone.Load() {
		return nil
	}
	var b strings.Builder
	all := s.shown == nil || width != s.width || height != s.height
	if all {
		b.WriteString(clearAll)
		s.shown = make([]string, height)
		s.width, s.height = width, height
	}
	for i := range height {
		text := ""
		if i < len(lines) {
			text = lines[i]
		}
		if text == s.shown[i] {
			continue
		}
		s.shown[i] = text
		fmt.Fprintf(&b, "\x1b[%d;1H%s", i+1, text)
		if visibleWidth(text) < width { // at the margin it would clear the last character
			b.WriteString(clearRight)
		}
	}
	if b.Len() == 0 {
		return nil
	}
	return s.write(beginFrame + b.String() + endFrame)
}

func (s *screen) write(text string) error {
	if _, err := s.out.WriteString(text); err != nil {
		return fmt.Errorf("write to the terminal: %w", err)
	}
	return nil
}
