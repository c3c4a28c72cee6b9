package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// How long a silent leader blocks a new election. A cluster of NATS servers takes 4 to 9 s to replace one of its own, during
// which no leader can give a sign.
const (
	LockTTL         = 12 * time.Second
	EmbeddedLockTTL = 6 * time.Second
)

// longestRound is the longest time between two signs of a leader, and between two tries of who does not lead.
const longestRound = 2 * time.Second

const (
	lockKey = "leader"
	termKey = "term"
)

// Leadership is this process's view of the leader election. Of all candidates on a bus, one leads.
type Leadership struct {
	settled chan struct{}

	now func() time.Time // the monotonic clock, and for terms the other one

	mu    sync.Mutex
	term  int64
	until time.Time // by the monotonic clock; zero without end
	lead  bool

	heard int64 // the highest term that another was heard to lead in

	other      string    // the one that was seen to hold the lock last
	otherUntil time.Time // by then its lock has run out, unless it is renewed
}

// electionRetry is the pause after a round that failed, as where the server was held up: who leads must be known again at
// once when it goes on.
const electionRetry = 250 * time.Millisecond

// NewLeadership is the view of a process that does not lead.
func NewLeadership() *Leadership { return &Leadership{settled: make(chan struct{}), now: time.Now} }

// Settled is closed once it is known, for the first time, who leads.
func (l *Leadership) Settled() <-chan struct{} { return l.settled }

// Term is the present term, and whether this process leads in it. It stops by itself when no sign of life got through
// in time, whatever kept it from that; so a process that was stopped for a while does not act on when it goes on.
func (l *Leadership) Term() (term int64, leading bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.term, l.lead && (l.until.IsZero() || l.now().Before(l.until))
}

// Other is who else holds the lock, as far as this process can tell, by the name that it campaigns with; "" is nobody, or not
// known.
func (l *Leadership) Other() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.now().Before(l.otherUntil) {
		return ""
	}
	return l.other
}

// Heard notes that another leads in a term, so that the next term of this process is above it also where what was kept is lost. A
// term that only a wrong clock can have made counts for nothing.
func (l *Leadership) Heard(term int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if term > l.heard && bus.Believable(term, l.now()) {
		l.heard = term
	}
}

// least is the lowest term in which this process may lead, as its clock says now.
func (l *Leadership) least(now time.Time) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return max(now.UnixMilli(), l.heard+1)
}

func (l *Leadership) saw(other string, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.other, l.otherUntil = other, until
}

func (l *Leadership) set(lead bool, term int64, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lead, l.term, l.until = lead, term, until
	if lead {
		l.other, l.otherUntil = "", time.Time{}
	}
}

// lockValue identifies the holder of the lock.
type lockValue struct {
	Holder string    `json:"holder"`
	Term   int64     `json:"term"`
	Since  time.Time `json:"since"`
}

