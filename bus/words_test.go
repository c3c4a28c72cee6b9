package bus

import (
	"strings"
	"testing"
)

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 VMs", 1: "1 VM", 2: "2 VMs"} {
		if got := Count(n, "VM"); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestList(t *testing.T) {
	for n, want := range map[int]string{
		0: "", 1: "a", 2: "a, b", 9: "a, b, c, d, e, f, g, h, i", 10: "a, b, c, d, e, f, g, h and 2 more",
	} {
		if got := List(strings.Split("a b c d e f g h i j", " ")[:n]); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
