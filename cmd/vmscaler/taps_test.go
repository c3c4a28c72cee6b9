package main

import (
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// What is said at the start must be something that works.
func TestWatchHint(t *testing.T) {
	for _, tt := range []struct {
		url  string
		taps bool
		want string
	}{
		{"nats://" + bus.DefaultListen, true, "nats sub 'vmscaler.>'"},
		{"nats://127.0.0.1:4223", true, "nats sub -s nats://127.0.0.1:4223"},
		{"nats://" + bus.DefaultListen, false, "bus credentials tap"},
		{"tls://127.0.0.1:4222", true, "bus credentials tap"},
	} {
		if got := watchHint(tt.url, tt.taps); !strings.Contains(got, tt.want) {
			t.Errorf("%s, taps %v: got %q, want %q in it", tt.url, tt.taps, got, tt.want)
		}
	}
}
