//go:build fleet

package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
)

// fleetFaults are what TestChaosFleet does to one of the hosts; each leaves the fleet as it is to be.
func fleetFaults() map[string]func(*hostFleet, *fleetHost) {
	return map[string]func(*hostFleet, *fleetHost){
		"power-off": func(f *hostFleet, h *fleetHost) {
			h.powerOff()
			f.replaced(h)
			h.powerOn()
		},
		"short-power-off": func(_ *hostFleet, h *fleetHost) {
			h.powerOff()
			h.powerOn()
		},
		"partition": func(f *hostFleet, h *fleetHost) {
			h.cut()
			f.replaced(h)
			h.mend()
		},
		"short-partition": func(f *hostFleet, h *fleetHost) {
			h.cut()
			f.decidedFor(8 * time.Second)
			h.mend()
		},
		"one-way": func(f *hostFleet, h *fleetHost) {
			h.deaf(true)
			f.replaced(h)
			h.deaf(false)
		},
		"samples-lost": func(f *hostFleet, h *fleetHost) {
			h.mute(collectorGroup)
			f.until(fleetStep, h.name+" is silent", func() error {
				if state := stateOf(f.decision, h.name); state != bus.HostSilent {
					return fmt.Errorf("it is %s", state)
				}
				return nil
			})
			h.unmute(collectorGroup)
		},
		"kill-nats": func(_ *hostFleet, h *fleetHost) {
			h.procs["nats"].kill()
			h.startNATS()
		},
		"kill-stages": func(_ *hostFleet, h *fleetHost) {
			for _, stage := range h.stages() {
				h.procs[stage].kill()
			}
			h.startStages()
		},
		"stop-nats": func(f *hostFleet, h *fleetHost) {
			h.excused = true // for its stages this is a partition
			_ = h.procs["nats"].cmd.Process.Signal(syscall.SIGSTOP)
			f.decidedFor(20 * time.Second)
			_ = h.procs["nats"].cmd.Process.Signal(syscall.SIGCONT)
		},
		// Two at once, of which each alone leaves two servers: the one that was killed has not caught up with the others yet.
		"kill-nats-and-one-way": func(f *hostFleet, h *fleetHost) {
			killed := f.others(h)[0]
			killed.procs["nats"].kill()
			killed.startNATS()
			h.deaf(true)
			f.replaced(h)
			h.deaf(false)
		},
		"destroy": func(f *hostFleet, h *fleetHost) {
			if vms, _ := h.vms(); len(vms) > 0 {
				if err := h.w.domain(vms[0].Name).Destroy(); err != nil {
					f.t.Fatal(err)
				}
			}
		},
	}
}

// decidedFor waits until decisions were made for so long.
func (f *hostFleet) decidedFor(span time.Duration) {
	f.t.Helper()
	since := time.Since(f.began)
	f.decided(since+span, fmt.Sprintf("decisions were made for %s", span), func() error { return nil })
}

// TestFleetKilledServerThenOneWay: nothing reaches the host that leads all any more, right after another host's server was killed
// and has come back. Two servers of three are there, and go on.
func TestFleetKilledServerThenOneWay(t *testing.T) {
	f := newHostFleet(t, 3)
	f.settled()
	lone := f.leader()
	f.leadStreams(lone)
	f.fault("a server is killed, and nothing reaches " + lone.name + ", which leads")
	fleetFaults()["kill-nats-and-one-way"](f, lone)
	f.ends()
}

// TestChaosFleet breaks the hosts at random for CHAOS_MINUTES; CHAOS_SEED repeats an order.
func TestChaosFleet(t *testing.T) {
	minutes, err := strconv.Atoi(os.Getenv("CHAOS_MINUTES"))
	if err != nil {
		t.Fatalf("CHAOS_MINUTES=%q, want for how many minutes", os.Getenv("CHAOS_MINUTES"))
	}
	seed := rand.Uint64()
	if text := os.Getenv("CHAOS_SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("CHAOS_SEED=%q, want a number", text)
		}
	}
	t.Logf("CHAOS_SEED=%d", seed)
	rng := rand.New(rand.NewPCG(seed, seed))
	f := newHostFleet(t, 3)
	f.settled()
	faults, took := fleetFaults(), recoveries{}
	defer func() { t.Logf("CHAOS_SEED=%d, %s", seed, took) }()
	var order []string
	for begun := time.Now(); time.Since(begun) < time.Duration(minutes)*time.Minute; {
		if len(order) == 0 {
			order = slices.Sorted(maps.Keys(faults))
			rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		}
		name, h := order[0], f.hosts[rng.IntN(len(f.hosts))]
		order = order[1:]
		f.fault(name + " on " + h.name)
		faults[name](f, h)
		f.settled()
		took[name] = append(took[name], f.evidence.waited)
	}
	f.ends()
}
