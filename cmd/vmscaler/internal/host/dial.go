package host

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"libvirt.org/go/libvirt"
)

// Keepalive frees a call on a libvirtd that has stopped answering after about 8 s.
const (
	keepaliveSeconds = 2
	keepaliveCount   = 3
)

// dialDeadline is how long libvirt may take to answer. A session daemon is started by the first connect, which
// takes a few seconds.
const dialDeadline = 15 * time.Second

// Dialer opens connections.
type Dialer struct {
	readOnly bool
	mu       sync.Mutex
	pending  map[string][]chan attempt // given up, but not returned yet: the next Dial waits for one of these
}

type attempt struct {
	conn *libvirt.Connect
	err  error
}

// startEvents registers libvirt's event loop, which is one per process and must be there before the first connect, and runs it
// until the process ends.
var startEvents = sync.OnceValue(func() error {
	if err := libvirt.EventRegisterDefaultImpl(); err != nil {
		return fmt.Errorf("register libvirt's event loop: %w", err)
	}
	go func() {
		for {
			// An error here is one of poll(2); the next round tries again.
			_ = libvirt.EventRunDefaultImpl()
		}
	}()
	return nil
})

// NewDialer is a dialer, with libvirt's events.
func NewDialer() (*Dialer, error) {
	if err := startEvents(); err != nil {
		return nil, err
	}
	return &Dialer{}, nil
}

// ReadOnly is a dialer of the same process whose connections libvirt lets change nothing, and for which a user needs no right.
func (d *Dialer) ReadOnly() *Dialer { return &Dialer{readOnly: true} }

// Dial connects to uri. A libvirt that has not answered after 15 s is ErrDown; the attempt goes on, and a later
// Dial takes it up, so that a daemon that hangs is not asked over and over.
func (d *Dialer) Dial(ctx context.Context, uri string) (*libvirt.Connect, error) {
	done := d.attempt(uri)
	deadline := time.NewTimer(dialDeadline)
	defer deadline.Stop()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, explain(uri, r.err)
		}
		return r.conn, nil
	case <-deadline.C:
		d.giveUp(uri, done)
		return nil, &DialError{
			Kind: ErrDown, URI: uri, Reason: fmt.Sprintf("it takes connections, but has not answered for %s", dialDeadline),
		}
	case <-ctx.Done():
		d.giveUp(uri, done)
		return nil, fmt.Errorf("connect to %s: %w", uri, context.Cause(ctx))
	}
}

// attempt is one that was given up and still runs, or else a new one.
func (d *Dialer) attempt(uri string) chan attempt {
	d.mu.Lock()
	defer d.mu.Unlock()
	if waiting := d.pending[uri]; len(waiting) > 0 {
		d.pending[uri] = waiting[1:]
		return waiting[0]
	}
	done := make(chan attempt, 1)
	go func() {
		open := libvirt.NewConnect
		if d.readOnly {
			open = libvirt.NewConnectReadOnly
		}
		conn, err := open(uri)
		if err == nil {
			// Drivers without a connection (test, embed) know no keepalive and need none.
			_ = conn.SetKeepAlive(keepaliveSeconds, keepaliveCount)
		}
		done <- attempt{conn, err}
	}()
	return done
}

func (d *Dialer) giveUp(uri string, done chan attempt) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.pending == nil {
		d.pending = map[string][]chan attempt{}
	}
	d.pending[uri] = append(d.pending[uri], done)
}

// To is Dial with the URI filled in, as stages take it.
func (d *Dialer) To(uri string) func(context.Context) (*libvirt.Connect, error) {
	return func(ctx context.Context) (*libvirt.Connect, error) { return d.Dial(ctx, uri) }
}

// Wait dials until libvirt answers or ctx ends. tell is called with each new reason for waiting. An error that
// waiting does not fix (no permission, a URI that libvirt does not know) is returned at once.
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

// ErrDown means that nothing answers at a URI, which may change.
var ErrDown = errors.New("libvirt does not answer")

// ErrPermission means that this user may not use a URI.
var ErrPermission = errors.New("no permission to use libvirt")

// DialError is why libvirt cannot be used at a URI. It wraps its kind.
type DialError struct {
	Kind   error // ErrDown or ErrPermission
	URI    string
	Reason string
	Remedy string // what the user can do; "" where nothing is known
}

func (e *DialError) Error() string {
	if e.Remedy == "" {
		return e.At(e.URI)
	}
	return e.At(e.URI) + "; " + e.Remedy
}

// At is the error without its remedy, with other words for the URI.
func (e *DialError) At(place string) string {
	return fmt.Sprintf("%s at %s: %s", e.Kind, place, e.Reason)
}

func (e *DialError) Unwrap() error { return e.Kind }

// explain adds what the user can do.
func explain(uri string, err error) error {
	var e libvirt.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("connect to %s: %w", uri, err)
	}
	text := e.Message
	if u, err := url.Parse(uri); err == nil && u.Host != "" {
		return fmt.Errorf("connect to %s: %s", uri, text) // its remedies are those of ssh or TLS
	}
	remedy := "join the group with `sudo usermod -aG libvirt $USER` and log in again, or use `--uri " + SessionURI +
		"`, which needs no rights"
	if IsSession(uri) {
		remedy = "the session belongs to another user"
	}
	switch {
	case errors.Is(err, libvirt.ERR_AUTH_UNAVAILABLE),
		errors.Is(err, libvirt.ERR_AUTH_FAILED),
		errors.Is(err, libvirt.ERR_AUTH_CANCELLED),
		strings.Contains(text, "Permission denied"),
		strings.Contains(text, "polkit"),
		strings.Contains(text, "system bus"):
		return &DialError{ErrPermission, uri, text, remedy}
	case errors.Is(err, libvirt.ERR_SYSTEM_ERROR), errors.Is(err, libvirt.ERR_RPC):
		remedy = "start it with `sudo systemctl start libvirtd` (without systemd: `packaging/host-setup.sh libvirt`)"
		if IsSession(uri) {
			remedy = ""
		}
		return &DialError{ErrDown, uri, text, remedy}
	}
	return fmt.Errorf("connect to %s: %s", uri, text)
}
