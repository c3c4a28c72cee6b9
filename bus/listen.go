package bus

import (
	"fmt"
	"net"
	"strconv"
)

// DefaultListen is where the embedded server listens: NATS's usual port, so that a bare `nats sub` finds it.
const DefaultListen = "127.0.0.1:4222"

// CheckListen reports what is wrong with an address for the embedded server. Only with TLS it may be another than
// loopback: otherwise anyone who can reach the bus could watch it, and take over its connections.
func CheckListen(listen string, tls bool) error {
	host, _, err := SplitListen(listen)
	if err == nil && !tls && !IsLoopback(host) {
		return fmt.Errorf(
			"%q: only loopback addresses (127.0.0.1, ::1, localhost) are allowed without TLS, as whoever reaches the bus can watch it "+
				"unencrypted; for others set a certificate (--nats-cert) and its key (--nats-key)",
			listen,
		)
	}
	return err
}

// IsLoopback reports whether a host name or address is this machine's loopback.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// SplitListen takes HOST:PORT apart.
func SplitListen(listen string) (string, int, error) {
	host, portText, err := net.SplitHostPort(listen)
	if err != nil {
		return "", 0, fmt.Errorf("%q: want HOST:PORT, such as %s", listen, DefaultListen)
	}
	port, err := strconv.Atoi(portText)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%q: want a port from 0 to 65535", listen)
	}
	return host, port, nil
}
