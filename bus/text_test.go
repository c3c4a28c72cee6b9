package bus

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestLine(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"plain", "web-1 is ready, 45 %: größer als 日本 — naïve", "web-1 is ready, 45 %: größer als 日本 — naïve"},
		{"title and colors", "\x1b]0;OWNED\x07\x1b[31;5mred\x1b[0m", "␛]0;OWNED␇␛[31;5mred␛[0m"},
		{"a line of its own", "no disk\nvmscaler: all is well\r\n", "no disk␊vmscaler: all is well␍␊"},
		{"over what stands there", "a\rb\bc\x7f\td\x00", "a␍b␈c␡␉d␀"},
		{"8-bit controls", "\u009b2J\u0085x", "�2J�x"},
		{"8-bit controls that are no UTF-8", "\x9b2J\xff", "�2J�"},
		{"backwards", "abc\u202etxt.exe\u202c\u2066x\u2069", "abc�txt.exe��x�"},
		{"invisible", "a\u200bb\u00adc\ufeff", "a�b�c�"},
		{"line and paragraph separators", "a\u2028b\u2029", "a�b�"},
		{"tags and private ones", "a\U000e0041\ue000", "a��"},
		{"accents that stand alone", "e\u0301", "e\u0301"},
	} {
		if got := Line(tt.text); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	if got := Lines("a\n\x1b[2Jb\r\n"); got != "a\n␛[2Jb␍\n" {
		t.Errorf("Lines: %q", got)
	}
}

func TestClip(t *testing.T) {
	for _, tt := range []struct {
		text string
		most int
		want string
	}{
		{"short", 5, "short"}, {"longer", 5, "lo…"}, {"日本語", 8, "日…"}, {"日本語", 9, "日本語"}, {"abc", 0, "…"},
	} {
		if got := Clip(tt.text, tt.most); got != tt.want {
			t.Errorf("Clip(%q, %d) = %q, want %q", tt.text, tt.most, got, tt.want)
		}
	}
}

// What comes out is one line of what can be seen, whatever goes in; a second time changes nothing.
func TestLineIsHarmless(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
			rapid.StringOf(rapid.RuneFrom(nil, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)),
		).Draw(t, "text")
		got := Line(text)
		if !utf8.ValidString(got) ||
			strings.ContainsFunc(got, func(r rune) bool { return !unicode.IsGraphic(r) && r != utf8.RuneError }) {
			t.Fatalf("%q became %q", text, got)
		}
		if Line(got) != got {
			t.Fatalf("%q becomes %q and then %q", text, got, Line(got))
		}
		if n := len([]rune(text)); n != len([]rune(got)) {
			t.Fatalf("%q lost something: %q", text, got)
		}
		if most := rapid.IntRange(3, 100).Draw(t, "most"); len(Clip(got, most)) > most || !utf8.ValidString(Clip(got, most)) {
			t.Fatalf("Clip(%q, %d) = %q", got, most, Clip(got, most))
		}
	})
}
