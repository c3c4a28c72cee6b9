package vm

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/check"
	"github.com/vmscaler/vmscaler/bus"
)

// How a program ended is told as a shell does, and what it printed as errors comes first.
func TestRunStatus(t *testing.T) {
	text := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	for _, tt := range []struct {
		status runStatus
		want   check.Exit
	}{
		{runStatus{Exited: true}, check.Exit{}},
		{runStatus{Exited: true, Status: 3, Output: text("out"), Errors: text("err")}, check.Exit{Status: 3, Output: "err out "}},
		{runStatus{Exited: true, Signal: 9}, check.Exit{Status: 137}},
		{runStatus{Exited: true, Output: "no base64!"}, check.Exit{}},
	} {
		if got := tt.status.exit(); got != tt.want {
			t.Errorf("%+v: got %+v, want %+v", tt.status, got, tt.want)
		}
	}
}

// While other calls that ask guests take all turns, a check says nothing about its guest.
func TestBusyCallsSayNothing(t *testing.T) {
	calls := NewCalls()
	for range callsAtOnce {
		calls.asks <- struct{}{}
	}
	g := &guest{calls: calls}
	for _, c := range []bus.Check{
		{Type: bus.CheckAgent}, {Type: bus.CheckCommand, Command: []string{"true"}}, {Type: bus.CheckCloudInit},
	} {
		c.Timeout = 10 * time.Millisecond
		if got := check.Try(t.Context(), c, g); got.Outcome != check.Unknown {
			t.Errorf("%s: %+v", c.Type, got)
		}
	}
}

// A guest cannot have its host asked, or what others listen on: no address of its word is looked at that is not its own.
func TestCredible(t *testing.T) {
	own := []netip.Addr{netip.MustParseAddr("192.168.122.1"), netip.MustParseAddr("fd00::1")}
	told := []string{
		"127.0.0.1", "::1", "169.254.169.254", "fe80::1", "224.0.0.1", "ff02::1", "0.0.0.0", "::", "255.255.255.255", "192.168.122.1",
		"::ffff:192.168.122.1", "fd00::1", "168.63.129.16", "100.100.100.200", "fd00:ec2::254", "::ffff:127.0.0.1", "fe80::1%eth0",
		"evil.example",
		"192.168.122.7", "fd00::7",
	}
	if got := credible(told, own); !slices.Equal(got, []string{"192.168.122.7", "fd00::7"}) {
		t.Errorf("credible: %v", got)
	}
}

// A port of a VM is where it is forwarded to; with user-mode networking there is no other way to it.
func TestEndpoint(t *testing.T) {
	for _, tt := range []struct {
		name  string
		guest guest
		port  int
		want  string
	}{
		{"forwarded", guest{forwards: map[int]int{80: 8001}, alone: true}, 80, "127.0.0.1:8001"},
		{"forwarded on another machine", guest{forwards: map[int]int{80: 8001}, remote: true}, 80, "on another machine"},
		{"another port", guest{forwards: map[int]int{80: 8001}, alone: true}, 22, "nobody reaches its port 22"},
	} {
		got, err := tt.guest.Endpoint(t.Context(), tt.port)
		switch {
		case err == nil && got.String() != tt.want:
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		case err != nil && (!errors.Is(err, check.ErrNotMade) || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v, want %s", tt.name, err, tt.want)
		}
	}
}
