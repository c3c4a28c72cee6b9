// Package throttle lets a few log lines of a kind through and counts the rest, so that who floods the bus does not flood the
// disk.
package throttle

import (
	"sync"
	"time"
)

// How often the log may say the same kind of thing. Who floods the bus must not flood the disk.
const (
	Lines         = 20 // of a kind in its first second; then one for each window
	throttleFirst = time.Second
	throttleMost  = time.Minute // a window doubles up to this while its kind goes on
	throttleKinds = 256         // beyond it all other kinds are one
)

// Throttle lets a few lines of each kind through and counts the others. It is safe for concurrent use.
type Throttle struct {
	// more reports how many lines of a kind were left out since the last one.
	more func(kind any, n uint64)
	// after calls once a time has passed, unless it is stopped before.
	after func(time.Duration, func()) (stop func() bool)

	mu      sync.Mutex
	windows map[any]*throttleWindow
	closed  bool
}

type throttleWindow struct {
	length time.Duration
	lines  uint64 // that may be said in it
	asked  uint64
	stop   func() bool
}

// New makes one; more is called with how many lines of a kind were left out.
func New(more func(kind any, n uint64)) *Throttle {
	return &Throttle{
		more: more, windows: map[any]*throttleWindow{},
		after: func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop },
	}
}

// Allows reports whether a line of this kind may be said now; otherwise it is counted.
func (t *Throttle) Allows(kind any) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return true
	}
	w := t.windows[kind]
	if w == nil && len(t.windows) >= throttleKinds {
		kind = nil
		w = t.windows[kind]
	}
	if w == nil {
		w = &throttleWindow{length: throttleFirst, lines: Lines}
		t.windows[kind] = w
		w.stop = t.after(w.length, func() { t.end(kind) })
	}
	w.asked++
	return w.asked <= w.lines
}

// end reports what a window has left out, and begins a longer one if it left out anything.
func (t *Throttle) end(kind any) {
	t.mu.Lock()
	w := t.windows[kind]
	if t.closed || w == nil {
		t.mu.Unlock()
		return
	}
	over := w.over()
	if over == 0 {
		delete(t.windows, kind)
	} else {
		w.length, w.lines, w.asked = min(2*w.length, throttleMost), 1, 0
		w.stop = t.after(w.length, func() { t.end(kind) })
	}
	t.mu.Unlock()
	if over > 0 {
		t.more(kind, over)
	}
}

func (w *throttleWindow) over() uint64 { return w.asked - min(w.asked, w.lines) }

// Close reports what was left out so far; from then on everything is allowed.
func (t *Throttle) Close() {
	t.mu.Lock()
	windows := t.windows
	t.windows, t.closed = nil, true
	t.mu.Unlock()
	for kind, w := range windows {
		w.stop()
		if over := w.over(); over > 0 {
			t.more(kind, over)
		}
	}
}
