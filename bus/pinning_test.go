package bus

import "testing"

func TestCheckPinning(t *testing.T) {
	for _, tt := range []struct {
		list    string
		highest int
		bad     bool
	}{
		{"", -1, false},
		{"0", 0, false},
		{"0-3,8", 8, false},
		{"8,0-3", 8, false},
		{"3-3", 3, false},
		{"3-0", -1, true},
		{"a", -1, true},
		{"-1", -1, true},
		{"^1", -1, true},
		{"1,", -1, true},
		{"0-5000", -1, true},
		{"0 - 3", -1, true},
	} {
		if highest, err := CheckPinning(tt.list); highest != tt.highest || (err != nil) != tt.bad {
			t.Errorf("%q: %d, %v", tt.list, highest, err)
		}
	}
}
