package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
	"github.com/vmscaler/vmscaler/bus/server"
)

// joinPause is the time between two tries to join, and the most by which it varies: stages that were started
// together must not all come at the same moment.
const joinPause = 250 * time.Millisecond

// Join connects to a bus of another process as one of its roles. It waits for a server, and for credentials that its
// first start makes, until ctx ends, and calls waiting once for each reason. That the bus wants credentials and
// none are named is an error, if it is so several times: a bus answers a moment before its state folder says that it does.
func Join(
	ctx context.Context,
	role string,
	remote func(role string) client.Remote,
	log zerolog.Logger,
	waiting func(error),
) (*client.Conn, error) {
	said, needed := "", 0
	for {
		conn, err := JoinNow(role, remote(role), log)
		var need *NeedCredentialsError
		if errors.As(err, &need) {
			needed++
		}
		if err == nil || needed == 3 {
			return conn, err
		}
		if need == nil && err.Error() != said && waiting != nil {
			said = err.Error()
			waiting(err)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(joinPause + rand.N(joinPause)): //nolint:gosec // not a secret
		}
	}
}

// NeedCredentialsError means that the bus wants credentials and none were named.
type NeedCredentialsError struct{ URL, Role string }

func (e *NeedCredentialsError) Error() string {
	return fmt.Sprintf(
		"the bus at %s wants credentials of role %s: name their file with --nats-nkey or VMSCALER_NATS_NKEY; on the bus's machine "+
			"`vmscaler bus credentials %s` says where it is",
		e.URL,
		e.Role,
		e.Role,
	)
}

// NoBusError means that no bus answers.
type NoBusError struct {
	URL string
	Err error
}

func (e *NoBusError) Error() string {
	if errors.Is(e.Err, nats.ErrNoServers) { // which is all that it says
		return "no bus answers at " + e.URL
	}
	if e.Foreign() {
		return "no bus answers at " + e.URL + ": what listens there is no NATS server"
	}
	return fmt.Sprintf("no bus answers at %s: %s", e.URL, e.Err)
}

// Foreign reports whether another program has the port.
func (e *NoBusError) Foreign() bool {
	return errors.Is(e.Err, nats.ErrNoInfoReceived) || errors.Is(e.Err, io.EOF)
}

func (e *NoBusError) Unwrap() error { return e.Err }

// JoinNow is Join without waiting.
func JoinNow(role string, remote client.Remote, log zerolog.Logger) (*client.Conn, error) {
	conn, err := client.DialNow(remote, role, log)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w (the bus makes it at its first start)", err)
	case errors.Is(err, nats.ErrAuthorization) && remote.Anonymous():
		return nil, &NeedCredentialsError{remote.URL, role}
	case errors.Is(err, nats.ErrAuthorization) && remote.Host != "":
		return nil, fmt.Errorf("%w: it does not let this host in, or not any more; `vmscaler host add NAME` there and "+
			"`vmscaler host join` here let it in", err)
	case errors.Is(err, nats.ErrAuthorization):
		return nil, fmt.Errorf(
			"%w: it does not know these credentials; `vmscaler bus credentials %s` on its machine names the right ones",
			err,
			role,
		)
	case errors.Is(err, nats.ErrNoServers), errors.Is(err, nats.ErrTimeout), errors.As(err, new(net.Error)),
		errors.Is(err, nats.ErrNoInfoReceived), errors.Is(err, io.EOF):
		return nil, &NoBusError{remote.URL, err}
	case err != nil:
		return nil, err
	case conn.Embedded() && remote.Anonymous() && bus.Role(role).NeedsCredentials():
		conn.Close()
		return nil, &NeedCredentialsError{remote.URL, role}
	}
	return conn, nil
}

// Credentials completes how to reach a bus: where nothing else is named, and the bus of this state folder is the one,
// with the certificate that it shows, and with the folder's own credentials, if they may be read. A key is not shown to a
// server that is taken for it: logging in signs what that sends.
func Credentials(remote client.Remote, stateDir, role string) client.Remote {
	holder, found := server.FindState(stateDir)
	if !found || !sameServer(holder.URL, remote.URL) {
		return remote
	}
	if remote.CA == "" {
		remote.CA = holder.Cert
	}
	if !remote.Anonymous() {
		return remote
	}
	file := server.CredentialsFile(stateDir, bus.Role(role))
	f, err := os.Open(file)
	if err != nil {
		return remote
	}
	_ = f.Close()
	remote.Nkey = file
	return remote
}

// sameServer reports whether a URL means the server of this machine that says it is at another: by the same name and port,
// or by any name of this machine.
func sameServer(own, named string) bool {
	ownHost, ownPort := address(own)
	host, port := address(named)
	ip := net.ParseIP(host) // another address of loopback may be another server's
	return ownHost != "" && port == ownPort && (host == ownHost || !ip.IsLoopback() && isHere(host) && isHere(ownHost))
}

// address is the host and the port of a URL, "" where it has none.
func address(s string) (host, port string) {
	u, err := url.Parse(s)
	if err != nil || u.Hostname() == "" {
		return "", ""
	}
	host, port = strings.ToLower(u.Hostname()), u.Port()
	if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	if port == "" {
		port = "4222" // as for NATS's clients
	}
	return host, port
}

// IsThisMachine reports whether a URL, or each of several, names this machine.
func IsThisMachine(urls string) bool {
	for one := range strings.SplitSeq(urls, ",") {
		host, _ := address(strings.TrimSpace(one))
		if ip := net.ParseIP(host); host == "" || !ip.IsLoopback() && !isHere(host) {
			return false
		}
	}
	return true
}

// isHere reports whether a name is one of this machine.
func isHere(host string) bool {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil || len(found) == 0 {
		return false
	}
	own, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, at := range found {
		ip := net.ParseIP(at) // of 127.0.0.0/8 an interface names one; Debian's own name is 127.0.1.1
		if !ip.IsLoopback() &&
			!slices.ContainsFunc(own, func(a net.Addr) bool { n, ok := a.(*net.IPNet); return ok && n.IP.Equal(ip) }) {
			return false
		}
	}
	return true
}
