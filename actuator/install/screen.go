package install

import (
	"bytes"
	"regexp"
	"strings"
)

// screen is what a terminal has printed, without what moves its cursor and paints it: text in lines.
type screen struct {
	text  []byte // the end of it
	state escape
	cr    bool // a carriage return has come, and what follows it has not
}

// escape is where in a control sequence the screen is.
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
	mostText = 128 << 10
	leftText = 64 << 10
)

// add takes what was read, however it was cut into pieces, and returns what of it is to be seen.
func (s *screen) add(data []byte) []byte {
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
	if s.text = append(s.text, seen...); len(s.text) > mostText {
		s.text = append([]byte(nil), s.text[len(s.text)-leftText:]...)
	}
	return seen
}

// see takes one byte, and reports whether it is text.
func (s *screen) see(b byte) (byte, bool) {
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

// tail is the last lines that are not empty.
func (s *screen) tail(lines int) []string {
	var all []string
	for line := range strings.Lines(strings.ToValidUTF8(string(s.text), "\uFFFD")) {
		if line = strings.TrimRight(line, " \t\n"); line != "" {
			all = append(all, line)
		}
	}
	return all[max(0, len(all)-lines):]
}

// first is which of the patterns matches first in a text, and where that match ends; -1 if none does. Of two that match at one
// place the earlier pattern counts. A nil pattern matches nothing.
func first(text []byte, patterns []*regexp.Regexp) (which, end int) {
	which, start := -1, 0
	for i, p := range patterns {
		if p == nil {
			continue
		}
		if at := p.FindIndex(text); at != nil && (which < 0 || at[0] < start) {
			which, start, end = i, at[0], at[1]
		}
	}
	return which, end
}

// keepEnd bounds what no pattern has matched yet.
func keepEnd(text []byte) []byte {
	if len(text) > mostText {
		return bytes.Clone(text[len(text)-leftText:])
	}
	return text
}
