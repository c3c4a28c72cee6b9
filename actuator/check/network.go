package check

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

const (
	maxHeader = 64 << 10 // bytes read of a response's header
	maxBody   = 64 << 10 // bytes read of its body

	refusedWithin = time.Second // QEMU closes a connection to a forwarded port within this if nothing in the guest listens
)

func tryTCP(ctx context.Context, at netip.AddrPort) (string, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", at.String())
	if err != nil {
		return "", plain(ctx, err)
	}
	defer func() { _ = conn.Close() }()
	if tcp, ok := conn.(*net.TCPConn); ok && at.Addr().IsLoopback() {
		if err := answers(ctx, tcp); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("port %d takes connections", at.Port()), nil
}

// answers reports whether a service listens behind a forwarded port. QEMU accepts every connection to one before it connects to
// the guest: it closes the connection again if nothing listens there, and keeps it open for a minute or more if the guest's
// network is down. So an open connection proves nothing. Only what the guest does counts: it sends something, or it closes the
// connection after this side has closed its half.
func answers(ctx context.Context, conn *net.TCPConn) error {
	end, bound := ctx.Deadline()
	quiet := time.Now().Add(refusedWithin)
	if half := time.Now().Add(time.Until(end) / 2); bound && half.Before(quiet) {
		quiet = half
	}
	b := make([]byte, 1)
	if err := conn.SetReadDeadline(quiet); err != nil {
		return err
	}
	if _, err := conn.Read(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		if err != nil {
			return errors.New("the connection is closed at once")
		}
		return nil
	}
	if err := errors.Join(conn.CloseWrite(), conn.SetReadDeadline(end)); err != nil {
		return err
	}
	if _, err := conn.Read(b); err != nil && !errors.Is(err, io.EOF) {
		return errors.New("the connection is taken by QEMU, as at each forwarded port, and the guest neither speaks nor ends it")
	}
	return nil
}

// tryHTTP sends one request to that address and no other: redirects, proxies and cookies are off.
func tryHTTP(ctx context.Context, c bus.Check, at netip.AddrPort) (string, error) {
	path, err := url.Parse(c.Path)
	if err != nil {
		return "", fmt.Errorf("%w: path: %w", ErrNotMade, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, string(c.Scheme)+"://"+at.String()+path.RequestURI(), nil)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrNotMade, err)
	}
	request.Host = c.Host
	if strings.Contains(c.Host, ":") { // an IPv6 address
		request.Host = "[" + c.Host + "]"
	}
	request.Header.Set("User-Agent", "vmscaler-check")
	answer, err := transportTo(c, at).RoundTrip(request)
	if err != nil {
		return "", plain(ctx, err)
	}
	defer func() { _ = answer.Body.Close() }()
	if !c.Wants(answer.StatusCode) {
		return "", fmt.Errorf("its status was %d, want %v", answer.StatusCode, c.Status)
	}
	if c.Body == "" {
		return fmt.Sprintf("its status was %d", answer.StatusCode), nil
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	switch {
	case bytes.Contains(body, []byte(c.Body)): // even if the server fails after it
		return fmt.Sprintf("its status was %d, and its body as wanted", answer.StatusCode), nil
	case err != nil:
		return "", plain(ctx, err)
	}
	return "", fmt.Errorf("its body does not contain %q in its first %d bytes", c.Body, len(body))
}

// transportTo connects to that address only, without the environment's proxy, and with a new connection for each request.
func transportTo(c bus.Check, at netip.AddrPort) *http.Transport {
	return &http.Transport{
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", at.String())
		},
		//nolint:gosec // the config asks for it, by name
		TLSClientConfig: &tls.Config{ServerName: c.Host, InsecureSkipVerify: c.Insecure},
	}
}

// plain returns a network error without its addresses: the check's name has the useful one.
func plain(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var op *net.OpError
	if errors.As(err, &op) && op.Err != nil {
		return op.Err
	}
	return err
}
