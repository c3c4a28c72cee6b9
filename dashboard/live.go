package dashboard

import (
	"context"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// live is a screen that follows its content, and the keys.
type live struct {
	d       *Dashboard
	s       *screen
	content *Content
	drawn   time.Time
	dirty   bool // there is something new to draw

	changes sync.WaitGroup // what the operator does
	asking  bool           // one of them goes on
	answers chan note
	past    chan []any
}

// inputs are what a live screen waits for.
type inputs struct {
	messages <-chan any
	ticks    <-chan time.Time
	signals  <-chan os.Signal
	keys     <-chan key
}

func (l *live) run(ctx context.Context, in inputs) error {
	if l.d.cfg.Operator != nil {
		l.changes.Go(func() { l.past <- l.d.cfg.Operator.Past(ctx) })
	}
	err := l.draw()
	for err == nil {
		select {
		case <-ctx.Done():
			return nil
		case message := <-in.messages:
			l.content.Fold(message, l.d.cfg.Now())
			l.dirty = true
		case <-in.ticks:
			err = l.draw()
		case sig := <-in.signals:
			if sig == unix.SIGCONT {
				// Stopped and continued: the shell has had the terminal meanwhile.
				if err := l.s.enter(); err != nil {
					return err
				}
			}
			l.s.invalidate()
			l.dirty = true
			err = l.draw()
		case k := <-in.keys:
			l.press(ctx, k)
			err = l.draw()
		case messages := <-l.past:
			l.content.Remember(messages)
			l.dirty = true
		case says := <-l.answers:
			l.asking, l.content.session.note, l.dirty = false, says, true
			err = l.draw()
		}
	}
	return err
}

// press does what a key asks for.
func (l *live) press(ctx context.Context, k key) {
	now := l.d.cfg.Now()
	_, height := l.s.size()
	session, asks := l.content.session.press(k, l.content, now, max(1, height-4))
	l.content.session, l.dirty = session, true
	switch {
	case asks.quit && l.d.cfg.Quit != nil:
		l.d.cfg.Quit()
	case asks.change != nil && l.asking:
		l.content.session.note = note{toneWarn, "the change before is not answered yet: nothing is changed"}
	case asks.change != nil && l.d.cfg.Operator != nil:
		l.asking = true
		l.content.session.note = note{toneDim, "asking ..."}
		l.changes.Go(func() {
			answer := note{tone: toneGood}
			var err error
			if answer.text, err = l.d.cfg.Operator.Change(ctx, *asks.change); err != nil {
				answer = note{toneBad, "not changed: " + err.Error()}
			}
			l.answers <- answer // there is room for the only one
		})
	}
}

// draw draws what is new, and once a second what only time has changed.
func (l *live) draw() error {
	now := l.d.cfg.Now()
	if link := l.d.link(); link != l.content.Link {
		l.content.Link, l.dirty = link, true
	}
	if dropped := l.d.dropped.Load(); dropped != l.content.Dropped {
		l.content.Dropped, l.dirty = dropped, true
	}
	if !l.dirty && now.Unix() == l.drawn.Unix() {
		return nil
	}
	l.content.Forget(now)
	width, height := l.s.size()
	l.drawn, l.dirty = now, false
	l.content.session = l.content.session.settle(l.content, width, height, now, l.d.cfg.Style)
	return l.s.draw(Render(l.content, width, height, now, l.d.cfg.Style), width, height)
}
