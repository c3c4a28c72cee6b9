package bus

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line is text as one harmless line for a terminal, a log or a message. Guests, files, libvirt and publishers
// decide what a name or an error says; a terminal would obey an escape sequence in it, and a reader would be misled by a
// line's end or by text that runs backwards. What is not to be seen as itself becomes a visible mark: a control character
// its picture (␛), anything else without a look of its own, and what is no UTF-8, the mark �.
func Line(text string) string { return strings.Map(visible, text) }

// Lines is Line for a text that may have several lines.
func Lines(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' {
			return r
		}
		return visible(r)
	}, text)
}

func visible(r rune) rune {
	switch {
	case r < ' ':
		return '␀' + r
	case r == 0x7f:
		return '␡'
	case unicode.IsGraphic(r): // neither a control nor a format character, such as one that turns the direction of the text
		return r
	}
	return utf8.RuneError
}

// Clip is text of at most so many bytes; one that was longer ends in an ellipsis.
func Clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	const ellipsis = "…"
	end := max(0, most-len(ellipsis))
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}

// MaxLogText is the longest text of others that a line of the log repeats, in bytes.
const MaxLogText = 300
