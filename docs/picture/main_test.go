package main

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	red, green, grey := palette[1], palette[2], palette[8]
	for _, c := range []struct {
		name, screen string
		want         [][]run
	}{
		{"plain", "ab\n", [][]run{{{style{}, 0, 2, "ab", false}}}},
		{"one space joins, two part", " a b  c", [][]run{{{style{}, 1, 3, "a b", false}, {style{}, 6, 1, "c", false}}}},
		{"empty rows at the end", "\na\n\x1b[39m\n\n", [][]run{nil, {{style{}, 0, 1, "a", false}}}},
		{"colour holds across rows", "\x1b[31ma\nb\x1b[mc", [][]run{
			{{style{fg: red}, 0, 1, "a", false}},
			{{style{fg: red}, 0, 1, "b", false}, {style{}, 1, 1, "c", false}},
		}},
		{"attributes", "\x1b[1;2;3;4;7ma\x1b[22;23;24;27mb", [][]run{{
			{style{bold: true, dim: true, italic: true, underline: true, reverse: true}, 0, 1, "a", false},
			{style{}, 1, 1, "b", false},
		}}},
		{"sixteen colours", "\x1b[32;41ma\x1b[90;102mb\x1b[39;49mc", [][]run{{
			{style{fg: green, bg: red}, 0, 1, "a", false},
			{style{fg: grey, bg: palette[10]}, 1, 1, "b", false},
			{style{}, 2, 1, "c", false},
		}}},
		{"more colours", "\x1b[38;5;1ma\x1b[38;5;196mb\x1b[38;5;232mc\x1b[38;2;1;2;3;48;2;4;5;6md", [][]run{{
			{style{fg: red}, 0, 1, "a", false},
			{style{fg: "#ff0000"}, 1, 1, "b", false},
			{style{fg: "#080808"}, 2, 1, "c", false},
			{style{fg: "#010203", bg: "#040506"}, 3, 1, "d", false},
		}}},
		{"spaces with a background", "\x1b[7m  \x1b[27m  ", [][]run{{{style{reverse: true}, 0, 2, "  ", false}}}},
		{"block elements", "a█▏ b", [][]run{{{style{}, 0, 1, "a", false}, {style{}, 1, 2, "█▏", true}, {style{}, 4, 1, "b", false}}}},
		{"wide and combining", "日本 e\u0301x", [][]run{{{style{}, 0, 7, "日本 e\u0301x", false}}}},
		{
			"unknown escapes", "\x1b]0;title\x07a\x1b[?25l\x1b[2Kb\x1b(B\x1b[4:3;77mc\x0f\r\n\x1b[",
			[][]run{{{style{}, 0, 2, "ab", false}, {style{underline: true}, 2, 1, "c", false}}},
		},
		{"a colour cut short", "\x1b[38;5ma\x1b[48;2;1mb", [][]run{{{style{}, 0, 2, "ab", false}}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := parse(c.screen); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

// A whole picture, to the byte.
const golden = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 90.8 88" width="90.8" height="88" role="img" aria-label="a &amp; b">
<rect x="0.5" y="0.5" width="89.8" height="87" rx="10" fill="#0d1117" stroke="#30363d"/>
<circle cx="22" cy="17" r="5.5" fill="#ff5f57"/>
<circle cx="41" cy="17" r="5.5" fill="#febc2e"/>
<circle cx="60" cy="17" r="5.5" fill="#28c840"/>
<g xml:space="preserve" font-family="` + fonts + `" font-size="14" fill="#e6edf3">
<text x="45.4" y="21" text-anchor="middle" font-size="12" fill="#8b949e">a &amp; b</text>
<text y="48"><tspan x="16" textLength="25.2" lengthAdjust="spacingAndGlyphs" fill="#39c5cf" font-weight="bold">web</tspan>` +
	`<tspan x="58" textLength="16.8" lengthAdjust="spacingAndGlyphs">&lt;3</tspan></text>
<rect x="16" y="53" width="16.8" height="19" fill="#e6edf3"/>
<text y="67"><tspan x="16" textLength="16.8" lengthAdjust="spacingAndGlyphs" fill="#0d1117">ok</tspan></text>
</g>
</svg>
`

func TestPicture(t *testing.T) {
	const screen = "\x1b[1;36mweb\x1b[0m  <3\n\x1b[7mok\n\n"
	for _, c := range []struct {
		name   string
		screen string
		cols   int
		check  func(svg string) bool
	}{
		{"golden", screen, 0, func(svg string) bool { return svg == golden }},
		{"wider", screen, 100, func(svg string) bool { return strings.Contains(svg, `width="872"`) }},
		{"narrower", screen, 3, func(svg string) bool { return !strings.Contains(svg, "&lt;3") && strings.Contains(svg, "web") }},
		{"blocks", "▄\x1b[31m▌", 0, func(svg string) bool {
			return strings.Contains(svg, `<path d="M16 51h8.4v-8h-8.4z" fill="#e6edf3"`) &&
				strings.Contains(svg, `<path d="M24.4 51h4.2v-16h-4.2z" fill="#ff7b72"`) && !strings.Contains(svg, "tspan")
		}},
		{"dim", "\x1b[2;3;4ma", 0, func(svg string) bool {
			return strings.Contains(svg, ` fill-opacity="0.6" font-style="italic" text-decoration="underline">a<`)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := picture(strings.NewReader(c.screen), &out, c.cols, "a & b"); err != nil {
				t.Fatal(err)
			}
			if !c.check(out.String()) {
				t.Errorf("got:\n%s", &out)
			}
			wellFormed(t, &out)
		})
	}
	if err := picture(strings.NewReader("\n \n"), io.Discard, 0, ""); err == nil {
		t.Error("no error for an empty screen")
	}
}

func wellFormed(t *testing.T, svg io.Reader) {
	t.Helper()
	d := xml.NewDecoder(svg)
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
