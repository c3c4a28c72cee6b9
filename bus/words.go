package bus

import "strconv"

// NothingByHand is that a group is as its file says.
const NothingByHand = "nothing is paused, scaled or set by hand"

// Count is a number of things in words: "1 VM", "3 VMs".
func Count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return strconv.Itoa(n) + " " + what
}
