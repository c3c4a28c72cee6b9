package throttle

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// fakeTimers end windows when the test says so.
type fakeTimers struct {
	waits []time.Duration
	calls []func()
}

func (f *fakeTimers) after(d time.Duration, call func()) func() bool {
	f.waits, f.calls = append(f.waits, d), append(f.calls, call)
	return func() bool { return true }
}

// pass ends the window that was begun first.
func (f *fakeTimers) pass() {
	call := f.calls[0]
	f.calls = f.calls[1:]
	call()
}

func TestThrottle(t *testing.T) {
	var said []string
	timers := &fakeTimers{}
	throttle := New(func(kind any, n uint64) { said = append(said, fmt.Sprintf("%v: %d more", kind, n)) })
	throttle.after = timers.after
	allowed := func(kind any, asked int) (n int) {
		for range asked {
			if throttle.Allows(kind) {
				n++
			}
		}
		return n
	}
	if got := allowed("a", 1000); got != Lines {
		t.Errorf("of a flood %d lines are said in the first second, want %d", got, Lines)
	}
	if got := allowed("b", 3); got != 3 {
		t.Errorf("another kind is held back by the flood: %d of 3", got)
	}
	timers.pass() // a's
	timers.pass() // b's
	if want := []string{fmt.Sprintf("a: %d more", 1000-Lines)}; !slices.Equal(said, want) {
		t.Errorf("said %q, want %q", said, want)
	}
	if got := allowed("a", 1000); got != 1 {
		t.Errorf("while it goes on, %d lines are said, want 1", got)
	}
	for range 10 {
		timers.pass()
		allowed("a", 2)
	}
	if longest := slices.Max(timers.waits); longest != throttleMost {
		t.Errorf("its windows last up to %s, want %s", longest, throttleMost)
	}
	timers.pass()
	timers.pass() // nothing was asked for
	if got := allowed("a", 1000); got != Lines {
		t.Errorf("after a rest %d lines are said, want %d", got, Lines)
	}
	said = nil
	throttle.Close()
	if want := []string{fmt.Sprintf("a: %d more", 1000-Lines)}; !slices.Equal(said, want) {
		t.Errorf("at its end it said %q, want %q", said, want)
	}
}

// Kinds that are made up cost no memory.
func TestThrottleHasFewKinds(t *testing.T) {
	throttle := New(func(any, uint64) {})
	throttle.after = (&fakeTimers{}).after
	lines := 0
	for i := range 100_000 {
		if throttle.Allows(i) {
			lines++
		}
	}
	if got := len(throttle.windows); got > throttleKinds+1 {
		t.Errorf("%d kinds are kept", got)
	}
	if want := throttleKinds + Lines; lines > want {
		t.Errorf("%d lines, want %d at most", lines, want)
	}
}
