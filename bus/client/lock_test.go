package client

import (
	"errors"
	"testing"
	"time"
)

// TestLock: the lock of the tests and JetStream's keep the same contract.
func TestLock(t *testing.T) {
	t.Parallel()
	now := time.UnixMilli(1_800_000_000_000)
	fake := &fakeLock{now: func() time.Time { return now }, life: time.Second, fault: noFault}
	conn := plainStore(t)
	if err := EnsureStore(t.Context(), conn, time.Second); err != nil {
		t.Fatal(err)
	}
	kept, err := openLock(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		lock   lock
		expire func()
	}{
		"fake": {fake, func() { now = now.Add(2 * time.Second) }},
		"real": {kept, func() {
			for {
				if _, _, err := kept.get(t.Context()); errors.Is(err, errLockFree) {
					return
				}
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, l := t.Context(), c.lock
			is := func(what string, err, want error) {
				t.Helper()
				if !errors.Is(err, want) || want == nil && err != nil {
					t.Fatalf("%s: %v, want %v", what, err, want)
				}
			}
			_, _, err := l.get(ctx)
			is("get a free one", err, errLockFree)
			first, err := l.create(ctx, []byte("a"))
			is("create", err, nil)
			_, err = l.create(ctx, []byte("b"))
			is("create one that is held", err, errLockHeld)
			value, revision, err := l.get(ctx)
			is("get", err, nil)
			if string(value) != "a" || revision != first {
				t.Errorf("value %q, revision %d, want a, %d", value, revision, first)
			}
			second, err := l.update(ctx, []byte("c"), first)
			is("update", err, nil)
			_, err = l.update(ctx, []byte("d"), first)
			is("update an old revision", err, errLockLost)
			is("drop an old revision", l.drop(ctx, first), errLockLost)
			is("drop", l.drop(ctx, second), nil)
			third, err := l.create(ctx, []byte("e"))
			is("create after drop", err, nil)
			c.expire()
			_, err = l.update(ctx, []byte("f"), third)
			is("update what ran out", err, errLockLost)
			_, err = l.create(ctx, []byte("g"))
			is("create what ran out", err, nil)
			for i, want := range []int64{5, 6, 9} {
				term, err := l.nextTerm(ctx, []int64{5, 3, 9}[i])
				is("next term", err, nil)
				if term != want {
					t.Errorf("term %d, want %d", term, want)
				}
			}
		})
	}
}
