package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/vmscaler/vmscaler/bus"
)

// What a lock's calls can fail with, beside what keeps them from being made at all.
var (
	errLockHeld = errors.New("somebody holds the lock")
	errLockFree = errors.New("nobody holds the lock")
	errLockLost = errors.New("the lock was changed by somebody else")
	errLockGone = errors.New("the place of the lock is gone, or no server leads it")
)

// lock is what the election needs of a key that runs out: each change names the revision that it replaces.
type lock interface {
	ttl() time.Duration
	// create makes it, or returns errLockHeld.
	create(ctx context.Context, value []byte) (revision uint64, err error)
	// get returns errLockFree where nobody has it.
	get(ctx context.Context) (value []byte, revision uint64, err error)
	// update begins its life again, or returns errLockLost where revision is not the newest.
	update(ctx context.Context, value []byte, revision uint64) (uint64, error)
	drop(ctx context.Context, revision uint64) error
	// nextTerm is now, or, if that is not more than any before, one more than that; it is kept.
	nextTerm(ctx context.Context, now int64) (int64, error)
}

// kvLock is the lock in JetStream's key-value store.
type kvLock struct {
	conn *Conn
	kv   jetstream.KeyValue
	life time.Duration
}

// errNoLockYet is that a cluster has not made what it keeps yet. It is no ErrNoStore, by which a decider would lead without a
// lock, beside those of other members.
var errNoLockYet = errors.New("the cluster of the bus keeps no lock yet")

// openLock finds the lock, and on a server that is not ours makes it.
func openLock(ctx context.Context, conn *Conn) (*kvLock, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if !conn.Embedded() {
		if _, connected := conn.Connected(); !connected {
			return nil, errors.New("no connection to the bus")
		}
		if err := EnsureStore(ctx, conn, LockTTL); err != nil {
			return nil, err
		}
	}
	kv, err := conn.bucket(ctx, bus.LockBucket)
	if errors.Is(err, ErrNoStore) && conn.Clustered() {
		return nil, errNoLockYet
	}
	if err != nil {
		return nil, err
	}
	status, err := kv.Status(ctx)
	if err != nil {
		return nil, storeError(err)
	}
	return &kvLock{conn, kv, status.TTL()}, nil
}

func (l *kvLock) ttl() time.Duration { return l.life }

func (l *kvLock) create(ctx context.Context, value []byte) (uint64, error) {
	revision, err := l.kv.Create(ctx, lockKey, value)
	return revision, lockError(err, errLockHeld)
}

func (l *kvLock) get(ctx context.Context) ([]byte, uint64, error) {
	entry, err := l.kv.Get(ctx, lockKey)
	if err != nil {
		return nil, 0, lockError(err, errLockLost)
	}
	return entry.Value(), entry.Revision(), nil
}

func (l *kvLock) update(ctx context.Context, value []byte, revision uint64) (uint64, error) {
	end := l.conn.calls.Begin(bus.APIBus, "lead")
	revision, err := l.kv.Update(ctx, lockKey, value, revision)
	end()
	return revision, lockError(err, errLockLost)
}

func (l *kvLock) drop(ctx context.Context, revision uint64) error {
	return lockError(l.kv.Delete(ctx, lockKey, jetstream.LastRevision(revision)), errLockLost)
}

func (l *kvLock) nextTerm(ctx context.Context, now int64) (int64, error) {
	kv, err := l.conn.bucket(ctx, bus.StateBucket)
	if err != nil {
		return 0, err
	}
	term, before := now, int64(0)
	entry, err := kv.Get(ctx, termKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		_, err = kv.Create(ctx, termKey, fmt.Append(nil, term))
		return term, storeError(err)
	}
	if err != nil {
		return 0, storeError(err)
	}
	if _, err := fmt.Sscan(string(entry.Value()), &before); err == nil {
		term = max(term, before+1)
	}
	_, err = kv.Update(ctx, termKey, fmt.Append(nil, term), entry.Revision())
	return term, storeError(err)
}

// lockError gives what JetStream says of a lock its name; conflict is that of another revision than the call expects.
func lockError(err, conflict error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jetstream.ErrKeyNotFound):
		return errLockFree
	case errors.Is(err, jetstream.ErrKeyExists), errors.Is(err, jetstream.ErrKeyRevisionMismatch): // a cluster has its own code
		return conflict
	case errors.Is(err, jetstream.ErrBucketNotFound),
		errors.Is(err, jetstream.ErrStreamNotFound),
		errors.Is(err, jetstream.ErrNoStreamResponse):
		return fmt.Errorf("%w: %w", errLockGone, err)
	}
	return fmt.Errorf("lock: %w", err)
}
