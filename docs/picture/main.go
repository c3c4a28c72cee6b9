// Command picture turns one screen of a terminal, with its colours, into an SVG: this is how docs/dashboard.svg is made from
// the real dashboard. With `vmscaler dashboard` in a tmux session of 96 by 26, while `make demo` runs:
//
//	tmux capture-pane -e -p -t SESSION | go run ./docs/picture -title "vmscaler dashboard" > docs/dashboard.svg
//
// Each run of text is placed by its column and stretched to its cells, so that columns stay aligned whatever monospace font
// the reader has. Escape sequences other than colours and text attributes are dropped.
package main

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"html"
	"io"
	"os"
	"strconv"
	"strings"
)

// The geometry in pixels. cellWidth is 0.6 of the font's size, as in most monospace fonts.
const (
	cellWidth  = 8.4
	cellHeight = 19
	padding    = 16
	titleBar   = 34
)

const (
	foreground = "#e6edf3"
	background = "#0d1117"
	frame      = "#30363d"
	fonts      = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono','Liberation Mono',monospace"
)

func main() {
	cols := flag.Int("cols", 0, "width in columns (default: the longest line)")
	title := flag.String("title", "vmscaler run", "title of the window")
	flag.Parse()
	if err := picture(os.Stdin, os.Stdout, *cols, *title); err != nil {
		fmt.Fprintln(os.Stderr, "picture:", err)
		os.Exit(1)
	}
}

func picture(in io.Reader, out io.Writer, cols int, title string) error {
	screen, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	rows := parse(string(screen))
	if len(rows) == 0 {
		return errors.New("there is no text on standard input")
	}
	if cols <= 0 {
		for _, row := range rows {
			for _, r := range row {
				cols = max(cols, r.end())
			}
		}
	}
	_, err = out.Write(draw(rows, cols, html.EscapeString(title)))
	return err
}

func draw(rows [][]run, cols int, title string) []byte {
	width := float64(cols)*cellWidth + 2*padding
	height := titleBar + len(rows)*cellHeight + padding

	var b bytes.Buffer
	fmt.Fprintf(
		&b,
		`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]s %[2]d" width="%[1]s" height="%[2]d" `+
			`role="img" aria-label="%[3]s">`+"\n",
		px(width), height, title,
	)
	fmt.Fprintf(&b, `<rect x="0.5" y="0.5" width="%s" height="%d" rx="10" fill="%s" stroke="%s"/>`+"\n",
		px(width-1), height-1, background, frame)
	for i, colour := range []string{"#ff5f57", "#febc2e", "#28c840"} {
		fmt.Fprintf(&b, `<circle cx="%d" cy="17" r="5.5" fill="%s"/>`+"\n", padding+6+i*19, colour)
	}
	fmt.Fprintf(&b, `<g xml:space="preserve" font-family="%s" font-size="14" fill="%s">`+"\n", fonts, foreground)
	fmt.Fprintf(
		&b,
		`<text x="%s" y="21" text-anchor="middle" font-size="12" fill="%s">%s</text>`+"\n",
		px(width/2),
		palette[8],
		title,
	)
	for i, row := range rows {
		top := titleBar + i*cellHeight
		var text bytes.Buffer
		for _, r := range row {
			if r.end() <= cols {
				r.draw(&b, &text, top)
			}
		}
		if text.Len() > 0 {
			fmt.Fprintf(&b, `<text y="%d">%s</text>`+"\n", top+14, &text)
		}
	}
	b.WriteString("</g>\n</svg>\n")
	return b.Bytes()
}

// draw writes the run's background, if it has one, and its block elements to back, and other text to text.
func (r run) draw(back, text io.Writer, top int) {
	x, width := px(padding+float64(r.col)*cellWidth), px(float64(r.width)*cellWidth)
	fg, bg := r.fg, r.bg
	if r.reverse {
		fg, bg = cmp.Or(bg, background), cmp.Or(fg, foreground)
	}
	if bg != "" {
		fmt.Fprintf(back, `<rect x="%s" y="%d" width="%s" height="%d" fill="%s"/>`+"\n", x, top, width, cellHeight, bg)
	}
	if r.block {
		fmt.Fprintf(back, `<path d="%s" fill="%s" shape-rendering="crispEdges"/>`+"\n", r.outline(top), cmp.Or(fg, foreground))
		return
	}
	attributes := ""
	for _, a := range []struct {
		set  bool
		text string
	}{
		{fg != "", ` fill="` + fg + `"`},
		{r.bold, ` font-weight="bold"`},
		{r.dim, ` fill-opacity="0.6"`},
		{r.italic, ` font-style="italic"`},
		{r.underline, ` text-decoration="underline"`},
	} {
		if a.set {
			attributes += a.text
		}
	}
	fmt.Fprintf(text, `<tspan x="%s" textLength="%s" lengthAdjust="spacingAndGlyphs"%s>%s</tspan>`,
		x, width, attributes, html.EscapeString(r.text))
}

// outline draws block elements as shapes: as glyphs they leave gaps between cells, other ones with each font.
func (r run) outline(top int) string {
	var d strings.Builder
	x := padding + float64(r.col)*cellWidth
	for _, c := range r.text {
		width, height := cellWidth, 16.0 // less than the cell, so that rows stay apart
		switch {
		case c < '█':
			height *= float64(c-'▁'+1) / 8
		case c > '█':
			width *= float64('▏'-c+1) / 8
		}
		if block(c) {
			fmt.Fprintf(&d, "M%s %dh%sv-%sh-%[3]sz", px(x), top+cellHeight-2, px(width), px(height))
		}
		x += cellWidth
	}
	return d.String()
}

// px writes a length with at most one digit after the point.
func px(v float64) string {
	return strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), ".0")
}
