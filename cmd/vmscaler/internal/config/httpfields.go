package config

import "github.com/vmscaler/vmscaler/bus"

// DefaultHTTP is where HTTP is served unless something else is said; HTTPOff is nowhere.
const (
	DefaultHTTP = "127.0.0.1:9464"
	HTTPOff     = "off"
)

// WantHTTPListen is what the address of HTTP may be.
const WantHTTPListen = "HOST:PORT, such as " + DefaultHTTP + ", or off"

// IsHTTPListen reports whether HTTP may be served there.
func IsHTTPListen(s string) bool {
	_, _, err := bus.SplitListen(s)
	return s == HTTPOff || err == nil
}
