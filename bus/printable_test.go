package bus

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	for c := range 0x300 {
		for _, s := range []string{string(rune(c)), "web-" + string(rune(c)), string([]byte{'a', byte(c), 'b'})} {
			want := utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
			if printable(s) != want {
				t.Errorf("%q: got printable %v, want %v", s, !want, want)
			}
		}
	}
}
