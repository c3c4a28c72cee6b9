package e2e

import (
	"bufio"
	"os"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// TestDashboardAttaches: a dashboard that is told nothing finds the running process, on whatever port its bus is,
// and shows what happens there.
func TestDashboardAttaches(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("min: 1\nmax: 1"))
	cmd := w.command("dashboard", "--no-dashboard")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	found := make(chan bool, 1)
	go func() {
		lines := bufio.NewScanner(out)
		seen := false
		for lines.Scan() {
			if !seen && strings.Contains(lines.Text(), w.group) && strings.Contains(lines.Text(), string(bus.EventReady)) {
				seen = true
				found <- true
			}
		}
		found <- false
	}()
	p.untilReady(1)
	// The event may have come before the dashboard was there; another VM then brings another one.
	if err := w.domain(w.group + "-1").Destroy(); err != nil {
		t.Fatal(err)
	}
	if !<-found {
		t.Error("the dashboard ended without showing the VM as ready")
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-found // its end
	if err := cmd.Wait(); err != nil {
		t.Errorf("the dashboard after Ctrl-C: %s", err)
	}
	p.stop()
}
