package bus

import (
	"testing"
	"time"
)

// A wrong clock is told from a message that was held up by the pace at which messages come.
func TestClockOffset(t *testing.T) {
	t.Parallel()
	type message struct{ sent, arrived, late float64 } // s
	for name, tt := range map[string]struct {
		messages []message
		skew     float64
		known    bool
	}{
		"equal clocks":   {[]message{{0, 0.1, 0.1}, {1, 1.1, 0}, {2, 2.1, 0}, {3, 3.1, 0}}, 0.1, true},
		"an hour behind": {[]message{{-3600, 0, 3600}, {-3599, 1, 0}, {-3598, 2, 0}, {-3597, 3, 0}}, 3600, true},
		"an hour ahead":  {[]message{{3600, 0, 0}, {3601, 1, 0}, {3602, 2, 0}, {3603, 3, 0}}, -3600, true},
		"held up, and then at once": {
			[]message{{0, 0, 0}, {1, 1, 0}, {2, 2, 0}, {3, 10, 7}, {4, 10.01, 6.01}, {10, 10.02, 0.02}},
			0,
			false,
		},
		"set back while it runs": {[]message{
			{0, 0, 0},
			{1, 1, 0},
			{2, 2, 0},
			{-97, 3, 100},
			{-96, 4, 0},
			{-95, 5, 0},
			{-94, 6, 0},
		}, 100, true},
		"set forward while it runs":   {[]message{{0, 0, 0}, {1, 1, 0}, {102, 2, 0}, {103, 3, 0}}, -100, false},
		"one message says not much":   {[]message{{-5, 0, 5}}, 0, false},
		"repeated ones say nothing":   {[]message{{0, 0, 0}, {0, 1, 1}, {0, 2, 2}}, 0, false},
		"held up before all others":   {[]message{{0, 30, 30}, {1, 30.01, 29.01}, {2, 30.02, 28.02}}, 0, false},
		"what is late is not learned": {[]message{{0, 0, 0}, {1, 1, 0}, {2, 22, 20}, {3, 22.1, 19.1}, {23, 23, 0}}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			at := func(s float64) time.Time {
				return time.UnixMilli(1_800_000_000_000).Add(time.Duration(s * float64(time.Second)))
			}
			var c ClockOffset
			for i, m := range tt.messages {
				if late := c.Observe(at(m.sent),
					at(m.arrived)); (late - time.Duration(m.late*float64(time.Second))).Abs() > time.Millisecond {
					t.Errorf("message %d is %s late, want %g s", i, late, m.late)
				}
			}
			skew, known := c.Skew()
			if known != tt.known || known && (skew-time.Duration(tt.skew*float64(time.Second))).Abs() > time.Millisecond {
				t.Errorf("skew %s, known %v; want %g s, %v", skew, known, tt.skew, tt.known)
			}
		})
	}
}
