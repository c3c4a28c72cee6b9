package bus

import "time"

// consistentFor is how many messages in a row must agree before a difference of clocks is called known.
const consistentFor = 3

// TolerableSkew is how far two hosts' clocks may be apart before that is called a problem, and times are told from one to the
// other.
const TolerableSkew = 2 * time.Second

// ClockOffset measures how far the clock of a sender is behind the receiver's, from messages that carry the time at which
// they were sent. It distinguishes a delayed message from one whose sender's clock is wrong: delayed ones
// arrive faster than they were sent. Its zero value is ready to use.
type ClockOffset struct {
	offset        time.Duration // arrival less sending time of messages that were not held up
	known         bool
	agree         int
	sent, arrived time.Time
}

// Observe takes a message that was sent at sent, by its sender's clock, and arrived now. It returns for how long the message
// was held up, as far as that is known: 0 or more.
func (c *ClockOffset) Observe(sent, now time.Time) (late time.Duration) {
	delay := now.Round(0).Sub(sent.Round(0)) // by the wall clocks
	between, apart := sent.Sub(c.sent), now.Sub(c.arrived)
	first := c.arrived.IsZero()
	paced := !first && between > 0 && (apart-between).Abs() <= between/2
	if paced {
		c.agree = min(c.agree+1, consistentFor)
	} else {
		c.agree = 0
	}
	if paced || c.known && delay < c.offset { // no message is faster than the bus
		c.offset, c.known = delay, true
	}
	c.sent, c.arrived = sent, now
	if !c.known {
		return max(0, delay)
	}
	return max(0, delay-c.offset)
}

// Skew is how far the sender's clock is behind, less than 0 where it is ahead; false while that is not known.
func (c *ClockOffset) Skew() (time.Duration, bool) {
	return c.offset, c.known && c.agree >= consistentFor
}
