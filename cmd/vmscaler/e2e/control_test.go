package e2e

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// TestPauseOutlivesTheProgram: what a person has paused is not done, also by a program that was killed and started
// again, until it is taken back; status and history say who it was.
func TestPauseOutlivesTheProgram(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config("min: 1")
	p := w.start(config)
	p.untilReady(1)
	if out := w.must("pause", w.group, "repair", "--nats-url", p.url); !strings.Contains(out, "repair") {
		t.Errorf("pause says %q", out)
	}
	dead := w.vms()[0]
	if err := w.domain(dead.Name).Destroy(); err != nil {
		t.Fatal(err)
	}
	off := func(b run) {
		t.Helper()
		decisions := 0
		last := b.decision.Seq
		b.until("decisions over a VM that is off", func() bool {
			if b.decision.Seq != last && b.decision.Controls.IsPaused(bus.ScopeRepair) && len(b.sample.VMs) == 1 &&
				b.sample.VMs[0].State == bus.StateShutoff {
				last = b.decision.Seq
				decisions++
			}
			return decisions >= 5
		})
		if vms := w.vms(); len(vms) != 1 || vms[0].UUID != dead.UUID {
			t.Errorf("with repair paused there are %+v", vms)
		}
	}
	off(p)
	p.kill()
	p = w.start(config)
	off(p)
	if out := w.must("status", w.group, "--nats-url", p.url); !strings.Contains(out, "repair") || !strings.Contains(out, dead.Name) {
		t.Errorf("status says\n%s", out)
	}
	w.must("resume", w.group, "--nats-url", p.url)
	p.untilReady(1)
	if vms := w.vms(); vms[0].UUID == dead.UUID {
		t.Errorf("it was not replaced: %+v", vms)
	}
	if out := w.must("events", w.group, "--nats-url", p.url); !strings.Contains(out, "paused: repair") ||
		!strings.Contains(out, "resumed: repair") {
		t.Errorf("the history says\n%s", out)
	}
	w.refused([]string{"pause", "nosuch", "--nats-url", p.url}, "nosuch", w.group)
	w.refused([]string{"pause", w.group, "sideways", "--nats-url", p.url}, "sideways", "out", "in", "repair")
	p.stop()
}

// TestProtectedIsNotScaledIn: a protected VM stays, and the other goes in its place.
func TestProtectedIsNotScaledIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("min: 2"))
	p.untilReady(2)
	newest := w.group + "-2"
	before := w.uuids()[newest]
	w.must("protect", newest, "--reason", "I debug it")
	if e := p.untilEvent(newest, bus.EventOrdered); e.By == "" || e.Reason != "I debug it" {
		t.Errorf("the history is told %+v, want who protects it, and why", e)
	}
	p.until("the sample says so", func() bool {
		for _, vm := range p.sample.VMs {
			if vm.Name == newest {
				return vm.Protected
			}
		}
		return false
	})
	p.stop()
	p = w.start(w.config("min: 1\nmax: 1"))
	p.until("one VM is left", func() bool { return len(w.vms()) == 1 })
	if left := w.uuids(); left[newest] != before {
		t.Errorf("left are %v, want the protected %s", left, newest)
	}
	p.stop()
}

// TestDeletionProtection: `vmscaler down` refuses a group that is kept, also where there is no config, until the config says
// otherwise and the VMs have heard it.
func TestDeletionProtection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("min: 1\nmax: 1\nprotect_new: true\ndeletion_protection: prevent-all"))
	p.untilReady(1)
	p.until("its VM is protected", func() bool { return len(p.sample.VMs) == 1 && p.sample.VMs[0].Protected })
	p.stop()
	w.refused([]string{"down", w.group, "--yes"}, "deletion_protection: prevent-all", "nothing was removed")
	p = w.start(w.config("min: 1\nmax: 1\ndeletion_protection: prevent-force"))
	p.until("its VM has the other level", func() bool { return w.vms()[0].Deletion == bus.DeletionPreventForce })
	p.stop()
	w.refused(
		[]string{"down", w.group, "--yes"},
		"deletion_protection: prevent-force",
		"no terminal to ask on",
		"nothing was removed",
	)
	p = w.start(w.config("min: 1\nmax: 1"))
	p.until("its VM may go", func() bool { return w.vms()[0].Deletion == bus.DeletionAllowed })
	p.stop()
}

// TestScaledByHand: the number that a person gives a group holds, also in a program that was killed and started again,
// until it is released; explain says why the group has the size it has, now and at a decision of the past.
func TestScaledByHand(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config("min: 1\nmax: 3")
	p := w.start(config)
	p.untilReady(1)
	w.must("scale", w.group, "2", "--nats-url", p.url)
	p.untilReady(2)
	p.kill()
	p = w.start(config)
	p.until("it still holds", func() bool { return p.decision.Rule == bus.RuleManual && p.decision.Desired == 2 })
	if out := w.must("explain", w.group, "--nats-url", p.url); !strings.Contains(out, "scaled to 2 VMs by hand") ||
		!strings.Contains(out, "--release") {
		t.Errorf("explain says\n%s", out)
	}
	w.refused([]string{"scale", w.group, "4", "--nats-url", p.url}, "found 4", "1 to 3")
	w.must("scale", w.group, "--release", "--nats-url", p.url)
	p.until("it is idle, and its policy decides", func() bool { return len(w.vms()) == 1 && p.decision.Guard == bus.GuardAtMin })
	if out := w.must("explain", w.group, "--nats-url", p.url); !strings.Contains(out, "only a lower min lets it shrink") {
		t.Errorf("explain says\n%s", out)
	}
	history := w.must("events", w.group, "--nats-url", p.url)
	if !strings.Contains(history, "scaled to 2 VMs by hand") {
		t.Errorf("the history says\n%s", history)
	}
	var growth bus.Decision
	for line := range strings.Lines(w.must("events", w.group, "-o", "json", "--nats-url", p.url)) {
		var r client.HistoryEntry
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if r.Decision != nil && r.Decision.Rule == bus.RuleManual {
			growth = *r.Decision
		}
	}
	if out := w.must("explain", w.group, "--decision", growth.ID, "--nats-url", p.url); !strings.Contains(out, "out, was 1") {
		t.Errorf("explain of %q says\n%s", growth.ID, out)
	}
	w.refused([]string{"explain", w.group, "--decision", "nosuch", "--nats-url", p.url}, "no decision \"nosuch\"")
	p.stop()
}

// TestPredictive: a group with this policy grows under load, and says what it expects.
func TestPredictive(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("min: 1\nmax: 2\npolicy:\n  type: predictive\n  setting: thrifty"))
	p.untilReady(1)
	ctx, stop := context.WithCancel(t.Context())
	loaded := make(chan error, 1)
	command := w.command("load", w.vms()[0].Name, "--for", "1h")
	go func() { loaded <- runUntil(ctx, command) }()
	p.untilReady(2)
	if d := p.decision; len(d.Recommendations) != 1 || d.Recommendations[0].Policy != bus.PolicyPredictive {
		t.Errorf("decided by %+v", d)
	}
	stop()
	if err := <-loaded; err != nil {
		t.Error(err)
	}
	p.stop()
}
