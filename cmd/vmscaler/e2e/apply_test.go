package e2e

import (
	"maps"
	"testing"

	"github.com/vmscaler/vmscaler/bus/client"
)

// TestApplySplit: other groups hold in the processes of all stages, or in none where one of them refuses, and the VMs go by them.
func TestApplySplit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	config := w.config("min: 1\nmax: 3\n")
	s := w.split(freeAddress(t), config)
	s.start("bus").says("bus: " + s.url)
	for _, stage := range []string{"decider", "collector", "actuator"} {
		s.start(stage)
	}
	b := w.watch(client.Remote{URL: s.url})
	b.untilReady(1)
	b.until("all stages are heard", func() bool {
		return b.stages["decider"].OK && b.stages["collector"].OK && b.stages["actuator"].OK
	})
	one := w.uuids()

	larger := w.config("min: 2\nmax: 4\n")
	if out := w.must("apply", "-f", larger, "--dry-run"); !containsAll(out, w.group, "max 4 (was 3)", "nothing is changed") {
		t.Errorf("a dry run says\n%s", out)
	}
	w.refused([]string{"apply", "-f", w.config("min: 2\nmax: 4\ntemplate: gone\n")}, "nothing is changed", "actuator", "gone")
	if b.untilReady(1); b.decision.Inputs.Max != 3 || !maps.Equal(one, w.uuids()) {
		t.Errorf("after a dry run and a refusal max is %d and the VMs %v, want 3 and %v", b.decision.Inputs.Max, w.uuids(), one)
	}
	out := w.must("apply", "-f", larger, "--reason", "launch at 9")
	if !containsAll(out, "max 4 (was 3)", "applied in 3 processes") {
		t.Errorf("apply says\n%s", out)
	}
	b.untilReady(2)
	for name, uuid := range one {
		if w.uuids()[name] != uuid {
			t.Errorf("the VMs are %v, want %s of before among them", w.uuids(), name)
		}
	}
	if out := w.must("diff", "-c", larger); !containsAll(out, w.group+"  as in the file") {
		t.Errorf("diff from what was applied says\n%s", out)
	}
	w.must("health")
	w.must("apply", "-f", config)
	b.until("it holds to the old max again", func() bool { return b.decision.Inputs.Max == 3 })
	s.stop()
}
