package console

import "io"

// Terminal writes what a guest prints to a person's terminal: text, and what moves the cursor and paints. It leaves out what
// would reach beyond the screen: texts that set the window's title, write to the clipboard, or have the terminal answer with
// words of the guest's (OSC, DCS, APC, PM and SOS). They end at BEL, at ESC \, or, as a guest may never end one, at the line's
// end.
type Terminal struct {
	w     io.Writer
	state passage
}

// passage is where in a sequence a terminal is.
type passage int

const (
	passes  passage = iota
	onEsc           // after ESC, which is not written yet
	onLead          // after 0xc2, which begins a control character of 8 bits in UTF-8, and is not written yet
	dropped         // in a text that is left out
	dropEnd         // after ESC in it
)

// NewTerminal writes to w.
func NewTerminal(w io.Writer) *Terminal { return &Terminal{w: w} }

// Write implements [io.Writer]. A sequence may be cut anywhere between two calls.
func (t *Terminal) Write(data []byte) (int, error) {
	out := make([]byte, 0, len(data)+1)
	for _, b := range data {
		out = t.see(out, b)
	}
	if _, err := t.w.Write(out); err != nil {
		return 0, err
	}
	return len(data), nil
}

func (t *Terminal) see(out []byte, b byte) []byte {
	const esc, bel, lead = 0x1b, 0x07, 0xc2
	switch t.state {
	case onEsc:
		switch b {
		case ']', 'P', '_', '^', 'X':
			t.state = dropped
			return out
		case esc:
			return out
		}
		t.state = passes
		return append(out, esc, b)
	case onLead:
		t.state = passes
		switch b {
		case 0x90, 0x98, 0x9d, 0x9e, 0x9f:
			t.state = dropped
			return out
		}
		out = append(out, lead)
	case dropEnd:
		t.state = dropped
		if b == '\\' {
			t.state = passes
			return out
		}
	case passes, dropped:
	}
	switch {
	case t.state == dropped && (b == bel || b == '\n'):
		t.state = passes
		if b == bel {
			return out
		}
	case t.state == dropped && b == esc:
		t.state = dropEnd
		return out
	case t.state == dropped:
		return out
	case b == esc:
		t.state = onEsc
		return out
	case b == lead:
		t.state = onLead
		return out
	}
	return append(out, b)
}
