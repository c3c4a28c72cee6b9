package e2e

import (
	"fmt"
	"maps"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// split is the stages of a group as processes of their own.
type split struct {
	w      *world
	url    string
	config string
	args   []string // of each but the bus
	stages map[string]*process
}

// split prepares stages that are to run on the bus at an address; config is the group's.
func (w *world) split(address, config string, args ...string) *split {
	return &split{
		w,
		"nats://" + address,
		config,
		append([]string{"--nats-url", "nats://" + address}, args...),
		map[string]*process{},
	}
}

// start starts one stage and does not wait for anything.
func (s *split) start(stage string) *process {
	s.w.t.Helper()
	args := append([]string{stage, "-c", s.config}, s.args...)
	switch stage {
	case "bus":
		args = []string{stage, "-c", s.config, "--bus-listen", strings.TrimPrefix(s.url, "nats://")}
	case "dashboard":
		args = append(args, "--no-dashboard")
	}
	s.stages[stage] = s.w.spawn(args...)
	return s.stages[stage]
}

// stop stops all stages, the bus last.
func (s *split) stop() {
	s.w.t.Helper()
	for _, stage := range []string{"actuator", "collector", "decider", "dashboard", "bus"} {
		if p := s.stages[stage]; p != nil {
			p.stop()
		}
	}
}

// saidTheStory checks that a dashboard showed each step of it.
func (p *process) saidTheStory(group string) {
	p.t.Helper()
	for _, step := range []string{
		"decision-out  desired 1 -> 2", "decision-out  desired 2 -> 3", "decision-in   desired 3 -> 2",
		"decision-in   desired 2 -> 1",
	} {
		p.says(group, step)
	}
	p.says(group, " removed ", group+"-3")
}

// freeAddress is a loopback address where nobody listens.
func freeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// TestStorySplit plays the story with each stage as a process of its own, the bus being the last to start. Then each
// of them is killed and started again: the VMs stay as they are, and the group goes on.
func TestStorySplit(t *testing.T) {
	w := newWorld(t)
	s := w.split(freeAddress(t), w.config(storyPolicy))
	s.start("dashboard").says("waiting: no bus answers", s.url)
	for _, stage := range []string{"decider", "actuator", "collector"} {
		s.start(stage).says("waiting for the bus", s.url)
	}
	s.start("bus").says("bus: " + s.url)
	w.playStory(w.watch(client.Remote{URL: s.url}))
	s.stages["dashboard"].saidTheStory(w.group)

	b := w.watch(client.Remote{URL: s.url}) // from now on: the other watcher has what came during the story
	b.untilReady(1)
	before := w.uuids()
	for _, stage := range []string{"decider", "collector", "actuator", "bus"} {
		s.stages[stage].kill()
		if stage == "decider" {
			w.refused([]string{"health"}, "decider: no sign of life", "collector: ", "actuator: ", "bus: ")
			w.must("health", "collector")
		}
		b.untilBack(stage, s.start(stage), 1)
		w.healthy()
		if after := w.uuids(); !maps.Equal(before, after) {
			t.Errorf("VMs after kill -9 and restart of the %s: %v, want the same as before: %v", stage, after, before)
		}
	}
	for _, e := range b.all {
		if e.Event != bus.EventAdopted {
			t.Errorf("kill -9 and restart of the stages, one by one: event %+v, want the VMs adopted and nothing else", e)
		}
	}
	s.stages["dashboard"].says("connected again to " + s.url)
	// The history is that of the bus before it was killed too.
	if out := w.must("events", w.group); !containsAll(out, "desired 2 -> 3", " removed ", " adopted ") {
		t.Errorf("events after all that:\n%s", out)
	}
	s.stop()
}

// untilBack waits until a stage that was started again is well, and decisions are made from n ready VMs again.
func (b *watcher) untilBack(stage string, p *process, n int) {
	b.t.Helper()
	b.until(stage+" is back, and decisions go on", func() bool {
		h := b.stages[stage]
		return h.OK && strings.HasSuffix(h.Instance, fmt.Sprintf("-%d", p.cmd.Process.Pid)) && b.decision.Time.After(h.Time) &&
			b.decision.Inputs.Ready == n && b.decision.Rule != bus.RuleNoData
	})
}

// healthy checks that `vmscaler health` finds all stages well.
func (w *world) healthy(args ...string) {
	w.t.Helper()
	out := w.must(append([]string{"health"}, args...)...)
	for _, stage := range []string{"bus", "collector", "decider", "actuator"} {
		if !strings.Contains(out, stage+": ") {
			w.t.Errorf("health says nothing of the %s:\n%s", stage, out)
		}
	}
}

// TestMixed: some stages in one process and the others in another one.
func TestMixed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	address, config := freeAddress(t), w.config("min: 1")
	hands := w.spawnRun(config, "--stages", "collector,actuator", "--nats-url", "nats://"+address)
	hands.says("waiting for the bus", address)
	head := w.start(config, "--stages", "bus,decider", "--bus-listen", address)
	head.untilReady(1)
	w.healthy()
	hands.stop()
	head.stop()
}

// TestConfigsThatDiffer: while the stages read different groups, nothing is done, and each says so.
func TestConfigsThatDiffer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("min: 1"), "--stages", "bus,collector,actuator")
	decider := w.spawn("decider", "-c", w.config("min: 1\nmax: 4"), "--nats-url", p.url)
	p.until("the mismatch is said", func() bool {
		actuator := p.stages["actuator"]
		return p.decision.Rule == bus.RuleMismatch && strings.Contains(p.decision.Sentence, "another config") &&
			!actuator.OK && containsAll(actuator.Message, w.group, "config")
	})
	w.refused([]string{"health"}, "actuator", "config", w.group)
	seen := p.decision.Seq
	p.until("the group is held", func() bool { return p.decision.Seq >= seen+3 })
	if vms := w.vms(); len(vms) > 0 || p.decision.Direction != bus.Hold {
		t.Errorf("VMs %+v, decision %+v, want nothing done", vms, p.decision)
	}
	decider.stop()
	p.stop()
}

// TestLateDashboard: one that comes late shows the whole picture with the next messages.
func TestLateDashboard(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	p := w.start(w.config("min: 1\nmax: 1"))
	p.untilReady(1)
	d := w.spawn("dashboard", "--no-dashboard") // it finds the running process by itself
	connected := lineTime(t, d.says("connected to "+p.url))
	// Whole seconds are printed, and a decision follows each interval of one second, as soon as the samples are there.
	decided := lineTime(t, d.says(w.group, "decision-hold", "desired 1"))
	if late := decided.Sub(connected); late > 3*time.Second {
		t.Errorf("the first decision was shown %s after the connection:\n%s", late, d.text())
	}
	for _, stage := range []string{"bus", "collector", "decider", "actuator"} {
		d.says("health", stage, " ok")
	}
	d.stop()
	p.stop()
}

// lineTime is when a line of plain output says that something happened.
func lineTime(t *testing.T, line string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, strings.Fields(line)[0])
	if err != nil {
		t.Fatalf("%q: %s", line, err)
	}
	return at
}
