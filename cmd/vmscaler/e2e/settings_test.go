package e2e

import (
	"strings"
	"testing"

	"github.com/vmscaler/vmscaler/bus"
)

// TestSetAndReset: what is set holds at once and in every stage, also in a program that was killed and started again, until
// it is reset; what is wrong changes nothing.
func TestSetAndReset(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config("min: 1\nmax: 1")
	p := w.start(config)
	p.untilReady(1)
	w.refused([]string{"set", w.group, "min=2", "--nats-url", p.url}, "min: found 2, want at most max (1")
	w.refused([]string{"set", w.group, "template=other", "--nats-url", p.url}, "\"template\"", "policy.upper")
	w.refused([]string{"set", w.group, "upper=high", "--nats-url", p.url}, "policy.upper: found high", "0 to 100 percent")
	if out := w.must("diff", "-c", config, "--nats-url", p.url); !strings.Contains(out, "as in the file") {
		t.Errorf("diff says\n%s", out)
	}
	w.must("set", w.group, "min=2", "max=2", "upper=60", "--nats-url", p.url)
	p.untilReady(2)
	p.kill()
	p = w.start(config)
	p.until("it still holds", func() bool {
		return p.decision.Inputs.Max == 2 && p.decision.Desired == 2 && p.decision.Inputs.UpperPercent == 60
	})
	if out := w.refused([]string{"diff", "-c", config, "--nats-url", p.url}, "not as in the file: "+w.group); !containsAll(
		strings.Join(strings.Fields(out), " "),
		"max 2 in the file 1",
		"policy.upper 60 in the file 70",
	) {
		t.Errorf("diff says\n%s", out)
	}
	w.must("reset", w.group, "upper", "--nats-url", p.url)
	p.until("upper is the file's", func() bool { return p.decision.Inputs.UpperPercent == 70 && p.decision.Inputs.Max == 2 })
	w.must("reset", w.group, "--nats-url", p.url)
	p.until("one VM is left", func() bool { return len(w.vms()) == 1 && p.decision.Inputs.Max == 1 })
	if out := w.must("events", w.group, "--nats-url", p.url); !containsAll(
		out,
		"set max from 1 to 2; set min from 1 to 2; set policy.upper from 70 to 60; by ",
		"reset policy.upper from 60 to 70; by ", "reset max from 2 to 1; reset min from 2 to 1; by ",
	) {
		t.Errorf("the history says\n%s", out)
	}
	p.stop()
}

// TestScalesOnMetric: a group follows a number that somebody publishes; nobody can without credentials.
func TestScalesOnMetric(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config(
		"min: 1\nmax: 2\npolicy:\n  type: [threshold, target]\n  signal: metric\n  metric: requests\n  " +
			"metric_target: 100\n  upper: 100\n  lower: 99",
	))
	p.untilReady(1)
	forged := bus.Metric{V: bus.Version, Group: w.group, Name: "requests", Value: new(1e9)}
	if err := p.conn.Publish(&forged); err != nil { // refused by the server, which says so later
		t.Fatal(err)
	}
	w.must("metric", w.group, "requests", "150", "--nats-url", p.url)
	p.until("it follows the metric", func() bool { return p.decision.Direction == bus.Out })
	if d := p.decision; !strings.Contains(d.Sentence, "target: metric 150, for each of 1 VM 150, target 100") {
		t.Errorf("it says %q", d.Sentence)
	}
	p.untilReady(2)
	p.stop()
}
