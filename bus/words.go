package bus

import (
	"fmt"
	"strconv"
	"strings"
)

// NothingByHand means that a group is as its file says.
const NothingByHand = "nothing is paused, scaled or set by hand"

// Count is a number of things in words: "1 VM", "3 VMs".
func Count(n int, what string) string {
	if n != 1 {
		if strings.HasSuffix(what, "ch") || strings.HasSuffix(what, "sh") || strings.HasSuffix(what, "s") {
			what += "e"
		}
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}

// listed is how many of many names are listed.
const listed = 8

// List is names in words, of many only the first.
func List(names []string) string {
	if more := len(names) - listed; more > 1 {
		return strings.Join(names[:listed], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(names, ", ")
}
