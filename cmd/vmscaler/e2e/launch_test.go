package e2e

import (
	"testing"
	"time"
)

// TestLaunchAndSchedule: a launch says which VM comes and ends when it serves, or says why there can be none; an action that is
// added to the schedule sets what it says, until it is removed.
func TestLaunchAndSchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("min: 1\nmax: 3\npolicy: {upper: 95, lower: 0}"))
	on := func(args ...string) []string {
		return append(args, "--nats-url", p.url)
	}
	wait := func(args ...string) []string { return on(append(args, "--timeout", patience.String())...) }
	w.must(wait("wait", w.group, "stable", "ready=1")...)
	w.refused(on("launch", w.group, "--host", "nosuch"), `found "nosuch"`)
	w.refused(on("launch", w.group, "--count", "3"), "more than its max, 3")
	out := w.must(wait("launch", w.group, "--wait", "--reason", "the launch at 9")...)
	name := w.group + "-2"
	if !containsAll(out, name+" on ", "vm="+name+":ready, after ") || len(w.vms()) != 2 {
		t.Errorf("it says\n%s\nand there are %v", out, w.vms())
	}
	soon := time.Now().UTC().Add(90 * time.Second).Format("2006-01-02T15:04")
	w.must(on("schedule", "add", w.group, "more", "--at", soon, "--min", "3", "--reason", "the evening")...)
	w.must(wait("wait", w.group, "stable", "ready=3")...)
	w.must(on("schedule", "rm", w.group, "more")...)
	w.must(wait("scale", w.group, "1", "--wait")...)
	said := w.must(on("events", w.group)...)
	added := "added to the schedule: more, min 3 at " + soon
	if !containsAll(said, "1 VM more: launched; ", `("the launch at 9")`, added, `("the evening")`) {
		t.Errorf("the history says\n%s", said)
	}
	p.stop()
}
