package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/internal/figures"
)

// toReady is a way from VMs that serve to more of them.
type toReady struct {
	name     string
	figure   string
	config   string // of the group
	from, to int
	waits    bus.State // of the VM that waits in the warm pool before; "" is none
	lay      string    // the verb of virsh that has a VM wait as it did, for the limit
	wake     string    // the verb of virsh that has it serve again
	first    bool      // it boots for the first time, so that it gets a new disk before
	aim      float64   // in ms, 0 is none
	within   float64   // how many times the limit is aimed at, 0 is nothing
}

// BenchmarkReady compares the time from the decision for more VMs until they are ready with that of the same VMs by bare virsh:
// a paused and a stopped one of the warm pool, one that is made, which ends with its boot, and many, by hand as many at a time
// as there are cores, which is what boots them soonest. By virsh nothing is made but disks, beforehand, there is no decision, and
// it is over when the agents answer. So it is with the launches, as user-mode networking has no leases to wait for.
func BenchmarkReady(b *testing.B) {
	const grown = 5
	pool := "min: 0\nmax: 1\nwarm_pool:\n  size: 1\n  reuse: true\n  state: "
	ways := []toReady{
		{
			name: "paused", figure: "decision to ready, a paused VM waits", config: pool + "paused", to: 1,
			waits: bus.StatePaused, lay: "suspend", wake: "resume", aim: 25,
		},
		{
			name: "cold", figure: "decision to ready, a new VM", config: "min: 0\nmax: 1", to: 1,
			lay: "destroy", wake: "start", first: true, within: 1.05,
		},
		{
			name: "stopped", figure: "decision to ready, a stopped VM waits", config: pool + "stopped", to: 1,
			waits: bus.StateShutoff, lay: "destroy", wake: "start",
		},
		{
			name: "more", figure: fmt.Sprintf("decision to ready, from 1 VM to %d", grown),
			config: fmt.Sprintf("min: 1\nmax: %d", grown),
			from:   1, to: grown, lay: "destroy", wake: "start", first: true, within: 1.05,
		},
	}
	if testing.Short() {
		ways = ways[:2] // three boots; the others need six more, and differ in these fields alone
	}
	for _, way := range ways {
		b.Run(way.name, func(b *testing.B) {
			w := newWorld(b)
			w.network = bus.UserNetwork
			var ours, least []float64
			for b.Loop() {
				mine, bare := w.toReady(way)
				ours, least = append(ours, float64(mine.Milliseconds())), append(least, float64(bare.Milliseconds()))
			}
			b.ReportMetric(0, "ns/op") // a round also waits until the VMs are as before
			bare := "virsh " + way.wake + " of the same until each answers"
			figures.Add(b,
				figures.Way{
					Figure: way.figure, Way: "vmscaler run", Kind: figures.Ours, Unit: "ms", Values: ours, Aim: way.aim,
				},
				figures.Way{Figure: way.figure, Way: bare, Kind: figures.Limit, Unit: "ms", Values: least, Aim: way.within})
		})
	}
}

// toReady is a round: fewer VMs, more of them, and the same ones by virsh while vmscaler is not there. The next one begins with
// what it leaves.
func (w *world) toReady(way toReady) (ours, bare time.Duration) {
	w.t.Helper()
	const long = 10 * time.Minute // boots on a busy machine
	p := w.start(w.config("shutdown_timeout: 5s\n" + way.config))
	scale := func(n int) { w.must("scale", w.group, fmt.Sprint(n), "--nats-url", p.url) }
	p.until("the VMs that are there are known", func() bool { return p.decision.HasSample })
	scale(way.from)
	before := map[string]bool{}
	p.within(long, "there are as many as before", func() bool {
		clear(before)
		waits := way.waits == ""
		for _, vm := range p.sample.VMs {
			waits = waits || vm.Phase == bus.PhaseWarm && vm.State == way.waits
			if vm.Phase == bus.PhaseReady && vm.State == bus.StateRunning {
				before[vm.Name] = true
			}
		}
		in := p.decision.Inputs
		return waits && p.decision.Desired == way.from && len(before) == way.from && in.Owned-in.Warm == way.from
	})

	seen := len(p.all)
	scale(way.to)
	var decided, last time.Time
	var more []string
	p.within(long, "all are ready", func() bool {
		if decided.IsZero() && p.decision.Desired == way.to {
			decided = p.decision.Time
		}
		more = more[:0]
		for _, e := range p.all[seen:] {
			if e.Event == bus.EventReady {
				more, last = append(more, e.VM), e.Time
			}
		}
		return !decided.IsZero() && len(more) == way.to-way.from
	})
	p.stop()
	return last.Sub(decided), w.byVirsh(way, more)
}

// byVirsh has VMs wait, and then serve again, as many at a time as there are cores: the time of the latter.
func (w *world) byVirsh(way toReady, vms []string) time.Duration {
	w.t.Helper()
	for _, name := range vms {
		if out, err := exec.Command("virsh", "-q", "-c", w.uri, way.lay, name).CombinedOutput(); err != nil {
			w.t.Fatalf("virsh %s %s: %s\n%s", way.lay, name, err, out)
		}
	}
	if way.first {
		w.newDisks(vms)
	}
	const ping = `{"execute": "guest-ping"}`
	failed := make(chan string, len(vms))
	turns := make(chan struct{}, runtime.NumCPU())
	start := time.Now()
	var all sync.WaitGroup
	for _, name := range vms {
		dom := w.domain(name)
		turns <- struct{}{}
		all.Go(func() {
			defer func() { <-turns }()
			if out, err := exec.Command("virsh", "-q", "-c", w.uri, way.wake, name).CombinedOutput(); err != nil {
				failed <- fmt.Sprintf("virsh %s %s: %s\n%s", way.wake, name, err, out)
				return
			}
			_, err := dom.QemuAgentCommand(ping, 5, 0)
			for ; err != nil && time.Since(start) < 10*time.Minute; _, err = dom.QemuAgentCommand(ping, 5, 0) {
				time.Sleep(20 * time.Millisecond) // asking without a pause would slow the boot down
			}
			if err != nil {
				failed <- fmt.Sprintf("%s does not answer: %s", name, err)
			}
		})
	}
	all.Wait()
	took := time.Since(start)
	select {
	case text := <-failed:
		w.t.Fatal(text)
	default:
	}
	return took
}

// newDisks gives VMs that are off new disks.
func (w *world) newDisks(vms []string) {
	w.t.Helper()
	for _, v := range w.vms() {
		if slices.Contains(vms, v.Name) {
			disk := filepath.Join(w.dir, v.Meta.Volume)
			hostTool(w.t, "qemu-img", "create", "-q", "-f", "qcow2", "-b", w.templatePath(), "-F", "qcow2", disk)
		}
	}
}
