// Package hypervisor reaches libvirt: it chooses the URI, owns libvirt's event loop, and explains what is wrong
// when nothing answers.
package hypervisor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"libvirt.org/go/libvirt"
)

// Keepalive frees a call on a libvirtd that has stopped answering after about 8 s.
const (
	keepaliveSeconds = 2
	keepaliveCount   = 3
)

// Dialer opens connections. libvirt's event loop is one per process and must be registered before the first
// connect, so a process has one Dialer.
type Dialer struct{}

// NewDialer registers the event loop and runs it until the process ends.
func NewDialer() (*Dialer, error) {
	if err := libvirt.EventRegisterDefaultImpl(); err != nil {
		return nil, fmt.Errorf("register libvirt's event loop: %w", err)
	}
	go func() {
		for {
			// An error here is one of poll(2); the next round tries again.
			_ = libvirt.EventRunDefaultImpl()
		}
	}()
	return &Dialer{}, nil
}

// Dial connects to uri. When ctx ends first, the connection is closed as soon as it is made.
func (d *Dialer) Dial(ctx context.Context, uri string) (*libvirt.Connect, error) {
	type result struct {
		conn *libvirt.Connect
		err  error
	}
	done := make(chan result, 1)
	go func() {
		conn, err := libvirt.NewConnect(uri)
		if err == nil {
			// Drivers without a connection (test, embed) know no keepalive and need none.
			_ = conn.SetKeepAlive(keepaliveSeconds, keepaliveCount)
		}
		done <- result{conn, err}
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, explain(uri, r.err)
		}
		return r.conn, nil
	case <-ctx.Done():
		go func() {
			if r := <-done; r.err == nil {
				_, _ = r.conn.Close()
			}
		}()
		return nil, fmt.Errorf("connect to %s: %w", uri, context.Cause(ctx))
	}
}

// To is Dial with the URI filled in, as stages take it.
func (d *Dialer) To(uri string) func(context.Context) (*libvirt.Connect, error) {
	return func(ctx context.Context) (*libvirt.Connect, error) { return d.Dial(ctx, uri) }
}

// Wait dials until libvirt answers or ctx ends. tell is called with each new reason for waiting. An error that
// waiting does not mend (no permission, a URI that libvirt does not know) is returned at once.
func (d *Dialer) Wait(ctx context.Context, uri string, tell func(error)) (*libvirt.Connect, error) {
	said := ""
	for {
		conn, err := d.Dial(ctx, uri)
		switch {
		case err == nil:
			return conn, nil
		case ctx.Err() != nil, !errors.Is(err, ErrDown):
			return nil, err
		}
		if err.Error() != said {
			said = err.Error()
			tell(err)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("connect to %s: %w", uri, context.Cause(ctx))
		case <-time.After(time.Second):
		}
	}
}

// ErrDown says that nothing answers at a URI, which may change.
var ErrDown = errors.New("libvirt does not answer")

// ErrPermission says that this user may not use a URI.
var ErrPermission = errors.New("no permission to use libvirt")

// explain adds what the user can do.
func explain(uri string, err error) error {
	var e libvirt.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("connect to %s: %w", uri, err)
	}
	text := e.Message
	remedy := "join the group with `sudo usermod -aG libvirt $USER` and log in again, or use `--uri " + SessionURI + "`, which needs no rights"
	if IsSession(uri) {
		remedy = "the session belongs to another user"
	}
	switch {
	case errors.Is(err, libvirt.ERR_AUTH_UNAVAILABLE), errors.Is(err, libvirt.ERR_AUTH_FAILED), errors.Is(err, libvirt.ERR_AUTH_CANCELLED),
		strings.Contains(text, "Permission denied"), strings.Contains(text, "polkit"), strings.Contains(text, "system bus"):
		return fmt.Errorf("%w at %s: %s; %s", ErrPermission, uri, text, remedy)
	case errors.Is(err, libvirt.ERR_SYSTEM_ERROR), errors.Is(err, libvirt.ERR_RPC):
		if IsSession(uri) {
			return fmt.Errorf("%w at %s: %s", ErrDown, uri, text)
		}
		return fmt.Errorf("%w at %s: %s; start it with `sudo systemctl start libvirtd` (without systemd: `packaging/host-setup.sh libvirt`)", ErrDown, uri, text)
	}
	return fmt.Errorf("connect to %s: %s", uri, text)
}
