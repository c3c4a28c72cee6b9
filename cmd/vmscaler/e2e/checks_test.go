package e2e

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"

	"libvirt.org/go/libvirt"

	"github.com/vmscaler/vmscaler/bus"
)

// webChecks are those of a group whose VMs serve a page: the first one starts the server, the second one asks it.
const webChecks = `
checks:
  - type: command
    command: "mkdir -p /run/www && echo well > /run/www/index.html && httpd -p 127.0.0.1:8080 -h /run/www"
    for: ready
  - type: command
    command: "wget -q -O - http://127.0.0.1:8080/ | grep -q well"
    interval: 1s
    failures: 3
    grace: 1s
`

// inGuest has a VM's agent run a line.
func (w *world) inGuest(vm, line string) {
	w.t.Helper()
	if _, err := w.domain(vm).QemuAgentCommand(
		`{"execute": "guest-exec", "arguments": {"path": "/bin/sh", "arg": ["-c", "`+line+`"]}}`,
		libvirt.DOMAIN_QEMU_AGENT_COMMAND_DEFAULT, 0); err != nil {
		w.t.Fatal(err)
	}
}

// heard is the first event of that kind of a VM, which may have come already; it is waited for.
func (b *watcher) heard(vm string, event bus.EventType) bus.Event {
	b.t.Helper()
	i := -1
	b.until(vm+" is "+string(event), func() bool {
		i = slices.IndexFunc(b.all, func(e bus.Event) bool { return e.Event == event && (vm == "" || e.VM == vm) })
		return i >= 0
	})
	return b.all[i]
}

// TestBrokenServiceIsReplaced: a VM whose service ends while its agent answers fails its check and is replaced, after its
// replacement has passed the checks.
func TestBrokenServiceIsReplaced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("min: 1" + webChecks))
	p.untilReady(1)
	sick := w.vms()[0]
	if e := p.heard(sick.Name, bus.EventReady); !strings.Contains(e.Sentence, "passes 2 checks") {
		t.Errorf("event %+v", e)
	}
	w.inGuest(sick.Name, "killall httpd")
	if e := p.heard(sick.Name, bus.EventFailing); !containsAll(e.Sentence, "command wget", "3 times in a row") {
		t.Errorf("event %+v", e)
	}
	if e := p.heard(sick.Name, bus.EventUnhealthy); !strings.Contains(e.Sentence, "fails its check") {
		t.Errorf("event %+v", e)
	}
	p.heard(sick.Name, bus.EventRemoved)
	p.replacedFirst(sick)
	p.stop()
}

// TestCommonFailureReplacesNone: what all VMs of a group fail at once is no fault of theirs: health says so, none is replaced,
// and all go on when it is over.
func TestCommonFailureReplacesNone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("min: 2\nmax: 3" + webChecks))
	p.untilReady(2)
	before := w.vms()
	for _, v := range before {
		w.inGuest(v.Name, "killall httpd")
	}
	for _, v := range before {
		p.heard(v.Name, bus.EventFailing)
	}
	p.until("health says that they share it", func() bool {
		a := p.stages["actuator"]
		return slices.ContainsFunc(a.Problems, func(p bus.Problem) bool { return p.Code == bus.ProblemCheckFailsAll }) &&
			containsAll(a.Message, "2 of 2 VMs here fail the check", before[0].Name, before[1].Name, "none is replaced")
	})
	if out := w.must("status", w.group, "--nats-url", p.url); !containsAll(out, "fail the check", before[0].Name) {
		t.Errorf("status says\n%s", out)
	}
	for _, v := range before {
		w.inGuest(v.Name, "httpd -p 127.0.0.1:8080 -h /run/www")
	}
	for _, v := range before {
		p.heard(v.Name, bus.EventRecovered)
	}
	p.until("all is well", func() bool { return p.stages["actuator"].OK })
	after := w.vms()
	if len(after) != 2 || after[0].UUID != before[0].UUID || after[1].UUID != before[1].UUID {
		t.Errorf("VMs %+v, want %+v", after, before)
	}
	if p.had(bus.EventUnhealthy) || p.had(bus.EventDraining) {
		t.Error("a VM was replaced")
	}
	p.stop()
}

// TestNeverHealthy: a VM that never passes its checks ends in its boot time-out, which says which check it was, and why.
func TestNeverHealthy(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config(`min: 1
boot_timeout: 25s
checks:
  - type: agent
  - type: command
    command: "echo no database; exit 3"
`))
	lacks := `does not pass the check "command echo no database; exit 3": its status was 3: no database`
	if e := p.heard("", bus.EventFailed); !containsAll(e.Error, "boot time-out of 25s", lacks) {
		t.Errorf("event %+v", e)
	}
	if p.had(bus.EventReady) {
		t.Error("it was ready")
	}
	p.stop()
}

// freePorts is the first of n ports in a row of the loopback address that nobody uses.
func freePorts(t *testing.T, n int) int {
	t.Helper()
	for range 100 {
		first, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		open := []net.Listener{first}
		port := first.Addr().(*net.TCPAddr).Port
		for i := 1; i < n; i++ {
			if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port+i)); err == nil {
				open = append(open, l)
			}
		}
		for _, l := range open {
			_ = l.Close()
		}
		if len(open) == n {
			return port
		}
	}
	t.Fatalf("no %d free ports in a row", n)
	return 0
}

// TestForwardedPortOfADeadNetwork: a tcp check fails when the guest's network is down, although QEMU takes each connection to the
// forwarded port all the same.
func TestForwardedPortOfADeadNetwork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.network = `""`
	p := w.start(w.config(fmt.Sprintf(`min: 1
max: 2
nics:
  - type: user
    forwards:
      - host_port: %d
        guest_port: 8080
checks:
  - type: command
    command: "mkdir -p /run/www && httpd -p 8080 -h /run/www"
    for: ready
  - type: tcp
    port: 8080
    interval: 1s
    timeout: 3s
`, freePorts(t, 2))))
	p.untilReady(1)
	v := w.vms()[0]
	w.inGuest(v.Name, "ip link set eth0 down")
	if e := p.heard(v.Name, bus.EventFailing); !containsAll(e.Sentence, "tcp :8080", "neither speaks nor ends it") {
		t.Errorf("event %+v", e)
	}
	p.stop()
}

// TestChecksOfAForwardedPort: a VM with user-mode networking is asked at the port of the host that leads to it.
func TestChecksOfAForwardedPort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.network = `""`
	p := w.start(w.config(fmt.Sprintf(`min: 1
max: 2
nics:
  - type: user
    forwards:
      - host_port: %d
        guest_port: 8080
checks:
  - type: command
    command: "mkdir -p /run/www && echo well > /run/www/index.html && httpd -p 8080 -h /run/www"
    for: ready
  - type: tcp
    port: 8080
    for: ready
  - type: http
    port: 8080
    path: /index.html
    body: well
    interval: 1s
`, freePorts(t, 2))))
	p.untilReady(1)
	v := w.vms()[0]
	if e := p.heard(v.Name, bus.EventReady); !strings.Contains(e.Sentence, "passes 3 checks") {
		t.Errorf("event %+v", e)
	}
	w.inGuest(v.Name, "echo ill > /run/www/index.html")
	if e := p.heard(v.Name, bus.EventFailing); !containsAll(e.Sentence, "http :8080/index.html", `does not contain "well"`) {
		t.Errorf("event %+v", e)
	}
	p.stop()
}
