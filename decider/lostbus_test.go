package decider

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/bus/client"
)

// second is one more second in which some hosts send samples of VMs that are ready, and their actuators signs of life.
func (b *harness) second(hosts ...string) bus.Decision {
	b.t.Helper()
	b.advance(time.Second)
	for _, host := range hosts {
		health := bus.Health{
			V: bus.Version, Stage: string(bus.RoleActuator), Instance: "a-" + host, OK: true, Time: b.clock(), Since: t0,
			Acts: &bus.Acts{HostID: bus.HostID(host), Full: []string{}, Taken: map[string][]int{}},
		}
		if err := b.conn.Publish(&health); err != nil {
			b.t.Fatal(err)
		}
	}
	if err := b.conn.Flush(); err != nil {
		b.t.Fatal(err)
	}
	for _, host := range hosts {
		b.send("web", host, ready(50), ready(50))
	}
	b.tick()
	// The decider has nothing to do before the next sample or tick, so that its newest decision can be read.
	for newest := b.decider.groups["web"].decision; newest != nil && b.newest.ID != newest.ID; {
		b.newest = b.decision()
	}
	return b.newest
}

// seconds goes on until a decision is as it should be.
func (b *harness) seconds(most int, holds func(bus.Decision) bool, hosts ...string) bus.Decision {
	b.t.Helper()
	var d bus.Decision
	for range most {
		if d = b.second(hosts...); holds(d) {
			return d
		}
	}
	b.t.Fatalf("not within %d s: %+v", most, d)
	return d
}

// meet has the decider know all hosts before it decides anything.
func (b *harness) meet(hosts ...string) {
	b.t.Helper()
	for _, host := range hosts {
		b.send("web", host, ready(50), ready(50))
	}
}

func stands(host bus.HostID, state bus.HostState) func(bus.Decision) bool {
	return func(d bus.Decision) bool { return d.Hosts[host].State == state }
}

// Of three hosts one is switched off: the decider says so, in decisions and in the history, and has the others make its VMs.
func TestHostIsSwitchedOff(t *testing.T) {
	b := startHarness(t, spec(bounds(6, 9)))
	events := make(chan bus.Event, 64)
	if err := client.Subscribe(b.conn, bus.AllEvents, events); err != nil {
		t.Fatal(err)
	}
	b.meet("kvm1", "kvm2", "kvm3")
	begun := func(d bus.Decision) bool { return d.Desired == 6 && len(d.Shares) == 3 && len(d.Hosts) == 0 }
	b.seconds(20, begun, "kvm1", "kvm2", "kvm3")
	for range 15 { // this decider has led for long enough
		b.second("kvm1", "kvm2", "kvm3")
	}
	b.seconds(10, stands("kvm3", bus.HostSilent), "kvm1", "kvm2")
	d := b.seconds(30, stands("kvm3", bus.HostLost), "kvm1", "kvm2")
	if d.Desired != 6 || d.Shares["kvm1"].VMs+d.Shares["kvm2"].VMs != 6 || d.Shares["kvm3"].VMs != 2 || d.Inputs.Lost != 2 {
		t.Errorf("lost: %+v", d)
	}
	d = b.seconds(5, stands("kvm3", bus.HostReturning), "kvm1", "kvm2", "kvm3")
	if d.Desired != 6 || d.Direction == bus.In {
		t.Errorf("back: %+v", d)
	}
	var told []string
	for len(told) < 3 {
		if e := <-events; e.Event == bus.EventHost {
			told = append(told, strings.TrimPrefix(e.Sentence, "host kvm3 is ")[:4])
		}
	}
	if got := strings.Join(told, " "); got != "sile lost retu" {
		t.Errorf("told %q", got)
	}
}

// Of two hosts none is replaced until the fence command has cut the lost one off; one that fails is tried again.
func TestHostIsFenced(t *testing.T) {
	s := spec(bounds(4, 9))
	s.HostLoss, s.Fence = bus.LossReplaceAfterFence, bus.Fence{Command: "off", Timeout: time.Minute}
	calls, answers := make(chan string, 8), make(chan error)
	off := func(ctx context.Context, g bus.Group, host string, id bus.HostID) error {
		calls <- g.Name + " " + host + " " + string(id)
		select {
		case err := <-answers:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	b := startHarnessOf(t, Config{Groups: []bus.Group{s}, Fence: off})
	events := make(chan bus.Event, 256)
	if err := client.Subscribe(b.conn, bus.AllEvents, events); err != nil {
		t.Fatal(err)
	}
	told := func(part string) {
		for {
			if e := <-events; strings.Contains(e.Sentence, part) {
				return
			}
		}
	}
	b.meet("kvm1", "kvm2")
	for range 20 {
		b.second("kvm1", "kvm2")
	}
	d := b.seconds(40, stands("kvm2", bus.HostLost), "kvm1")
	if got := <-calls; got != "web kvm2 kvm2" {
		t.Errorf("fenced %q", got)
	}
	for range 10 {
		d = b.second("kvm1")
	}
	if d.Shares["kvm1"].VMs != 2 || !strings.Contains(d.Hosts["kvm2"].Reason, "fence") {
		t.Errorf("before it is cut off: %+v", d)
	}
	answers <- errors.New("no power switch")
	told("no power switch")
	b.seconds(120, func(bus.Decision) bool { return len(calls) > 0 }, "kvm1") // the next try
	answers <- nil
	told("has cut host kvm2 off")
	d = b.seconds(20, func(d bus.Decision) bool { return d.Shares["kvm1"].VMs == 4 }, "kvm1")
	if d.Desired != 4 || d.Inputs.Lost != 2 {
		t.Errorf("cut off: %+v", d)
	}
}
