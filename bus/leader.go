package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// How long a leader that gives no sign of life keeps others from leading. A cluster of NATS servers takes up to 6 s to
// replace one of its own, during which no leader can give a sign.
const (
	LockTTL         = 15 * time.Second
	EmbeddedLockTTL = 6 * time.Second
)

const (
	lockKey = "leader"
	termKey = "term"
)

// Leadership is one process's part in the election of the one that decides. Of all that campaign on a bus, one leads.
type Leadership struct {
	settled chan struct{}

	mu    sync.Mutex
	term  int64
	until time.Time // by the monotonic clock; zero without end
	lead  bool
}

// NewLeadership is that of one who does not lead.
func NewLeadership() *Leadership { return &Leadership{settled: make(chan struct{})} }

// Settled is closed once it is known, for the first time, who leads.
func (l *Leadership) Settled() <-chan struct{} { return l.settled }

// Term is the present term, and whether this process leads in it. It stops by itself when no sign of life got through
// in time, whatever kept it from that; so a process that was stopped for a while does not act on when it goes on.
func (l *Leadership) Term() (term int64, leading bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term, l.lead && (l.until.IsZero() || time.Now().Before(l.until))
}

func (l *Leadership) set(lead bool, term int64, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lead, l.term, l.until = lead, term, until
}

// lockValue is who has the lock.
type lockValue struct {
	Holder string    `json:"holder"`
	Term   int64     `json:"term"`
	Since  time.Time `json:"since"`
}

// Campaign takes part in the election as holder, a name of its own among all, until ctx ends; then it makes way. now
// gives the time that terms are made of. On a bus that keeps no state each one leads by itself, in the term of its
// start.
//
// A term is a time in Unix ms, and more than any that was kept: so it also grows when what was kept is lost.
func (c *Conn) Campaign(ctx context.Context, holder string, now func() time.Time, l *Leadership) {
	e := election{conn: c, holder: holder, now: now, leadership: l}
	for first := true; ctx.Err() == nil; first = false {
		wait, err := e.round(ctx)
		if first {
			close(l.settled)
		}
		if err != nil && ctx.Err() == nil && err.Error() != e.said {
			e.said = err.Error()
			c.log.Warn().Err(err).Msg("bus: the election of the leading decider does not go on, trying again")
		} else if err == nil {
			e.said = ""
		}
		select {
		case <-ctx.Done():
		case <-c.closed:
			return
		case <-time.After(wait):
		}
	}
	e.resign(context.WithoutCancel(ctx))
}

// election is what a campaign knows from one round to the next.
type election struct {
	conn       *Conn
	holder     string
	now        func() time.Time
	leadership *Leadership

	kv       jetstream.KeyValue // nil before the first round
	ttl      time.Duration
	term     int64
	revision uint64 // of the lock, if this one has it
	said     string
}

// round makes, or renews, the claim once, and says when to do it again.
func (e *election) round(ctx context.Context) (again time.Duration, err error) {
	if e.kv == nil {
		switch err := e.open(ctx); {
		case errors.Is(err, ErrNoStore):
			if _, leads := e.leadership.Term(); !leads {
				e.leadership.set(true, e.now().UnixMilli(), time.Time{})
			}
			return time.Minute, nil
		case err != nil:
			return time.Second, err
		}
	}
	again = e.ttl / 3
	ctx, cancel := context.WithTimeout(ctx, again)
	defer cancel()
	if e.revision != 0 {
		return again, e.renew(ctx)
	}
	return again, e.claim(ctx)
}

// open finds the lock, and on a server that is not ours makes it.
func (e *election) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if !e.conn.Embedded() {
		if _, connected := e.conn.Connected(); !connected {
			return errors.New("no connection to the bus")
		}
		if err := EnsureStore(ctx, e.conn, LockTTL); err != nil {
			return err
		}
	}
	kv, err := e.conn.bucket(ctx, lockBucket)
	if err != nil {
		return err
	}
	status, err := kv.Status(ctx)
	if err != nil {
		return storeError(err)
	}
	e.kv, e.ttl = kv, status.TTL()
	return nil
}

// claim takes the lock if nobody has it, and then a term above all before.
func (e *election) claim(ctx context.Context) error {
	start := time.Now()
	value := lockValue{Holder: e.holder, Since: e.now().UTC()}
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	revision, err := e.kv.Create(ctx, lockKey, data)
	if errors.Is(err, jetstream.ErrKeyExists) {
		return e.mine(ctx)
	}
	if err != nil {
		return e.failed(err)
	}
	if e.term, err = e.nextTerm(ctx); err != nil {
		return err // the lock runs out, and another has a try
	}
	e.revision = revision
	e.lead(start)
	return nil
}

// mine looks whether the lock that somebody has is this one's own, from a claim whose answer was lost.
func (e *election) mine(ctx context.Context) error {
	entry, err := e.kv.Get(ctx, lockKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil // it ran out just now
	}
	if err != nil {
		return e.failed(err)
	}
	var value lockValue
	if err := json.Unmarshal(entry.Value(), &value); err != nil || value.Holder != e.holder {
		return nil //nolint:nilerr // whoever it is, it is another
	}
	if e.term == 0 || value.Term != e.term {
		return e.kv.Delete(ctx, lockKey, jetstream.LastRevision(entry.Revision())) //nolint:wrapcheck // logged
	}
	e.revision = entry.Revision()
	return e.renew(ctx)
}

// nextTerm is now, or if that is not more than what was kept, one more than that.
func (e *election) nextTerm(ctx context.Context) (int64, error) {
	kv, err := e.conn.bucket(ctx, stateBucket)
	if err != nil {
		return 0, err
	}
	term, before := e.now().UnixMilli(), int64(0)
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

// renew gives the sign of life.
func (e *election) renew(ctx context.Context) error {
	start := time.Now()
	data, err := json.Marshal(lockValue{Holder: e.holder, Term: e.term, Since: e.now().UTC()})
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	revision, err := e.kv.Update(ctx, lockKey, data, e.revision)
	var api *jetstream.APIError
	switch {
	case err == nil:
		e.revision = revision
		e.lead(start)
		return nil
	case errors.As(err, &api) && api.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence:
		// Another has it, or the answer to an earlier sign was lost.
		e.revision = 0
		return e.mine(ctx)
	}
	return e.failed(err)
}

// lead holds until before the lock can run out; started is before the claim was sent.
func (e *election) lead(started time.Time) {
	e.leadership.set(true, e.term, started.Add(e.ttl*2/3))
}

// failed forgets the lock where it is not there any more.
func (e *election) failed(err error) error {
	if errors.Is(err, jetstream.ErrBucketNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrNoStreamResponse) {
		e.kv, e.revision = nil, 0
	}
	return fmt.Errorf("lock: %w", err)
}

// resign gives the lock back, so that another need not wait until it runs out.
func (e *election) resign(ctx context.Context) {
	e.leadership.set(false, e.term, time.Time{})
	if e.revision == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = e.kv.Delete(ctx, lockKey, jetstream.LastRevision(e.revision)) // it runs out otherwise
}
