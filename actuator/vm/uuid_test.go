package vm

import (
	"regexp"
	"testing"
)

func TestNewUUID(t *testing.T) {
	format := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for range 1000 {
		uuid := NewUUID()
		if !format.MatchString(uuid) {
			t.Fatalf("%q is not a random UUID", uuid)
		}
		if seen[uuid] {
			t.Fatalf("%q came twice", uuid)
		}
		seen[uuid] = true
	}
}
