package collector

import (
	"strings"
	"testing"
	"time"
)

// A round that does not come back is reported with what it waits for, and not before its deadline.
func TestOverdueRound(t *testing.T) {
	start := time.Now()
	name := "web-2"
	asking := func(vm *string) *slowRound {
		r := &slowRound{started: start}
		r.asking.Store(vm)
		return r
	}
	for _, c := range []struct {
		name  string
		round *slowRound
		after time.Duration
		want  string // "" is nothing to report
	}{
		{"none under way", nil, time.Hour, ""},
		{"in time", asking(&name), slowDeadline - 1, ""},
		{"a VM does not answer", asking(&name), slowDeadline, "web-2"},
		{"the pool does not", asking(nil), slowDeadline, "storage pool"},
	} {
		err := c.round.overdue(start.Add(c.after))
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
