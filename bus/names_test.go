package bus

import "testing"

func TestVMNumber(t *testing.T) {
	for _, tt := range []struct {
		name string
		n    int
		ok   bool
	}{
		{VMName("web", 1), 1, true},
		{VMName("web", 120), 120, true},
		{"web-0", 0, false},
		{"web-01", 0, false},
		{"web-+1", 0, false},
		{"web--1", 0, false},
		{"web-1a", 0, false},
		{"web-99999999999999999999", 0, false},
		{"web-", 0, false},
		{"web", 0, false},
		{"api-1", 0, false},
	} {
		if n, ok := VMNumber("web", tt.name); ok != tt.ok || ok && n != tt.n {
			t.Errorf("%s: got %d, %t, want %d, %t", tt.name, n, ok, tt.n, tt.ok)
		}
	}
}
