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
	maxHeader = 64 << 10 // bytes of an answer's header that are read
	maxBody   = 64 << 10 // and of its body

	refusedWithin = time.Second // a connection to a forwarded port is closed again where nobody in the guest listens
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

// answers finds out whether a service is behind a forwarded port. QEMU takes each connection to one, and asks the guest
// afterwards: where nobody listens there, it closes the connection again; where the guest's network is down, it keeps it open for
// a minute or more. So a connection that stays says nothing, and only what comes from the guest counts: a service speaks first,
// or else it ends the connection when this side has nothing to say.
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

// tryHTTP asks a web server once, at that address and no other: no redirect is followed, no proxy used, no cookie kept.
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
	case bytes.Contains(body, []byte(c.Body)): // also where the server stops in the middle of what comes after it
		return fmt.Sprintf("its status was %d, and its body as wanted", answer.StatusCode), nil
	case err != nil:
		return "", plain(ctx, err)
	}
	return "", fmt.Errorf("its body does not contain %q in its first %d bytes", c.Body, len(body))
}

// transportTo connects to that address alone, without a proxy, whatever the environment says, and once for each request.
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

// plain is an error of the network without the address, which is in the check's name or of no use to whoever reads it.
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
