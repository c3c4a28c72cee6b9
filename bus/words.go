package bus

import (
	"regexp"
	"strconv"
)

// NothingByHand is that a group is as its file says.
const NothingByHand = "nothing is paused, scaled or set by hand"

// Count is a number of things in words: "1 VM", "3 VMs".
func Count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

var spans = regexp.MustCompile(`\b\d+(\.\d+)?( ?(ms|s|min|m|h))+(\d+(s|m|h))*\b`)

// WithoutSpans is a text without how long something takes or has lasted: two that differ in nothing else say the same.
func WithoutSpans(text string) string { return spans.ReplaceAllLiteralString(text, "-") }
