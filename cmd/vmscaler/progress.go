package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// How often what a progress shows is shown again: on a terminal it replaces what was there, elsewhere it is one more line.
const (
	livePeriod = 200 * time.Millisecond
	linePeriod = 10 * time.Second
)

// transfer is how far something is at a time.
type transfer struct {
	what        string
	done, total int64 // bytes; a total of 0 or less is unknown
	from        int64 // done at its start, as where a download is resumed
	elapsed     time.Duration
}

// String reports how far it is, how fast, and how long it takes yet; of one that is done how long it took.
func (t transfer) String() string {
	const minimum = 500 * time.Millisecond // a rate before that says nothing
	rate := ""
	perSecond := float64(t.done-t.from) / t.elapsed.Seconds()
	known := t.elapsed >= minimum && t.done > t.from
	if known {
		rate = fmt.Sprintf(", %.1f MiB/s", perSecond/(1<<20))
	}
	switch {
	case t.total <= 0:
		return fmt.Sprintf("%s %d MiB%s", t.what, t.done>>20, rate)
	case t.done >= t.total:
		return fmt.Sprintf("%s %d MiB in %s%s", t.what, t.total>>20, t.elapsed.Round(100*time.Millisecond), rate)
	case known:
		left := time.Duration(float64(t.total-t.done) / perSecond * float64(time.Second))
		rate += fmt.Sprintf(", %s left", left.Round(time.Second))
	}
	return fmt.Sprintf("%s %3d %% of %d MiB%s", t.what, int(100*float64(t.done)/float64(t.total)), t.total>>20, rate)
}

// bars shows one transfer after another.
type bars struct {
	out   io.Writer
	live  bool
	clock func() time.Time

	now         transfer
	start, said time.Time
	wide        int // columns of the line that is there
}

func newBars(out io.Writer) *bars {
	f, ok := bare(out).(*os.File)
	b := &bars{out: out, clock: time.Now}
	if ok && term.IsTerminal(int(f.Fd())) {
		b.out, b.live = f, true // what makes output harmless would not let a carriage return through
	}
	return b
}

// show takes how far a transfer is. A first call with done above 0 is of one that goes on where it ended before.
func (b *bars) show(what string, done, total int64) {
	now := b.clock()
	if what != b.now.what || done < b.now.done {
		b.end()
		b.now, b.start, b.said = transfer{what: what, from: done}, now, now
	}
	if b.now.total > 0 && b.now.done >= b.now.total && done == b.now.done {
		return // its end was shown
	}
	b.now.done, b.now.total, b.now.elapsed = done, total, now.Sub(b.start)
	over := total > 0 && done >= total
	period := linePeriod
	if b.live {
		period = livePeriod
	}
	if !over && now.Sub(b.said) < period {
		return
	}
	b.said = now
	line := b.now.String()
	switch {
	case b.live:
		fmt.Fprintf(b.out, "\r%-*s", b.wide, line)
		b.wide = len(line)
		if over {
			b.end()
		}
	default:
		fmt.Fprintln(b.out, line)
	}
}

// end leaves the line that is there, for others to write below it.
func (b *bars) end() {
	if b.live && b.wide > 0 {
		fmt.Fprintln(b.out)
	}
	b.wide = 0
}

// progress shows how far one transfer is.
func progress(out io.Writer, what string) func(done, total int64) {
	b := newBars(out)
	return func(done, total int64) { b.show(what, done, total) }
}
