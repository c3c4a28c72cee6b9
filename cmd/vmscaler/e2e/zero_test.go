package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// TestScaleToZero: a group that may have no VM begins without, is woken by a request, sleeps again once its VM has had nothing to
// do for long enough, also across an end of the program, and is woken by its metric.
func TestScaleToZero(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config("min: 0\nmax: 2\nidle_to_zero: 5s\nwake_for: 1s\npolicy:\n  type: target\n  signal: metric\n" +
		"  metric: jobs\n  metric_target: 10\n  metric_max_age: 10m\n  warmup: 0s")
	p := w.start(config)
	asleep := func() bool {
		return p.decision.Rule == bus.RuleAsleep && p.decision.Desired == 0 && len(p.sample.VMs) == 0 && len(w.vms()) == 0
	}
	p.until("it begins asleep", asleep)
	if out := w.must("status", w.group, "--nats-url", p.url); !containsAll(
		out,
		"desired 0",
		"asleep: woken by the metric jobs above 0",
	) {
		t.Errorf("status says\n%s", out)
	}
	if out := w.must("explain", w.group, "--nats-url", p.url); !containsAll(out, "asleep: woken by", "vmscaler.wake."+w.group) {
		t.Errorf("explain says\n%s", out)
	}
	began := time.Now()
	if out := w.must("wake", w.group, "--wait", "--nats-url", p.url); !containsAll(
		out,
		"1 VM wanted, none serves yet",
		"1 of 1 VM ready",
	) {
		t.Errorf("wake says\n%s", out)
	}
	t.Logf("a VM serves %.1f s after the request", time.Since(began).Seconds())
	p.untilReady(1)

	// Without a metric that holds nothing is known of the work, so the VM stays; what that means is in unit tests.
	w.must("metric", w.group, "jobs", "0", "--nats-url", p.url)
	p.until("it sleeps", asleep)
	if files := w.files(); len(files) > 0 {
		t.Errorf("asleep, and there are %v", files)
	}
	p.kill()
	p = w.start(config)
	p.until("it sleeps on", asleep)

	w.must("metric", w.group, "jobs", "1", "--nats-url", p.url)
	p.untilReady(1)
	w.must("metric", w.group, "jobs", "0", "--nats-url", p.url)
	p.until("it sleeps again", asleep)

	w.must("pause", w.group, "out", "--nats-url", p.url)
	w.refused([]string{"wake", w.group, "--nats-url", p.url}, "is not woken: scaling out is paused by")
	w.must("resume", w.group, "--nats-url", p.url)
	w.must("scale", w.group, "1", "--nats-url", p.url)
	p.untilReady(1)
	w.must("scale", w.group, "0", "--nats-url", p.url)
	p.until("it has none by hand", func() bool { return len(w.vms()) == 0 && p.decision.Rule == bus.RuleManual })
	if out := w.must("events", w.group, "--nats-url", p.url); !containsAll(out, "woken by", "its last VM had nothing to do for 5s",
		"scaling out: metric 1, and no VM") || strings.Contains(out, "failed") {
		t.Errorf("the history says\n%s", out)
	}
	p.stop()
}
