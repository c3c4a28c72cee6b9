package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// palette has the sixteen colours; each but black is easy to read on the background.
var palette = [16]string{
	"#484f58", "#ff7b72", "#3fb950", "#e3b341", "#58a6ff", "#bc8cff", "#39c5cf", "#c9d1d9",
	"#8b949e", "#ffa198", "#56d364", "#f2cc60", "#79c0ff", "#d2a8ff", "#56d4dd", "#ffffff",
}

type style struct {
	fg, bg                                string // "": the default
	bold, dim, italic, underline, reverse bool
}

// run is text of one style that begins in one column.
type run struct {
	style
	col, width int // in cells
	text       string
	block      bool // only block elements
}

func (r run) end() int { return r.col + r.width }

// token matches an escape sequence, or else one character. The sequence is CSI (its parameters and final byte are the
// groups), OSC, or one of the short ones.
var token = regexp.MustCompile(`\x1b(?:\[([0-?]*)[ -/]*([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-~])|.`)

// parse returns the runs of each row, without the empty rows at the end. A style holds until it is changed, also across
// rows. Spaces that show nothing belong to no run, but for a single one between two words.
func parse(screen string) [][]run {
	var rows [][]run
	var now style
	for line := range strings.Lines(screen) {
		var row []run
		col := 0
		for _, m := range token.FindAllStringSubmatch(line, -1) {
			if m[2] == "m" {
				now.apply(m[1])
			}
			r := []rune(m[0])[0]
			if unicode.IsControl(r) {
				continue // an escape sequence begins with a control character too
			}
			width, last := cells(r), len(row)-1
			switch {
			case r == ' ' && now.bg == "" && !now.reverse && !now.underline:
			case last >= 0 && width == 0:
				row[last].text += m[0]
			case last >= 0 && row[last].style == now && row[last].block == block(r) && col-row[last].end() <= 1:
				row[last].text += strings.Repeat(" ", col-row[last].end()) + m[0]
				row[last].width = col + width - row[last].col
			default:
				row = append(row, run{now, col, width, m[0], block(r)})
			}
			col += width
		}
		rows = append(rows, row)
	}
	for len(rows) > 0 && len(rows[len(rows)-1]) == 0 {
		rows = rows[:len(rows)-1]
	}
	return rows
}

// apply changes the style by the parameters of one SGR sequence.
func (s *style) apply(params string) {
	var codes []int
	for p := range strings.SplitSeq(params, ";") {
		p, _, _ = strings.Cut(p, ":") // 4:3, a curly underline, is a 4
		n, _ := strconv.Atoi(p)       // none is 0
		codes = append(codes, n)
	}
	for len(codes) > 0 {
		n := codes[0]
		codes = codes[1:]
		switch {
		case n == 0:
			*s = style{}
		case n == 1:
			s.bold = true
		case n == 2:
			s.dim = true
		case n == 22:
			s.bold, s.dim = false, false
		case n == 3, n == 23:
			s.italic = n == 3
		case n == 4, n == 24:
			s.underline = n == 4
		case n == 7, n == 27:
			s.reverse = n == 7
		case n >= 30 && n <= 37:
			s.fg = palette[n-30]
		case n >= 40 && n <= 47:
			s.bg = palette[n-40]
		case n >= 90 && n <= 97:
			s.fg = palette[n-90+8]
		case n >= 100 && n <= 107:
			s.bg = palette[n-100+8]
		case n == 38:
			s.fg, codes = extended(codes)
		case n == 48:
			s.bg, codes = extended(codes)
		case n == 39:
			s.fg = ""
		case n == 49:
			s.bg = ""
		}
	}
}

// extended reads what follows 38 or 48: 5 and one of 256 colours, or 2 and red, green and blue. It returns the colour and
// the codes after it; of a malformed sequence it drops the rest.
func extended(codes []int) (string, []int) {
	switch {
	case len(codes) >= 4 && codes[0] == 2:
		return rgb(codes[1], codes[2], codes[3]), codes[4:]
	case len(codes) < 2 || codes[0] != 5:
		return "", nil
	}
	n, rest := codes[1]&0xff, codes[2:]
	switch {
	case n < 16:
		return palette[n], rest
	case n < 232:
		levels := [6]int{0, 95, 135, 175, 215, 255}
		n -= 16
		return rgb(levels[n/36], levels[n/6%6], levels[n%6]), rest
	}
	grey := 8 + 10*(n-232)
	return rgb(grey, grey, grey), rest
}

func rgb(r, g, b int) string { return fmt.Sprintf("#%02x%02x%02x", r&0xff, g&0xff, b&0xff) }

// wide are the ranges of characters that take two columns, near enough.
var wide = [][2]rune{
	{0x1100, 0x115f},
	{0x2e80, 0xa4cf},
	{0xac00, 0xd7a3},
	{0xf900, 0xfaff},
	{0xfe30, 0xfe6f},
	{0xff00, 0xff60},
	{0xffe0, 0xffe6},
	{0x1f300, 0x1f64f},
	{0x1f900, 0x1f9ff},
	{0x20000, 0x3fffd},
}

// block reports whether the character is one of those from ▁ over █ to ▏, of which bars and sparklines are made.
func block(r rune) bool { return r >= '▁' && r <= '▏' }

// cells is how many columns a character takes.
func cells(r rune) int {
	if unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf) {
		return 0
	}
	for _, w := range wide {
		if r >= w[0] && r <= w[1] {
			return 2
		}
	}
	return 1
}
