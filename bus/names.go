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
	return n, found && err == nil && n > 0 && strconv.Itoa(n) == digits
}

// NewInstance is a name of a stage among all on the bus: the host's name, the process's id, and something random.
func NewInstance() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s-%d-%s", host, os.Getpid(), rand.Text()[:6])
}
