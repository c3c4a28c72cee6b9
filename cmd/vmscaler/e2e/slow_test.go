//go:build long

package e2e

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// slowShutdown takes the place of a guest's shutdown, which its agent calls: 15 s pass before anything happens.
const slowShutdown = `#!/bin/sh
sleep 15
exec /sbin/shutdown.quick "$@"
`

// TestSlowGuests: guests, five at a time, that take longer to stop than libvirt's keepalive waits. Five calls that wait for
// them would take the whole connection, and the keepalive would cut it.
func TestSlowGuests(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config(
		"min: 1\nmax: 6\nshutdown_timeout: 90s\nboot_timeout: 5m\nbrakes: {removals: 100}\nrepair: {health_grace: 0s}",
	)
	p := w.start(config)
	for n := 2; n <= 6; n += 2 { // as many boot at a time here
		w.must("scale", w.group, strconv.Itoa(n), "--nats-url", p.url)
		p.untilReady(n)
	}
	for _, vm := range w.vms() {
		w.slowDown(vm.Name)
	}
	w.must("scale", w.group, "1", "--nats-url", p.url)
	p.untilReady(1)
	for _, h := range p.stages {
		if !h.OK {
			t.Errorf("%s: %s", h.Stage, h.Message)
		}
	}
	for _, e := range p.all {
		if e.Event == bus.EventFailed || e.Event == bus.EventDied {
			t.Errorf("event %+v", e)
		}
		if e.Event == bus.EventStopping && e.ElapsedMS < 15_000 {
			t.Errorf("%s was stopped after %d ms: its guest was not given its time", e.VM, e.ElapsedMS)
		}
	}
	p.stop()
	if out, err := w.command("down", w.group, "--yes", "--shutdown-timeout", "90s").CombinedOutput(); err != nil {
		t.Errorf("down: %s\n%s", err, out)
	}
	if left := w.vms(); len(left) > 0 {
		t.Errorf("left: %+v", left)
	}
}

// slowDown makes a guest slow to stop.
func (w *world) slowDown(vm string) {
	w.t.Helper()
	install := fmt.Sprintf("cd /sbin && mv shutdown shutdown.quick && echo %s | busybox base64 -d >shutdown && chmod 755 shutdown",
		base64.StdEncoding.EncodeToString([]byte(slowShutdown)))
	var run struct {
		Return struct {
			PID int `json:"pid"`
		} `json:"return"`
	}
	w.askAgent(vm, fmt.Sprintf(`{"execute": "guest-exec", "arguments": {"path": "/bin/sh", "arg": ["-c", %q]}}`, install), &run)
	// Its answer says only that the command was started.
	poll := time.NewTicker(100 * time.Millisecond)
	defer poll.Stop()
	for {
		var status struct {
			Return struct {
				Exited   bool `json:"exited"`
				ExitCode int  `json:"exitcode"`
			} `json:"return"`
		}
		w.askAgent(vm, fmt.Sprintf(`{"execute": "guest-exec-status", "arguments": {"pid": %d}}`, run.Return.PID), &status)
		if status.Return.Exited {
			if status.Return.ExitCode != 0 {
				w.t.Fatalf("to make %s slow failed with %d", vm, status.Return.ExitCode)
			}
			return
		}
		<-poll.C
	}
}
