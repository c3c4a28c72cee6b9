package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// TestHooks: a command is told of each VM before it counts, and its refusal is a reason to make another one; and a VM is
// shut down only when somebody on the bus lets it go, also by a program that was started again meanwhile.
func TestHooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	dir := t.TempDir()
	told := filepath.Join(dir, "told")
	script := filepath.Join(dir, "hook")
	// It refuses the first VM, and notes the others. Two may be ready at the same time.
	if err := os.WriteFile(script, fmt.Appendf(nil, `#!/bin/sh
if mkdir %[1]s.first 2>/dev/null; then
	echo "not this one"
	exit 3
fi
echo "$VMSCALER_HOOK $VMSCALER_GROUP $VMSCALER_VM $VMSCALER_UUID $VMSCALER_HOST $VMSCALER_ADDRESS" >>%[1]s
`, told), 0o755); err != nil {
		t.Fatal(err)
	}
	hooks := "hooks:\n  launch: {wait_for: command, command: " + script + "}\n  remove: {wait_for: bus, timeout: 30m}\n"
	p := w.start(w.config("min: 2\n" + hooks))
	if e := p.untilEvent("", bus.EventFailed); !strings.Contains(
		e.Error,
		"the launch hook of "+e.VM+" said abandon: its command ended with exit status 3",
	) ||
		strings.Contains(e.Error, "not this one") {
		t.Errorf("event %+v", e)
	}
	p.untilReady(2)
	text, err := os.ReadFile(told)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 2 {
		t.Fatalf("the launch hook let %q go on, want two", lines)
	}
	uuids := w.uuids()
	for _, line := range lines {
		fields := strings.Fields(line)
		if len(fields) != 6 || fields[0] != "launch" || fields[1] != w.group || uuids[fields[2]] != fields[3] ||
			fields[4] != p.sample.Host {
			t.Errorf("the command was told %q; the VMs are %v", line, uuids)
		} else if _, err := netip.ParseAddr(fields[5]); err != nil {
			t.Errorf("the address of %s: %v", fields[2], err)
		}
	}
	p.stop()

	config := w.config("min: 1\nmax: 1\n" + hooks)
	p = w.start(config)
	first := p.untilEvent("", bus.EventWaiting)
	p.kill()
	p = w.start(config)
	e := p.untilEvent(first.VM, bus.EventWaiting)
	if e.Token == first.Token || e.Deadline == nil || !e.Deadline.Equal(*first.Deadline) ||
		!strings.Contains(e.Sentence, "remove hook") {
		t.Errorf("before the restart %+v, after it %+v", first, e)
	}
	if vms := w.uuids(); vms[e.VM] != uuids[e.VM] || len(vms) != 2 {
		t.Errorf("while the hook waits there are %v, want %v", vms, uuids)
	}
	w.refused([]string{"hook", "continue", first.Token, "--nats-url", p.url}, "no VM waits with the token", first.Token)
	if out := w.must("hook", "heartbeat", e.Token, "--nats-url", p.url); !strings.Contains(
		out,
		e.VM+": remove hook: heartbeat, waits until ",
	) {
		t.Errorf("heartbeat says %q", out)
	}
	if beat := p.untilEvent(e.VM, bus.EventWaiting); beat.Token != e.Token || !beat.Deadline.After(*e.Deadline) {
		t.Errorf("after a heartbeat %+v, before %+v", beat, e)
	}
	if out := w.must("hook", "continue", e.Token, "--nats-url", p.url); out != e.VM+": remove hook: continue\n" {
		t.Errorf("continue says %q", out)
	}
	p.untilReady(1)
	if vms := w.uuids(); len(vms) != 1 || vms[e.VM] != "" {
		t.Errorf("left are %v, want the other than %s", vms, e.VM)
	}
	p.stop()
	if after, err := os.ReadFile(told); err != nil || string(after) != string(text) {
		t.Errorf("the launch hook was called again:\n%s", after)
	}
}
