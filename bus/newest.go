package bus

import (
	"fmt"
	"time"
)

// longestLife bounds for how long a decision may hold.
const longestLife = 3 * LongestInterval

// longRefused is for how long what comes may be refused while a decision holds: for longer than one that leads no more takes
// to notice.
const longRefused = 15 * time.Second

// Newest is a group's newest decision as one who listens has it. Of deciders that differ the highest term counts while it
// goes on deciding; once its last decision has expired, any decider is followed. So what a live decider says is
// always taken, whatever the clocks, terms and numbers before it. Its zero value is ready to use.
type Newest struct {
	Decision Decision
	// Doubtful reports that Decision may be older than it looks: it was held up on its way, or nothing is known of its
	// sender's clock yet. Nothing may be removed on its word.
	Doubtful bool

	taken        bool
	expires      time.Time // of Decision, by the receiver's own clock
	clock        ClockOffset
	refusedSince time.Time // since when none was taken; zero where the last one was
	refusal      error
}

// Take keeps a decision that arrived now, or returns why it is not newer than the one that is kept.
func (n *Newest) Take(d Decision, now time.Time) error {
	life := d.ExpiresAt.Sub(d.Time)
	late := n.clock.Observe(d.Time, now)
	if err := n.refuse(d, life, now); err != nil {
		return n.Refuse(err, now)
	}
	n.Decision, n.taken, n.Doubtful = d, true, late >= life
	if n.Doubtful { // a clock may have jumped as well
		late = 0
	}
	n.expires = now.Add(life - late) // later changes of the clock do not matter
	n.refusedSince, n.refusal = time.Time{}, nil
	return nil
}

// Refuse notes that a decision which arrived now was refused by what the receiver itself knows, and returns why.
func (n *Newest) Refuse(why error, now time.Time) error {
	if n.refusedSince.IsZero() {
		n.refusedSince = now
	}
	n.refusal = why
	return why
}

func (n *Newest) refuse(d Decision, life time.Duration, now time.Time) error {
	held := n.Decision
	switch {
	case life <= 0 || life > longestLife:
		return fmt.Errorf("it holds for %s, want more than 0 and at most %s", life, longestLife)
	case !n.taken:
		return nil
	case d.Term == held.Term && d.Seq <= held.Seq && (n.Holds(now) || !d.Time.After(held.Time)):
		return fmt.Errorf("number %d of its term is not newer than number %d", d.Seq, held.Seq)
	case d.Term < held.Term && n.Holds(now) && !n.Doubtful:
		return fmt.Errorf("its term %d is over: %d began", d.Term, held.Term)
	}
	return nil
}

// Holds reports whether there is a decision that has not run out.
func (n *Newest) Holds(now time.Time) bool { return n.taken && n.expires.After(now) }

// Taken reports whether a decision was ever taken.
func (n *Newest) Taken() bool { return n.taken }

// Refused returns why decisions come and none of them is taken, for as long as that lasts; nil where the one that holds came
// just before.
func (n *Newest) Refused(now time.Time) error {
	if n.refusal == nil || n.Holds(now) && now.Sub(n.refusedSince) < longRefused {
		return nil
	}
	until := ""
	if n.Holds(now) {
		until = fmt.Sprintf("; the one that was taken last holds until %s", n.expires.Local().Format(time.DateTime))
	}
	return fmt.Errorf("decisions come, and none was taken for %d s: %w%s", int(now.Sub(n.refusedSince).Seconds()), n.refusal, until)
}

// Skew is how far the decider's clock is behind, less than 0 where it is ahead; false while that is not known.
func (n *Newest) Skew() (time.Duration, bool) { return n.clock.Skew() }

// Numbers counts the decisions of one decider. They never go back, so that within a term a later one has the higher number,
// also where leadership was lost in between and comes back in the same term.
type Numbers struct{ last uint64 }

// Next is the number of the next decision.
func (n *Numbers) Next() uint64 {
	n.last++
	return n.last
}
