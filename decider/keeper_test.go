package decider

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
)

// TestKeeper: while the store does not answer, nobody who gives the keeper something waits; of each key the newest is kept, none
// of a term that is over, and what is left at the end as well.
func TestKeeper(t *testing.T) {
	t.Parallel()
	var kept []string // by the keeper's goroutine, and read once it has ended
	begun, answer := make(chan string), make(chan struct{})
	k := newKeeper(func(_ context.Context, key string, data json.RawMessage) {
		begun <- key
		<-answer
		kept = append(kept, key+string(data))
	}, func() (int64, bool) { return 7, true })
	stop := k.start(t.Context())
	k.put("a", 7, json.RawMessage("1"))
	<-begun
	first := k.put("a", 7, json.RawMessage("2")) // while the store is busy with the one before
	newest := k.put("a", 7, json.RawMessage("3"))
	old := k.put("b", 6, json.RawMessage("1"))
	if first != newest {
		t.Error("who waits for what was replaced waits for something else")
	}
	select {
	case <-newest:
		t.Error("it counts as kept before that was tried")
	default:
	}
	answer <- struct{}{}
	<-begun
	answer <- struct{}{}
	<-newest
	<-old
	k.put("c", 7, json.RawMessage("1"))
	ended := make(chan struct{})
	go func() {
		stop()
		close(ended)
	}()
	<-begun
	answer <- struct{}{}
	<-ended
	if want := []string{"a1", "a3", "c1"}; !slices.Equal(kept, want) {
		t.Errorf("kept are %v, want %v", kept, want)
	}
}
