package client

import (
	"context"
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/vmscaler/vmscaler/bus"
)

// fakeLock is a lock in virtual time whose calls can be held up and whose answers can be lost.
type fakeLock struct {
	now     func() time.Time
	life    time.Duration
	value   []byte
	rev     uint64
	expires time.Time
	term    int64
	// fault comes before each call has its effect; an error after it loses the answer.
	fault func() (before, after error)
}

func (l *fakeLock) ttl() time.Duration { return l.life }

func (l *fakeLock) held() bool { return l.value != nil && l.now().Before(l.expires) }

func (l *fakeLock) call(f func() error) error {
	before, after := l.fault()
	if before != nil {
		return before
	}
	if err := f(); err != nil {
		return err
	}
	return after
}

func (l *fakeLock) set(value []byte) {
	l.rev++
	l.value, l.expires = value, l.now().Add(l.life)
}

func (l *fakeLock) create(_ context.Context, value []byte) (uint64, error) {
	err := l.call(func() error {
		if l.held() {
			return errLockHeld
		}
		l.set(value)
		return nil
	})
	return l.rev, err
}

func (l *fakeLock) get(context.Context) (value []byte, revision uint64, err error) {
	err = l.call(func() error {
		if !l.held() {
			return errLockFree
		}
		return nil
	})
	return l.value, l.rev, err
}

func (l *fakeLock) update(_ context.Context, value []byte, revision uint64) (uint64, error) {
	err := l.call(func() error {
		if !l.held() || l.rev != revision {
			return errLockLost
		}
		l.set(value)
		return nil
	})
	return l.rev, err
}

func (l *fakeLock) drop(_ context.Context, revision uint64) error {
	return l.call(func() error {
		if !l.held() || l.rev != revision {
			return errLockLost
		}
		l.value = nil
		return nil
	})
}

func (l *fakeLock) nextTerm(_ context.Context, now int64) (int64, error) {
	err := l.call(func() error { l.term = max(now, l.term+1); return nil })
	return l.term, err
}

func noFault() (before, after error) { return nil, nil }

// simPipeline is a pipeline in virtual time: deciders that campaign for one lock, and one who listens to what they decide.
type simPipeline struct {
	now      time.Time // the monotonic clock
	lock     *fakeLock
	deciders []*simDecider
	listener bus.Newest
	jump     time.Duration // of the listener's wall clock
	stalled  time.Time     // until when the listener is
	queue    []sent
}

type simDecider struct {
	election
	numbers       bus.Numbers
	jump          time.Duration // of its wall clock
	stalled       time.Time
	round, decide time.Time // when next
}

type sent struct {
	bus.Decision
	by *simDecider
}

const (
	simStep     = 250 * time.Millisecond
	simInterval = time.Second
	simLife     = 5 * time.Second
)

func newSimPipeline(n int) *simPipeline {
	p := &simPipeline{now: time.UnixMilli(1_800_000_000_000)}
	p.lock = &fakeLock{now: func() time.Time { return p.now }, life: EmbeddedLockTTL, fault: noFault}
	for i := range n {
		d := &simDecider{}
		d.election = election{
			holder: string(rune('a' + i)), leadership: NewLeadership(),
			now:  func() time.Time { return p.now.Add(d.jump) },
			open: func(context.Context) (lock, error) { return p.lock, nil },
		}
		d.leadership.now = func() time.Time { return p.now }
		p.deciders = append(p.deciders, d)
	}
	return p
}

// step lets time pass, and returns the decisions of a decider that still leads that the listener did not take.
func (p *simPipeline) step(ctx context.Context) (refused []error) {
	p.now = p.now.Add(simStep)
	for _, d := range p.deciders {
		if p.now.Before(d.stalled) {
			continue
		}
		if !p.now.Before(d.round) {
			wait, _ := d.election.round(ctx) // may take time itself
			d.round = p.now.Add(wait)
		}
		if term, leads := d.leadership.Term(); leads && !p.now.Before(d.decide) {
			d.decide = p.now.Add(simInterval)
			wall := p.now.Add(d.jump - p.jump) // as the listener sees it, whose monotonic clock is p.now
			p.queue = append(p.queue, sent{bus.Decision{
				Group: "web", ID: "x", Term: term, Seq: d.numbers.Next(), Time: wall, ExpiresAt: wall.Add(simLife),
			}, d})
		}
	}
	if p.now.Before(p.stalled) {
		return nil
	}
	for i, d := range p.queue {
		err := p.listener.Take(d.Decision, p.now)
		newest := i == len(p.queue)-1
		if term, leads := d.by.leadership.Term(); err != nil && newest && leads && term == d.Term {
			refused = append(refused, err)
		}
	}
	p.queue = nil
	return refused
}

func (p *simPipeline) leaders() (n int) {
	for _, d := range p.deciders {
		if _, leads := d.leadership.Term(); leads {
			n++
		}
	}
	return n
}

