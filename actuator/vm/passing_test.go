package vm

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/actuator/check"
	"github.com/vmscaler/vmscaler/bus"
)

// scripted is a guest whose programs end as they are told to, one after the other; what is not told of hangs.
type scripted struct {
	check.Guest
	says chan string // "ok", "busy", or an error
	ran  []string
}

func (s *scripted) Run(ctx context.Context, command []string) (check.Exit, error) {
	s.ran = append(s.ran, command[0])
	select {
	case say := <-s.says:
		switch say {
		case "ok":
			return check.Exit{}, nil
		case "busy":
			return check.Exit{}, fmt.Errorf("%w: busy", check.ErrNotMade)
		}
		return check.Exit{}, errors.New(say)
	case <-ctx.Done():
		return check.Exit{}, ctx.Err()
	}
}

func (s *scripted) Address(context.Context) (netip.Addr, error) { return netip.Addr{}, nil }

// tried goes on with p until the try under way is taken.
func tried(t *testing.T, p *passing, now time.Time) bool {
	t.Helper()
	if p.tried == nil { // else a step takes the result, and may begin the next try
		if passed := p.step(t.Context(), now); p.tried == nil {
			return passed
		}
	}
	r := <-p.tried
	p.tried <- r
	return p.step(t.Context(), now)
}

// The checks are passed one after the other, each as often in a row as it wants, and those for health alone are left out.
func TestPassing(t *testing.T) {
	command := func(name string, change ...func(*bus.Check)) bus.Check {
		c := bus.Check{Type: bus.CheckCommand, Command: []string{name}}.WithDefaults()
		for _, f := range change {
			f(&c)
		}
		return c
	}
	guest := &scripted{says: make(chan string, 1)}
	p := newPassing([]bus.Check{
		command("first"), command("later", func(c *bus.Check) { c.For = bus.CheckForHealth }),
		command("second", func(c *bus.Check) { c.Successes, c.For = 2, bus.CheckForReady }),
	}, guest)
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	for i, step := range []struct{ say, lacks string }{
		{"no route", `"command first": no route`},
		{"busy", `"command first": the check could not be made: busy`},
		{"ok", `"command second": it has not been tried`},
		{"ok", `"command second": it has not been tried`},
		{"no space", `"command second": no space`},
		{"ok", `"command second": no space`},
	} {
		guest.says <- step.say
		if tried(t, p, now) {
			t.Fatalf("step %d: passed", i)
		}
		if got := p.lacks(); !strings.Contains(got, step.lacks) {
			t.Errorf("step %d: it lacks %q, want %q", i, got, step.lacks)
		}
		now = now.Add(longestReadyPause)
	}
	guest.says <- "ok"
	if !tried(t, p, now) || p.done != 2 || p.lacks() != "" {
		t.Errorf("not passed: %d, %q", p.done, p.lacks())
	}
	if got := strings.Join(guest.ran, " "); got != "first first first second second second second" {
		t.Errorf("ran %s", got)
	}
	p.end()
}

// No check is tried again before its time, and the end of the wait ends a try.
func TestPassingPauses(t *testing.T) {
	c := bus.Check{Type: bus.CheckAddress}.WithDefaults()
	p := newPassing([]bus.Check{c}, &scripted{})
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	tried(t, p, now)
	if p.step(t.Context(), now.Add(longestReadyPause-1)); p.tried != nil {
		t.Error("tried again at once")
	}
	hangs := bus.Check{Type: bus.CheckCommand, Command: []string{"x"}}.WithDefaults()
	p = newPassing([]bus.Check{hangs}, &scripted{})
	p.step(t.Context(), now)
	if p.step(t.Context(), now.Add(time.Hour)); len(p.left) != 1 {
		t.Error("passed without an answer")
	}
	p.end()
}

// Where checks follow, a guest that never says that it is up leaves them the last quarter of the boot time-out.
func TestPatience(t *testing.T) {
	spec := webSpec(func(g *bus.Group) { g.BootTimeout = time.Minute })
	if got := patience(spec); got != time.Minute {
		t.Errorf("without checks %s", got)
	}
	spec.Checks = []bus.Check{{Type: bus.CheckAgent, For: bus.CheckForHealth}}
	if got := patience(spec); got != time.Minute {
		t.Errorf("with one for health %s", got)
	}
	spec.Checks = append(spec.Checks, bus.Check{Type: bus.CheckAgent, For: bus.CheckForBoth})
	if got := patience(spec); got != 45*time.Second {
		t.Errorf("with one for ready %s", got)
	}
}

// A group whose VMs could never be ready is refused before one is made, for a reason that names the setting.
func TestUnpassable(t *testing.T) {
	forwarded := []bus.NIC{{Type: bus.NICUser, Forwards: []bus.Forward{{Host: 8000, Guest: 80}}}}
	http, lease := bus.Check{Type: bus.CheckHTTP}.WithDefaults(), bus.Check{Type: bus.CheckLease}.WithDefaults()
	for _, tt := range []struct {
		name   string
		change func(*bus.Group)
		leased string
		want   string // words of the error; "": none
	}{
		{"no checks", func(*bus.Group) {}, "", ""},
		{"ready by a lease", func(g *bus.Group) { g.ReadyWhen = bus.ReadyLease }, "", "ready_when: found lease"},
		{"ready by a lease that is seen", func(g *bus.Group) { g.ReadyWhen = bus.ReadyLease }, "default", ""},
		{"a check of leases", func(g *bus.Group) { g.Checks = []bus.Check{lease} }, "", `check "lease"`},
		{"a check of leases that are seen", func(g *bus.Group) { g.Checks = []bus.Check{lease} }, "default", ""},
		{"reached", func(g *bus.Group) { g.Checks = []bus.Check{http} }, "", ""},
		{
			"not reached", func(g *bus.Group) { g.Checks, g.Network = []bus.Check{http}, bus.UserNetwork }, "",
			`"http :80/": with user-mode`,
		},
		{"reached by a port", func(g *bus.Group) { g.Checks, g.Hardware.NICs = []bus.Check{http}, forwarded }, "", ""},
		{"an address", func(g *bus.Group) {
			g.Checks, g.Hardware.NICs = []bus.Check{{Type: bus.CheckAddress}}, forwarded
		}, "", `check "address"`},
	} {
		err := unpassable(webSpec(tt.change), tt.leased)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}
