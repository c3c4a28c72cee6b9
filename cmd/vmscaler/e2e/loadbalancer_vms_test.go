//go:build long

package e2e

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// TestLoadBalancersOfVMs: the same with real VMs behind forwarded ports: HAProxy and nginx lose no request while the group is
// scaled out, all its VMs are replaced, and it is scaled in.
func TestLoadBalancersOfVMs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.network = `""`
	p := w.start(w.config(fmt.Sprintf(`min: 1
max: 4
boot_timeout: 5m
drain: 10s
nics:
  - type: user
    forwards:
      - host_port: %d
        guest_port: 80
checks:
  - type: command
    command: "mkdir -p /run/www && printf %%s $(hostname) > /run/www/index.html && (pidof httpd || httpd -p 80 -h /run/www)"
    for: ready
  - type: http
    for: ready
`, freePorts(t, 8))))
	p.untilReady(1)
	web, dir := freeAddress(t), t.TempDir()
	startCommand(t, program, "web", "--nats-url", p.url, "--http", web)
	first := w.vms()[0].Name
	var loads []*load
	for name, start := range balancers() {
		at := start(t, dir, "http://"+web, w.group)
		until(t, name+" answers", func() bool { return answers(at, first) })
		loads = append(loads, startLoad(t, name, at, http.MethodGet, 200*time.Millisecond))
	}
	uses := func() {
		t.Helper()
		for _, vm := range w.vms() {
			for _, l := range loads {
				until(t, l.name+" uses "+vm.Name, func() bool { return l.uses(vm.Name) })
			}
		}
	}
	w.must("scale", w.group, "2", "--nats-url", p.url, "--wait", "--timeout", "5m")
	uses()
	old := w.uuids()
	w.must("refresh", w.group, "--all", "--nats-url", p.url, "--wait", "--timeout", "15m")
	for name, uuid := range w.uuids() {
		if old[name] == uuid {
			t.Errorf("%s was not replaced", name)
		}
	}
	uses()
	w.must("scale", w.group, "1", "--nats-url", p.url, "--wait", "--timeout", "5m")
	for _, l := range loads {
		l.more(50)
	}
	report(t, loads)
	p.stop()
}
