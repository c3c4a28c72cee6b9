package bus

import (
	"testing"

	"pgregory.net/rapid"
)

// What AWS's documentation says of its instance maintenance policy, and what its rounding means for small groups.
func TestLeeway(t *testing.T) {
	for _, tt := range []struct {
		name         string
		min, max     int // percent
		desired      int
		most         int
		surge, spare int
	}{
		{"launch before terminating: 100 and 110", 100, 110, 10, 20, 1, 0},
		{"launch before terminating, a small group", 100, 110, 1, 5, 1, 0},
		{"launch before terminating, twice as many", 100, 200, 4, 10, 4, 0},
		{"launch before terminating, at max", 100, 110, 5, 5, 0, 0},
		{"launch before terminating, almost at max", 100, 200, 4, 5, 1, 0},
		{"terminate and launch: 90 and 100", 90, 100, 10, 20, 0, 1},
		{"terminate and launch, a small group", 90, 100, 3, 9, 0, 1},
		{"terminate and launch, half", 50, 100, 5, 9, 0, 2},
		{"terminate and launch, all", 0, 100, 5, 9, 0, 5},
		{"custom: 90 and 120", 90, 120, 10, 20, 2, 1},
		{"custom, at max", 90, 120, 10, 10, 0, 1},
		{"custom, a small group launches first", 90, 120, 3, 9, 1, 0},
		{"custom, a small group at max waits", 90, 120, 3, 3, 0, 0},
		{"nothing is desired", 90, 120, 0, 5, 0, 0},
		{"nothing is desired, terminate and launch", 0, 100, 0, 5, 0, 0},
		{"desired is above max", 100, 200, 5, 3, 0, 0},
	} {
		surge, spare := Maintenance{tt.min, tt.max}.Leeway(tt.desired, tt.most)
		if surge != tt.surge || spare != tt.spare {
			t.Errorf("%s: %d beyond, %d missing; want %d and %d", tt.name, surge, spare, tt.surge, tt.spare)
		}
	}
}

// Whatever the percentages, both bounds hold, but for the one VM of a group that is too small for them; and a group with room
// that a policy lets change can change.
func TestLeewayHolds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := Maintenance{rapid.IntRange(0, 100).Draw(t, "min"), rapid.IntRange(100, 200).Draw(t, "max")}
		desired, room := rapid.IntRange(0, 1000).Draw(t, "desired"), rapid.IntRange(0, 1000).Draw(t, "room")
		surge, spare := m.Leeway(desired, desired+room)
		switch {
		case surge < 0 || surge > room || spare < 0 || spare > desired:
			t.Fatalf("beyond max or nothing: %d, %d", surge, spare)
		case surge > 1 && (desired+surge-1)*100 >= desired*m.MaxHealthyPercent:
			t.Fatalf("%d beyond is more than needed for the percentage", surge)
		case spare > 1 && (desired-spare)*100 < desired*m.MinHealthyPercent:
			t.Fatalf("%d missing is too many", spare)
		case m.MinHealthyPercent == 100 && spare > 0:
			t.Fatalf("%d missing, and none may", spare)
		case m.MaxHealthyPercent == 100 && surge > 0:
			t.Fatalf("%d beyond, and none may", surge)
		case desired > 0 && room > 0 && (m.MinHealthyPercent < 100 || m.MaxHealthyPercent > 100) && surge+spare == 0:
			t.Fatal("nothing can ever be replaced")
		}
	})
}
