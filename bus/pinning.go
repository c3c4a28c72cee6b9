package bus

import (
	"fmt"
	"strconv"
	"strings"
)

// maxHostCPU is more than any host has.
const maxHostCPU = 4095

// CheckPinning reports what is wrong with a list of a host's CPUs such as "0-3,8", and which is the highest; -1 is of the empty
// list, which means all.
func CheckPinning(list string) (highest int, err error) {
	highest = -1
	if list == "" {
		return highest, nil
	}
	for part := range strings.SplitSeq(list, ",") {
		first, last, isRange := strings.Cut(part, "-")
		if !isRange {
			last = first
		}
		from, errFrom := strconv.ParseUint(first, 10, 16)
		to, errTo := strconv.ParseUint(last, 10, 16)
		if errFrom != nil || errTo != nil || from > to || to > maxHostCPU {
			return -1, fmt.Errorf("found %.40q, want CPUs such as 0-3,8, each at most %d", part, maxHostCPU)
		}
		highest = max(highest, int(to))
	}
	return highest, nil
}
