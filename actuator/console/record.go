package console

import (
	"context"
	"sync"
	"time"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

const (
	recordPoll = 100 * time.Millisecond // between two looks for what has come
	openAgain  = 2 * time.Second        // after somebody else had the console, or it ended
	closeWait  = time.Second            // for a libvirt that does not answer to give the console back
)

// Recorder keeps the end of what a VM prints on its console. It takes the console from nobody, and gives it to whoever takes it;
// once that one has left it goes on.
type Recorder struct {
	mu     sync.Mutex
	screen Screen
	stop   context.CancelFunc
	done   chan struct{}
}

// Record begins to record. The recorder has a reference of its own to the domain.
func Record(ctx context.Context, conn *libvirt.Connect, dom *libvirt.Domain) (*Recorder, error) {
	if err := dom.Ref(); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	r := &Recorder{stop: stop, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		defer func() { _ = dom.Free() }()
		for r.listen(ctx, conn, dom) {
			select {
			case <-ctx.Done():
			case <-time.After(openAgain):
			}
		}
	}()
	return r, nil
}

// listen reads the console until that ends, and reports whether to try again.
func (r *Recorder) listen(ctx context.Context, conn *libvirt.Connect, dom *libvirt.Domain) bool {
	if ctx.Err() != nil {
		return false
	}
	c, err := Open(conn, dom)
	if err != nil {
		return true
	}
	defer c.Close()
	c.poll = recordPoll
	buf := make([]byte, 16<<10)
	for {
		n, err := c.Read(ctx, buf)
		if err != nil {
			return ctx.Err() == nil
		}
		r.mu.Lock()
		r.screen.Add(buf[:n])
		r.mu.Unlock()
	}
}

// Stop ends the recording. It waits until the console is given back, but not for a libvirt that does not answer.
func (r *Recorder) Stop() {
	r.stop()
	select {
	case <-r.done:
	case <-time.After(closeWait):
	}
}

// Text is what was printed, each line harmless for a terminal: its end, if that was more than 64 KiB.
func (r *Recorder) Text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bus.Lines(r.screen.end())
}

// Tail is the last lines that are not empty, each harmless for a terminal and of at most so many bytes.
func (r *Recorder) Tail(lines, bytes int) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	tail := r.screen.Tail(lines)
	for i := range tail {
		tail[i] = bus.Clip(bus.Line(tail[i]), bytes)
	}
	return tail
}
