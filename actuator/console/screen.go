package console

import (
	"bytes"
	"strings"
)

// Screen is what a terminal has printed, without what moves its cursor and paints it: text in lines. Its zero value is empty.
type Screen struct {
	text  []byte // the end of it
	state escape
	cr    bool // a carriage return has come, and what follows it has not
}

// escape is where in a control sequence a screen is.
type escape int

const (
	plain   escape = iota
	escaped        // after ESC
	control        // in a sequence like ESC [ 0 m
	title          // in a text up to BEL or ESC \, as a window's title
	titleEnd
	oneMore // one more byte, as with ESC ( B
)

// Bounds of what is kept, in bytes. A guest may print without end.
const (
	MostText = 128 << 10
	leftText = 64 << 10
)

// Add takes what was read, however it was cut into pieces, and returns what of it is to be seen.
func (s *Screen) Add(data []byte) []byte {
	var seen []byte
	for _, b := range data {
		if b, ok := s.see(b); ok {
			if s.cr && b != '\n' && b != '\r' {
				seen = append(seen, '\n') // what comes writes over the line: it is another one
			}
			if s.cr = b == '\r'; !s.cr {
				seen = append(seen, b)
			}
		}
	}
	if s.text = append(s.text, seen...); len(s.text) > MostText {
		s.text = append([]byte(nil), s.text[len(s.text)-leftText:]...)
	}
	return seen
}

// see takes one byte, and reports whether it is text.
func (s *Screen) see(b byte) (byte, bool) {
	const esc, bel = 0x1b, 0x07
	switch s.state {
	case plain:
		if b == esc {
			s.state = escaped
			return 0, false
		}
		return b, b == '\n' || b == '\r' || b == '\t' || b >= ' ' && b != 0x7f
	case escaped:
		switch {
		case b == '[':
			s.state = control
		case b == ']', b == 'P', b == '^', b == '_':
			s.state = title
		case b == '(', b == ')', b == '#', b == '%', b == '*', b == '+':
			s.state = oneMore
		case b != esc:
			s.state = plain
		}
	case control:
		if b >= 0x40 && b <= 0x7e {
			s.state = plain
		}
	case title:
		if b == bel {
			s.state = plain
		}
		if b == esc {
			s.state = titleEnd
		}
	case titleEnd, oneMore:
		s.state = plain
	}
	return 0, false
}

// end is the text, from the beginning of a line where some of it is left out.
func (s *Screen) end() string {
	text := s.text
	if len(text) > leftText {
		text = text[len(text)-leftText:]
		text = text[bytes.IndexByte(text, '\n')+1:]
	}
	return strings.ToValidUTF8(string(text), "\uFFFD")
}

// Tail is the last lines that are not empty.
func (s *Screen) Tail(lines int) []string {
	var all []string
	for line := range strings.Lines(strings.ToValidUTF8(string(s.text), "\uFFFD")) {
		if line = strings.TrimRight(line, " \t\n"); line != "" {
			all = append(all, line)
		}
	}
	return all[max(0, len(all)-lines):]
}
