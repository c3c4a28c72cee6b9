package dashboard

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mattn/go-runewidth"
	"github.com/pterm/pterm"

	"github.com/vmscaler/vmscaler/bus"
)

// Style is what the terminal can show. Its zero value is plain ASCII without any escape sequence.
type Style struct {
	Color   bool
	Unicode bool
}

// StyleFromEnv reads the usual variables: NO_COLOR (any value but the empty one) and TERM=dumb turn colour off,
// a locale that is not UTF-8 turns Unicode off.
func StyleFromEnv(getenv func(string) string) Style {
	dumb := getenv("TERM") == "dumb"
	locale := getenv("LC_ALL")
	if locale == "" {
		locale = getenv("LC_CTYPE")
	}
	if locale == "" {
		locale = getenv("LANG")
	}
	locale = strings.ToLower(locale)
	utf8Locale := strings.Contains(locale, "utf-8") || strings.Contains(locale, "utf8")
	return Style{Color: getenv("NO_COLOR") == "" && !dumb, Unicode: utf8Locale && !dumb}
}

// tone is what a piece of text means; it has a look of its own.
type tone int

const (
	toneText tone = iota
	toneDim
	toneStrong
	toneTitle
	toneGood
	toneWarn
	toneBad
	toneBadStrong
	toneGoodStrong
	toneWarnStrong
	toneInfo
	toneCursor
)

// look uses the sixteen colours that the user's own palette defines, so that it is readable on a light
// background too.
func (t tone) look() pterm.Style {
	switch t {
	case toneDim:
		return pterm.Style{pterm.FgGray}
	case toneStrong:
		return pterm.Style{pterm.Bold}
	case toneTitle:
		return pterm.Style{pterm.Bold, pterm.FgCyan}
	case toneGood:
		return pterm.Style{pterm.FgGreen}
	case toneWarn:
		return pterm.Style{pterm.FgYellow}
	case toneBad:
		return pterm.Style{pterm.FgRed}
	case toneGoodStrong:
		return pterm.Style{pterm.Bold, pterm.FgGreen}
	case toneWarnStrong:
		return pterm.Style{pterm.Bold, pterm.FgYellow}
	case toneBadStrong:
		return pterm.Style{pterm.Bold, pterm.FgRed}
	case toneInfo:
		return pterm.Style{pterm.FgCyan}
	case toneCursor:
		return pterm.Style{pterm.Reverse}
	case toneText:
	}
	return nil
}

// paint does not use pterm's own Sprint, which looks at the process's output and environment.
func (s Style) paint(t tone, text string) string {
	look := t.look()
	if !s.Color || len(look) == 0 || text == "" {
		return text
	}
	return "\x1b[" + look.Code() + "m" + text + "\x1b[0m"
}

// clean makes text harmless ([bus.Line]) and measurable: no marks that have no width, and only ASCII where that is all there
// is.
func (s Style) clean(text string) string {
	var b strings.Builder
	for _, r := range bus.Line(text) {
		switch {
		case unicode.Is(unicode.Mn, r), unicode.Is(unicode.Me, r):
		case s.Unicode || r < utf8.RuneSelf:
			b.WriteRune(r)
		default:
			b.WriteString(asciiFor(r))
		}
	}
	return b.String()
}

func asciiFor(r rune) string {
	switch r {
	case '…':
		return "..."
	case '–', '—', '·', '─', '▃':
		return "-"
	case '→':
		return "->"
	case '▲':
		return "^"
	case '▼':
		return "v"
	case '●', '▆':
		return "*"
	case '○':
		return "o"
	case '│', '┃':
		return "|"
	case '░', '▁':
		return "."
	case '▂':
		return ":"
	case '▄':
		return "="
	case '▅':
		return "+"
	case '▇':
		return "%"
	case '█':
		return "#"
	case '\u00a0':
		return " "
	default:
		return "?"
	}
}

// runeWidth is in cells. It does not use the library's shared condition, which reads the environment.
func runeWidth(r rune) int {
	if r < utf8.RuneSelf {
		return 1 // control characters were cleaned away
	}
	condition := runewidth.Condition{StrictEmojiNeutral: true}
	return condition.RuneWidth(r)
}

func textWidth(text string) int {
	width := 0
	for _, r := range text {
		width += runeWidth(r)
	}
	return width
}

