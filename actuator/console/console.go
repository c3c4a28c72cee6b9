package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"libvirt.org/go/libvirt"
)

// Console is the first serial console of a running domain. libvirt lets one reader have it at a time.
type Console struct {
	stream *libvirt.Stream
	poll   time.Duration // between two questions for what has come
}

// pollEvery is how often libvirt is asked for what has come where somebody types.
const pollEvery = 20 * time.Millisecond

// wouldBlock is what the stream's calls return where there is nothing to read, or no room to write.
const wouldBlock = -2

// ErrTaken means that somebody else reads the console.
var ErrTaken = errors.New("somebody else has the serial console")

// Open opens the console, unless somebody has it: the error is [ErrTaken] then.
func Open(conn *libvirt.Connect, dom *libvirt.Domain) (*Console, error) {
	c, err := open(conn, dom, 0)
	if errors.Is(err, libvirt.ERR_OPERATION_FAILED) {
		return nil, fmt.Errorf("%w: %w", ErrTaken, err)
	}
	return c, err
}

// Take takes the console, also from a reader who has it, as one that was killed a moment ago.
func Take(conn *libvirt.Connect, dom *libvirt.Domain) (*Console, error) {
	return open(conn, dom, libvirt.DOMAIN_CONSOLE_FORCE)
}

func open(conn *libvirt.Connect, dom *libvirt.Domain, flags libvirt.DomainConsoleFlags) (*Console, error) {
	stream, err := conn.NewStream(libvirt.STREAM_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("open the serial console: %w", err)
	}
	if err := dom.OpenConsole("", stream, flags); err != nil {
		_ = stream.Free()
		return nil, fmt.Errorf("open the serial console: %w", err)
	}
	return &Console{stream, pollEvery}, nil
}

// Close gives the console back.
func (c *Console) Close() {
	_ = c.stream.Abort() // it may have ended with its domain
	_ = c.stream.Free()
}

// Read waits for what the guest prints. It is io.EOF when the domain is off.
func (c *Console) Read(ctx context.Context, buf []byte) (int, error) {
	var n int
	err := c.retry(ctx, func() (int, error) {
		var err error
		n, err = c.stream.Recv(buf)
		return n, err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// Write types something.
func (c *Console) Write(ctx context.Context, data []byte) error {
	for len(data) > 0 {
		var n int
		err := c.retry(ctx, func() (int, error) {
			var err error
			n, err = c.stream.Send(data)
			return n, err
		})
		if err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// retry calls once and again while the call would block.
func (c *Console) retry(ctx context.Context, call func() (int, error)) error {
	poll := time.NewTicker(c.poll)
	defer poll.Stop()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		n, err := call()
		switch {
		case errors.Is(err, io.EOF):
			return io.EOF
		case err != nil:
			return fmt.Errorf("serial console: %w", err)
		case n != wouldBlock:
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-poll.C:
		}
	}
}
