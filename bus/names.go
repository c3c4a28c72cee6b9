package bus

import (
	"crypto/rand"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// VMName is the name of a group's VM: <group>-<n>, with n unique in the group.
func VMName(group string, n int) string { return fmt.Sprintf("%s-%d", group, n) }

// VMNumber is the n of a name that VMName makes; false of any other name.
func VMNumber(group, name string) (n int, ok bool) {
	digits, found := strings.CutPrefix(name, group+"-")
	n, err := strconv.Atoi(digits)
	return n, found && err == nil && digits[0] >= '1' && digits[0] <= '9' // no sign, no leading zero
}

// ThrowAwayPrefix begins the name of a group that a command makes for itself and removes at its end, such as that of
// `vmscaler template check`. No config has one.
const ThrowAwayPrefix = "vmscaler-once-"

// NewThrowAwayGroup is the name of such a group that nobody else has.
func NewThrowAwayGroup() string {
	letters := strings.Map(func(r rune) rune { // of A-Z and 2-7, and a group's name must not end in a number
		if r >= '2' && r <= '7' {
			return 'a' + r - '2'
		}
		return r - 'A' + 'a'
	}, rand.Text()[:10])
	return ThrowAwayPrefix + letters
}

// IsThrowAway reports whether a group is such a one.
func IsThrowAway(group string) bool { return strings.HasPrefix(group, ThrowAwayPrefix) }

// NewInstance is a name of a stage among all on the bus: the host's name, the process's id, and something random.
func NewInstance() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), rand.Text()[:6])
}