// visibleWidth is the width of a rendered line, whose only escape sequences are those of paint.
func visibleWidth(text string) int {
	width := 0
	escape := false
	for _, r := range text {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		default:
			width += runeWidth(r)
		}
	}
	return width
}

// cut shortens text to at most width cells, with an ellipsis where there is room for one.
func (s Style) cut(text string, width int) string {
	if textWidth(text) <= width {
		return text
	}
	ellipsis := s.clean("…")
	if len(ellipsis) >= width && !s.Unicode {
		ellipsis = ""
	}
	room := width - textWidth(ellipsis)
	if room < 0 {
		return ""
	}
	used := 0
	for i, r := range text {
		w := runeWidth(r)
		if used+w > room {
			return strings.TrimRight(text[:i], " ") + ellipsis
		}
		used += w
	}
	return text
}

// cutLeft cuts at the other end: the names of a group's VMs differ at their end.
func (s Style) cutLeft(text string, width int) string {
	if textWidth(text) <= width {
		return text
	}
	ellipsis := s.clean("…")
	if textWidth(ellipsis)*2 > width {
		ellipsis = ""
	}
	rest := textWidth(text) + textWidth(ellipsis)
	for i, r := range text {
		if rest <= width {
			return ellipsis + text[i:]
		}
		rest -= runeWidth(r)
	}
	return ""
}

// line is a line being written: spans of text, each in a tone.
type line struct {
	style Style
	spans []span
	width int
	// pointed is that the cursor is on it: a mark at its beginning, and, with colors, the line in reverse.
	pointed bool
}

type span struct {
	tone tone
	text string
}

func (s Style) line() *line { return &line{style: s} }

// add appends text, whatever it contains.
func (l *line) add(t tone, text string) *line {
	text = l.style.clean(text)
	if text == "" {
		return l
	}
	l.width += textWidth(text)
	if n := len(l.spans); n > 0 && l.spans[n-1].tone == t {
		l.spans[n-1].text += text
	} else {
		l.spans = append(l.spans, span{t, text})
	}
	return l
}

// to appends blanks up to a column.
func (l *line) to(column int) *line {
	if column > l.width {
		l.add(toneText, strings.Repeat(" ", column-l.width))
	}
	return l
}

// cell appends text in a column of the given width, cut to it, and blanks up to its end.
func (l *line) cell(t tone, text string, width int) *line {
	end := l.width + width
	return l.add(t, l.style.cut(l.style.clean(text), width)).to(end)
}

// cellRight is cell with the text at the right.
func (l *line) cellRight(t tone, text string, width int) *line {
	text = l.style.cut(l.style.clean(text), width)
	return l.to(l.width+width-textWidth(text)).add(t, text)
}

// right puts another line at the right margin where there is room for it.
func (l *line) right(other *line, width int) *line {
	if l.width+2+other.width > width {
		return l
	}
	l.to(width - other.width)
	for _, s := range other.spans {
		l.add(s.tone, s.text)
	}
	return l
}

// render is the line as text, without blanks at its end, and cut to width.
func (l *line) render(width int) string {
	if l.pointed {
		return l.renderPointed(width)
	}
	spans := slices.Clone(l.spans)
	total := l.width
	for n := len(spans) - 1; n >= 0; n-- {
		trimmed := strings.TrimRight(spans[n].text, " ")
		total -= len(spans[n].text) - len(trimmed)
		spans[n].text = trimmed
		if trimmed != "" {
			break
		}
	}
	var b strings.Builder
	if total <= width {
		for _, s := range spans {
			b.WriteString(l.style.paint(s.tone, s.text))
		}
		return b.String()
	}
	rest := width
	for _, s := range spans {
		w := textWidth(s.text)
		if w >= rest {
			// More follows, if only in the next span: the ellipsis must come in any case.
			b.WriteString(l.style.paint(s.tone, l.style.cut(s.text+"  ", rest)))
			break
		}
		b.WriteString(l.style.paint(s.tone, s.text))
		rest -= w
	}
	return b.String()
}

// renderPointed is render of the line that the cursor is on.
func (l *line) renderPointed(width int) string {
	text := ""
	for _, s := range l.spans {
		text += s.text
	}
	text = l.style.cut(">"+strings.TrimPrefix(strings.TrimRight(text, " "), " "), width)
	if l.style.Color {
		text += strings.Repeat(" ", max(0, width-textWidth(text)))
	}
	return l.style.paint(toneCursor, text)
}
