package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/vmscaler/vmscaler/bus"
)

// joinPause is the time between two tries to join, and the most by which it varies: stages that were started
// together must not all come at the same moment.
const joinPause = 250 * time.Millisecond

// Join connects to a bus of another process as one of its roles. It waits for a server, and for credentials that its
// first start makes, until ctx ends, and tells waiting why, once for each reason. That the bus wants credentials and
// none are named is an error, if it is so several times: a bus answers a moment before its state folder says that it does.
func Join(ctx context.Context, role string, remote func(role string) bus.Remote, log zerolog.Logger, waiting func(error)) (*bus.Conn, error) {
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

// NeedCredentialsError says that the bus wants credentials and none were named.
type NeedCredentialsError struct{ URL, Role string }

func (e *NeedCredentialsError) Error() string {
	return fmt.Sprintf("the bus at %s wants credentials of role %s: name their file with --nats-nkey or VMSCALER_NATS_NKEY; on the bus's machine `vmscaler bus credentials %s` says where it is",
		e.URL, e.Role, e.Role)
}

// JoinNow is Join without waiting.
func JoinNow(role string, remote bus.Remote, log zerolog.Logger) (*bus.Conn, error) {
	conn, err := bus.DialNow(remote, role, log)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w (the bus makes it at its first start)", err)
	case errors.Is(err, nats.ErrAuthorization) && remote.Anonymous():
		return nil, &NeedCredentialsError{remote.URL, role}
	case errors.Is(err, nats.ErrAuthorization):
		return nil, fmt.Errorf("%w: it does not know these credentials; `vmscaler bus credentials %s` on its machine names the right ones", err, role)
	case err != nil:
		return nil, err
	case conn.Embedded() && remote.Anonymous() && bus.Role(role).NeedsCredentials():
		conn.Close()
		return nil, &NeedCredentialsError{remote.URL, role}
	}
	return conn, nil
}

// Credentials completes how to reach a bus: where nothing else is named, and the bus of this state folder is the one,
// with the folder's own credentials, if they may be read.
func Credentials(remote bus.Remote, stateDir, role string) bus.Remote {
	holder, found := bus.FindState(stateDir)
	if !remote.Anonymous() || !found || !sameServer(holder.URL, remote.URL) {
		return remote
	}
	file := bus.CredentialsFile(stateDir, bus.Role(role))
	f, err := os.Open(file)
	if err != nil {
		return remote
	}
	_ = f.Close()
	remote.Nkey = file
	return remote
}

// sameServer compares the addresses of two URLs.
func sameServer(a, b string) bool {
	at := func(s string) string {
		u, err := url.Parse(s)
		if err != nil || u.Hostname() == "" {
			return ""
		}
		host, port := strings.ToLower(u.Hostname()), u.Port()
		if ip := net.ParseIP(host); host == "localhost" || ip != nil && ip.IsUnspecified() {
			host = "127.0.0.1"
		}
		if port == "" {
			port = "4222" // as for NATS's clients
		}
		return net.JoinHostPort(host, port)
	}
	return at(a) != "" && at(a) == at(b)
}
