package bus

import (
	"crypto/rand"
	"encoding/hex"
	"time"
)

// TermAhead is how far a term, which is a time in Unix ms, may be ahead of a clock that it is compared with. One that is further
// ahead was made by a wrong clock: it holds as long as its decisions do, and nobody remembers it, as that would keep every other
// decider from being followed until the clocks have come there.
const TermAhead = time.Minute

// Believable reports whether a term may be remembered by one whose clock says now.
func Believable(term int64, now time.Time) bool { return term <= now.Add(TermAhead).UnixMilli() }

// NewClusterID names a cluster: one bus, or several that are one, with what they keep.
func NewClusterID() string {
	b := make([]byte, 8)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)
}

// CheckClusterID reports what is wrong with the name of a cluster.
func CheckClusterID(id string) error {
	var b bounds
	b.name("cluster_id", id, maxWord)
	if id == "" {
		b.refuse("cluster_id: found nothing, want the name of a cluster")
	}
	return b.err
}