// Campaign takes part in the election as holder, a name of its own among all, until ctx ends; then it makes way. now
// gives the time that terms are made of. On a bus that keeps no state each one leads by itself, in the term of its
// start.
//
// A term is a time in Unix ms, and more than any that was kept: so it also grows when what was kept is lost. Each time of
// leading has a term of its own, also where the same process leads again after a gap.
func (c *Conn) Campaign(ctx context.Context, holder string, now func() time.Time, l *Leadership) {
	e := election{holder: holder, now: now, leadership: l, open: func(ctx context.Context) (lock, error) {
		l, err := openLock(ctx, c)
		if err != nil {
			return nil, err
		}
		return l, nil
	}}
	said := ""
	for first := true; ctx.Err() == nil; first = false {
		wait, err := e.round(ctx)
		if first {
			close(l.settled)
		}
		if err != nil && ctx.Err() == nil && err.Error() != said {
			said = err.Error()
			c.log.Warn().Err(err).Msg("bus: the election of the leading decider does not go on, trying again")
		} else if err == nil {
			said = ""
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

// election is the state that a campaign keeps between rounds.
type election struct {
	open       func(context.Context) (lock, error)
	holder     string
	now        func() time.Time // what terms are made of
	leadership *Leadership

	lock     lock // nil before the first round
	term     int64
	revision uint64 // of the lock, if this one has it

	others   uint64    // its revision when another was seen to have it last
	othersAt time.Time // since when it is that one
}

// round makes, or renews, the claim once, and returns when to do it again.
func (e *election) round(ctx context.Context) (again time.Duration, err error) {
	if e.lock == nil {
		switch l, err := e.open(ctx); {
		case errors.Is(err, ErrNoStore):
			if _, leads := e.leadership.Term(); !leads {
				e.leadership.set(true, e.leadership.least(e.now()), time.Time{})
			}
			return time.Minute, nil
		case err != nil:
			return time.Second, err
		default:
			e.lock = l
		}
	}
	again = e.pace()
	limit := again // so that a sign which a server takes with it when it ends is soon followed by another
	if e.revision == 0 {
		limit = e.lock.ttl() / 3 // a claim takes several calls
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	if e.revision != 0 {
		err = e.renew(ctx)
	} else {
		err = e.claim(ctx)
	}
	switch {
	case err == nil && e.orphaned():
		return electionRetry, nil
	case err == nil:
		return again, nil
	case errors.Is(err, errLockGone):
		e.lock, e.revision = nil, 0
	}
	return min(again, electionRetry), err
}

// claim takes the lock if it is free, and then a term above all earlier ones.
func (e *election) claim(ctx context.Context) error {
	for range 2 { // the second time where what stood in the way is gone
		start := e.leadership.now()
		value, err := e.value(0)
		if err != nil {
			return err
		}
		revision, err := e.lock.create(ctx, value)
		if err == nil {
			if e.term, err = e.lock.nextTerm(ctx, e.leadership.least(e.now())); err != nil {
				return err // the lock runs out, and another has a try
			}
			e.revision = revision
			e.lead(start)
			return nil
		}
		if !errors.Is(err, errLockHeld) {
			return err
		}
		if free, err := e.mine(ctx); !free || err != nil {
			return err
		}
	}
	return nil
}

// mine checks whether the lock is held by this process. One that it leads by, where the acknowledgment of a renewal
// was lost, is renewed; one of a claim whose acknowledgment was lost is released. It reports whether the lock is free now.
func (e *election) mine(ctx context.Context) (free bool, err error) {
	data, revision, err := e.lock.get(ctx)
	if errors.Is(err, errLockFree) {
		return true, nil // it ran out just now
	}
	if err != nil {
		return false, err
	}
	var value lockValue
	if err := json.Unmarshal(data, &value); err != nil || value.Holder != e.holder {
		if value.Holder == "" {
			value.Holder = "another process"
		}
		now := e.leadership.now()
		if revision != e.others {
			e.others, e.othersAt = revision, now
		}
		e.leadership.saw(value.Holder, now.Add(e.lock.ttl()))
		return false, nil
	}
	if value.Term != 0 {
		e.revision = revision
		return false, e.renew(ctx)
	}
	if err := e.lock.drop(ctx, revision); err != nil && !errors.Is(err, errLockLost) {
		return false, err
	}
	return true, nil
}

// renew renews the lock. Where leadership had lapsed since the last one, it goes on in a new term: what this process
// decided before the gap must not look newer than what it decides now.
func (e *election) renew(ctx context.Context) error {
	start := e.leadership.now()
	term := e.term
	if _, leads := e.leadership.Term(); !leads {
		var err error
		if term, err = e.lock.nextTerm(ctx, e.leadership.least(e.now())); err != nil {
			return err
		}
	}
	value, err := e.value(term)
	if err != nil {
		return err
	}
	revision, err := e.lock.update(ctx, value, e.revision)
	switch {
	case err == nil:
		e.revision, e.term = revision, term
		e.lead(start)
		return nil
	case errors.Is(err, errLockLost):
		// It ran out, another has it, or the answer to an earlier sign was lost.
		e.revision = 0
		return e.claim(ctx)
	}
	return err
}

func (e *election) value(term int64) ([]byte, error) {
	data, err := json.Marshal(lockValue{Holder: e.holder, Term: term, Since: e.now().UTC()})
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	return data, nil
}

// pace is the time between two rounds, and by how much earlier a leader stops by itself than its lock can run out: the clocks
// of servers that replace each other may be apart by as much.
func (e *election) pace() time.Duration { return min(e.lock.ttl()/3, longestRound) }

// orphaned reports whether another has the lock who gave no sign for longer than one that lives: it is free soon.
func (e *election) orphaned() bool {
	return e.revision == 0 && e.others != 0 && e.leadership.now().Sub(e.othersAt) > e.pace()*3/2
}

// lead holds until before the lock can run out; started is before the claim was sent.
func (e *election) lead(started time.Time) {
	e.leadership.set(true, e.term, started.Add(e.lock.ttl()-e.pace()))
}

// resign releases the lock, so that another process need not wait until it expires.
func (e *election) resign(ctx context.Context) {
	e.leadership.set(false, e.term, time.Time{})
	if e.revision == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_ = e.lock.drop(ctx, e.revision) // it runs out otherwise
}
