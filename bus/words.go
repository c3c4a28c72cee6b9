package bus

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
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

// listed is how many of many names are told.
const listed = 8

// List is names in words, of many only the first.
func List(names []string) string {
	if more := len(names) - listed; more > 1 {
		return strings.Join(names[:listed], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(names, ", ")
}

var spans = regexp.MustCompile(`\b\d+(\.\d+)?( ?(ms|s|min|m|h))+(\d+(s|m|h))*\b`)

// WithoutSpans is a text without how long something takes or has lasted: two that differ in nothing else say the same.
func WithoutSpans(text string) string { return spans.ReplaceAllLiteralString(text, "-") }
