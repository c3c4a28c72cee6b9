//go:build fleet

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// TestFleetStoppedLeader: the leading decider is stopped (SIGSTOP) for a minute, another one leads, an actuator starts anew, and
// the first one goes on. Nothing happens by the term that is over.
func TestFleetStoppedLeader(t *testing.T) {
	f := newHostFleet(t, 2)
	f.settled()
	stopped := f.leader()
	before, terms := f.uuids(f.hosts...), len(f.terms)
	f.fault(stopped.name + "'s decider, which leads, is stopped")
	decider := stopped.procs["decider"].cmd.Process
	if err := decider.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = decider.Signal(syscall.SIGCONT) })
	f.until(fleetStep, "another one leads", func() error {
		if len(f.terms) == terms {
			return fmt.Errorf("terms are %v", f.terms)
		}
		return nil
	})
	restarted := f.hosts[2]
	restarted.procs["actuator"].kill()
	restarted.startStage("actuator")
	same := func() error {
		if now := f.uuids(f.hosts...); !slices.Equal(now, before) {
			return fmt.Errorf("the VMs were %v, and are %v", before, now)
		}
		if len(f.terms) != terms+1 {
			return fmt.Errorf("terms are %v", f.terms)
		}
		return nil
	}
	f.decided(time.Minute, "a minute has passed", same)
	f.fault("it goes on")
	if err := decider.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	f.decided(longEnough, "the other one leads on", same)
	f.ends()
}

// TestFleetStateLost: all servers end at once, and none of them has its JetStream folder any more when they start again. libvirt
// knows what there is: no VM is made or lost, and a history is kept again.
func TestFleetStateLost(t *testing.T) {
	f := newHostFleet(t, 2)
	f.settled()
	before := f.uuids(f.hosts...)
	f.fault("all servers lose what they kept")
	for _, h := range f.hosts {
		h.procs["nats"].kill()
	}
	for _, h := range f.hosts {
		if err := os.RemoveAll(filepath.Join(h.l.dir, "nats")); err != nil {
			t.Fatal(err)
		}
	}
	for _, h := range f.hosts {
		h.startNATS()
	}
	f.decided(longEnough, "decisions are made again", func() error {
		if now := f.uuids(f.hosts...); !slices.Equal(now, before) {
			return fmt.Errorf("the VMs were %v, and are %v", before, now)
		}
		return nil
	})
	f.settled()
	f.ignored = before // what begins from now on is in the new history
	vms, _ := f.hosts[0].vms()
	f.until(fleetStep, "a history is kept again", func() error {
		_, err := f.leads(bus.HistoryStream)
		return err
	})
	f.must("replace", vms[0].Name)
	f.until(fleetStep, "a VM is replaced, and the history has it", func() error {
		if slices.Contains(f.uuids(f.hosts...), vms[0].UUID) {
			return fmt.Errorf("%s is there", vms[0].Name)
		}
		return f.historyComplete()
	})
	f.ends()
}
