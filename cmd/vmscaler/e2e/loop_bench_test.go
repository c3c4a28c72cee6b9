package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/vmscaler/vmscaler/bus"
	"github.com/vmscaler/vmscaler/internal/figures"
)

// upperInBench is low enough for VMs that share the cores of a small machine.
const upperInBench = 25

// loop is the shell loop that vmscaler replaces, beside it on the same VMs.
type loop struct {
	cmd *exec.Cmd

	mu   sync.Mutex
	said string // its last line
}

// Write takes what it says, a line at a time.
func (l *loop) Write(text []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said = string(text)
	return len(text), nil
}

func (l *loop) says(what string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.HasPrefix(l.said, what)
}

// startLoop starts the loop on VMs.
func (w *world) startLoop(vms []string) *loop {
	w.t.Helper()
	args := []string{"testdata/loop.sh", w.uri, fmt.Sprint(upperInBench - 15), fmt.Sprint(upperInBench)}
	l := &loop{cmd: exec.Command("bash", append(args, vms...)...)}
	l.cmd.Stdout, l.cmd.Stderr = l, os.Stderr
	if err := l.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(l.stop)
	return l
}

func (l *loop) stop() {
	if l.cmd.ProcessState == nil {
		_ = l.cmd.Process.Kill()
		_ = l.cmd.Wait()
	}
}

// names are those of the VMs of the last sample.
func (b *watcher) names() (names []string) {
	for _, vm := range b.sample.VMs {
		names = append(names, vm.Name)
	}
	return names
}

// BenchmarkLoadToDecision is the time from a load in all VMs until it is decided that there should be more of them: by vmscaler
// and by a shell loop, which look at the same VMs at the same time. Neither changes anything: the group is at its max.
func BenchmarkLoadToDecision(b *testing.B) {
	sizes, aims := []int{1, 5}, []float64{3, 8} // VMs, and how many times sooner is aimed at
	if testing.Short() {
		sizes = sizes[:1]
	}
	for i, vms := range sizes {
		b.Run(fmt.Sprintf("VMs=%d", vms), func(b *testing.B) {
			w := newWorld(b)
			// Without a warm-up, as what is waited for is that both are quiet.
			config := fmt.Sprintf("min: %d\nmax: %d\npolicy:\n  warmup: 0s\n  upper: %d\n  lower: 1", vms, vms, upperInBench)
			run := w.start(w.config(config))
			run.untilReady(vms)
			loop := w.startLoop(run.names())
			var ours, theirs []float64
			for b.Loop() {
				mine, its := run.loadToDecision(loop, vms)
				ours, theirs = append(ours, mine.Seconds()), append(theirs, its.Seconds())
			}
			loop.stop()
			run.stop()
			b.ReportMetric(0, "ns/op") // a round also waits until it is quiet
			figure := fmt.Sprintf("load in %d VMs to the decision", vms)
			figures.Add(b, figures.Way{Figure: figure, Way: "vmscaler run", Kind: figures.Ours, Unit: "s", Values: ours},
				figures.Way{Figure: figure, Way: "shell loop", Kind: figures.Rival, Unit: "s", Values: theirs, Aim: aims[i]})
		})
	}
}

// loadToDecision is a round: quiet, then load.
func (r run) loadToDecision(l *loop, vms int) (ours, theirs time.Duration) {
	r.watcher.t.Helper()
	wantsMore := func() bool { return r.decision.Rule == bus.RuleAboveUpper && r.decision.Guard == bus.GuardAtMax }
	const long = 5 * time.Minute // VMs on a busy machine
	r.within(long, "both are quiet", func() bool {
		return r.decision.Inputs.Ready == vms && !wantsMore() && (l.says("hold") || l.says("in"))
	})
	load := r.w.spawn("load", r.w.group, "--cpu", "0", "--for", "10m")
	load.says("stress-ng")
	start := time.Now()
	r.within(long, "both want more VMs", func() bool {
		if ours == 0 && wantsMore() {
			ours = time.Since(start)
		}
		if theirs == 0 && l.says("out") {
			theirs = time.Since(start)
		}
		return ours > 0 && theirs > 0
	})
	load.stop()
	return ours, theirs
}

// BenchmarkStart is how long the program takes from its start to the first sample, with no VM and with some that it finds.
func BenchmarkStart(b *testing.B) {
	sizes := []int{0, 10}
	if testing.Short() {
		sizes = sizes[:1]
	}
	w := newWorld(b)
	for _, vms := range sizes {
		b.Run(fmt.Sprintf("VMs=%d", vms), func(b *testing.B) {
			config := w.config(fmt.Sprintf("min: %d\nmax: %d\nvcpus: 1", vms, max(vms, 1)))
			if vms > 0 {
				first := w.start(config)
				first.within(10*time.Minute, "they are ready", func() bool {
					return len(first.sample.VMs) == vms && first.decision.Inputs.Ready+first.decision.Inputs.Warming == vms
				})
				first.stop()
			}
			var took []float64
			for b.Loop() {
				start := time.Now()
				run := w.start(config)
				run.until("a sample has them", func() bool { return !run.sample.Time.IsZero() && len(run.sample.VMs) == vms })
				took = append(took, float64(time.Since(start).Milliseconds()))
				run.stop()
			}
			b.ReportMetric(0, "ns/op") // it has the stop
			figures.Add(b, figures.Way{
				Figure: fmt.Sprintf("start to the first sample, %d VMs there", vms), Way: "vmscaler run", Kind: figures.Ours,
				Unit: "ms", Values: took,
			})
		})
	}
}

// bareNATS is the variable with which this test program is a NATS server and nothing else.
const bareNATS = "VMSCALER_BENCH_NATS"

// serveNATS serves until it is killed.
func serveNATS() error {
	ns, err := natsserver.NewServer(&natsserver.Options{
		Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoSigs: true, NoLog: true,
	})
	if err != nil {
		return err
	}
	ns.Start()
	ns.WaitForShutdown()
	return nil
}