// TestProgress: whatever stalls, and whatever clocks say, no two lead at a time, the newest decision of a live decider is
// always taken, and within one interval of the end of the faults there is one that holds.
func TestProgress(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		ctx := context.Background()
		p := newSimPipeline(rapid.IntRange(1, 3).Draw(t, "deciders"))
		p.lock.life = rapid.SampledFrom([]time.Duration{EmbeddedLockTTL, LockTTL}).Draw(t, "lock")
		stall := func(what string) time.Time {
			return p.now.Add(time.Duration(rapid.IntRange(1000, 20000).Draw(t, what)) * time.Millisecond)
		}
		faulty := true
		timeout := errors.New("context deadline exceeded")
		p.lock.fault = func() (before, after error) {
			if !faulty {
				return nil, nil
			}
			switch rapid.SampledFrom([]string{"", "", "", "", "", "", "held up", "before", "after"}).Draw(t, "call") {
			case "held up":
				p.now = stall("for")
			case "before":
				return timeout, nil
			case "after":
				return nil, timeout
			}
			return nil, nil
		}
		lost := false // what was kept; until all that was before it has run out, terms may go back
		jump := func() time.Duration { return time.Duration(rapid.IntRange(-3600, 3600).Draw(t, "jump")) * time.Second }
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			one := p.deciders[rapid.IntRange(0, len(p.deciders)-1).Draw(t, "one")]
			switch rapid.SampledFrom([]string{
				"", "", "", "", "", "", "", "", "decider", "all", "listener", "its clock", "clock",
				"restart", "state lost",
			}).Draw(t, "fault") {
			case "decider":
				one.stalled = stall("for")
			case "all":
				p.now = stall("for")
			case "listener":
				p.stalled = stall("for")
			case "its clock":
				one.jump = jump()
			case "clock":
				p.jump = jump()
			case "restart":
				p.listener = bus.Newest{}
			case "state lost":
				p.lock.value, p.lock.term = nil, 0
				lost = true
			}
			if refused := p.step(ctx); refused != nil && !lost {
				t.Fatalf("not taken: %s", errors.Join(refused...))
			}
			if n := p.leaders(); n > 1 && !lost {
				t.Fatalf("%d lead", n)
			}
		}
		faulty = false
		// A lock of one that stalls still has to run out.
		end := p.now
		for _, d := range p.deciders {
			if _, leads := d.leadership.Term(); !leads || d.stalled.After(p.now) {
				end = latest(end, d.stalled, p.lock.expires)
			}
		}
		end = latest(end, p.stalled)
		if lost {
			end = end.Add(p.lock.life + simLife)
		}
		for p.now.Before(end.Add(longestRound)) {
			if refused := p.step(ctx); refused != nil && !lost {
				t.Fatalf("not taken: %s", errors.Join(refused...))
			}
		}
		for range int(simInterval/simStep) + 1 {
			if refused := p.step(ctx); refused != nil {
				t.Fatalf("not taken: %s", errors.Join(refused...))
			}
		}
		if !p.listener.Holds(p.now) {
			t.Fatalf("no decision holds: %v; %d lead", p.listener.Refused(p.now), p.leaders())
		}
		for range 4 * int(simInterval/simStep) {
			p.step(ctx)
		}
		if p.listener.Doubtful {
			t.Fatal("still in doubt after four intervals without a fault")
		}
	})
}

func latest(times ...time.Time) (last time.Time) {
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}

// TestWhoLeadsIsKnown: whoever does not lead knows who does, for as long as that one's lock lives.
func TestWhoLeadsIsKnown(t *testing.T) {
	p := newSimPipeline(2)
	a, b := &p.deciders[0].election, &p.deciders[1].election
	round := func(e *election) {
		t.Helper()
		if _, err := e.round(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	want := func(ofA, ofB string) {
		t.Helper()
		if a.leadership.Other() != ofA || b.leadership.Other() != ofB {
			t.Fatalf("they know %q and %q, want %q and %q", a.leadership.Other(), b.leadership.Other(), ofA, ofB)
		}
	}
	want("", "")
	round(a)
	round(b)
	want("", "a")
	a.resign(t.Context())
	round(b)
	round(a)
	want("b", "")
	p.now = p.now.Add(EmbeddedLockTTL) // in which nobody has a sign of the other
	want("", "")
	round(a)
	round(b)
	want("", "a")
}

// TestStallOfTheOnlyDecider: one that was stopped for longer than it leads and shorter than its lock lives leads again in
// a new term, and what it decides is taken at once.
func TestStallOfTheOnlyDecider(t *testing.T) {
	t.Parallel()
	for ms := 1000; ms <= 20000; ms += 200 {
		p := newSimPipeline(1)
		for range 400 { // long enough for high numbers
			p.step(t.Context())
		}
		before := p.listener.Decision
		p.now = p.now.Add(time.Duration(ms) * time.Millisecond)
		for range int(simInterval/simStep) + 1 {
			if refused := p.step(t.Context()); refused != nil {
				t.Fatalf("after a stall of %d ms: %s", ms, errors.Join(refused...))
			}
		}
		now := p.listener.Decision
		if !p.listener.Holds(p.now) || now.Seq <= before.Seq {
			t.Fatalf("after a stall of %d ms: term %d number %d, before term %d number %d", ms, now.Term, now.Seq, before.Term, before.Seq)
		}
	}
}

// Another leads as soon as the lock of one that gives no more signs has run out, whenever it gave the last one.
func TestLockThatRunsOutIsTakenAtOnce(t *testing.T) {
	t.Parallel()
	for _, life := range []time.Duration{EmbeddedLockTTL, LockTTL} {
		for steps := 40; steps < 60; steps++ {
			p := newSimPipeline(2)
			p.lock.life = life
			p.deciders[1].round = p.now.Add(simStep * 7) // they try at other times
			for range steps {
				p.step(t.Context())
			}
			gone, other := p.deciders[0], p.deciders[1]
			gone.stalled = p.now.Add(time.Hour)
			stopped := p.now
			for {
				p.step(t.Context())
				if _, leads := other.leadership.Term(); leads {
					break
				}
				if p.now.Sub(stopped) > life+electionRetry+simStep {
					t.Fatalf("lock of %s, %d steps: nobody leads after %s", life, steps, p.now.Sub(stopped))
				}
			}
		}
	}
}
