package bus

import (
	"strings"
	"testing"
	"time"
)

// TestRefusedWhileOneHolds: a decision of a term far ahead, which nobody goes on with, keeps the decider that leads from being
// followed until it has run out, and that is said long before.
func TestRefusedWhileOneHolds(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	var n Newest
	if err := n.Take(Decision{Term: 1 << 62, Seq: 1, Time: now, ExpiresAt: now.Add(longestLife)}, now); err != nil {
		t.Fatal(err)
	}
	begin := now
	for seq := uint64(1); now.Sub(begin) < longestLife; seq++ {
		now = now.Add(time.Second)
		err := n.Take(Decision{Term: 1, Seq: seq, Time: now, ExpiresAt: now.Add(5 * time.Second)}, now)
		if taken := err == nil; taken != (now.Sub(begin) >= longestLife) {
			t.Fatalf("after %s: %v", now.Sub(begin), err)
		}
		said := n.Refused(now)
		switch since := now.Sub(begin) - time.Second; {
		case err == nil && said != nil, since < longRefused && said != nil:
			t.Fatalf("after %s: %s", since, said)
		case err != nil && since >= longRefused && (said == nil || !strings.Contains(said.Error(), "holds until")):
			t.Fatalf("after %s: %v, want until when the other holds", since, said)
		}
	}
}
