package check

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// fake is a guest that answers at once.
type fake struct {
	err     error // of whatever it is asked
	leased  bool
	address netip.Addr
	at      netip.AddrPort
	exit    Exit
	hangs   bool // its programs do not end

	ran [][]string
}

func (f *fake) Ping(context.Context) error                            { return f.err }
func (f *fake) Leased(context.Context) (bool, error)                  { return f.leased, f.err }
func (f *fake) Address(context.Context) (netip.Addr, error)           { return f.address, f.err }
func (f *fake) Endpoint(context.Context, int) (netip.AddrPort, error) { return f.at, f.err }

func (f *fake) Run(ctx context.Context, command []string) (Exit, error) {
	f.ran = append(f.ran, command)
	if f.hangs {
		<-ctx.Done()
		return Exit{}, ctx.Err()
	}
	return f.exit, f.err
}

// What a guest says and does is well, failing, or unknown, with a reason on one harmless line.
func TestTry(t *testing.T) {
	busy := fmt.Errorf("%w: libvirt is busy", ErrNotMade)
	command := bus.Check{Type: bus.CheckCommand, Command: []string{"true"}, Timeout: 10 * time.Millisecond}
	for _, tt := range []struct {
		name  string
		check bus.Check
		guest fake
		want  Outcome
		why   string // a part of it
	}{
		{"agent", bus.Check{Type: bus.CheckAgent}, fake{}, Well, "answers"},
		{"no agent", bus.Check{Type: bus.CheckAgent}, fake{err: errors.New("not connected")}, Failing, "not connected"},
		{"an agent that was not asked", bus.Check{Type: bus.CheckAgent}, fake{err: busy}, Unknown, "busy"},
		{"lease", bus.Check{Type: bus.CheckLease}, fake{leased: true}, Well, "lease"},
		{"no lease", bus.Check{Type: bus.CheckLease}, fake{}, Failing, "no DHCP lease"},
		{"leases that cannot be read", bus.Check{Type: bus.CheckLease}, fake{err: busy}, Unknown, "busy"},
		{"address", bus.Check{Type: bus.CheckAddress}, fake{address: netip.MustParseAddr("10.1.2.3")}, Well, "10.1.2.3"},
		{"no address", bus.Check{Type: bus.CheckAddress}, fake{}, Failing, "no address"},
		{"no address to reach", bus.Check{Type: bus.CheckTCP}, fake{err: errors.New("it has no address")}, Failing, "no address"},
		{"no way to reach it", bus.Check{Type: bus.CheckHTTP, Port: 1}, fake{err: busy}, Unknown, "busy"},
		{"command", command, fake{}, Well, "status was 0"},
		{"command that fails", command, fake{exit: Exit{1, "  no\x1b[2J\nsuch\tfile "}}, Failing, "status was 1: no␛[2J such file"},
		{"command that says much", command, fake{exit: Exit{1, strings.Repeat("é", 10000)}}, Failing, "éé"},
		{"command that was killed", command, fake{exit: Exit{Status: 137}}, Failing, "137"},
		{"command that hangs", command, fake{hangs: true}, Failing, "it took longer than 10ms"},
		{"guest-exec is off", command, fake{err: errors.New("the command guest-exec has been disabled")}, Failing, "disabled"},
		{"a type of a later version", bus.Check{Type: "ssh"}, fake{}, Unknown, `found the type "ssh"`},
		{"cloud-init is done", bus.Check{Type: bus.CheckCloudInit}, fake{exit: Exit{Output: "status: done"}}, Well, "done"},
		{"cloud-init is degraded", bus.Check{Type: bus.CheckCloudInit}, fake{exit: Exit{Status: 2}}, Well, "degraded"},
		{"cloud-init failed", bus.Check{Type: bus.CheckCloudInit}, fake{exit: Exit{1, "status: error"}}, Failing, "status: error"},
		{"no cloud-init", bus.Check{Type: bus.CheckCloudInit}, fake{exit: Exit{127, "not found"}}, Failing, "has no cloud-init"},
	} {
		if tt.check.Timeout == 0 {
			tt.check.Timeout = time.Minute
		}
		got := Try(t.Context(), tt.check, &tt.guest)
		if got.Outcome != tt.want || !strings.Contains(got.Why, tt.why) || len(got.Why) > maxReason || got.At.IsZero() {
			t.Errorf("%s: %+v, want %v, %q", tt.name, got, tt.want, tt.why)
		}
	}
}

// A try that is given up says nothing about the guest.
func TestTryGivenUp(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	guest := &fake{hangs: true}
	c := bus.Check{Type: bus.CheckCommand, Command: []string{"x"}, Timeout: time.Minute}
	if got := Try(ctx, c, guest); got.Outcome != Unknown {
		t.Errorf("%+v", got)
	}
}

// The guest is asked for just what the check names.
func TestWhatIsRun(t *testing.T) {
	guest := &fake{}
	for _, c := range []bus.Check{
		{Type: bus.CheckCommand, Command: bus.ShellCommand("a | b")},
		{Type: bus.CheckCommand, Command: []string{"a", "|"}},
		{Type: bus.CheckCloudInit},
	} {
		c.Timeout = time.Minute
		Try(t.Context(), c, guest)
	}
	want := `[["/bin/sh" "-c" "a | b"] ["a" "|"] ["/bin/sh" "-c" "cloud-init status --wait"]]`
	if got := fmt.Sprintf("%q", guest.ran); got != want {
		t.Errorf("ran %s", got)
	}
}
