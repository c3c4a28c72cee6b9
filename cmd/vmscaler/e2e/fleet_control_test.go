//go:build fleet

package e2e

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// TestFleetTermOutlivesTheActuator: both deciders are stopped, an actuator starts anew, and what the first of them has decided
// comes once more, as if it were new. The actuator makes nothing of it, as its disk has the second one's term.
func TestFleetTermOutlivesTheActuator(t *testing.T) {
	f := newHostFleet(t, 2)
	f.settled()
	f.identify()
	f.until(fleetStep, "the cluster has its name", func() error {
		if f.decision.ClusterID == "" {
			return errors.New("it has none")
		}
		return nil
	})
	old, first := f.decision, f.leader()
	stop := func(h *fleetHost) (goOn func()) {
		decider := h.procs["decider"].cmd.Process
		if err := decider.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		goOn = func() { _ = decider.Signal(syscall.SIGCONT) }
		t.Cleanup(goOn)
		return goOn
	}
	f.fault(first.name + "'s decider, which leads, is stopped")
	defer stop(first)()
	f.until(fleetStep, "the other one has led for a while", func() error {
		if f.decision.Term == old.Term || f.decision.Seq < 10 {
			return fmt.Errorf("terms are %v", f.terms)
		}
		return nil
	})
	defer stop(f.leader())()
	restarted := f.hosts[2]
	restarted.procs["actuator"].kill()
	before := f.uuids(f.hosts...)
	f.fault("both are stopped, and " + restarted.name + "'s actuator starts anew")
	restarted.startStage("actuator")
	share := old.Shares[restarted.id]
	share.VMs, share.Most, share.Numbers = fleetVMs, nil, []int{91, 92, 93, 94, 95, 96}
	old.Direction, old.Shares = bus.Hold, maps.Clone(old.Shares)
	old.Shares[restarted.id] = share
	f.until(fleetStep, "what the first one decided is refused, time and again", func() error {
		old.Seq++
		old.Time, old.ExpiresAt = time.Now().UTC(), time.Now().Add(5*time.Second).UTC()
		if err := f.conns[0].Publish(&old); err != nil {
			return err
		}
		if now := f.uuids(f.hosts...); !slices.Equal(now, before) {
			t.Fatalf("the VMs were %v, and are %v", before, now)
		}
		if text := restarted.procs["actuator"].text(); !strings.Contains(text, "is over: this host has acted by") {
			return fmt.Errorf("its actuator says %s", text)
		}
		if time.Since(f.began) < longEnough {
			return errors.New("not long enough")
		}
		return nil
	})
	for _, h := range f.deciders {
		if err := h.procs["decider"].cmd.Process.Signal(syscall.SIGCONT); err != nil {
			t.Fatal(err)
		}
	}
	f.ends()
}

// TestFleetStateLost: all servers end at once, and none of them has its JetStream folder any more when they start again. libvirt
// knows what there is: no VM is made or lost, and a history is kept again.
func TestFleetStateLost(t *testing.T) {
	f := newHostFleet(t, 2)
	f.settled()
	f.until(fleetStep, "the cluster has its name", func() error {
		if f.decision.ClusterID == "" {
			return errors.New("it has none")
		}
		return nil
	})
	before, cluster := f.uuids(f.hosts...), f.decision.ClusterID
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
	f.until(fleetStep, "it is the cluster that it was", func() error {
		if f.decision.ClusterID != cluster {
			return fmt.Errorf("it is %q, and was %q", f.decision.ClusterID, cluster)
		}
		return nil
	})
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
