package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// TestSeveralHooks: a VM waits for all launch hooks of its group at once. The first that says abandon ends the wait for the
// others, and the VM's launch; the next VM serves once all have said continue.
func TestSeveralHooks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	told := filepath.Join(t.TempDir(), "told")
	script := filepath.Join(t.TempDir(), "hook")
	// It keeps the first VM waiting for longer than the test takes, and lets the others go on.
	if err := os.WriteFile(script, fmt.Appendf(nil, `#!/bin/sh
echo "$VMSCALER_HOOK_NAME $VMSCALER_VM" >>%[1]s
if mkdir %[1]s.first 2>/dev/null; then
	sleep 3600
	echo "went on $VMSCALER_VM" >>%[1]s
fi
`, told), 0o755); err != nil {
		t.Fatal(err)
	}
	p := w.start(w.config("min: 1\nmax: 1\nhooks:\n  launch:\n    - {name: dns, wait_for: command, command: " + script +
		", timeout: 2h, default: abandon}\n    - {name: lb, wait_for: bus, timeout: 2h}\n"))
	// waits is the event of the hook lb, after which both are waited for.
	waits := func() (e bus.Event) {
		t.Helper()
		for e.Hook != "lb" {
			e = p.untilEvent("", bus.EventWaiting)
		}
		return e
	}
	first := waits()
	p.until("both hooks are listed", func() bool {
		out := w.must("hook", "list", w.group, "--nats-url", p.url)
		return strings.Contains(out, "launch hook dns") && strings.Contains(out, "launch hook lb") && strings.Contains(out, first.Token)
	})
	w.must("hook", "abandon", first.Token, "--reason", "no place", "--nats-url", p.url)
	e := p.untilEvent(first.VM, bus.EventFailed)
	if !strings.Contains(e.Error, "the launch hook lb of "+first.VM+" said abandon") || !strings.Contains(e.Error, "no place") {
		t.Errorf("event %+v", e)
	}
	second := waits()
	if second.Token == first.Token {
		t.Errorf("the token is %s again", second.Token)
	}
	w.must("hook", "continue", second.Token, "--nats-url", p.url)
	p.untilReady(1)
	text, err := os.ReadFile(told)
	if err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprintf("dns %s\ndns %s\n", first.VM, second.VM); string(text) != want {
		t.Errorf("the command was told %q, want %q: once of each VM, and killed while it waited", text, want)
	}
	if vms := w.uuids(); len(vms) != 1 || vms[second.VM] == "" {
		t.Errorf("left are %v, want %s alone", vms, second.VM)
	}
}
