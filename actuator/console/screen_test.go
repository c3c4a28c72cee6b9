package console

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// However the bytes are cut into pieces, the same is seen.
func TestScreenInPieces(t *testing.T) {
	text := "\x1b[2J\x1b[1;1HWelcome\r\nto \x1b[1mit\x1b[0m\r\n\x1b]2;title\x1b\\50 %\r60 %\r\x1b(Bend\x00\x07 ü"
	const want = "Welcome\nto it\n50 %\n60 %\nend ü"
	for range 200 {
		var s Screen
		var seen []byte
		for rest := []byte(text); len(rest) > 0; {
			n := 1 + rand.IntN(len(rest))
			seen = append(seen, s.Add(rest[:n])...)
			rest = rest[n:]
		}
		if string(seen) != want || string(s.text) != want {
			t.Fatalf("seen %q, kept %q, want %q", seen, s.text, want)
		}
	}
}

// A guest that prints without end takes bounded memory, and its last lines are known.
func TestScreenIsBounded(t *testing.T) {
	var s Screen
	for range 1000 {
		s.Add([]byte(strings.Repeat("noise ", 1000) + "\n"))
	}
	s.Add([]byte("the end"))
	if len(s.text) > MostText || len(s.end()) > leftText || strings.HasPrefix(s.end(), "oise") {
		t.Errorf("kept %d bytes, of which %d are shown: %.20q", len(s.text), len(s.end()), s.end())
	}
	if tail := s.Tail(1); len(tail) != 1 || tail[0] != "the end" {
		t.Errorf("the last line is %q", tail)
	}
}

// What would reach beyond the screen is left out, however the bytes are cut into pieces.
func TestTerminal(t *testing.T) {
	for name, tt := range map[string]struct{ said, shown string }{
		"text":                {"hello\r\nü €", "hello\r\nü €"},
		"colors and cursor":   {"\x1b[31mred\x1b[0m\x1b[2J\x1b(B", "\x1b[31mred\x1b[0m\x1b[2J\x1b(B"},
		"a title":             {"a\x1b]0;OWNED\x07b", "ab"},
		"the clipboard":       {"a\x1b]52;c;cm0gLXJmIC8=\x1b\\b", "ab"},
		"a question":          {"a\x1bP$qm\x1b\\b", "ab"},
		"in 8 bits":           {"a\u009d0;OWNED\x07b\u0090x\x1b\\c", "abc"},
		"one without an end":  {"a\x1b]0;OWNED\r\nb", "a\nb"},
		"one in another":      {"a\x1b]0;x\x1b]1;y\x07b", "ab"},
		"ESC twice":           {"a\x1b\x1b]0;x\x07b", "ab"},
		"what is not one":     {"Â£\u00a0", "Â£\u00a0"},
		"what is no UTF-8":    {"\xc2", ""},
		"ST without a start":  {"a\x1b\\b", "a\x1b\\b"},
		"APC, PM and SOS":     {"\x1b_a\x07\x1b^b\x07\x1bXc\x07d", "d"},
		"a new line after it": {"\x1b]0;x\n\x1b[1mb", "\n\x1b[1mb"},
	} {
		for range 50 {
			var out strings.Builder
			terminal := NewTerminal(&out)
			for rest := []byte(tt.said); len(rest) > 0; {
				n := 1 + rand.IntN(len(rest))
				if written, err := terminal.Write(rest[:n]); written != n || err != nil {
					t.Fatal(written, err)
				}
				rest = rest[n:]
			}
			if out.String() != tt.shown {
				t.Fatalf("%s: shown %q, want %q", name, out.String(), tt.shown)
			}
		}
	}
}
