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

func TestWithoutSpans(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"group web: no complete sample for 55 s", "group web: no complete sample for 56 s", true},
		{"silent for 59s", "silent for 1m00s", true},
		{"silent for 59m59s", "silent for 1h0m0s", true},
		{"the clock is 1.5 s behind", "the clock is 12 min behind", true},
		{"no sample from kvm1 for 5 s", "no sample from kvm2 for 6 s", false},
		{"5 failures in a row", "6 failures in a row", false},
	} {
		if same := WithoutSpans(tt.a) == WithoutSpans(tt.b); same != tt.same {
			t.Errorf("%q and %q say the same: %v", tt.a, tt.b, same)
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
