package vm

import "testing"

// The load of a guest is what its kernel says, of each vCPU; what it says otherwise is unknown, and never 0.
func TestLoadPercent(t *testing.T) {
	for _, tt := range []struct {
		text  string
		vcpus int
		want  float64
		known bool
	}{
		{"0.50 0.10 0.01 1/80 512\n", 1, 50, true},
		{"3.00 2.00 1.00 5/80 512\n", 2, 150, true},
		{"0.00 0.00 0.00 1/80 512\n", 4, 0, true},
		{"2.25", 1, 225, true},
		{"", 1, 0, false},
		{"-1.0 0 0", 1, 0, false},
		{"NaN", 1, 0, false},
		{"1e300", 1, 0, false},
		{"high", 1, 0, false},
		{"1.0 1.0", 0, 0, false},
	} {
		got, err := loadPercent(tt.text, tt.vcpus)
		if got != tt.want || (err == nil) != tt.known {
			t.Errorf("%q of %d vCPUs: %g, %v", tt.text, tt.vcpus, got, err)
		}
	}
}
